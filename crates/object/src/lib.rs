// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! An ELF object with BPF programs, linked for one kernel as libbpf does it.
//!
//! [`Object::parse`] reads a file: all that can be known without a kernel. [`Object::link`] makes
//! of each program the [`veristable_program::LoadRequest`] that libbpf 1.7 would hand to that
//! kernel. A file is never trusted: what is wrong with it is an [`Error`] that names section and
//! offset; what is wrong with one program is a [`LinkError`] and leaves the others alone.

mod assemble;
mod attach;
mod btf_fixup;
mod btf_load;
mod core_relo;
mod data;
mod elf;
mod error;
mod externs;
mod info;
mod kernel_types;
mod link;
mod maps;
mod object;
mod options;
mod patch;
mod preset;
mod program;
mod resolve;
mod sections;
mod struct_ops;
mod tables;
mod uses;

pub use error::{Error, LinkError};
pub use link::Linked;
pub use object::{MapInfo, Object, ProgramInfo};
pub use options::{LinkOptions, TargetProgram};
pub use preset::Preset;
pub use sections::{SECTION_DEFS, SectionDef, SectionFlags, section_def};
pub use uses::{Absence, CoreUse, ExternUse, ProgramUses};
