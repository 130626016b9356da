// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The kernel functions that a program calls.

use veristable_btf::TypeId;

/// A kfunc that the program calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kfunc {
    /// The BTF id of the function, in the kernel's BTF or that of the module.
    pub func: TypeId,
    /// The `off` field of the call: 0 for the kernel, else an index into `fd_array`.
    pub offset: i16,
}
