#pragma once
#include "drivers/document.h"

#define KA_RECORD_NAMESPACE "https://kvmapply.org/record/1"
#define KA_RECORD_PREFIX "kvmapply"

/* The record in a document's <metadata>; NULL: none, or it was written for another UUID (a copy
 * made by dump and define). */
KaRecord *ka_record_read(const KaDocument *document, const char *uuid);

/* Replaces the document's record. */
void ka_record_write(KaDocument *document, const KaRecord *record);

/* The record's element alone, as virDomainSetMetadata wants it. Caller frees with g_free. */
char *ka_record_format(const KaRecord *record);

/* What an object's record must say after this action: project, protect, the declared paths (items
 * and leaves; fragments with their text, passwords left out), the volumes of declared disks and
 * those the record listed before. Paths of detaches that wait for the guest are added by the
 * caller. uuid NULL: not known yet. */
KaRecord *ka_record_for(const KaAction *action, const char *uuid);
