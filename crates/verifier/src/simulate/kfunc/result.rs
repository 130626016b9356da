// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a kfunc returns in R0 (the end of `check_kfunc_call`, `check_special_kfunc`).

use super::KfuncIndex;
use super::call::Call;
use super::signature::{Node, Returns, ScalarStruct, scalar_struct};
use super::special::Special;
use crate::design::{Design, Liveness};
use crate::messages::Kfunc;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::{BtfRef, DynptrKind, Kind, RegId, RegState};
use crate::trace::Observer;
use veristable_btf::{Kind as TypeKind, TypeId};
use veristable_isa::Reg;
use veristable_kernel::{Behaviour, KfuncFlags, TypeFlags};

/// The largest object of each CPU (`BPF_GLOBAL_PERCPU_MA_MAX_SIZE`).
const MAX_PERCPU_OBJECT: u32 = 512;

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// Sets R0, which is not readable before.
    pub(super) fn set_kfunc_result(&mut self, kfunc: KfuncIndex, call: &Call) -> Step {
        let signature = *self.kfunc_signature(kfunc)?;
        let points_to_struct = matches!(
            signature.result,
            Returns::Pointer { kind: TypeKind::Struct | TypeKind::Union, .. }
        );
        let makes_object = matches!(
            signature.special,
            Some(Special::ObjNew | Special::PercpuObjNew | Special::RefcountAcquire)
        );
        if signature.acquires() && !points_to_struct && !makes_object {
            return self.env.reject(Kfunc::AcquiresNothing);
        }
        match signature.result {
            Returns::Nothing => Ok(()),
            Returns::Number(size) => {
                let def = if size == 8 { 0 } else { self.insn + 1 };
                let result = self.reg_mut(Reg::R0)?;
                result.set_unknown();
                if signature.special.is_some_and(Special::takes_res_lock) {
                    result.set_number(0);
                }
                result.subreg_def = def;
                D::Liveness::write_regs(self, self.cur.depth, 1);
                Ok(())
            }
            Returns::Pointer { node, .. } => {
                let mut result = self.returned_pointer(kfunc, call)?;
                self.finish_pointer(kfunc, call, node, &mut result)?;
                *self.reg_mut(Reg::R0)? = result;
                D::Liveness::write_regs(self, self.cur.depth, 1);
                Ok(())
            }
        }
    }

    /// What comes with every returned pointer: that it may be null, a reference, an id.
    fn finish_pointer(
        &mut self,
        kfunc: KfuncIndex,
        call: &Call,
        node: Option<Node>,
        result: &mut RegState,
    ) -> Step {
        let signature = self.kfunc_signature(kfunc)?;
        let acquires = signature.acquires();
        let never_null = signature.is(Special::RefcountAcquire) && call.owned;
        let may_be_null = signature.flags.contains(KfuncFlags::RET_NULL) && !never_null;
        if may_be_null {
            result.flags |= TypeFlags::PTR_MAYBE_NULL;
            result.id = RegId(self.new_id());
        }
        if acquires {
            let id = self.acquire_reference()?;
            if may_be_null {
                result.id = RegId(id);
            }
            result.ref_id = id;
        } else if node.is_some() {
            self.set_non_owning(result)?;
        }
        if result.id.is_none() && self.may_hold_lock(result)? {
            result.id = RegId(self.new_id());
        }
        Ok(())
    }

    fn returned_pointer(&mut self, kfunc: KfuncIndex, call: &Call) -> Step<RegState> {
        let signature = self.kfunc_signature(kfunc)?;
        let (special, flags, result) = (signature.special, signature.flags, signature.result);
        let Returns::Pointer { target, kind, size, node } = result else {
            return Ok(RegState::NOT_INIT);
        };
        if let Some(pointer) = self.special_pointer(special, node, call)? {
            return Ok(pointer);
        }
        if target.is_void() {
            return Ok(RegState::UNKNOWN);
        }
        let protected = flags.contains(KfuncFlags::RCU_PROTECTED);
        if kind != TypeKind::Struct {
            return self.returned_memory(kfunc, call, size, protected);
        }
        let mut pointer = kernel_object(target);
        if special == Some(Special::GetKmemCache) {
            pointer.flags |= TypeFlags::PTR_UNTRUSTED;
        } else if protected {
            pointer.flags |= TypeFlags::MEM_RCU;
        }
        if let (true, Some(place)) = (flags.contains(KfuncFlags::ITER_NEXT), call.iter) {
            let iter = self.slot(place.frame, usize::from(place.slot))?;
            pointer.flags |= if iter.reg.flags.contains(TypeFlags::MEM_RCU) {
                TypeFlags::MEM_RCU
            } else {
                TypeFlags::PTR_TRUSTED
            };
        }
        Ok(pointer)
    }

    /// Memory of a size that an argument says, or of the type's, which may then only be read.
    fn returned_memory(
        &mut self,
        kfunc: KfuncIndex,
        call: &Call,
        type_size: Option<u32>,
        protected: bool,
    ) -> Step<RegState> {
        let is_cookie = self.kfunc_signature(kfunc)?.is(Special::SessionCookie);
        let (size, read_only) = match (call.result_size, type_size) {
            _ if is_cookie => (8, false),
            (0, size) => (size.map_or(0, u64::from), true),
            (size, _) => (size, call.result_read_only),
        };
        if size == 0 {
            let Returns::Pointer { target, kind, .. } = self.kfunc_signature(kfunc)?.result else {
                return Ok(RegState::NOT_INIT);
            };
            let (name, target) = (self.kfunc_name(kfunc)?, self.kernel_name(target)?);
            let kind = crate::analysis::kfuncs::kind_text(kind);
            return self.env.reject(Kfunc::ReturnedPointer { name, kind, target });
        }
        // The kernel keeps 32 bits of it.
        let mut pointer = RegState::pointer(Kind::Mem { size: size as u32, dynptr_id: 0 });
        pointer.flags.set(TypeFlags::MEM_RDONLY, read_only);
        pointer.flags.set(TypeFlags::MEM_RCU, protected);
        pointer.ref_id = call.ref_id;
        Ok(pointer)
    }

    /// The pointers that kfuncs with rules of their own return (`check_special_kfunc`).
    fn special_pointer(
        &mut self,
        special: Option<Special>,
        node: Option<Node>,
        call: &Call,
    ) -> Step<Option<RegState>> {
        let pointer = match special {
            Some(Special::ObjNew) => self.new_object(call, false)?,
            Some(Special::PercpuObjNew) => self.new_object(call, true)?,
            Some(Special::RefcountAcquire) => match call.object {
                Some((btf, id)) => allocated(btf, id),
                // Its argument was tested and noted.
                None => return self.env.unsupported("kfunc result", "without its argument"),
            },
            _ if node.is_some() => match &call.root {
                Some(root) => Self::graph_node(root),
                // All kfuncs of 6.12 and 6.18 that give nodes take the root.
                None => return self.env.unsupported("kfunc result", "node without a root"),
            },
            Some(Special::CastToKernCtx) => {
                let Some(id) = call.context else {
                    // Its argument was tested and noted.
                    return self.env.unsupported("kfunc result", "context");
                };
                let mut pointer = kernel_object(id);
                pointer.flags = TypeFlags::PTR_TRUSTED;
                pointer
            }
            Some(Special::RdonlyCast) => self.read_only_cast(call)?,
            Some(Special::DynptrSlice) => self.dynptr_slice(call, false)?,
            Some(Special::DynptrSliceRdwr) => self.dynptr_slice(call, true)?,
            _ => return Ok(None),
        };
        Ok(Some(pointer))
    }

    /// An object that the program allocates.
    fn new_object(&mut self, call: &Call, percpu: bool) -> Step<RegState> {
        let Ok(id) = u32::try_from(call.constant.unwrap_or(0)) else {
            return self.env.reject(Kfunc::LocalTypeRange);
        };
        let Some(btf) = self.env.prog.btf else {
            return self.env.reject(Kfunc::NewNeedsBtf);
        };
        let ty = btf.type_by_id(TypeId(id)).ok();
        let Some(ty) = ty.filter(|ty| ty.kind() == TypeKind::Struct) else {
            return self.env.reject(Kfunc::NewNeedsStruct);
        };
        let mut pointer = allocated(BtfRef::Program, ty.id());
        if !percpu {
            return Ok(pointer);
        }
        let size = ty.size().unwrap_or(0);
        if size > MAX_PERCPU_OBJECT {
            // The kernel prints the size as a signed number; no such size is negative there.
            return self.env.reject(Kfunc::PercpuTooLarge { size, most: MAX_PERCPU_OBJECT });
        }
        let record = self.type_record(BtfRef::Program, ty.id())?;
        match scalar_struct(btf, &ty) {
            ScalarStruct::Yes => {}
            ScalarStruct::No => return self.env.reject(Kfunc::PercpuNotScalars),
            ScalarStruct::TooDeep => {
                self.env.say(Kfunc::StructTooDeep)?;
                return self.env.reject(Kfunc::PercpuNotScalars);
            }
        }
        if record.is_some() {
            return self.env.reject(Kfunc::PercpuSpecialFields);
        }
        pointer.flags |= TypeFlags::MEM_PERCPU;
        Ok(pointer)
    }

    fn read_only_cast(&mut self, call: &Call) -> Step<RegState> {
        let constant = call.constant.unwrap_or(0);
        // The kernel looks at 32 bits of it.
        let id = TypeId(constant as u32);
        let kernel = self.btf(BtfRef::Kernel)?;
        let Ok(ty) = kernel.type_by_id(id) else {
            return self.env.reject(Kfunc::UnknownTypeId { id: constant.cast_signed() });
        };
        let mut pointer = match ty.kind() {
            TypeKind::Struct | TypeKind::Union => kernel_object(id),
            _ if id.is_void() && self.env.has(Behaviour::CastToMemory) => {
                let mut memory = RegState::pointer(Kind::Mem { size: 0, dynptr_id: 0 });
                memory.flags = TypeFlags::MEM_RDONLY;
                memory
            }
            _ => return self.env.reject(Kfunc::RdonlyCastType),
        };
        pointer.flags |= TypeFlags::PTR_UNTRUSTED;
        Ok(pointer)
    }

    fn dynptr_slice(&mut self, call: &Call, writable: bool) -> Step<RegState> {
        let Some(size) = call.constant else {
            return self.bug(format_args!("bpf_dynptr_slice(_rdwr) no constant size"));
        };
        let Some(dynptr) = call.dynptr else {
            return self.bug(format_args!("no dynptr id"));
        };
        if writable && !self.may_access_packet(true, None) {
            return self.env.reject(Kfunc::PacketNotWritable);
        }
        if dynptr.id == 0 {
            return self.bug(format_args!("no dynptr id"));
        }
        // The kernel keeps 32 bits of the size.
        let kind = Kind::Mem { size: size as u32, dynptr_id: dynptr.id };
        let mut slice = RegState::pointer(kind);
        slice.flags = match dynptr.kind {
            DynptrKind::Local => TypeFlags::DYNPTR_TYPE_LOCAL,
            DynptrKind::Ringbuf => TypeFlags::DYNPTR_TYPE_RINGBUF,
            DynptrKind::Skb => TypeFlags::DYNPTR_TYPE_SKB,
            DynptrKind::Xdp => TypeFlags::DYNPTR_TYPE_XDP,
            DynptrKind::SkbMeta => TypeFlags::DYNPTR_TYPE_SKB_META,
        };
        slice.flags.set(TypeFlags::MEM_RDONLY, !writable);
        Ok(slice)
    }
}

/// A pointer to an object of the kernel.
fn kernel_object(id: TypeId) -> RegState {
    RegState::pointer(Kind::BtfId { btf: BtfRef::Kernel, id })
}

/// A pointer to an object that the program allocated.
fn allocated(btf: BtfRef, id: TypeId) -> RegState {
    let mut pointer = RegState::pointer(Kind::BtfId { btf, id });
    pointer.flags = TypeFlags::MEM_ALLOC;
    pointer
}
