/* sigbench COUNT PID FIFO [PID FIFO]...: time from kill(PID, SIGUSR1) to the child's report on FIFO.
 *
 * Visits all targets COUNT times, each time in a new random order, after a pause.  Prints one
 * line a sample, "TARGET NANOSECONDS"; -1 where no report came within a second: that target is
 * left alone from then on. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { TARGETS = 64, PAUSE_US = 200 };

static long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void shuffle(int *order, int n) {
    for (int i = n - 1; i > 0; i--) {
        int j = rand() % (i + 1), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

static long sample(int pid, int fd) {
    long times[2];
    struct timespec pause = {0, PAUSE_US * 1000};
    nanosleep(&pause, 0);
    struct pollfd readable = {fd, POLLIN, 0};
    long sent = now();
    if (kill(pid, SIGUSR1)) return -1;
    do { /* an older time is the late answer to a sample that was given up */
        if (poll(&readable, 1, 1000) != 1 || read(fd, times, sizeof times) != sizeof times) return -1;
    } while (times[0] < sent);
    return times[0] - sent;
}

int main(int argc, char **argv) {
    int n = 0, pid[TARGETS], fd[TARGETS], order[TARGETS];
    if (argc < 4) return 64;
    for (int i = 2; i + 1 < argc && n < TARGETS; i += 2, n++) {
        order[n] = n;
        pid[n] = atoi(argv[i]);
        fd[n] = open(argv[i + 1], O_RDWR | O_CLOEXEC);
        if (fd[n] < 0) { perror(argv[i + 1]); return 66; }
    }
    srand(now());
    for (long round = atol(argv[1]); round > 0; round--) {
        shuffle(order, n);
        for (int i = 0; i < n; i++) {
            int target = order[i];
            if (!pid[target]) continue;
            long nanoseconds = sample(pid[target], fd[target]);
            printf("%d %ld\n", target, nanoseconds);
            if (nanoseconds < 0) pid[target] = 0;
        }
    }
    return 0;
}
