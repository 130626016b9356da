// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! BPF instructions.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod insn;

pub use insn::Insn;
