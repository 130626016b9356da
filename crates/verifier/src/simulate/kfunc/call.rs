// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What the arguments of one call say (`struct bpf_kfunc_call_arg_meta`).

use crate::analysis::record::Root;
use crate::env::SubprogId;
use crate::simulate::objects::{DynptrAt, IterPlace};
use crate::state::{BtfRef, MapRef};
use veristable_btf::TypeId;
use veristable_isa::Reg;

/// What the arguments of one call say.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Call {
    /// The reference of an argument, 0 if none (`ref_obj_id`).
    pub(super) ref_id: u32,
    /// The argument whose reference is given back.
    pub(super) released: Option<Reg>,
    /// The constant argument (`arg_constant`).
    pub(super) constant: Option<u64>,
    /// The size of the returned memory in bytes, 0 if no argument says it (`r0_size`).
    pub(super) result_size: u64,
    /// The returned memory may only be read (`r0_rdonly`).
    pub(super) result_read_only: bool,
    /// The kernel's context type (`ret_btf_id`).
    pub(super) context: Option<TypeId>,
    /// The type of an allocated object (`arg_btf`, `arg_btf_id`).
    pub(super) object: Option<(BtfRef, TypeId)>,
    /// The object with a reference count is owned (`arg_owning_ref`).
    pub(super) owned: bool,
    /// The kernel fills an argument in (`arg_prog`).
    pub(super) has_program: bool,
    /// The callback.
    pub(super) callback: Option<SubprogId>,
    /// The list or tree.
    pub(super) root: Option<Root>,
    /// The dynptr that is used (`initialized_dynptr`).
    pub(super) dynptr: Option<DynptrAt>,
    /// The iterator that is used.
    pub(super) iter: Option<IterPlace>,
    /// A map, and the look-up of an outer map that it came from.
    pub(super) map: Option<(MapRef, u32)>,
}
