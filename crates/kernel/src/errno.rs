// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Names of error numbers.

/// The symbol of a positive error number, e.g. `EACCES`; `None` for one that the BPF system call
/// does not return.
///
/// Numbers as in `include/uapi/asm-generic/errno*.h`; 512 and up, `include/linux/errno.h`.
#[must_use]
pub const fn errno_name(errno: i32) -> Option<&'static str> {
    Some(match errno {
        1 => "EPERM",
        2 => "ENOENT",
        3 => "ESRCH",
        4 => "EINTR",
        5 => "EIO",
        6 => "ENXIO",
        7 => "E2BIG",
        9 => "EBADF",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        14 => "EFAULT",
        16 => "EBUSY",
        17 => "EEXIST",
        19 => "ENODEV",
        20 => "ENOTDIR",
        22 => "EINVAL",
        23 => "ENFILE",
        24 => "EMFILE",
        27 => "EFBIG",
        28 => "ENOSPC",
        33 => "EDOM",
        34 => "ERANGE",
        35 => "EDEADLK",
        36 => "ENAMETOOLONG",
        38 => "ENOSYS",
        40 => "ELOOP",
        71 => "EPROTO",
        75 => "EOVERFLOW",
        92 => "ENOPROTOOPT",
        95 => "EOPNOTSUPP",
        110 => "ETIMEDOUT",
        126 => "ENOKEY",
        524 => "ENOTSUPP",
        _ => return None,
    })
}
