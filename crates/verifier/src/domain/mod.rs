// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Abstract values: what is known of a 64-bit number.
//!
//! Nothing here knows a register, a program or a message. [`Tnum`] knows single bits, [`Interval`]
//! an ordered range, and [`Quad`] combines a tnum with the four ranges (64 and 32 bits wide,
//! unsigned and signed) that kernels up to 6.18 at least keep for a scalar and for the variable
//! part of a pointer's offset. Every operation gives exactly what the kernel computes, imprecision
//! included: the verdict, the log and the number of states depend on it.

mod alu;
mod branch;
mod interval;
mod quad;
mod rules;
#[cfg(test)]
mod tests;
mod tnum;

pub use alu::AluResult;
pub use branch::{Branches, flipped};
pub use interval::{Int, Interval};
pub use quad::{Narrow, Quad, Violation};
pub use rules::Rules;
pub use tnum::Tnum;
