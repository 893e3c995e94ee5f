//! The system calls that no safe wrapper makes: the only unsafe code, with a proof at each use.
//!
//! nix and libc know only the signals up to 31 (and hide some real-time ones), and neither starts a child the way that
//! PID 1 needs it; so signals, waiting and starting go to the kernel directly. The kernel's set of signals is 64 bits.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr, OsString, c_char, c_int, c_long, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use crate::outcome::Usage;

/// Bytes in the kernel's set of signals.
const SET_BYTES: usize = size_of::<u64>();
/// The highest descriptor there can be, for `close_range(2)`.
const LAST_FD: u32 = u32::MAX;

/// Makes `run` the program's entry point, in place of Rust's own.
///
/// Rust's start-up aborts where one of the descriptors 0 to 2 is closed and there is no /dev/null, ignores SIGPIPE for
/// all children and installs handlers for faults. And signals have to be blocked before anything else happens.
#[macro_export]
macro_rules! entry_point {
    ($run:path) => {
        /// Called by the C library's start-up code.
        ///
        /// # Safety
        /// For that code alone: `argv` has to hold `argc` strings.
        #[unsafe(no_mangle)]
        #[allow(unsafe_code)]
        pub unsafe extern "C" fn main(
            argc: ::std::ffi::c_int,
            argv: *const *const ::std::ffi::c_char,
        ) -> ::std::ffi::c_int {
            let blocked = $crate::linux::sys::Blocked::every_signal();
            // SAFETY: argc and argv are what the C start-up code passes to main.
            let args = unsafe { $crate::linux::sys::arguments(argc, argv) };
            $run(args, blocked).into()
        }
    };
}

/// The proof that every signal is blocked, and how things were before.
#[derive(Debug)]
pub struct Blocked {
    mask_before: u64,
}

impl Blocked {
    /// Blocks every signal that can be blocked, the real-time ones that libc reserves included.
    #[must_use]
    pub fn every_signal() -> Blocked {
        let (all, mut mask_before) = (u64::MAX, 0_u64);
        // SAFETY: both pointers are to live u64s, which is the size the last argument says. It cannot fail: the
        // addresses are good, and so are `how` and the size.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_SETMASK,
                &raw const all,
                &raw mut mask_before,
                SET_BYTES,
            );
        }
        Blocked { mask_before }
    }

    /// The mask that we were started with.
    pub(super) fn mask_before(&self) -> u64 {
        self.mask_before
    }
}

/// The words of the command line after the first.
///
/// # Safety
/// `argc` and `argv` must be those that main got.
#[must_use]
pub unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<OsString> {
    (1..usize::try_from(argc).unwrap_or(0))
        .map(|i| {
            // SAFETY: main's argv has argc pointers to NUL-terminated strings that live as long as the process.
            let word = unsafe { CStr::from_ptr(*argv.add(i)) };
            OsStr::from_bytes(word.to_bytes()).to_owned()
        })
        .collect()
}

/// The variables whose names begin with `prefix`. std's own look copies the whole environment first, at every start.
#[must_use]
pub fn variables(prefix: &str) -> Vec<(OsString, OsString)> {
    let mut found = Vec::new();
    // SAFETY: `environ` is set by the C start-up code and never written in this process.
    let mut next = unsafe { environ };
    if next.is_null() {
        return found;
    }
    loop {
        // SAFETY: `environ` is an array of pointers that ends with a null pointer; we stop there.
        let variable = unsafe { *next };
        if variable.is_null() {
            return found;
        }
        // SAFETY: each points to a NUL-terminated string that lives as long as the process.
        let variable = unsafe { CStr::from_ptr(variable) }.to_bytes();
        if variable.starts_with(prefix.as_bytes())
            && let Some(end) = variable.iter().position(|byte| *byte == b'=')
        {
            let (name, value) = (&variable[..end], &variable[end + 1..]);
            found.push((OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value).to_owned()));
        }
        // SAFETY: this was not the last, so there is a next.
        next = unsafe { next.add(1) };
    }
}

/// Gives `signal` its default action and says whether it had been ignored.
pub(super) fn set_default_action(signal: c_int) -> bool {
    set_action(signal, libc::SIG_DFL) == libc::SIG_IGN
}

