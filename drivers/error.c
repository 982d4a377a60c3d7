#include "drivers/invalid.h"
#include "drivers/link.h"

#include <errno.h>

/* What an error of libvirt means to a caller, and what its reader can do. First match counts. */
typedef struct {
    int code;        /* VIR_ERR_…; 0: any */
    int domain;      /* VIR_FROM_…; 0: any */
    int system;      /* errno that libvirt passes on; 0: any */
    const char *has; /* part of the message; NULL: any */
    KaHostError meaning;
    const char *advice; /* NULL: none */
} Meaning;

#define JOIN_GROUP                                                                                 \
    "this user may not use libvirt's socket: join the group 'libvirt' and log in again, or take "  \
    "--connect qemu:///session"
#define START_DAEMON "is libvirt running there? (systemctl start libvirtd, or virtqemud.socket)"
#define NO_DRIVER "is the driver of this URI installed there?"
#define NO_ANSWER "the host answers no more"
#define POOL_FULL "the pool is full: make room, or name another pool"
#define NO_FOLDER "the pool's folder or source is missing on the host: make or mount it there"
#define NO_ENTRY "libvirt's daemon may not go there: check owner and mode"
#define CHECK_MODE                                                                                 \
    "the hypervisor's own user must be able to read the file and enter every folder above it"
#define NO_NETWORKS                                                                                \
    "a session's libvirt makes no networks: connect to qemu:///system, or give the NIC "           \
    "`user: true`"

#define RPC VIR_FROM_RPC
#define STORAGE VIR_FROM_STORAGE
#define NETWORK VIR_FROM_NETWORK
#define DENIED KA_HOST_ERROR_DENIED
#define TIMEOUT KA_HOST_ERROR_TIMEOUT
#define UNREACHABLE KA_HOST_ERROR_UNREACHABLE
#define OTHER KA_HOST_ERROR_LIBVIRT

static const Meaning meanings[] = {
    {VIR_ERR_SYSTEM_ERROR,      RPC,     EACCES,       NULL,                      DENIED,      JOIN_GROUP  },
    {VIR_ERR_SYSTEM_ERROR,      RPC,     EPERM,        NULL,                      DENIED,      JOIN_GROUP  },
    {VIR_ERR_AUTH_UNAVAILABLE,  0,       0,            NULL,                      DENIED,      JOIN_GROUP  },
    {VIR_ERR_AUTH_FAILED,       0,       0,            NULL,                      DENIED,      NULL        },
    {VIR_ERR_AUTH_CANCELLED,    0,       0,            NULL,                      DENIED,      NULL        },
    {VIR_ERR_ACCESS_DENIED,     0,       0,            NULL,                      DENIED,      NULL        },
    {VIR_ERR_OPERATION_DENIED,  0,       0,            NULL,                      DENIED,      NULL        },
    {VIR_ERR_OPERATION_TIMEOUT, 0,       0,            NULL,                      TIMEOUT,     NULL        },
    {VIR_ERR_SYSTEM_ERROR,      RPC,     ENOENT,       NULL,                      UNREACHABLE, START_DAEMON},
    {VIR_ERR_SYSTEM_ERROR,      RPC,     ECONNREFUSED, NULL,                      UNREACHABLE, START_DAEMON},
    {VIR_ERR_SYSTEM_ERROR,      RPC,     0,            NULL,                      UNREACHABLE, NULL        },
    {0,                         RPC,     0,            "keepalive timeout",       TIMEOUT,     NO_ANSWER   },
    {VIR_ERR_RPC,               0,       0,            NULL,                      UNREACHABLE, NULL        },
    {0,                         RPC,     0,            NULL,                      UNREACHABLE, NULL        },
    {0,                         0,       0,            "client socket is closed", UNREACHABLE, NULL        },
    {VIR_ERR_NO_CONNECT,        0,       0,            NULL,                      UNREACHABLE, NO_DRIVER   },
    {0,                         STORAGE, ENOSPC,       NULL,                      OTHER,       POOL_FULL   },
    {0,                         0,       0,            "No space left on device", OTHER,       POOL_FULL   },
    {0,                         STORAGE, ENOENT,       NULL,                      OTHER,       NO_FOLDER   },
    {0,                         0,       0,            "cannot open directory",   OTHER,       NO_FOLDER   },
    {0,                         0,       0,            "cannot create path",      OTHER,       NO_FOLDER   },
    {0,                         STORAGE, EACCES,       NULL,                      OTHER,       NO_ENTRY    },
    {0,                         0,       0,            "Permission denied",       OTHER,       CHECK_MODE  },
    {0,                         NETWORK, EPERM,        NULL,                      OTHER,       NO_NETWORKS },
    {0,                         NETWORK, 0,            "Operation not permitted", OTHER,       NO_NETWORKS },
};

static const Meaning *
find_meaning(const virError *failure)
{
    for (gsize i = 0; i < G_N_ELEMENTS(meanings); i++) {
        const Meaning *meaning = &meanings[i];

        if (meaning->code && meaning->code != failure->code)
            continue;
        if (meaning->domain && meaning->domain != failure->domain)
            continue;
        if (meaning->system && meaning->system != failure->int1)
            continue;
        if (meaning->has == NULL || (failure->message && strstr(failure->message, meaning->has)))
            return meaning;
    }
    return NULL;
}

static GPrivate kept = G_PRIVATE_INIT((GDestroyNotify)virFreeError);

void
ka_libvirt_keep(void)
{
    g_private_replace(&kept, virSaveLastError());
}

gboolean
ka_libvirt_error_kept(GError **error, const char *format, ...)
{
    static const virError unsaid = {0};
    const virError *failure = g_private_get(&kept);
    const Meaning *meaning = NULL;
    g_autofree char *what = NULL;
    va_list arguments;

    if (failure == NULL)
        failure = &unsaid;
    va_start(arguments, format);
    what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    meaning = find_meaning(failure);
    g_set_error(
        error, KA_HOST_ERROR, meaning ? (gint)meaning->meaning : (gint)KA_HOST_ERROR_LIBVIRT,
        "%s: %s (libvirt error %d)%s%s", what,
        failure->message ? failure->message : "no reason was given", failure->code,
        meaning && meaning->advice ? "; " : "", meaning && meaning->advice ? meaning->advice : "");
    return FALSE;
}

int
ka_libvirt_code(void)
{
    return virGetLastErrorCode();
}

gboolean
ka_invalid(GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (error)
        *error = g_error_new_valist(KA_HOST_ERROR, KA_HOST_ERROR_INVALID, format, arguments);
    va_end(arguments);
    return FALSE;
}
