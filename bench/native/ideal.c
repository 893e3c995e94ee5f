/* ideal CMD [ARG...]: the least that a correct init for one child can do.
 *
 * Blocks every signal, starts CMD (a path) by vfork, forwards every signal to it, reaps
 * everything, and exits with CMD's code.  No libc, no options, no terminal. */
#include "nolibc.h"

static u64 inherited_mask;

static int exit_code(int status) {
    return (status & 0x7f) ? 128 + (status & 0x7f) : (status >> 8) & 0xff;
}

void start(i64 *sp) {
    i64 argc = sp[0];
    char **argv = (char **)(sp + 1), **envp = argv + argc + 1;
    u64 all = ~0UL;
    if (argc < 2) quit(64);
    sys(rt_sigprocmask, SIG_BLOCK, &all, &inherited_mask, 8);
    i64 child = spawn(argv + 1, envp, &inherited_mask);
    if (child < 0) quit(125);
    for (;;) {
        i64 signal = sys(rt_sigtimedwait, &all, 0, 0, 8), pid;
        int status;
        if (signal == SIGCHLD) {
            while ((pid = sys(wait4, -1, &status, WNOHANG, 0)) > 0)
                if (pid == child) quit(exit_code(status));
        } else if (signal > 0) {
            sys(kill, child, signal, 0, 0);
        }
    }
}