/// Sets an action that is no handler, and returns the one before.
fn set_action(signal: c_int, action: usize) -> usize {
    // The kernel's struct sigaction begins with the handler; flags, restorer and mask stay 0. Five words are enough
    // for it on every 64-bit Linux that begins it so (x86_64, aarch64, riscv64, ppc64, s390x).
    let new = [action, 0, 0, 0, 0];
    let mut old = [0_usize; 5];
    // SAFETY: both arrays are at least as large as the kernel's struct, and no handler is installed, so nothing of ours
    // can be called.
    unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, new.as_ptr(), old.as_mut_ptr(), SET_BYTES);
    }
    old[0]
}

/// A descriptor from which every signal can be read, closed on exec; `flags` are more of signalfd(2)'s.
pub(super) fn signal_descriptor(flags: c_int) -> io::Result<OwnedFd> {
    let all = u64::MAX;
    // SAFETY: the pointer is to a live u64, which is the size the next argument says.
    let fd = unsafe {
        libc::syscall(libc::SYS_signalfd4, -1, &raw const all, SET_BYTES, libc::SFD_CLOEXEC | flags)
    };
    owned(fd)
}

/// Takes what a system call returned as a descriptor.
fn owned(result: c_long) -> io::Result<OwnedFd> {
    match c_int::try_from(result) {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Standard error, whether open or not: writing to it when it is closed is an error like any other.
pub(super) fn stderr() -> BorrowedFd<'static> {
    // SAFETY: nothing in sexton ever closes descriptor 2, so it stays what it is for as long as we live.
    unsafe { BorrowedFd::borrow_raw(libc::STDERR_FILENO) }
}

/// Standard output, whether open or not: writing to it when it is closed is an error like any other.
pub(super) fn stdout() -> BorrowedFd<'static> {
    // SAFETY: nothing in sexton ever closes descriptor 1, so it stays what it is for as long as we live.
    unsafe { BorrowedFd::borrow_raw(libc::STDOUT_FILENO) }
}

/// How many columns the terminal has that is standard output; 0 where it does not say, None where it is none.
pub(super) fn terminal_width() -> Option<u16> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the pointer is to a live struct of the kind that this request fills in.
    let result = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (result == 0).then_some(size.ws_col)
}

/// Standard input, the terminal's where /dev/tty is not to be had.
pub(super) fn stdin<'a>() -> BorrowedFd<'a> {
    // SAFETY: nothing in sexton ever closes descriptor 0, so it stays what it is for as long as we live.
    unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) }
}

/// What waiting for any child told.
pub(super) enum Waited {
    /// This child changed its state; the status is wait(2)'s.
    Child(i32, c_int),
    /// There are children, and none has anything new.
    Nothing,
    /// There is no child.
    NoChild,
}

/// Collects one child that has ended or been stopped; does not block.
pub(super) fn wait_for_any() -> Waited {
    let mut status = 0;
    // SAFETY: the pointer is to a live c_int.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::WUNTRACED) };
    match pid {
        0 => Waited::Nothing,
        pid if pid > 0 => Waited::Child(pid, status),
        _ => Waited::NoChild, // ECHILD: WNOHANG rules EINTR out
    }
}

/// The same, with what it and those that it waited for have used.
pub(super) fn wait_for_any_with_usage() -> (Waited, Option<Usage>) {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let flags = libc::WNOHANG | libc::WUNTRACED;
    // SAFETY: the pointers are to a live c_int and to a live rusage, and all zeroes is one.
    let (pid, usage) =
        unsafe { (libc::wait4(-1, &raw mut status, flags, usage.as_mut_ptr()), usage.assume_init()) };
    match pid {
        0 => (Waited::Nothing, None),
        pid if pid > 0 => (Waited::Child(pid, status), Some(read_usage(&usage))),
        _ => (Waited::NoChild, None), // ECHILD: WNOHANG rules EINTR out
    }
}

/// What a child that has ended and those that it waited for have used; it stays as it is.
pub(super) fn usage_of(pid: i32) -> Option<Usage> {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let no_info = ptr::null_mut::<libc::siginfo_t>();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel's waitid takes a null pointer for "no siginfo". The other is to a live rusage, which on every
    // 64-bit Linux begins with the kernel's and is no smaller; all zeroes is one.
    let (result, usage) = unsafe {
        let result = libc::syscall(libc::SYS_waitid, libc::P_PID, pid, no_info, flags, usage.as_mut_ptr());
        (result, usage.assume_init())
    };
    check(result).ok()?;
    Some(read_usage(&usage))
}

