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
mod cache;
mod cgroup;
pub mod danger;
mod error;
pub mod guest;
mod kmsg;
mod live;
mod loader;
pub mod log;
mod pattern;
mod remember;
mod supervise;
mod sys;

pub use answer::{Answer, LoadOptions, Memory, Oracle, Verdict};
pub use error::{OracleError, errno_name};
pub use guest::{Guest, GuestOptions};
pub use live::Live;
pub use log::Stats;
pub use remember::Remembered;

/// Opens an oracle by its name: `live`, or `vm:VERSION` such as `vm:6.18.15`, or `vm:VERSION*N` for
/// N guests that share the work. `vm:VERSION,mitigations=off` starts the kernel with that parameter.
///
/// A program that opens guests calls [`guest::agent_if_init`] first in its `main`.
///
/// # Errors
/// [`OracleError`] names what is missing and what would help.
pub fn open(spec: &str) -> Result<Box<dyn Oracle>, OracleError> {
    if spec == "live" {
        return Ok(Box::new(Live::open()?));
    }
    let bad = || OracleError::BadSpec(spec.to_owned());
    let guest = spec.strip_prefix("vm:").ok_or_else(bad)?;
    let (version, guests) = match guest.split_once('*') {
        None => (guest, 1),
        Some((version, guests)) => {
            let guests = guests.parse().ok().filter(|guests| (1..=64).contains(guests));
            (version, guests.ok_or_else(bad)?)
        }
    };
    let (version, mitigations) = match version.split_once(',') {
        None => (version, true),
        Some((version, "mitigations=off")) => (version, false),
        Some(_) => return Err(bad()),
    };
    let options = GuestOptions { guests, mitigations, ..GuestOptions::default() };
    Ok(Box::new(Guest::open(version, options)?))
}
