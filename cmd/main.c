#include "cmd/command.h"

int
main(int argc, char **argv)
{
    return ka_command_main(argc, argv);
}
