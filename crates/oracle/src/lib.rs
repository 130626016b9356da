// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Real kernels behind one trait.
//!
//! [`open`] gives the running kernel (`live`) or a Debian kernel in a QEMU guest (`vm:6.18.15`).
//! Both take [`veristable_program::LoadRequest`]s and run the same loader: maps and BTF are created,
//! the program is loaded and closed. Nothing is ever attached or run. `docs/oracles.md` tells what
//! each needs and does.
//!
//! This is the only crate that needs Linux, and the only one with `unsafe` code (module `sys`).

mod answer;
mod batch;
pub mod danger;
mod error;
mod kmsg;
mod live;
mod loader;
pub mod log;
mod supervise;
mod sys;

pub use answer::{Answer, LoadOptions, Oracle, Verdict};
pub use error::{OracleError, errno_name};
pub use live::Live;
pub use log::Stats;

/// Opens an oracle by its name: `live`, or `vm:VERSION` such as `vm:6.18.15`.
///
/// # Errors
/// [`OracleError`] names what is missing and what would help.
pub fn open(spec: &str) -> Result<Box<dyn Oracle>, OracleError> {
    match spec {
        "live" => Ok(Box::new(Live::open()?)),
        _ => Err(OracleError::BadSpec(spec.to_owned())),
    }
}
