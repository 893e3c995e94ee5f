/* drain FIFO: whoever reads the container's output, at next to no cost: pages move to /dev/null (splice(2)). */
#define _GNU_SOURCE
#include <fcntl.h>

int main(int argc, char **argv) {
    if (argc < 2) return 64;
    int in = open(argv[1], O_RDONLY), null = open("/dev/null", O_WRONLY);
    if (in < 0 || null < 0) return 71;
    fcntl(in, F_SETPIPE_SZ, 1 << 20);
    while (splice(in, 0, null, 0, 1 << 20, 0) > 0);
    return 0;
}
