#pragma once
#include "cmd/terminal.h"
#include "manifest/manifest.h"

/* What every command gets from the command line and the terminal. */
typedef struct {
    const char *connect; /* borrowed; NULL: libvirt's own default */
    gboolean quiet;
    guint verbose; /* 1: more of the same; 2: what the layers below say as well */
    guint timeout_seconds;
    KaTerminal out, err;
} KaContext;

typedef enum {
    KA_EXIT_DONE = 0,
    KA_EXIT_ERROR = 1,
    KA_EXIT_CHANGES = 2, /* plan --detailed-exitcode */
    KA_EXIT_REFUSED = 3, /* a word is missing */
} KaExit;

/* One command of the command line; help comes from it. */
typedef struct KaCommand KaCommand;
struct KaCommand {
    const char *name;      /* "plan"; of a part with its group: "image scrub" */
    const char *arguments; /* "[PATH…]" */
    const char *brief;     /* one line, lower case */
    const char *about;     /* lines of its help */
    const char *examples;  /* one a line, indented by two */
    const GOptionEntry
        *options[3]; /* its own and shared ones; NULL-terminated each; NULL: no more */
    KaExit (*run)(KaContext *context, const char *const *arguments); /* NULL: a group */
    const KaCommand *const *parts; /* of a group: its commands; NULL-terminated */
};

extern const KaCommand ka_command_validate;
extern const KaCommand ka_command_plan;
extern const KaCommand ka_command_apply;
extern const KaCommand ka_command_delete;
extern const KaCommand ka_command_export;
extern const KaCommand ka_command_schema;
extern const KaCommand ka_command_explain;
extern const KaCommand ka_command_image;
extern const KaCommand ka_command_host;
extern const KaCommand ka_command_version;

/* Every command, in the order in which help lists them; NULL-terminated. */
extern const KaCommand *const ka_commands[];
/* Options before and after every command. */
extern const GOptionEntry ka_global_options[];

/* help.c: a command's help, or NULL: the program's. Caller frees. */
char *ka_help(const KaCommand *command);

/* The whole program; its exit status. */
int ka_command_main(int argc, char **argv);

/* "kvmapply: message" on standard error. */
void ka_complain(const KaContext *context, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* The same for an error's message; always KA_EXIT_ERROR. */
KaExit ka_complain_error(const KaContext *context, const GError *error);
/* Each with its source line and a caret, on standard error; warnings not when quiet. */
void ka_complain_diagnostics(const KaContext *context, KaDiagnostics *diagnostics);

/* Loads the manifest of the paths (none: the current folder). NULL after saying what is wrong. */
KaManifest *ka_context_load(const KaContext *context, const char *const *paths);