fn read_usage(usage: &libc::rusage) -> Usage {
    let count = |number: c_long| u64::try_from(number).unwrap_or(0);
    let time = |time: libc::timeval| {
        Duration::from_secs(count(time.tv_sec)).saturating_add(Duration::from_micros(count(time.tv_usec)))
    };
    Usage {
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        most_memory: count(usage.ru_maxrss).saturating_mul(1024),
        major_faults: count(usage.ru_majflt),
        minor_faults: count(usage.ru_minflt),
        voluntary_switches: count(usage.ru_nvcsw),
        involuntary_switches: count(usage.ru_nivcsw),
    }
}

/// Looks at this child, or at any, that has ended or been stopped, and leaves it as it is; for one that is gone with
/// wait(2)'s status.
pub(super) fn peek_at(child: Option<u32>) -> Waited {
    let (which, pid) = child.map_or((libc::P_ALL, 0), |pid| (libc::P_PID, pid));
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WSTOPPED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the pointer is to a live siginfo_t, and all zeroes is one.
    let info = unsafe {
        if libc::waitid(which, pid, info.as_mut_ptr(), flags) < 0 {
            return Waited::NoChild; // ECHILD: WNOHANG rules EINTR out
        }
        info.assume_init()
    };
    // SAFETY: waitid fills in the fields of a SIGCHLD, and leaves the number 0 where there is nothing new.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    match info.si_code {
        _ if pid == 0 => Waited::Nothing,
        libc::CLD_EXITED => Waited::Child(pid, (status & 0xFF) << 8),
        libc::CLD_DUMPED => Waited::Child(pid, status | 0x80),
        libc::CLD_KILLED => Waited::Child(pid, status),
        _ => Waited::Child(pid, status << 8 | 0x7F),
    }
}

/// Collects this child, if it has ended or been stopped; does not block.
pub(super) fn wait_for(pid: i32) -> Waited {
    let mut status = 0;
    // SAFETY: the pointer is to a live c_int.
    match unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG | libc::WUNTRACED) } {
        0 => Waited::Nothing,
        pid if pid > 0 => Waited::Child(pid, status),
        _ => Waited::NoChild,
    }
}

/// What ptrace(2) can be asked of a process.
#[derive(Clone, Copy)]
pub(super) enum Trace {
    /// To be traced by us from here on, and to be stopped at its end.
    Seize,
    /// To go on, with this signal or with 0.
    Continue(c_int),
    /// To stay stopped as any other process, until it is continued.
    Listen,
}

/// Asks it; all but the first only of one that we trace and that is stopped.
pub(super) fn trace(pid: i32, what: Trace) -> io::Result<()> {
    let (request, data) = match what {
        Trace::Seize => (c_long::from(libc::PTRACE_SEIZE), libc::PTRACE_O_TRACEEXIT),
        Trace::Continue(signal) => (c_long::from(libc::PTRACE_CONT), signal),
        Trace::Listen => (c_long::from(libc::PTRACE_LISTEN), 0),
    };
    // SAFETY: none of these requests touches memory of ours.
    check(unsafe { libc::syscall(libc::SYS_ptrace, request, pid, 0, c_long::from(data)) })
}

/// With what status of wait(2) a process that we trace and that is stopped at its end will be gone.
pub(super) fn status_at_end(pid: i32) -> io::Result<c_int> {
    let mut status: libc::c_ulong = 0;
    // SAFETY: the last argument points to a live word, which is what the kernel writes for this request.
    check(unsafe {
        let request = c_long::from(libc::PTRACE_GETEVENTMSG);
        libc::syscall(libc::SYS_ptrace, request, pid, 0, &raw mut status)
    })?;
    Ok(c_int::try_from(status).unwrap_or_default())
}

/// Sends `signal` to a process, or with a negative number to a process group.
pub(super) fn kill(pid: i32, signal: c_int) -> io::Result<()> {
    if pid == 0 || pid == -1 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL)); // our own group, or everyone
    }
    // SAFETY: kill touches no memory.
    check(unsafe { libc::kill(pid, signal) }.into())
}

