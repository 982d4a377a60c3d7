#pragma once
#include <glib.h>

/* error.c: KA_HOST_ERROR_INVALID, for what was asked and can't be. Always FALSE. */
gboolean ka_invalid(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
