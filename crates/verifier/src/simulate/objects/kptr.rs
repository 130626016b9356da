// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Pointers to kernel objects in map values.

use crate::analysis::record::{self, Field, FieldKind, FieldKinds, Kptr, KptrHold};
use crate::design::Design;
use crate::log::state::{TnumText, TypeName};
use crate::mem::Text;
use crate::messages::Objects;
use crate::outcome::Step;
use crate::simulate::memory::Access;
use crate::simulate::sim::Sim;
use crate::state::{Kind, RegId, RegState};
use crate::trace::Observer;
use veristable_isa::{Op, Operand, Reg};
use veristable_kernel::{Behaviour, RegBase, TypeFlags};

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// A load or store of a pointer field, which was found to be of the right size and place
    /// (`check_map_kptr_access`). Sets the register of a load.
    pub(crate) fn access_kptr(&mut self, field: &Field, access: Access) -> Step {
        let FieldKind::Kptr(kptr) = field.kind else {
            // `kptr_at` finds pointer fields only.
            return self.env.unsupported("kptr", "of another kind");
        };
        let op = self.op(self.insn)?;
        let plain = matches!(op, Some(Op::Load { sign_extend: false, .. } | Op::Store { .. }));
        if !plain {
            return self.env.reject(Objects::KptrMode);
        }
        match access {
            Access::Read(dst) => match dst {
                Some(dst) => self.load_kptr(&kptr, dst),
                // Only callees and atomics read into no register: callees were refused with the
                // bounds (`check_field`), atomics are not plain.
                None => self.env.unsupported("kptr", "load into no register"),
            },
            Access::Write(value) => {
                match kptr.hold {
                    KptrHold::Ref | KptrHold::Percpu => {
                        return self.env.reject(Objects::KptrStore);
                    }
                    KptrHold::User => return self.env.reject(Objects::UptrStore),
                    KptrHold::Unref => {}
                }
                self.store_kptr(field, &kptr, value, op)
            }
        }
    }

    fn load_kptr(&mut self, kptr: &Kptr, dst: Reg) -> Step {
        let mut loaded;
        if kptr.hold == KptrHold::User {
            let size = self.btf(kptr.btf)?.type_by_id(kptr.id).map_or(0, |ty| ty.size_or_type());
            loaded = RegState::pointer(Kind::Mem { size, dynptr_id: 0 });
            loaded.flags = TypeFlags::PTR_MAYBE_NULL;
        } else {
            let Kptr { btf, id, .. } = *kptr;
            loaded = RegState::pointer(Kind::BtfId { btf, id });
            loaded.flags = self.kptr_flags(kptr)?;
        }
        loaded.id = RegId(self.new_id());
        let dst = self.reg_mut(dst)?;
        let RegState { subreg_def, frame, .. } = *dst;
        *dst = RegState { subreg_def, frame, ..loaded };
        Ok(())
    }

    fn store_kptr(
        &mut self,
        field: &Field,
        kptr: &Kptr,
        value: Option<Reg>,
        op: Option<Op>,
    ) -> Step {
        match (value, op) {
            (Some(value), _) => {
                if self.reg(value)?.is_null() {
                    return match self.env.has(Behaviour::PreciseNulls) {
                        true => self.mark_precise(value),
                        false => Ok(()),
                    };
                }
                match self.matches_kptr(kptr, value)? {
                    true => Ok(()),
                    false => Err(crate::Errno::EACCES.into()),
                }
            }
            (None, Some(Op::Store { value: Operand::Imm(0), .. })) => Ok(()),
            (None, _) => self.env.reject(Objects::KptrImmediate { off: field.offset }),
        }
    }

    /// The modifiers of a pointer that is loaded from such a field (`btf_ld_kptr_type`).
    pub(crate) fn kptr_flags(&mut self, kptr: &Kptr) -> Step<TypeFlags> {
        let mut flags = TypeFlags::PTR_MAYBE_NULL;
        if !kptr.rcu_safe || !self.in_rcu() {
            return Ok(flags | TypeFlags::PTR_UNTRUSTED);
        }
        flags |= TypeFlags::MEM_RCU;
        if kptr.hold == KptrHold::Percpu {
            flags |= TypeFlags::MEM_PERCPU;
        } else if kptr.btf.is_programs() {
            flags |= TypeFlags::MEM_ALLOC;
        }
        let pointee = self.type_record(kptr.btf, kptr.id)?;
        if self.record_has(pointee, FieldKinds::GRAPH_NODE)? {
            flags |= TypeFlags::NON_OWN_REF;
        }
        Ok(flags)
    }

    /// Whether a register may be stored to such a field; says so if not (`map_kptr_match_type`).
    /// The errno is the caller's.
    pub(crate) fn matches_kptr(&mut self, kptr: &Kptr, reg: Reg) -> Step<bool> {
        let state = self.copy_of(reg)?;
        let Kind::BtfId { btf, id } = state.kind else {
            return self.refuse_kptr(kptr, reg, &state, Text::default());
        };
        let mut allowed = TypeFlags::PTR_MAYBE_NULL;
        if btf.is_programs() {
            allowed |= TypeFlags::MEM_ALLOC;
            allowed.set(TypeFlags::MEM_PERCPU, kptr.hold == KptrHold::Percpu);
        } else {
            allowed |= TypeFlags::PTR_TRUSTED | TypeFlags::MEM_RCU;
            allowed.set(TypeFlags::PTR_UNTRUSTED, kptr.hold == KptrHold::Unref);
        }
        let percpu = state.flags.contains(TypeFlags::MEM_PERCPU);
        let other_memory =
            self.env.has(Behaviour::PercpuKptrMatches) && percpu != (kptr.hold == KptrHold::Percpu);
        if !allowed.contains(state.flags) || other_memory {
            return self.refuse_kptr(kptr, reg, &state, Text::default());
        }
        if !self.is_original_pointer(&state, reg, true)? {
            return Ok(false);
        }
        let is_local = state.flags.contains(TypeFlags::MEM_ALLOC);
        let strict = kptr.hold != KptrHold::Unref;
        if self.struct_ids_match((btf, id), state.off, (kptr.btf, kptr.id), strict, is_local)? {
            return Ok(true);
        }
        let name = Text::new(self.name_of_type(btf, id)?);
        self.refuse_kptr(kptr, reg, &state, name)
    }

    fn refuse_kptr(&mut self, kptr: &Kptr, reg: Reg, state: &RegState, name: Text) -> Step<bool> {
        let target = self.name_of_type(kptr.btf, kptr.id)?;
        let plain = TypeName(RegBase::BtfId, TypeFlags::empty());
        let is = Text::format(format_args!("{}{name}", TypeName::of(state)));
        let expected = if kptr.hold == KptrHold::Unref {
            let untrusted = TypeName(RegBase::BtfId, TypeFlags::PTR_UNTRUSTED);
            Text::format(format_args!("{plain}{target} or {untrusted}{target}"))
        } else {
            Text::format(format_args!("{plain}{target}"))
        };
        self.env.say(Objects::KptrType { reg: reg.number(), is, expected })?;
        Ok(false)
    }

    /// Whether a pointer is as it was made, but for a constant offset if that is fine; says so if
    /// not (`__check_ptr_off_reg`, whose errno is `EACCES`).
    pub(crate) fn is_original_pointer(
        &mut self,
        state: &RegState,
        reg: Reg,
        fixed_offset_ok: bool,
    ) -> Step<bool> {
        let (reg, off, ty) = (reg.number(), state.off, || TypeName::of(state).text());
        let message = if off < 0 {
            Objects::NegativeOffset { ty: ty(), reg, off }
        } else if !fixed_offset_ok && off != 0 {
            Objects::ModifiedPointer { ty: ty(), reg, off }
        } else if state.value.as_const() != Some(0) {
            Objects::VariablePointer { ty: ty(), var_off: TnumText(state.value.bits).text() }
        } else {
            return Ok(true);
        };
        self.env.say(message)?;
        Ok(false)
    }

    /// The referenced pointer field that the first argument of `bpf_kptr_xchg` points to
    /// (`process_kptr_func`), in a map's value or an allocated object.
    pub(crate) fn check_kptr_field(&mut self, reg: Reg) -> Step<Kptr> {
        let state = self.copy_of(reg)?;
        let record = self.reg_record(&state)?;
        if let Kind::MapValue { map, .. } = state.kind {
            let spec = self.map_spec(map)?;
            if !record::has_btf(spec) {
                return self.env.reject(Objects::KptrWithoutBtf { map: map.name(spec).into() });
            }
        }
        let Some(variable) = state.value.as_const() else {
            return self.env.reject(Objects::KptrVariable { reg: reg.number() });
        };
        let off = state.off.wrapping_add(variable as i32);
        let field = match record {
            Some(id) if self.record(id)?.has(FieldKinds::KPTR) => {
                self.record(id)?.find(off.cast_unsigned(), FieldKinds::KPTR)
            }
            _ => return self.env.reject(Objects::NoKptr { reg: reg.number() }),
        };
        let Some(FieldKind::Kptr(kptr)) = field.map(|field| field.kind) else {
            return self.env.reject(Objects::NotAtKptr { off });
        };
        if !matches!(kptr.hold, KptrHold::Ref | KptrHold::Percpu) {
            return self.env.reject(Objects::KptrNotReferenced { off });
        }
        Ok(kptr)
    }
}
