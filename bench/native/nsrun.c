/* nsrun [-c CPU] [-g CGROUP] [-o FILE] [-R] PROG [ARG...]: run PROG as PID 1 of a new PID and mount namespace.
 *
 *   -c  pin PROG and its descendants to one CPU
 *   -g  put PROG into this cgroup directory
 *   -o  PROG's standard output goes to this file
 *   -R  run PROG and its descendants as SCHED_RR, so that other load cannot preempt them
 *
 * Prints on stdout:
 *   pid PID                  as the caller's namespace sees PROG
 *   exit STATUS T_EXEC       the wait status, and the time (CLOCK_MONOTONIC, ns) just before execve
 *   error WHAT: WHY          in place of the above
 *
 * All the work of building the namespace happens before T_EXEC.  The namespace has its own
 * /proc, an empty /run and /dev/null as /dev/console; it dies with nsrun, and nsrun with its parent. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int cpu = -1, round_robin, report;
static const char *cgroup, *output;

static void fail(const char *what) {
    dprintf(report, "error %s: %s\n", what, strerror(errno));
    _exit(125);
}

static long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void join_cgroup(void) {
    char path[4096];
    snprintf(path, sizeof path, "%s/cgroup.procs", cgroup);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1) fail(path);
    close(fd);
}

static void become_pid_1(char **argv, volatile long *exec_time) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (cgroup) join_cgroup();
    if (mount("none", "/", 0, MS_REC | MS_PRIVATE, 0)) fail("mount /");
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0)) fail("mount /proc");
    if (mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")) fail("mount /run");
    mount("/dev/null", "/dev/console", 0, MS_BIND, 0); /* where there is one */
    setsid();
    if (cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        if (sched_setaffinity(0, sizeof set, &set)) fail("sched_setaffinity");
    }
    struct sched_param priority = {round_robin ? 1 : 0};
    if (sched_setscheduler(0, round_robin ? SCHED_RR : SCHED_OTHER, &priority)) fail("sched_setscheduler");
    signal(SIGPIPE, SIG_DFL); /* Python ignores it; PROG must not inherit that */
    *exec_time = now();
    execv(argv[0], argv);
    fail(argv[0]);
}

int main(int argc, char **argv) {
    for (int opt; (opt = getopt(argc, argv, "+c:g:o:R")) != -1;) {
        if (opt == 'c') cpu = atoi(optarg);
        else if (opt == 'g') cgroup = optarg;
        else if (opt == 'o') output = optarg;
        else if (opt == 'R') round_robin = 1;
        else return 64;
    }
    if (optind >= argc) return 64;
    prctl(PR_SET_PDEATHSIG, SIGKILL);

    /* Reports keep the old stdout; PROG gets /dev/null where nothing else was asked for. */
    report = fcntl(1, F_DUPFD_CLOEXEC, 3);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (report < 0 || null < 0) return 71;
    for (int fd = 0; fd < 3; fd++) dup2(null, fd);
    if (output) {
        int out = open(output, O_WRONLY | O_CLOEXEC);
        if (out < 0) fail(output);
        dup2(out, 1);
    }
    syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);

    volatile long *exec_time = mmap(0, sizeof *exec_time, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (exec_time == MAP_FAILED) fail("mmap");
    pid_t pid = syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    if (pid < 0) fail("clone");
    if (pid == 0) become_pid_1(argv + optind, exec_time);
    dprintf(report, "pid %d\n", pid);
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR);
    dprintf(report, "exit %d %ld\n", status, *exec_time);
    return 0;
}
