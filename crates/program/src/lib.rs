// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! One value per `BPF_PROG_LOAD`.
//!
//! A [`LoadRequest`] is everything that a loader hands to the kernel for one program: instructions,
//! types, maps with their frozen contents, BTF, privileges. The verifier, every oracle and the
//! generators take the same value, so nobody compares different inputs.
//!
//! Two serialised forms exist, both versioned: JSON ([`LoadRequest::to_json`]), meant for other
//! loaders to write, and a compact binary form ([`LoadRequest::to_bytes`]) for caches and guests.
//! `docs/load-request.md` describes the fields.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod blob;
mod form;
mod map;
mod request;

pub use blob::Blob;
pub use form::{FORMAT_VERSION, FormError};
pub use map::{MapDesc, MapFlags, MapSpec, StructOpsValue};
pub use request::{
    Attach, Capabilities, FdEntry, Fixup, FixupKind, InfoTable, LoadRequest, LogRequest, ProgFlags,
};
