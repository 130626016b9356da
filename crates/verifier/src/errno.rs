// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Error numbers of a refused load.

use core::fmt;

/// A kernel error number, positive, as `include/uapi/asm-generic/errno*.h` and
/// `include/linux/errno.h` number them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(pub u16);

macro_rules! errnos {
    ($($number:literal $name:ident),+ $(,)?) => {
        impl Errno {
            $(#[doc = stringify!($name)]
              pub const $name: Self = Self($number);)+
        }
    };
}

errnos! {
    1 EPERM, 2 ENOENT, 3 ESRCH, 6 ENXIO, 7 E2BIG, 9 EBADF, 11 EAGAIN, 12 ENOMEM, 13 EACCES, 14 EFAULT,
    16 EBUSY, 17 EEXIST, 19 ENODEV, 22 EINVAL, 28 ENOSPC, 33 EDOM, 34 ERANGE, 36 ENAMETOOLONG,
    40 ELOOP, 71 EPROTO, 95 EOPNOTSUPP, 524 ENOTSUPP,
}

impl Errno {
    /// The symbol, e.g. `EINVAL`, or `None` for a number that no verifier returns.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        veristable_kernel::errno_name(self.0 as i32)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
