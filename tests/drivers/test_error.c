#include "drivers/link.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void
ignore(void *data G_GNUC_UNUSED, virErrorPtr failure G_GNUC_UNUSED)
{
}

static void
error_with_name_in_arguments_keeps_libvirts_words(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) error = NULL;
    virConnectPtr conn = virConnectOpen("test:///default");
    g_autoptr(virDomain) domain = virDomainLookupByName(conn, "test");
    assert_null(virDomainLookupByName(conn, "nobody"));
    /* Asking for the name resets libvirt's last error. */
    assert_false(ka_libvirt_error(&error, "beside '%s'", virDomainGetName(domain)));
    assert_non_null(strstr(error->message, "beside 'test': "));
    assert_non_null(strstr(error->message, "(libvirt error 42)"));
    assert_null(strstr(error->message, "no reason"));
    virConnectClose(conn);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_with_name_in_arguments_keeps_libvirts_words),
    };
    virSetErrorFunc(NULL, ignore);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
