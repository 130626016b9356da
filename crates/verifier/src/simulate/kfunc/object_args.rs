// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Arguments that are objects: of the kernel, allocated by the program, in its stack, in map
//! values.

use super::args::At;
use super::call::Call;
use super::signature::{PointerArg, PointerClass};
use super::special::Special;
use crate::analysis::prog_context;
use crate::analysis::record::{FieldKind, FieldKinds};
use crate::design::Design;
use crate::log::state::TypeName;
use crate::messages::Kfunc;
use crate::outcome::{Step, Stop};
use crate::simulate::btf::trust::{TRUSTED, has_unsafe_modifiers, is_rcu};
use crate::simulate::objects::{DynptrUse, GraphKind, IrqUse, IterType, IterUse, LockKind};
use crate::simulate::sim::Sim;
use crate::state::{BtfRef, DynptrKind, Kind, MapRef, RegState, SLOT_BYTES};
use crate::trace::Observer;
use veristable_btf::TypeId;
use veristable_kernel::{Behaviour, KfuncFlags, RegBase, TypeFlags};

const ALLOC: TypeFlags = TypeFlags::MEM_ALLOC;

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// An argument whose type says what it is.
    pub(super) fn check_by_class(
        &mut self,
        at: At,
        arg: &PointerArg,
        class: PointerClass,
        state: &RegState,
        call: &mut Call,
    ) -> Step {
        match class {
            PointerClass::Ctx => self.check_context_arg(at, state, call),
            PointerClass::AllocObject => self.check_allocated_arg(at, state, call),
            PointerClass::Refcounted => self.check_refcounted_arg(at, state, call),
            PointerClass::Dynptr => self.check_dynptr_arg(at, arg, state, call),
            PointerClass::Iter => self.check_iter_arg(at, arg, state, call),
            PointerClass::ListHead => self.check_root_arg(at, GraphKind::List, state, call),
            PointerClass::RbRoot => self.check_root_arg(at, GraphKind::Tree, state, call),
            PointerClass::ListNode => {
                self.check_owned(at, state)?;
                self.check_node_arg(at, GraphKind::List, call)
            }
            PointerClass::RbNode => self.check_tree_node_arg(at, state, call),
            PointerClass::ConstStr => {
                if !is_map_value(state) {
                    return self.env.reject(Kfunc::NotConstString { arg: at.number });
                }
                self.check_const_string(at.reg)
            }
            PointerClass::Map => {
                let Some(map) = self.kernel_type_of(RegBase::ConstMapPtr)? else {
                    // A kernel whose table of register types is not known.
                    return self.env.unsupported("kfunc argument", "map");
                };
                self.check_object_arg(at, state, map)
            }
            PointerClass::Workqueue => {
                self.check_map_field_arg(at, state, FieldKind::Workqueue, call)
            }
            PointerClass::TaskWork => {
                self.check_map_field_arg(at, state, FieldKind::TaskWork, call)
            }
            PointerClass::IrqFlag => self.check_irq_arg(at, state),
            PointerClass::ResSpinLock => self.check_lock_arg(at, state),
            PointerClass::Plain { .. } => self.bug(format_args!("unknown kfunc arg type")),
        }
    }

    /// The kernel structure that a register's type stands for (`reg2btf_ids`).
    pub(super) fn register_type(&mut self, state: &RegState) -> Step<Option<TypeId>> {
        match state.kind {
            Kind::Socket | Kind::SockCommon | Kind::TcpSock | Kind::ConstMapPtr { .. } => {
                self.kernel_type_of(state.kind.base())
            }
            _ => Ok(None),
        }
    }

    fn kernel_type_of(&mut self, base: RegBase) -> Step<Option<TypeId>> {
        let kernel = self.env.kernel;
        let Some(found) = kernel.register_btf(base)? else { return Ok(None) };
        Ok(match found.id {
            Some(id) => Some(TypeId(id)),
            None => self.btf(BtfRef::Kernel)?.find_by_name(found.name, found.kind.into()),
        })
    }

    /// A kernel object of the right type (`KF_ARG_PTR_TO_BTF_ID`).
    pub(super) fn check_object_arg(&mut self, at: At, state: &RegState, target: TypeId) -> Step {
        let safe = !has_unsafe_modifiers(state.flags) || is_rcu(state);
        let known = self.register_type(state)?;
        let (btf, id) = match (state.kind, known) {
            (Kind::BtfId { btf, id }, _) if safe => (btf, id),
            (_, Some(id)) => (BtfRef::Kernel, id),
            _ => {
                let ty = TypeName::of(state).text();
                let expected = TypeName(state.kind.base(), state.flags & TRUSTED).text();
                return self.env.reject(Kfunc::WrongType { arg: at.number, ty, expected });
            }
        };
        self.check_object_type(at, state, (btf, id), target)
    }

    /// `process_kf_arg_ptr_to_btf_id`
    fn check_object_type(
        &mut self,
        at: At,
        state: &RegState,
        (btf, id): (BtfRef, TypeId),
        target: TypeId,
    ) -> Step {
        let (reg_btf, kernel) = (self.btf(btf)?, self.btf(BtfRef::Kernel)?);
        let (Ok(has), Ok(wanted)) = (reg_btf.type_by_id(id), kernel.type_by_id(target)) else {
            // Registers and prototypes have types that BTF has.
            return self.env.unsupported("BTF", "of a kfunc's argument");
        };
        let strict = (self.kfunc_signature(at.kfunc)?.releases() && state.ref_id != 0)
            || is_no_cast_alias(has.name(), wanted.name());
        let Ok(has) = reg_btf.skip_modifiers(id) else {
            // Registers and prototypes have types that BTF has.
            return self.env.unsupported("BTF", "of a kfunc's argument");
        };
        let is_local = state.flags.contains(TypeFlags::MEM_ALLOC);
        let same = self.struct_ids_match(
            (btf, has.id()),
            state.off,
            (BtfRef::Kernel, target),
            strict,
            is_local,
        )?;
        if same || prog_context::is_projection(wanted.name(), has.name()) {
            return Ok(());
        }
        let text = crate::analysis::kfuncs::kind_text;
        let message = Kfunc::OtherStruct {
            name: self.kfunc_name(at.kfunc)?,
            arg: at.number,
            kind: text(wanted.kind()),
            target: wanted.name().into(),
            reg: at.reg.number(),
            has_kind: text(has.kind()),
            has: has.name().into(),
        };
        self.env.reject(message)
    }

    /// An object that the program allocated and gives back.
    fn check_allocated_arg(&mut self, at: At, state: &RegState, call: &mut Call) -> Step {
        let Kind::BtfId { btf, id } = state.kind else {
            return self.env.reject(Kfunc::NotAllocated { arg: at.number });
        };
        let (special, drop) = match state.flags {
            ALLOC => (Special::ObjDrop, "bpf_obj_drop_impl"),
            flags if flags == ALLOC | TypeFlags::MEM_PERCPU => {
                (Special::PercpuObjDrop, "bpf_percpu_obj_drop_impl")
            }
            _ => return self.env.reject(Kfunc::NotAllocated { arg: at.number }),
        };
        if !self.kfunc_signature(at.kfunc)?.is(special) {
            return self.env.reject(Kfunc::WrongDrop { arg: at.number, drop });
        }
        if state.ref_id == 0 {
            return self.env.reject(Kfunc::AllocatedNotReferenced);
        }
        call.object = Some((btf, id));
        Ok(())
    }

    /// An object with a reference count, owned or not.
    fn check_refcounted_arg(&mut self, at: At, state: &RegState, call: &mut Call) -> Step {
        let Kind::BtfId { btf, id } = state.kind else {
            return self.env.reject(Kfunc::NotOwnedNode { arg: at.number });
        };
        if !state.flags.contains(ALLOC) {
            return self.env.reject(Kfunc::NotOwnedNode { arg: at.number });
        }
        let has_reference = state.ref_id != 0 || !self.env.has(Behaviour::RefcountNeedsReference);
        call.owned |= !state.flags.contains(TypeFlags::NON_OWN_REF) && has_reference;
        let record = self.reg_record(state)?;
        if record.is_none() {
            return self.bug(format_args!("Couldn't find btf_record"));
        }
        if !self.record_has(record, FieldKinds::REFCOUNT)? {
            return self.env.reject(Kfunc::NoRefcount { arg: at.number });
        }
        call.object = Some((btf, id));
        Ok(())
    }

    fn check_dynptr_arg(
        &mut self,
        at: At,
        arg: &PointerArg,
        state: &RegState,
        call: &mut Call,
    ) -> Step {
        let is_const = matches!(state.kind, Kind::Dynptr { .. });
        let kind = match self.kfunc_signature(at.kfunc)?.special {
            Some(Special::DynptrFromSkb) => Some((DynptrKind::Skb, 0)),
            Some(Special::DynptrFromXdp) => Some((DynptrKind::Xdp, 0)),
            Some(Special::DynptrFromSkbMeta) => Some((DynptrKind::SkbMeta, 0)),
            Some(Special::DynptrClone) if arg.uninit => match call.dynptr {
                Some(parent) => Some((parent.kind, parent.ref_id)),
                None => return self.bug(format_args!("no dynptr type for parent of clone")),
            },
            _ => None,
        };
        let usage = match (arg.uninit, kind) {
            (true, Some((kind, clone_ref))) => DynptrUse::Make { kind, clone_ref },
            // No other kfunc of 6.12 or 6.18 makes one.
            (true, None) => return self.env.unsupported("dynptr", "made by this kfunc"),
            (false, kind) => {
                DynptrUse::Use { kind: kind.map(|(kind, _)| kind), read_only: is_const }
            }
        };
        self.check_dynptr(at.reg, usage)?;
        if !arg.uninit {
            call.dynptr = Some(self.dynptr_at(at.reg)?);
        }
        Ok(())
    }

    fn check_iter_arg(
        &mut self,
        at: At,
        arg: &PointerArg,
        state: &RegState,
        call: &mut Call,
    ) -> Step {
        let signature = self.kfunc_signature(at.kfunc)?;
        let (flags, is_css_task) = (signature.flags, signature.is(Special::IterCssTaskNew));
        if is_css_task && !self.may_iterate_css_tasks() {
            return self.env.reject(Kfunc::CssTaskIter);
        }
        let btf = self.btf(BtfRef::Kernel)?;
        let ty = btf
            .type_by_id(arg.target)
            .ok()
            .filter(|_| arg.target_kind == veristable_btf::Kind::Struct);
        let named = ty.and_then(|ty| Some((ty.name().strip_prefix("bpf_iter_")?, ty.size()?)));
        let Some((name, size)) = named else {
            if !matches!(state.kind, Kind::Stack) || !state.flags.is_empty() {
                // `btf_check_iter_kfuncs` registers no kfunc whose iterator is no such structure.
                return self.env.unsupported("iterator", "of an unknown type");
            }
            return self.env.reject(Kfunc::InvalidIterator { arg: at.number });
        };
        let ty = IterType {
            btf: BtfRef::Kernel,
            id: arg.target,
            name,
            slots: size / SLOT_BYTES.unsigned_abs(),
        };
        let usage = if flags.contains(KfuncFlags::ITER_NEW) {
            IterUse::New { rcu_protected: flags.contains(KfuncFlags::RCU_PROTECTED) }
        } else if flags.contains(KfuncFlags::ITER_DESTROY) {
            IterUse::Destroy
        } else {
            IterUse::Use
        };
        let func = self.kfunc(at.kfunc)?.name;
        if let Some(place) = self.check_iter(at.reg, ty, usage, func)? {
            call.ref_id = place.ref_id;
            call.iter = Some(place);
        }
        Ok(())
    }

    /// A list or tree.
    fn check_root_arg(
        &mut self,
        at: At,
        kind: GraphKind,
        state: &RegState,
        call: &mut Call,
    ) -> Step {
        let allocated = is_allocated(state);
        if !allocated && !is_map_value(state) {
            return self.env.reject(Kfunc::NotMapValueOrAllocated { arg: at.number });
        }
        if allocated && state.ref_id == 0 {
            return self.env.reject(Kfunc::AllocatedNotReferenced);
        }
        call.root = Some(self.check_graph_root(at.reg, kind)?);
        Ok(())
    }

    fn check_owned(&mut self, at: At, state: &RegState) -> Step {
        if !is_allocated(state) {
            return self.env.reject(Kfunc::NotAllocated { arg: at.number });
        }
        if state.ref_id == 0 {
            return self.env.reject(Kfunc::AllocatedNotReferenced);
        }
        Ok(())
    }

    fn check_tree_node_arg(&mut self, at: At, state: &RegState, call: &mut Call) -> Step {
        if self.kfunc_signature(at.kfunc)?.is(Special::RbtreeAdd) {
            self.check_owned(at, state)?;
        } else {
            let not_owning = is_alloc_object(state) && state.flags.contains(TypeFlags::NON_OWN_REF);
            let takes_references = self.env.has(Behaviour::RbtreeTakesReferences);
            if !takes_references {
                if !not_owning || state.ref_id != 0 {
                    return self.env.reject(Kfunc::RbtreeRemoveOwned);
                }
                if self.in_tree_callback()? {
                    return self.env.reject(Kfunc::RbtreeRemoveInCallback);
                }
            }
            if !not_owning && state.ref_id == 0 {
                let name = self.kfunc_name(at.kfunc)?;
                return self.env.reject(Kfunc::NotTreeNode { name });
            }
            if self.in_tree_callback()? {
                let name = self.kfunc_name(at.kfunc)?;
                return self.env.reject(Kfunc::InTreeCallback { name });
            }
        }
        self.check_node_arg(at, GraphKind::Tree, call)
    }

    fn check_node_arg(&mut self, at: At, kind: GraphKind, call: &mut Call) -> Step {
        let Some(root) = call.root else {
            // All kfuncs of 6.12 and 6.18 that take nodes take the root before.
            return self.env.unsupported("graph", "node without a root");
        };
        self.check_graph_node(at.reg, kind, &root)?;
        if let Kind::BtfId { btf, id } = self.reg(at.reg)?.kind {
            call.object = Some((btf, id));
        }
        Ok(())
    }

    /// A work queue or task work in a map's value.
    fn check_map_field_arg(
        &mut self,
        at: At,
        state: &RegState,
        kind: FieldKind,
        call: &mut Call,
    ) -> Step {
        if !is_map_value(state) {
            return self.env.reject(Kfunc::NotMapValue { arg: at.number });
        }
        let found = self.check_map_field(at.reg, kind)?;
        if call.map.is_some() && self.env.has(Behaviour::ConstantFieldPointers) {
            let helper = if kind == FieldKind::Workqueue { "bpf_wq" } else { "bpf_task_work" };
            return self.bug(format_args!("Two map pointers in a {helper} helper"));
        }
        call.map = Some(found);
        Ok(())
    }

    /// Saved interrupt flags.
    fn check_irq_arg(&mut self, at: At, state: &RegState) -> Step {
        if !matches!(state.kind, Kind::Stack) || !state.flags.is_empty() {
            return self.env.reject(Kfunc::NotStackFlag { arg: at.number });
        }
        let usage = match self.kfunc_signature(at.kfunc)?.special {
            Some(Special::LocalIrqSave) => IrqUse { saves: true, by_lock: false },
            Some(Special::LocalIrqRestore) => IrqUse { saves: false, by_lock: false },
            Some(Special::ResSpinLockIrqsave) => IrqUse { saves: true, by_lock: true },
            Some(Special::ResSpinUnlockIrqrestore) => IrqUse { saves: false, by_lock: true },
            _ => return self.bug(format_args!("unknown irq flags kfunc")),
        };
        self.check_irq_flag(at.reg, usage)
    }

    /// A resilient lock.
    fn check_lock_arg(&mut self, at: At, state: &RegState) -> Step {
        if !is_map_value(state) && !is_allocated(state) {
            return self.env.reject(Kfunc::NotLockHolder { arg: at.number });
        }
        match self.kfunc_signature(at.kfunc)?.special {
            Some(Special::ResSpinLock) => self.take_lock(at.reg, LockKind::Res),
            Some(Special::ResSpinLockIrqsave) => self.take_lock(at.reg, LockKind::ResIrq),
            Some(Special::ResSpinUnlock) => self.give_lock(at.reg, LockKind::Res),
            Some(Special::ResSpinUnlockIrqrestore) => self.give_lock(at.reg, LockKind::ResIrq),
            _ => Err(Stop::Rejected(crate::errno::Errno::EFAULT)),
        }
    }

    /// Two arguments that belong to one map do so to the same. Look-ups of outer maps are told
    /// apart by their number.
    pub(super) fn check_same_map(&mut self, field: (MapRef, u32), map: (MapRef, u32)) -> Step {
        let record = self.map_record(map.0)?;
        let has_task_work = self.record_has(record, FieldKinds::TASK_WORK)?;
        if record.is_none() {
            // The kernel reads through a null pointer: there is no answer to agree with.
            return self.env.unsupported("kfunc argument", "map without special fields");
        }
        if !has_task_work && !self.record_has(record, FieldKinds::WORKQUEUE)? || field == map {
            return Ok(());
        }
        let ((_, field), (_, map)) = (field, map);
        if has_task_work {
            return self.env.reject(Kfunc::OtherTaskWorkMap { field, map });
        }
        self.env.reject(Kfunc::OtherWorkqueueMap { field, map })
    }
}

fn is_map_value(state: &RegState) -> bool {
    matches!(state.kind, Kind::MapValue { .. }) && state.flags.is_empty()
}

/// Exactly `PTR_TO_BTF_ID | MEM_ALLOC`.
fn is_allocated(state: &RegState) -> bool {
    matches!(state.kind, Kind::BtfId { .. }) && state.flags == ALLOC
}

/// `type_is_ptr_alloc_obj`
fn is_alloc_object(state: &RegState) -> bool {
    matches!(state.kind, Kind::BtfId { .. }) && state.flags.contains(ALLOC)
}

/// Whether one of the names is the other with `___init` at its end: then the types are never
/// taken for each other (`btf_type_ids_nocast_alias`).
fn is_no_cast_alias(has: &str, wanted: &str) -> bool {
    const SUFFIX: &str = "___init";
    // Only the first occurrence of the suffix counts.
    let is = |long: &str, short: &str| {
        long.find(SUFFIX).is_some_and(|at| at + SUFFIX.len() == long.len())
            && long.strip_suffix(SUFFIX) == Some(short)
    };
    is(has, wanted) || is(wanted, has)
}
