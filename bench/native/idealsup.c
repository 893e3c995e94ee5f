/* idealsup N CMD [ARG...]: the least that keeps N programs running, all of them the same.
 *
 * Starts each CMD (a path) by vfork and again as soon as it ends; at SIGTERM passes that on to all, and exits when they are
 * gone.  No output is read, nothing is delayed or logged: a lower bound, not a supervisor to use. */
#include "nolibc.h"

enum { MOST = 4096 };
static i64 programs[MOST];
static u64 inherited_mask;

void start(i64 *sp) {
    i64 argc = sp[0], count = 0, pid, stopping = 0;
    char **argv = (char **)(sp + 1), **envp = argv + argc + 1;
    u64 all = ~0UL;
    if (argc < 3) quit(64);
    for (char *digit = argv[1]; *digit; digit++) count = count * 10 + (*digit - '0');
    if (count > MOST) quit(64);
    sys(rt_sigprocmask, SIG_BLOCK, &all, &inherited_mask, 8);
    for (i64 i = 0; i < count; i++) programs[i] = spawn(argv + 2, envp, &inherited_mask);
    for (i64 left = count; left > 0;) {
        i64 signal = sys(rt_sigtimedwait, &all, 0, 0, 8);
        if (signal == SIGTERM) {
            stopping = 1;
            for (i64 i = 0; i < count; i++) sys(kill, programs[i], SIGTERM, 0, 0);
        }
        while ((pid = sys(wait4, -1, 0, WNOHANG, 0)) > 0) {
            i64 i = 0;
            while (i < count && programs[i] != pid) i++;
            if (i == count) continue; /* an orphan */
            if (stopping) left--;
            else programs[i] = spawn(argv + 2, envp, &inherited_mask);
        }
    }
    quit(0);
}
