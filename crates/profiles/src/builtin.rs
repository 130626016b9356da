// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The kernels that are part of the program.

use core::fmt;

/// The kernel that is taken if none is named.
pub const DEFAULT: &str = "6.18.15";

/// A kernel that is part of the program.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// Short name: the package's version.
    pub name: &'static str,
    /// Architecture in the distribution's spelling.
    pub arch: &'static str,
    pub(crate) packed: &'static [u8],
}

impl fmt::Display for BuiltIn {
    /// The full name, e.g. `6.18.15-amd64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.name, self.arch)
    }
}

macro_rules! built_in {
    ($($name:literal $arch:literal),+ $(,)?) => {
        const BUILT_IN: &[BuiltIn] = &[$(BuiltIn {
            name: $name,
            arch: $arch,
            packed: include_bytes!(concat!("../data/", $name, "-", $arch, ".profile")),
        }),+];
    };
}

built_in! { "6.18.15" "amd64", "6.12.117" "amd64" }

/// The built-in kernels, first the default.
pub fn list() -> impl Iterator<Item = &'static BuiltIn> {
    BUILT_IN.iter()
}

/// Finds a built-in kernel by its short or full name.
#[must_use]
pub fn find(name: &str) -> Option<&'static BuiltIn> {
    list().find(|kernel| {
        let arch = name.strip_prefix(kernel.name);
        arch.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-') == Some(kernel.arch))
    })
}
