//! The one module of this crate that speaks to the kernel without a safe wrapper: raw signal masks, `clone` and
//! what happens between it and `exec`, `waitpid` and `kill` for real-time signals.
//!
//! Invariants: between `clone` and `exec` nothing allocates, locks or writes to memory that the parent uses, except
//! the one failure report; the parent does not run meanwhile (`CLONE_VFORK`) and every signal is blocked.
#![allow(
    unsafe_code,
    reason = "system calls that neither std nor nix wrap, or that they wrap too narrowly for PID 1"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::libc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Signals 32 and 33 belong to the C library (thread cancellation, `setuid` of all threads).
const OF_THE_C_LIBRARY: u64 = (1 << 31) | (1 << 32);

/// Every signal that a process may block; bit `n - 1` stands for signal `n`.
pub(crate) const ALL_SIGNALS: u64 = !OF_THE_C_LIBRARY;

/// The signals whose dispositions this program changes: Rust's runtime ignores SIGPIPE, and SIGCHLD must not be ignored.
/// All others are inherited through us untouched.
const CHANGED_BY_US: [c_int; 2] = [libc::SIGPIPE, libc::SIGCHLD];

/// Which of them were ignored before Rust's runtime ran.
static IGNORED_AT_ENTRY: AtomicU64 = AtomicU64::new(0);

#[used]
#[unsafe(link_section = ".init_array")]
static RECORD_AT_ENTRY: extern "C" fn() = record_ignored_at_entry;

extern "C" fn record_ignored_at_entry() {
    IGNORED_AT_ENTRY.store(ignored_now(), Ordering::Relaxed);
}

/// Those of the signals that we change which were ignored when this program was started.
pub(crate) fn ignored_at_entry() -> u64 {
    IGNORED_AT_ENTRY.load(Ordering::Relaxed)
}

fn ignored_now() -> u64 {
    CHANGED_BY_US
        .into_iter()
        .filter(|&signal| is_ignored(signal))
        .fold(0, |set, signal| set | (1 << (signal - 1)))
}

fn is_ignored(signal: c_int) -> bool {
    // SAFETY: `sigaction` with a null new action only writes the old one; all zeroes is a valid value of it.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Gives a signal its default disposition in this process.
pub(crate) fn set_default(signal: u8) {
    set_disposition(c_int::from(signal), libc::SIG_DFL);
}

fn set_disposition(signal: c_int, handler: libc::sighandler_t) {
    // SAFETY: neither SIG_DFL nor SIG_IGN runs code; all other fields may be zero.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}

/// Replaces this thread's mask of blocked signals and returns the former one.
pub(crate) fn swap_mask(mask: u64) -> u64 {
    let mut former = 0_u64;
    // SAFETY: the kernel reads and writes eight bytes, the size that is passed. The call cannot fail.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            &raw mut former,
            size_of::<u64>(),
        );
    }
    former
}

/// A descriptor that reads `signalfd_siginfo` records of the signals in `mask`.
pub(crate) fn signal_descriptor(mask: u64) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads eight bytes; on success the returned descriptor is new and ours.
    unsafe {
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        let descriptor = libc::syscall(libc::SYS_signalfd4, -1, &raw const mask, size_of::<u64>(), flags);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        #[allow(clippy::cast_possible_truncation, reason = "a descriptor is an int")]
        Ok(OwnedFd::from_raw_fd(descriptor as RawFd))
    }
}

/// Lets tokio say when a descriptor can be read.
pub(crate) fn watch<T: AsRawFd + Into<OwnedFd>>(owner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: what can be turned into its `OwnedFd` owns the descriptor: it stays open, and the same, for as long as
    // `AsyncFd` keeps it.
    unsafe { AsyncFd::register_with_interest(owner, Interest::READABLE) }.map_err(io::Error::from)
}

/// `kill(2)` with any signal number, real-time signals included; 0 only asks whether the target exists.
pub(crate) fn kill(target: i32, signal: u8) -> io::Result<()> {
    // SAFETY: `kill` takes two integers.
    if unsafe { libc::kill(target, c_int::from(signal)) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// One ended child's process id and raw status. `Ok(None)`: none has ended yet. `ECHILD`: there are no children.
pub(crate) fn wait_any(target: i32, flags: c_int) -> io::Result<Option<(i32, c_int)>> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is a valid place for an int.
        let pid = unsafe { libc::waitpid(target, &raw mut status, flags) };
        match pid {
            0 => return Ok(None),
            1.. => return Ok(Some((pid, status))),
            _ => {
                let error = io::Error::last_os_error();
                if error.raw_os_error() != Some(libc::EINTR) {
                    return Err(error);
                }
            }
        }
    }
}

