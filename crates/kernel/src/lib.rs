// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What may be asked of a kernel.
//!
//! A kernel is *facts* (helper prototypes, kfunc sets, context tables, BTF, configuration) and
//! *behaviours* (known differences between verifiers). The [`Kernel`] trait is the only way in
//! which the linker and the verifier see either; a profile, the running kernel and a recording
//! wrapper are its implementations. Nothing here runs a program.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod ids;
mod question;

pub use ids::{AttachType, HelperId, MapType, ProgType};
pub use question::{Answer, Fact, Kernel, KernelId, ProgContext};