/// Sends `signal` to every process in our PID namespace but us. Only PID 1 may: for anybody else these are strangers.
pub(super) fn kill_everyone(signal: c_int) -> io::Result<()> {
    if std::process::id() != 1 {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    // SAFETY: kill touches no memory.
    check(unsafe { libc::kill(-1, signal) }.into())
}

/// Sends `signal` with the value that came with it, and in its first sender's name (sigqueue(3)).
pub(super) fn queue(pid: i32, signal: c_int, from: (i32, u32), value: u64) -> io::Result<()> {
    /// The kernel's `siginfo_t` for `SI_QUEUE`; the union begins at a pointer's alignment.
    #[repr(C)]
    struct Info {
        signal: c_int,
        errno: c_int,
        code: c_int,
        queued: Queued,
        unused: [u64; 12],
    }
    #[repr(C)]
    struct Queued {
        pid: i32,
        uid: u32,
        value: u64,
    }
    let queued = Queued { pid: from.0, uid: from.1, value };
    let info = Info { signal, errno: 0, code: libc::SI_QUEUE, queued, unused: [0; 12] };
    const { assert!(size_of::<Info>() >= 128, "the kernel reads 128 bytes") };
    // SAFETY: the pointer is to a live struct of the size and layout that the kernel reads.
    check(unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, signal, &raw const info) })
}

/// A descriptor for the process that has this number now.
pub(super) fn process_descriptor(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open touches no memory.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// Takes in the next who connects, by a descriptor that is closed on exec.
#[cfg(feature = "health")]
pub(super) fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: with null pointers the kernel says nothing of who it is, and touches no memory.
    let fd =
        unsafe { libc::accept4(listener.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), libc::SOCK_CLOEXEC) };
    owned(fd.into())
}

/// Sends `signal` to the process behind the descriptor, whoever has its number by now.
pub(super) fn kill_process(process: &OwnedFd, signal: c_int) -> io::Result<()> {
    let no_info = ptr::null::<c_void>();
    // SAFETY: pidfd_send_signal takes a null pointer for "as kill would".
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, no_info, 0) })
}

/// Eight bytes that nobody can guess; zero where the kernel has none yet.
pub(super) fn random() -> u64 {
    let mut bytes = [0_u8; 8];
    // SAFETY: the pointer and the length are those of a live array.
    unsafe { libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), libc::GRND_NONBLOCK) };
    u64::from_ne_bytes(bytes)
}

/// A soft and a hard limit, `u64::MAX` for none (the kernel's `struct rlimit64`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) soft: u64,
    pub(super) hard: u64,
}

/// Our own limit of this resource, and with `new` the one from now on.
pub(super) fn limit(resource: u32, new: Option<Limit>) -> io::Result<Limit> {
    let mut old = Limit { soft: 0, hard: 0 };
    let new = new.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both pointers are to live structs of the kernel's layout; a null pointer changes nothing.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, new, &raw mut old) })?;
    Ok(old)
}

/// Has `signal` sent to us when our parent dies.
pub(super) fn set_parent_death_signal(signal: c_int) -> io::Result<()> {
    // SAFETY: this prctl touches no memory.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) }.into())
}

/// Closes every descriptor from 3 on but those to keep: what we were given for our child alone.
pub(super) fn close_all_but(keep: &mut [RawFd]) -> io::Result<()> {
    keep.sort_unstable();
    let mut first = 3_u32;
    for fd in keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd >= 3) {
        if first < fd {
            close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close_range(first, LAST_FD)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: the caller keeps every descriptor that something in this process owns.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })
}

/// Gives the pages of the stack back that start-up has touched and nobody will need again.
pub(super) fn give_back_stack() {
    /// More than start-up ever uses.
    const DEEP: usize = 64 * 1024;
    const PAGE: usize = 4096;
    let here = 0_u8;
    // A page of distance: the frame of this function and of those that it calls, and the red zone below them.
    let end = ((&raw const here).addr() & !(PAGE - 1)) - PAGE;
    // SAFETY: the range lies below the stack pointer, where nothing lives: there is one thread and no signal handler.
    // What is not mapped of it is an error of no consequence (madvise(2), ENOMEM); on a machine with larger pages too
    // (EINVAL).
    unsafe { libc::madvise(ptr::without_provenance_mut(end - DEEP), DEEP, libc::MADV_DONTNEED) };
}

