#include "drivers/link.h"

static const KaDriver *const drivers[] = {
    &ka_tuning_driver,
    &ka_network_driver,
    &ka_pool_driver,
    &ka_image_driver,
    &ka_disk_driver,
    &ka_guest_driver,
};

const KaDrivers ka_drivers = {
    .drivers = drivers,
    .n_drivers = G_N_ELEMENTS(drivers),
    .connect = ka_link_connect,
    .disconnect = ka_link_disconnect,
};
