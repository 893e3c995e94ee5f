/* The few raw Linux system calls that kid.c, ideal.c and idealsup.c need, so that none carries a libc.
 * x86_64 only: a port replaces sys6(), the numbers and _start. */
#ifndef __x86_64__
#error "nolibc.h: x86_64 only"
#endif

typedef long i64;
typedef unsigned long u64;

enum { SYS_read = 0, SYS_write = 1, SYS_close = 3, SYS_rt_sigprocmask = 14, SYS_clone = 56, SYS_execve = 59,
       SYS_wait4 = 61, SYS_kill = 62, SYS_rt_sigtimedwait = 128, SYS_clock_gettime = 228, SYS_exit_group = 231,
       SYS_openat = 257, SYS_ppoll = 271, SYS_pipe2 = 293 };
enum { SIGUSR1 = 10, SIGTERM = 15, SIGCHLD = 17, SIG_BLOCK = 0, SIG_SETMASK = 2, WNOHANG = 1, CLOCK_MONOTONIC = 1,
       CLONE_VM = 0x100, CLONE_VFORK = 0x4000, O_RDONLY = 0, O_WRONLY = 1, O_CLOEXEC = 02000000, AT_FDCWD = -100 };

static inline __attribute__((always_inline)) i64 sys6(i64 n, i64 a, i64 b, i64 c, i64 d, i64 e, i64 f) {
    register i64 r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    i64 ret;
    __asm__ volatile("syscall" : "=a"(ret) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}
#define sys(n, a, b, c, d) sys6(SYS_##n, (i64)(a), (i64)(b), (i64)(c), (i64)(d), 0, 0)

static inline __attribute__((always_inline)) i64 now(void) {
    struct { i64 sec, nsec; } t;
    sys(clock_gettime, CLOCK_MONOTONIC, &t, 0, 0);
    return t.sec * 1000000000L + t.nsec;
}
static inline __attribute__((always_inline, noreturn)) void quit(int code) {
    for (;;) sys(exit_group, code, 0, 0, 0);
}

/* CLONE_VM|CLONE_VFORK: no copy of the page tables; we wait until the child's exec. */
static inline i64 spawn(char **argv, char **envp, const u64 *mask) {
    i64 pid = sys(clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0);
    if (pid == 0) {
        sys(rt_sigprocmask, SIG_SETMASK, mask, 0, 8);
        sys(execve, argv[0], argv, envp, 0);
        quit(127);
    }
    return pid;
}

/* The entry point: `sp` is the initial stack (argc, argv..., NULL, envp...). */
__attribute__((noreturn, used)) void start(i64 *sp);
__asm__(".globl _start\n_start:\n\txor %ebp,%ebp\n\tmov %rsp,%rdi\n\tand $-16,%rsp\n\tcall start\n");