fn check(result: c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

// --- starting a child

/// Everything that a child does before it becomes another program, in this order.
pub(super) struct Launch<'a> {
    /// The paths to execute, the first that exists counts.
    pub(super) paths: &'a [CString],
    /// They are places in PATH: one that is no directory is passed over.
    pub(super) is_search: bool,
    pub(super) argv: &'a [CString],
    /// The environment; None for our own.
    pub(super) environment: Option<&'a [CString]>,
    /// Sets LISTEN_PID to the child's number.
    pub(super) listen_pid: bool,
    /// The terminal to put the child's group into the foreground of.
    pub(super) terminal: Option<BorrowedFd<'a>>,
    /// What is to be its standard input, output and error; None for ours.
    pub(super) stdio: [Option<BorrowedFd<'a>>; 3],
    /// More descriptors of ours, and the numbers at which it gets them, 3 or above.
    pub(super) extra: &'a [(BorrowedFd<'a>, RawFd)],
    /// What setrlimit(2) is told.
    pub(super) limits: &'a [(u32, Limit)],
    pub(super) nice: Option<c_int>,
    /// What /proc/self/oom_score_adj is told.
    pub(super) oom_score_adj: Option<&'a [u8]>,
    /// SIGCHLD is to be ignored, as it was when we were started.
    pub(super) ignore_sigchld: bool,
    pub(super) identity: Option<&'a Identity>,
    /// The capabilities that it and its children are never to have, a bit for each.
    pub(super) drop_capabilities: u64,
    pub(super) no_new_privs: bool,
    pub(super) umask: Option<u32>,
    pub(super) directory: Option<&'a CStr>,
    pub(super) parent_death: Option<c_int>,
    /// Our own number, by which the child knows that we still live.
    pub(super) parent: i32,
    /// The signals that are to be blocked.
    pub(super) mask: u64,
}

/// Whom a child runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
}

/// The step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Fork,
    Stdio,
    Limit,
    Nice,
    OomScore,
    SetGroups,
    SetGid,
    SetUid,
    Capabilities,
    NoNewPrivs,
    Directory,
    ParentDeath,
    Execute,
}

/// Why there is no child.
#[derive(Debug)]
pub(super) struct LaunchError {
    pub(super) step: Step,
    pub(super) errno: c_int,
    /// Which of the paths was tried last.
    pub(super) path: usize,
}

/// A started child.
pub(super) struct Launched {
    pub(super) pid: i32,
    /// Why the terminal could not be given to it.
    pub(super) terminal_error: Option<io::Error>,
}

/// The room for `LISTEN_PID=` and a number.
const LISTEN_PID: &[u8; 11] = b"LISTEN_PID=";
const LISTEN_PID_BYTES: usize = LISTEN_PID.len() + 12;
/// A stack for the child until it executes; it calls a handful of system calls, none deep.
const STACK_BYTES: usize = 16 * 1024;

/// What the child reads and writes while the parent stands still. The two share their memory, and the compiler has to
/// know: everything written by the child is atomic.
struct Shared<'a> {
    launch: &'a Launch<'a>,
    paths: Vec<*const c_char>,
    argv: Vec<*const c_char>,
    environment: *const *const c_char,
    listen_pid: *mut u8,
    /// Where the extra descriptors stand meanwhile.
    lifted: Vec<AtomicI32>,
    parent: i32,
    /// 0 while nothing has failed.
    errno: AtomicI32,
    step: AtomicUsize,
    path: AtomicUsize,
    terminal_errno: AtomicI32,
}

