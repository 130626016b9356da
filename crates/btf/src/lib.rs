// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! BTF, the type information of Linux BPF.
//!
//! ```text
//! Btf        types and strings, raw or split: by id, by name, sizes, members
//! BtfExt     .BTF.ext: which instruction belongs to which function and line, CO-RE relocations
//! relo       CO-RE: what an instruction has to become for a given kernel, as libbpf computes it
//! writer     new BTF, or a changed copy
//! ```
//!
//! Data is read in place: a [`Btf`] is the bytes, an index of offsets and, if wanted, an index of
//! names; a [`Type`] is a view. Both indexes can be kept and handed in again, so that opening a
//! kernel's BTF of several megabytes costs next to nothing. Nothing in the data is trusted: lengths,
//! ids, offsets and cycles are checked where they are used, so that bad data gives an [`Error`] and
//! never a panic, an endless loop or a deep stack.
//!
//! Only little-endian BTF can be read. Headers may be longer than the 24 bytes of Linux 4.18 to
//! 7.0; with the layout table of Linux 7.1 types of unknown kinds are skipped.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod align;
mod btf;
mod elements;
mod error;
mod ext;
mod names;
mod raw;
mod resolve;
mod types;

pub mod relo;
pub mod writer;

pub use btf::{Base, Btf, Indexes, PointerSize};
pub use elements::{
    Element, Elements, Member, Members, Param, Params, SectionVar, SectionVars, Value, Values,
};
pub use error::Error;
pub use ext::{BtfExt, CoreRelo, FuncInfo, Group, Groups, LineInfo, Record, Records};
pub use resolve::DeclTagIndex;
pub use types::{
    Array, Composite, Datasec, DeclTag, Enum, Func, FuncProto, FwdKind, Int, Kind, Linkage, Type,
    TypeData, TypeId, TypeTag, Var,
};
