// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Processes and privileges.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::os::raw::{c_int, c_ulong};
use std::os::unix::process::CommandExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

use veristable_program::Capabilities;

/// A forked child that has not been waited for.
#[derive(Debug)]
pub(crate) struct Child {
    pid: libc::pid_t,
}

/// How a child ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Raised {
    /// It left by itself, with this status.
    Exit(c_int),
    /// A signal ended it.
    Signal(c_int),
}

impl Child {
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&self) {
        // SAFETY: the process is our child and has not been waited for, so the number is its own.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
    }

    /// Waits without blocking; `None` while it lives.
    pub(crate) fn try_wait(&self) -> Option<Raised> {
        let mut status = 0;
        // SAFETY: the pointer is to a local.
        let pid = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) };
        match pid {
            0 => None,
            _ if libc::WIFSIGNALED(status) => Some(Raised::Signal(libc::WTERMSIG(status))),
            _ => Some(Raised::Exit(libc::WEXITSTATUS(status))),
        }
    }

    /// Waits up to `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> Option<Raised> {
        let step = Duration::from_millis(1);
        let mut waited = Duration::ZERO;
        loop {
            if let Some(end) = self.try_wait() {
                return Some(end);
            }
            if waited >= limit {
                return None;
            }
            std::thread::sleep(step);
            waited += step;
        }
    }
}

/// Runs `body` in a forked child, which then ends without running anything else of this program.
///
/// Locks that other threads hold stay locked in the child, so `body` must not take any that they
/// could hold (standard output above all); the allocator is safe after a fork.
pub(crate) fn fork(body: impl FnOnce()) -> io::Result<Child> {
    // SAFETY: the child is single-threaded, runs only `body`, never unwinds or returns into the
    // parent's frames, and leaves by `_exit`, so no destructor or exit handler runs twice.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: a plain number.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong) };
            let status = i32::from(catch_unwind(AssertUnwindSafe(body)).is_err()) * 101;
            // SAFETY: ends this process.
            unsafe { libc::_exit(status) }
        }
        pid => Ok(Child { pid }),
    }
}

/// Waits until a descriptor can be read or its other end is gone; `false` after the time-out.
pub(crate) fn wait_readable(fd: BorrowedFd<'_>, limit: Duration) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let limit = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: one entry, a local.
    match unsafe { libc::poll(&raw mut entry, 1, limit) } {
        -1 => {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) }
        }
        ready => Ok(ready > 0),
    }
}

/// Capability numbers (`include/uapi/linux/capability.h`).
const CAPABILITY_BITS: [(Capabilities, u32); 5] = [
    (Capabilities::NET_ADMIN, 12),
    (Capabilities::SYS_ADMIN, 21),
    (Capabilities::SYS_BOOT, 22),
    (Capabilities::PERFMON, 38),
    (Capabilities::BPF, 39),
];

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
const NOBODY: c_ulong = 65534;

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Lowers this thread's effective capabilities to what `allowed` names, runs `body`, and raises
/// them again. Without any capability the effective user is `nobody`.
///
/// Capabilities that the verifier does not ask for are kept, unless none is allowed.
pub(crate) fn lower_privileges<R>(
    allowed: Capabilities,
    body: impl FnOnce() -> R,
) -> io::Result<R> {
    if allowed.contains(Capabilities::all()) {
        return Ok(body());
    }
    let before = capabilities()?;
    let mut lowered = before;
    if allowed.is_empty() {
        set_effective_uid(NOBODY)?;
        lowered.iter_mut().for_each(|half| half.effective = 0);
    } else {
        for (capability, bit) in CAPABILITY_BITS {
            if !allowed.contains(capability) {
                let half = if bit < 32 { &mut lowered[0] } else { &mut lowered[1] };
                half.effective &= !(1 << (bit % 32));
            }
        }
    }
    set_capabilities(lowered)?;
    let result = body();
    if allowed.is_empty() {
        set_effective_uid(0)?;
    }
    set_capabilities(before)?;
    Ok(result)
}

fn capabilities() -> io::Result<[CapData; 2]> {
    let mut header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut data = [CapData::default(); 2];
    // SAFETY: version 3 writes two halves, which `data` has.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    Ok(data)
}

fn set_capabilities(data: [CapData; 2]) -> io::Result<()> {
    let mut header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    // SAFETY: version 3 reads two halves, which `data` has.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) })
}

fn set_effective_uid(uid: c_ulong) -> io::Result<()> {
    const KEEP: c_ulong = c_ulong::MAX;
    // SAFETY: plain numbers. The raw call changes this thread only; the process has no other.
    check(unsafe { libc::syscall(libc::SYS_setresuid, KEEP, uid, KEEP) })
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Effective user id.
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: has no preconditions.
    unsafe { libc::geteuid() }
}

/// Lifts the limit on locked memory, against which kernels before 5.11 charge maps.
pub(crate) fn unlimited_locked_memory() {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: reads one local. Failure shows later, as EPERM of a map.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}

/// Lets a command's process inherit these descriptors under their own numbers.
pub(crate) fn inherit(command: &mut Command, fds: Vec<RawFd>) {
    let clear = move || {
        for fd in &fds {
            // SAFETY: plain numbers; only async-signal-safe calls happen between fork and exec.
            check(unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) }.into())?;
        }
        Ok(())
    };
    // SAFETY: the closure only calls `fcntl`, which is async-signal-safe, and does not allocate.
    unsafe { command.pre_exec(clear) };
}

/// Ends a command's process when the thread that starts it ends.
pub(crate) fn die_with_parent(command: &mut Command) {
    let set = || {
        // SAFETY: a plain number.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong) }.into())
    };
    // SAFETY: the closure only calls `prctl`, which is async-signal-safe, and does not allocate.
    unsafe { command.pre_exec(set) };
}

/// Mounts a file system, making the directory; used by the first process of a guest.
pub(crate) fn mount(kind: &str, target: &str) -> io::Result<()> {
    std::fs::create_dir_all(target)?;
    let kind = CString::new(kind)?;
    let target = CString::new(target)?;
    let none = std::ptr::null();
    // SAFETY: all strings are terminated and live past the call.
    let result = unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, none) };
    check(result.into())
}

/// Switches the machine off; used by the first process of a guest.
pub(crate) fn power_off() {
    // SAFETY: has no preconditions; without the privilege it fails and nothing happens.
    unsafe { libc::reboot(libc::RB_AUTOBOOT) };
}