unsafe extern "C" {
    /// The environment we were started with; nothing in sexton ever changes it.
    static environ: *const *const c_char;
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// Starts a child. It either runs the program when this returns, or is gone without a trace.
///
/// The child shares our memory and we stand still until it has executed or exited (vfork(2)): no page table is copied,
/// no error has to come through a pipe, and no signal can be lost in between. All signals are blocked, so that nothing
/// but SIGKILL can disturb the child either.
pub(super) fn launch(launch: &Launch<'_>) -> Result<Launched, LaunchError> {
    let mut environment = Vec::new();
    let mut listen_pid = [0_u8; LISTEN_PID_BYTES];
    if let Some(strings) = launch.environment {
        environment = pointers(strings);
        if launch.listen_pid {
            listen_pid[..LISTEN_PID.len()].copy_from_slice(LISTEN_PID);
            environment.insert(0, listen_pid.as_ptr().cast());
        }
    }
    let shared = Shared {
        launch,
        paths: pointers(launch.paths),
        argv: pointers(launch.argv),
        // SAFETY: `environ` is set by the C start-up code and never written in this process.
        environment: if environment.is_empty() { unsafe { environ } } else { environment.as_ptr() },
        listen_pid: listen_pid.as_mut_ptr(),
        lifted: launch.extra.iter().map(|_| AtomicI32::new(-1)).collect(),
        parent: launch.parent,
        errno: AtomicI32::new(0),
        step: AtomicUsize::new(0),
        path: AtomicUsize::new(0),
        terminal_errno: AtomicI32::new(0),
    };
    let mut stack = Stack([MaybeUninit::uninit(); STACK_BYTES]);
    // SAFETY: the end of an array is a valid place for a pointer.
    let top = unsafe { stack.0.as_mut_ptr().add(STACK_BYTES) };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: with CLONE_VFORK this thread, the only one, stands still until the child has executed or exited, so all
    // that the child borrows stays alive and is touched by nobody else. The stack is large enough for `child`, aligned,
    // and used by it alone. `child` never returns.
    let pid = unsafe { libc::clone(child, top.cast(), flags, (&raw const shared).cast_mut().cast()) };
    if pid < 0 {
        return Err(LaunchError { step: Step::Fork, errno: last_errno(), path: 0 });
    }
    let errno = shared.errno.load(Ordering::Relaxed);
    if errno == 0 {
        let terminal_errno = shared.terminal_errno.load(Ordering::Relaxed);
        let terminal_error = (terminal_errno != 0).then(|| io::Error::from_raw_os_error(terminal_errno));
        return Ok(Launched { pid, terminal_error });
    }
    // The attempt is over and nobody is to hear of it: the child is exiting, so this wait is a short one.
    // SAFETY: waitpid takes a null pointer for "no status".
    while unsafe { libc::waitpid(pid, ptr::null_mut(), 0) } < 0 && last_errno() == libc::EINTR {}
    let step = STEPS.get(shared.step.load(Ordering::Relaxed)).copied().unwrap_or(Step::Execute);
    Err(LaunchError { step, errno, path: shared.path.load(Ordering::Relaxed) })
}

const STEPS: [Step; 13] = [
    Step::Fork,
    Step::Stdio,
    Step::Limit,
    Step::Nice,
    Step::OomScore,
    Step::SetGroups,
    Step::SetGid,
    Step::SetUid,
    Step::Capabilities,
    Step::NoNewPrivs,
    Step::Directory,
    Step::ParentDeath,
    Step::Execute,
];

#[repr(align(16))]
struct Stack([MaybeUninit<u8>; STACK_BYTES]);

fn last_errno() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// The child, between clone(2) and execve(2). It shares our memory: no allocation, no lock, no panic.
extern "C" fn child(shared: *mut c_void) -> c_int {
    // SAFETY: `launch` passes a pointer to a `Shared` that outlives the child's use of it, and stands still meanwhile.
    let shared = unsafe { &*shared.cast_const().cast::<Shared<'_>>() };
    if let Err((step, errno)) = become_program(shared) {
        shared.step.store(STEPS.iter().position(|s| *s == step).unwrap_or(0), Ordering::Relaxed);
        shared.errno.store(errno, Ordering::Relaxed);
    }
    // SAFETY: _exit ends this process and touches no memory of the parent's.
    unsafe { libc::_exit(127) }
}

/// Returns only where it failed.
fn become_program(shared: &Shared<'_>) -> Result<(), (Step, c_int)> {
    let launch = shared.launch;
    let raw = |step: Step, result: c_long| if result < 0 { Err((step, last_errno())) } else { Ok(result) };
    // SAFETY: setpgid touches no memory. On a new child of our own session it cannot fail.
    unsafe { libc::syscall(libc::SYS_setpgid, 0, 0) };
    // SAFETY: getpid touches no memory. The raw call, for a libc may remember the parent's answer.
    let own_pid = || unsafe { libc::syscall(libc::SYS_getpid) };
    if let Some(terminal) = launch.terminal {
        let group = c_int::try_from(own_pid()).unwrap_or(0);
        // SAFETY: TIOCSPGRP reads one pid_t. SIGTTOU, which a background process would get for it, is blocked.
        let given = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSPGRP, &raw const group) };
        if given < 0 {
            shared.terminal_errno.store(last_errno(), Ordering::Relaxed);
        }
    }
    for (number, fd) in (0..).zip(launch.stdio) {
        if let Some(fd) = fd {
            raw(Step::Stdio, give(fd.as_raw_fd(), number).into())?;
        }
    }
    // First out of each other's way: the number of one may be where another stands.
    let above = launch.extra.iter().map(|(_, number)| number + 1).max().unwrap_or(0);
    for ((fd, own), lifted) in launch.extra.iter().zip(&shared.lifted) {
        let is_in_the_way =
            |(_, number): &(BorrowedFd<'_>, RawFd)| number != own && *number == fd.as_raw_fd();
        if !launch.extra.iter().any(is_in_the_way) {
            lifted.store(fd.as_raw_fd(), Ordering::Relaxed);
            continue;
        }
        // SAFETY: fcntl with F_DUPFD_CLOEXEC touches no memory, and changes the child's own table of descriptors.
        let copy = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, above) };
        raw(Step::Stdio, copy.into())?;
        lifted.store(copy, Ordering::Relaxed);
    }
    for ((_, number), lifted) in launch.extra.iter().zip(&shared.lifted) {
        raw(Step::Stdio, give(lifted.load(Ordering::Relaxed), *number).into())?;
    }
    for (resource, limit) in launch.limits {
        // SAFETY: the pointer is to a live struct of the kernel's layout; null asks for no old limit.
        let set = unsafe {
            let no_old = ptr::null_mut::<Limit>();
            libc::syscall(libc::SYS_prlimit64, 0, *resource, ptr::from_ref(limit), no_old)
        };
        raw(Step::Limit, set)?;
    }
    if let Some(nice) = launch.nice {
        // SAFETY: setpriority touches no memory.
        raw(Step::Nice, unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, nice) })?;
    }
    if let Some(text) = launch.oom_score_adj {
        // SAFETY: the path is NUL-terminated, and the text a live slice. Nobody opens files while we stand still, and the
        // child's descriptors are its own.
        unsafe {
            let flags = libc::O_WRONLY | libc::O_CLOEXEC;
            let fd = libc::open(c"/proc/self/oom_score_adj".as_ptr(), flags);
            raw(Step::OomScore, fd.into())?;
            raw(Step::OomScore, libc::syscall(libc::SYS_write, fd, text.as_ptr(), text.len()))?;
        }
    }
    if launch.drop_capabilities != 0 {
        // Before the change of user, which takes the privilege for it away.
        narrow_bounding_set(launch.drop_capabilities).map_err(|errno| (Step::Capabilities, errno))?;
    }
    if launch.ignore_sigchld {
        set_action(libc::SIGCHLD, libc::SIG_IGN); // the child's own table of actions (no CLONE_SIGHAND)
    }
    if let Some(who) = launch.identity {
        // The raw calls change this process alone; libc's would first ask the threads that it thinks there are.
        // SAFETY: setgroups reads as many ids as it is told, from a live slice; the others touch no memory.
        unsafe {
            raw(Step::SetGroups, libc::syscall(libc::SYS_setgroups, who.groups.len(), who.groups.as_ptr()))?;
            raw(Step::SetGid, libc::syscall(libc::SYS_setresgid, who.gid, who.gid, who.gid))?;
            raw(Step::SetUid, libc::syscall(libc::SYS_setresuid, who.uid, who.uid, who.uid))?;
        }
    }
    if launch.drop_capabilities != 0 {
        // After the change of user, which may need one of them.
        drop_capabilities(launch.drop_capabilities).map_err(|errno| (Step::Capabilities, errno))?;
    }
    // SAFETY: neither call touches memory, but for the path, which is NUL-terminated.
    unsafe {
        if launch.no_new_privs {
            let on: libc::c_ulong = 1;
            raw(Step::NoNewPrivs, libc::prctl(libc::PR_SET_NO_NEW_PRIVS, on, 0, 0, 0).into())?;
        }
        if let Some(umask) = launch.umask {
            libc::syscall(libc::SYS_umask, umask);
        }
        if let Some(directory) = launch.directory {
            raw(Step::Directory, libc::syscall(libc::SYS_chdir, directory.as_ptr()))?;
        }
    }
    if let Some(signal) = launch.parent_death {
        // After the change of user, which would clear it (prctl(2)). Should sexton have been killed just now, the
        // signal would never come: then there is no reason to start.
        // SAFETY: neither call touches memory.
        unsafe {
            raw(Step::ParentDeath, libc::prctl(libc::PR_SET_PDEATHSIG, signal).into())?;
            if libc::syscall(libc::SYS_getppid) != c_long::from(shared.parent) {
                return Err((Step::ParentDeath, libc::ESRCH));
            }
        }
    }
    if launch.listen_pid {
        // SAFETY: the buffer has room for the name, ten digits and a NUL, and the parent does not look at it before
        // this process is another program.
        unsafe { write_number(shared.listen_pid.add(LISTEN_PID.len()), own_pid()) };
    }
    // SAFETY: the pointer is to a live u64, which is the size the last argument says; null asks for no old mask.
    unsafe {
        let no_old = ptr::null_mut::<u64>();
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const launch.mask, no_old, SET_BYTES);
    }
    let mut seen = libc::ENOENT;
    for (index, path) in shared.paths.iter().take(launch.paths.len()).enumerate() {
        // SAFETY: path, argv and environment are NUL-terminated strings and arrays that end with a null pointer.
        unsafe { libc::execve(*path, shared.argv.as_ptr(), shared.environment) };
        match last_errno() {
            // execvp(3): these mean "look on", and a place that may not be used is remembered.
            libc::ENOENT | libc::ENOTDIR if launch.is_search => {}
            libc::EACCES => {
                seen = libc::EACCES;
                shared.path.store(index, Ordering::Relaxed);
            }
            errno => {
                shared.path.store(index, Ordering::Relaxed);
                return Err((Step::Execute, errno));
            }
        }
    }
    Err((Step::Execute, seen))
}

