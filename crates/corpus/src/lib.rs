// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Where test objects come from: distribution packages, the kernel's selftests, mutants.
//!
//! Nothing of this is committed: `cargo xtask corpus …` fills a cache outside the repository, and
//! this crate reads it. `docs/corpora.md` describes the sets.
#![forbid(unsafe_code)]

pub mod annotated;
pub mod annotation;
pub mod cache;
pub mod carve;
mod core_relos;
pub mod info;
pub mod manifest;
pub mod message;
pub mod probes;
mod prototypes;
pub mod raw;
mod raw_maps;
pub mod rule_text;
pub mod rules;
pub mod sets;
mod structs;
pub mod structural;
pub mod targets;

pub use annotation::{Annotation, Expectation};
pub use manifest::{Manifest, Object, Origin};
pub use message::Message;
pub use raw::{RawSet, RawTest};
pub use veristable_gen::mutants;
