// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Programs for tests: made from nothing, changed, and made smaller.
//!
//! A [`Generator`] makes load requests that are structured and mostly right: it knows what each
//! register and stack slot holds, asks the kernel's description which helpers, kfuncs and context
//! fields a program has, and breaks a rule on purpose now and then. The same seed and number give
//! the same program on every machine, for as long as [`GENERATION`] stands. [`mutants`] changes one
//! instruction of any program, and [`minimise`] makes a program smaller while something stays true of it.
#![forbid(unsafe_code)]

mod build;
mod choices;
mod code;
mod edit;
mod graft;
mod kinds;
mod loader;
mod minimise;
pub mod mutants;
mod pool;
mod program;
mod random;
mod twist;
mod value;

pub use choices::Choices;
pub use minimise::minimise;
pub use program::{GENERATION, Generator, Options};
pub use random::Random;

/// What is unsupported in generated programs because the kernel dies of it: it takes a map's record
/// of special fields for granted, or another pointer for a map's (`KF_ARG_PTR_TO_MAP`,
/// `check_map_field_pointer`).
pub const DEADLY: [&str; 3] = [
    "kfunc argument map without special fields",
    "kfunc argument map from another pointer",
    "work queue in a map without special fields",
];