/// Gives up the controlling terminal that `descriptor` refers to.
pub(crate) fn detach_terminal(descriptor: RawFd) -> io::Result<()> {
    // SAFETY: TIOCNOTTY takes no argument.
    if unsafe { libc::ioctl(descriptor, libc::TIOCNOTTY) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Everything the child needs, prepared before `clone`.
pub(crate) struct Prepared {
    /// Paths to try in order, as `execvp` does.
    pub(crate) candidates: Vec<CString>,
    pub(crate) argv: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    pub(crate) directory: Option<CString>,
    /// User, group, supplementary groups.
    pub(crate) user: Option<(u32, u32, Vec<u32>)>,
    pub(crate) group: Group,
    pub(crate) mask: u64,
    /// Dispositions to set: signals to ignore. All others that we changed get the default.
    pub(crate) ignored: u64,
    /// Set the dispositions of signals 1 to 31, not only of those that this program changed.
    pub(crate) reset_all: bool,
    pub(crate) parent_death_signal: Option<u8>,
    /// Descriptors to become 0, 1 and 2.
    pub(crate) stdio: [Option<RawFd>; 3],
}

/// What the child is made leader of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// Stays in its parent's group.
    Inherit,
    /// Its own process group.
    Own,
    /// Its own process group, in the foreground of the terminal that is standard input, if it is one.
    Foreground,
    /// Its own session, taking over the terminal that is standard input, if it is one.
    Session,
}

/// Which step of the child failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Step {
    Session = 1,
    Group,
    Stdio,
    Groups,
    GroupId,
    UserId,
    Directory,
    ParentDeathSignal,
    Exec,
}

/// Why a child did not become its program.
#[derive(Debug)]
pub(crate) struct ChildFailure {
    pub(crate) step: Step,
    pub(crate) errno: i32,
}

struct Shared<'a> {
    prepared: &'a Prepared,
    argv: &'a [*const c_char],
    shell_argv: &'a mut [*const c_char],
    environment: &'a [*const c_char],
    failure: Option<(Step, i32)>,
}

/// Room for the child before `exec`; it calls only system calls and a few shallow functions.
const STACK_BYTES: usize = 64 * 1024;

/// Starts a program. Returns its process id; or, when the child failed before `exec`, the reason: the child has then
/// been waited for and is gone.
pub(crate) fn start(prepared: &Prepared) -> io::Result<Result<i32, ChildFailure>> {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let argv = pointers(&prepared.argv);
    let environment = pointers(&prepared.environment);
    // A script without `#!` is run by the shell, as execvp does: sh SCRIPT ARGUMENTS…
    let mut shell_argv = vec![c"sh".as_ptr(), std::ptr::null()];
    shell_argv.extend(&argv[1.min(argv.len() - 1)..]);

    let mut shared = Shared {
        prepared,
        argv: &argv,
        shell_argv: &mut shell_argv,
        environment: &environment,
        failure: None,
    };
    let mut stack = Vec::<u128>::with_capacity(STACK_BYTES / size_of::<u128>());
    let former = swap_mask(ALL_SIGNALS);
    // SAFETY: `CLONE_VFORK` suspends this thread until the child has exec'd or exited, so `shared` and `stack` outlive
    // its use of them and are not touched by us meanwhile; the stack pointer is the 16-byte-aligned end of our buffer;
    // every signal is blocked, so that no handler of ours can run in the child.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.capacity()).cast::<c_void>();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        libc::clone(child, top, flags, (&raw mut shared).cast::<c_void>())
    };
    let error = io::Error::last_os_error();
    swap_mask(former);
    if pid < 0 {
        return Err(error);
    }
    match shared.failure {
        None => Ok(Ok(pid)),
        Some((step, errno)) => {
            wait_any(pid, 0)?;
            Ok(Err(ChildFailure { step, errno }))
        }
    }
}

