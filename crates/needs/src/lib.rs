// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What programs need of a kernel, and which kernels have it.
//!
//! [`Needs`] collects what the programs of an object (or load requests) use: read from the file,
//! whatever kernel it may be linked for. [`has`] says of one thing whether a kernel has it, from
//! the kernel's facts. [`missing`] says of a refusal what the kernel lacks, where that is the reason.
//!
//! ```text
//! item          the things that can be needed
//! instructions  classes of instructions that came after the first
//! collect       from objects and load requests to items
//! available     whether a kernel has an item, for one program
//! missing       what a refusal is about
//! behaviours    behaviours that a refusal hangs on
//! ```

mod available;
mod behaviours;
mod collect;
mod instructions;
mod item;
pub mod missing;

pub use available::{Has, has};
pub use behaviours::responsible;
pub use collect::{Need, Needs, Program};
pub use instructions::InsnClass;
pub use item::{Item, ItemKind, TargetKind};
pub use missing::Missing;
