/* icount PROG [ARG...]: exact user-mode work from PROG's exec, as PID 1, to the exec of its child.
 *
 * Single-steps with ptrace(2) and prints one line, "INSTRUCTIONS SYSCALLS": what was executed on
 * the way from the one exec to the other, that is by PROG up to the fork and by the child after
 * it.  The dynamic loader is part of it; what PROG does meanwhile or later is not.  A rep-prefixed
 * instruction counts once per iteration. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TASKS = 64, LIMIT = 20000000, SYSCALL_OPCODE = 0x050f };

struct task {
    pid_t pid;
    long instructions, syscalls; /* on the way here, those of its ancestors up to the fork included */
    int before_syscall;          /* the next instruction is `syscall` */
    int known, stopped;          /* its parent's fork was reported; it waits for that report */
};
static struct task tasks[TASKS];

static void fail(const char *what) {
    perror(what);
    exit(1); /* PTRACE_O_EXITKILL ends what is traced */
}

static struct task *task(pid_t pid) {
    for (int i = 0; i < TASKS; i++) {
        if (!tasks[i].pid) tasks[i].pid = pid;
        if (tasks[i].pid == pid) return &tasks[i];
    }
    errno = ENOSPC;
    fail("tasks");
    return 0;
}

static void step(struct task *t, int signal) {
    long ip = ptrace(PTRACE_PEEKUSER, t->pid, offsetof(struct user_regs_struct, rip), 0);
    t->before_syscall = (ptrace(PTRACE_PEEKTEXT, t->pid, ip, 0) & 0xffff) == SYSCALL_OPCODE;
    ptrace(PTRACE_SINGLESTEP, t->pid, 0, (long)signal);
}

static void count_syscall(struct task *t) {
    t->syscalls += t->before_syscall;
    t->before_syscall = 0;
}

static void forked(struct task *parent) {
    unsigned long pid = 0;
    ptrace(PTRACE_GETEVENTMSG, parent->pid, 0, &pid);
    struct task *child = task(pid);
    child->instructions = parent->instructions;
    child->syscalls = parent->syscalls;
    child->known = 1;
    if (child->stopped) step(child, 0);
}

static pid_t start(char **argv) {
    int ready[2];
    char byte;
    if (pipe(ready)) fail("pipe");
    pid_t pid = syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    if (pid < 0) fail("clone");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        mount("none", "/", 0, MS_REC | MS_PRIVATE, 0);
        mount("proc", "/proc", "proc", 0, 0);
        mount("tmpfs", "/run", "tmpfs", 0, "mode=0755");
        setsid();
        if (read(ready[0], &byte, 1) != 1) _exit(1);
        syscall(SYS_close_range, 3, ~0U, 0);
        execv(argv[0], argv);
        _exit(127);
    }
    long options = PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SEIZE, pid, 0, options)) fail("ptrace");
    if (write(ready[1], "x", 1) != 1) fail("write");
    return pid;
}

int main(int argc, char **argv) {
    if (argc < 2) return 64;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pid_t init = start(argv + 1);
    int running = 0; /* PROG has been executed */
    task(init)->known = 1;
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0) fail("waitpid");
        struct task *t = task(pid);
        if (!WIFSTOPPED(status)) {
            if (pid != init) continue;
            fprintf(stderr, "the init ended before its child's exec (wait status %d)\n", status);
            return 1;
        }
        int signal = 0;
        switch (status >> 16) {
        case PTRACE_EVENT_EXEC:
            count_syscall(t);
            if (pid != init) {
                printf("%ld %ld\n", t->instructions, t->syscalls);
                return 0;
            }
            running = 1;
            break;
        case PTRACE_EVENT_FORK:
        case PTRACE_EVENT_VFORK:
        case PTRACE_EVENT_CLONE:
            count_syscall(t);
            forked(t);
            break;
        case PTRACE_EVENT_STOP:
            break;
        default:
            if (WSTOPSIG(status) != SIGTRAP) {
                signal = WSTOPSIG(status);
            } else if (running) {
                count_syscall(t);
                t->instructions++;
                if (t->instructions > LIMIT) { errno = E2BIG; fail("instructions"); }
            }
        }
        if (!t->known) t->stopped = 1;
        else if (running) step(t, signal);
        else ptrace(PTRACE_CONT, pid, 0, (long)signal);
    }
}