extern "C" fn child(argument: *mut c_void) -> c_int {
    // SAFETY: `start` passes a pointer to its `Shared`, which lives until we have exec'd or exited, and does not run.
    let shared = unsafe { &mut *argument.cast::<Shared<'_>>() };
    let failure = become_program(shared);
    shared.failure = Some(failure);
    // SAFETY: `_exit` takes an integer and runs no handlers of the parent's.
    unsafe { libc::_exit(127) }
}

fn errno() -> i32 {
    // SAFETY: the C library's errno of this thread is always readable. The child shares it with the suspended parent.
    unsafe { *libc::__errno_location() }
}

fn become_program(shared: &mut Shared<'_>) -> (Step, i32) {
    let prepared = shared.prepared;
    if let Err(failure) = prepare_child(prepared) {
        return failure;
    }
    let mut refused = libc::ENOENT;
    for path in &prepared.candidates {
        // SAFETY: both arrays end in null and point to strings that live in the suspended parent.
        unsafe { libc::execve(path.as_ptr(), shared.argv.as_ptr(), shared.environment.as_ptr()) };
        match errno() {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => refused = libc::EACCES,
            libc::ENOEXEC => {
                shared.shell_argv[1] = path.as_ptr();
                // SAFETY: as above; `shell_argv` was given room for the path before `clone`.
                unsafe {
                    libc::execve(c"/bin/sh".as_ptr(), shared.shell_argv.as_ptr(), shared.environment.as_ptr())
                };
                return (Step::Exec, libc::ENOEXEC);
            }
            other => return (Step::Exec, other),
        }
    }
    (Step::Exec, refused)
}

/// Raw system calls throughout: the C library's `setuid` family would signal the parent's threads.
fn prepare_child(prepared: &Prepared) -> Result<(), (Step, i32)> {
    let check = |step: Step, result: i64| if result < 0 { Err((step, errno())) } else { Ok(()) };
    // SAFETY: system calls with integers, and with pointers to memory that `start` keeps alive.
    unsafe {
        match prepared.group {
            Group::Inherit => {}
            Group::Own | Group::Foreground => check(Step::Group, i64::from(libc::setpgid(0, 0)))?,
            Group::Session => check(Step::Session, i64::from(libc::setsid()))?,
        }
        for (target, source) in (0..).zip(prepared.stdio) {
            if let Some(source) = source {
                check(Step::Stdio, i64::from(libc::dup2(source, target)))?;
            }
        }
        match prepared.group {
            // SIGTTOU is blocked here, so that a background process may do this. Not a terminal: nothing to hand over.
            Group::Foreground => drop(libc::tcsetpgrp(0, libc::getpid())),
            Group::Session => drop(libc::ioctl(0, libc::TIOCSCTTY, 0)),
            _ => {}
        }
        if let Some((user, group, groups)) = &prepared.user {
            check(Step::Groups, libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()))?;
            check(Step::GroupId, libc::syscall(libc::SYS_setresgid, *group, *group, *group))?;
            check(Step::UserId, libc::syscall(libc::SYS_setresuid, *user, *user, *user))?;
        }
        if let Some(directory) = &prepared.directory {
            check(Step::Directory, i64::from(libc::chdir(directory.as_ptr())))?;
        }
        // After the change of user, which clears it.
        if let Some(signal) = prepared.parent_death_signal {
            let signal = libc::c_ulong::from(signal);
            check(Step::ParentDeathSignal, i64::from(libc::prctl(libc::PR_SET_PDEATHSIG, signal)))?;
        }
    }
    for signal in (1..32).filter(|signal| prepared.reset_all || CHANGED_BY_US.contains(signal)) {
        let ignore = prepared.ignored & (1 << (signal - 1)) != 0;
        set_kernel_disposition(signal, if ignore { libc::SIG_IGN } else { libc::SIG_DFL });
    }
    swap_mask(prepared.mask);
    Ok(())
}

/// Without the C library, which would note the change in memory that the parent shares.
fn set_kernel_disposition(signal: c_int, handler: libc::sighandler_t) {
    // handler, flags, restorer, mask: the kernel's layout on every 64-bit architecture we build for.
    let action: [usize; 4] = [handler, 0, 0, 0];
    // SAFETY: the kernel reads a `kernel_sigaction` and no old action is asked for; a signal that cannot be changed
    // is refused without effect.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            action.as_ptr(),
            std::ptr::null::<c_void>(),
            size_of::<u64>(),
        );
    }
}

/// The text of an error number.
pub(crate) fn describe(errno: i32) -> String {
    // SAFETY: strerror_r writes at most the given length, with a final zero.
    unsafe {
        let mut text = [0 as c_char; 128];
        libc::strerror_r(errno, text.as_mut_ptr(), text.len());
        CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned()
    }
}

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the kernel's sigaction layout is spelt out for 64-bit Linux");

/// From now on large blocks are the kernel's again as soon as they are freed. Without it the C library keeps ever larger
/// ones, once it has seen one freed.
pub(crate) fn keep_large_blocks_apart() {
    // SAFETY: mallopt(3) takes no pointers and may be called at any time.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
    }
}

/// Gives memory that is not in use back to the kernel: what the start-up needed, supervising does not.
pub(crate) fn release_memory() {
    // SAFETY: malloc_trim(3) takes no pointers and may be called at any time.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
