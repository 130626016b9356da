// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The kernel-format log.

mod buffer;
mod kernel;
pub mod state;

pub use buffer::{BufferMode, LogBuffer};
pub use kernel::KernelLog;
