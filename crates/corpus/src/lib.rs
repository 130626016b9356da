// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Where test objects come from: distribution packages, the kernel's selftests, mutants.
//!
//! Nothing of this is committed: `cargo xtask corpus …` fills a cache outside the repository, and
//! this crate reads it. `docs/corpora.md` describes the sets.
#![forbid(unsafe_code)]

pub mod cache;
pub mod carve;
pub mod manifest;

pub use manifest::{Manifest, Object, Origin};
