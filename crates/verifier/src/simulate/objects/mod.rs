// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a program holds and must give back, and the objects that live in its stack and in map
//! values: references, locks, regions, dynptrs, iterators, saved interrupt flags, fields of BTF
//! records.

mod dynptr;
mod fields;
mod graph;
mod iter;
mod kptr;
mod locks;
mod record;
mod refs;
mod regions;
mod slots;

pub(crate) use dynptr::{DynptrAt, DynptrUse};
pub(crate) use graph::GraphKind;
pub(crate) use iter::{IterPlace, IterType, IterUse};
pub(crate) use locks::LockKind;
pub(crate) use refs::Leaving;
pub(crate) use regions::{IrqUse, Region};