/// Makes `fd` the child's descriptor `number`, open after exec; the result is dup2(2)'s.
fn give(fd: RawFd, number: RawFd) -> c_int {
    // SAFETY: both calls change the child's own table of descriptors, not the parent's (no CLONE_FILES).
    unsafe {
        if fd == number {
            return libc::fcntl(fd, libc::F_SETFD, 0); // dup2 would leave it closed on exec
        }
        libc::dup2(fd, number)
    }
}

/// Takes capabilities out of what execve can ever give. One that is not in there needs no privilege to be missing.
fn narrow_bounding_set(capabilities: u64) -> Result<(), c_int> {
    for capability in (0..u64::BITS).filter(|bit| capabilities & (1 << bit) != 0) {
        // SAFETY: these prctls touch no memory. An unknown capability is an error of the first, and in no set.
        unsafe {
            let number = libc::c_ulong::from(capability);
            if libc::prctl(libc::PR_CAPBSET_READ, number) == 1
                && libc::prctl(libc::PR_CAPBSET_DROP, number) < 0
            {
                return Err(last_errno());
            }
        }
    }
    Ok(())
}

/// Takes capabilities out of the process's own sets (capset(2), version 3: two halves of 32 bits each).
fn drop_capabilities(capabilities: u64) -> Result<(), c_int> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    /// Effective, permitted, inheritable.
    type Half = [u32; 3];
    let mut header = Header { version: 0x2008_0522, pid: 0 };
    let mut halves: [Half; 2] = [[0; 3]; 2];
    let result = |result: c_long| if result < 0 { Err(last_errno()) } else { Ok(()) };
    // SAFETY: the pointers are to live structs of the layout that this version has.
    result(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) })?;
    let [low, high] = &mut halves;
    for (half, bits) in [(low, capabilities & 0xFFFF_FFFF), (high, capabilities >> 32)] {
        let keep = !u32::try_from(bits).unwrap_or(u32::MAX);
        for set in half {
            *set &= keep;
        }
    }
    // SAFETY: as above.
    result(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) })
}

/// Writes a positive number in decimal and a NUL.
///
/// # Safety
/// There must be room for eleven bytes.
unsafe fn write_number(at: *mut u8, number: c_long) {
    let (mut length, mut rest) = (1, number / 10);
    while rest > 0 {
        length += 1;
        rest /= 10;
    }
    let mut rest = number;
    for i in (0..length).rev() {
        let digit = b"0123456789"[usize::try_from(rest % 10).unwrap_or(0) % 10];
        // SAFETY: a pid has at most ten digits, so `i` is below eleven.
        unsafe { at.add(i).write(digit) };
        rest /= 10;
    }
    // SAFETY: as above.
    unsafe { at.add(length).write(0) };
}
