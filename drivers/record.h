#pragma once
#include "drivers/document.h"

#define KA_RECORD_NAMESPACE "https://kvmapply.org/record/1"

/* The record in a document's <metadata>; NULL: none, or it was written for another UUID (a copy). */
KaRecord *ka_record_read(const KaDocument *document, const char *uuid);
/* Replaces the document's record. */
void ka_record_write(KaDocument *document, const KaRecord *record);
/* What an object's record must say after this action: project, protect, the declared paths (items and
 * leaves), volumes; paths of detaches that wait for the guest are kept by the caller. */
KaRecord *ka_record_for(const KaAction *action, const char *uuid);
