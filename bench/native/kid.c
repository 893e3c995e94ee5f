/* kid MODE FIFO [ARG...]: the child of the init that is measured.
 *
 *   kid stamp FIFO           report the time of the first instruction, exit 0
 *   kid sleep FIFO           the same, then sleep for ever
 *   kid ready FIFO           the same, and tell s6 on file descriptor 3 that we are ready
 *   kid signal FIFO          report readiness, then the arrival time of each SIGUSR1
 *   kid orphans FIFO N GO    report readiness; at each byte on the fifo GO make N orphans
 *                            and report (start, end)
 *   kid lines FIFO MIB GO    report readiness; at a byte on the fifo GO write that many MiB of
 *                            100-byte lines to stdout, each by a write(2) of its own, and report
 *                            (start, end)
 *
 * MODE and FIFO may also be one word, as the #! line of a script hands them over.
 *
 * A report is two 64-bit integers, CLOCK_MONOTONIC in ns.  Free of libc, so that the child
 * itself costs next to nothing. */
#include "nolibc.h"

enum { ORPHANS_PER_PARENT = 100, LINE = 100 };

static void report(const char *fifo, i64 a, i64 b) {
    i64 times[2] = {a, b};
    i64 fd = sys(openat, AT_FDCWD, fifo, O_WRONLY | O_CLOEXEC, 0);
    sys(write, fd, times, sizeof times, 0);
    sys(close, fd, 0, 0, 0);
}

static i64 fork(void) { return sys(clone, SIGCHLD, 0, 0, 0); }

static i64 number(const char *s) {
    i64 n = 0;
    while (*s >= '0' && *s <= '9') n = n * 10 + (*s++ - '0');
    return n;
}

static __attribute__((noreturn)) void sleep_forever(void) {
    for (;;) sys(ppoll, 0, 0, 0, 0);
}

static __attribute__((noreturn)) void await_signals(const char *fifo, i64 started) {
    u64 usr1 = 1UL << (SIGUSR1 - 1);
    sys(rt_sigprocmask, SIG_BLOCK, &usr1, 0, 8);
    report(fifo, started, 0);
    i64 fd = sys(openat, AT_FDCWD, fifo, O_WRONLY | O_CLOEXEC, 0);
    for (;;) {
        i64 signal = sys(rt_sigtimedwait, &usr1, 0, 0, 8);
        i64 times[2] = {now(), 0};
        if (signal == SIGUSR1) sys(write, fd, times, sizeof times, 0);
    }
}

/* Each short-lived parent forks its orphans and exits; they exit at once.  The orphans hold
 * the pipe's write end: end of file means that the last one is gone. */
static void make_orphans(const char *fifo, i64 n) {
    int pipe[2];
    char c;
    sys(pipe2, pipe, O_CLOEXEC, 0, 0);
    i64 began = now();
    for (i64 i = 0; i < n / ORPHANS_PER_PARENT; i++) {
        i64 parent = fork();
        if (parent == 0) {
            for (int j = 0; j < ORPHANS_PER_PARENT; j++)
                if (fork() == 0) quit(0);
            quit(0);
        }
        sys(wait4, parent, 0, 0, 0);
    }
    sys(close, pipe[1], 0, 0, 0);
    sys(read, pipe[0], &c, 1, 0);
    report(fifo, began, now());
}

/* A pipe takes a line whole or not at all: it is shorter than PIPE_BUF. */
static void write_lines(const char *fifo, i64 bytes) {
    char line[LINE];
    for (int i = 0; i < LINE - 1; i++) line[i] = 'a' + i % 26;
    line[LINE - 1] = '\n';
    i64 began = now();
    for (i64 i = 0; i < bytes / LINE; i++)
        if (sys(write, 1, line, LINE, 0) != LINE) quit(74);
    report(fifo, began, now());
}

void start(i64 *sp) {
    i64 started = now(), argc = sp[0];
    char **argv = (char **)(sp + 1), c;
    i64 go;
    if (argc < 3) quit(64);
    for (char *at = argv[1]; *at; at++) {
        if (*at != ' ') continue;
        *at = 0;
        argv[2] = at + 1;
    }
    const char *fifo = argv[2];
    if (argv[1][0] == 'l') { /* lines */
        report(fifo, started, 0);
        go = sys(openat, AT_FDCWD, argv[4], O_RDONLY | O_CLOEXEC, 0);
        if (sys(read, go, &c, 1, 0) == 1) write_lines(fifo, number(argv[3]) << 20);
        sleep_forever();
    }
    switch (argv[1][1]) {
    case 'e': /* ready */
        sys(write, 3, "\n", 1, 0);
        report(fifo, started, 0);
        break;
    case 't': /* stamp */
        report(fifo, started, 0);
        quit(0);
    case 'l': /* sleep */
        report(fifo, started, 0);
        break;
    case 'i': /* signal */
        await_signals(fifo, started);
    case 'r': /* orphans */
        report(fifo, started, 0);
        go = sys(openat, AT_FDCWD, argv[4], O_RDONLY | O_CLOEXEC, 0);
        while (sys(read, go, &c, 1, 0) == 1) make_orphans(fifo, number(argv[3]));
        break;
    default:
        quit(64);
    }
    sleep_forever();
}
