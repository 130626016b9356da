// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Accesses through pointers to kernel objects (`check_ptr_to_btf_access`).

use super::{Access, Span};
use crate::design::Design;
use crate::errno::Errno;
use crate::log::state::{TnumText, TypeName};
use crate::mem::Text;
use crate::messages::{BtfAccess, Memory, Message, Path};
use crate::outcome::Step;
use crate::simulate::btf::loaded::{Loaded, ObjectPart};
use crate::simulate::sim::Sim;
use crate::state::{BtfRef, Kind, RegId, RegState};
use crate::trace::Observer;
use veristable_isa::Reg;
use veristable_kernel::{Behaviour, TypeFlags};

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// An access through a pointer to a kernel object.
    pub(super) fn access_btf(&mut self, span: Span, pointer: &RegState, access: Access) -> Step {
        let (Kind::BtfId { btf, id }, false) = (pointer.kind, pointer.may_be_null()) else {
            let ty = TypeName::of(pointer).text();
            return self.env.reject(Memory::Invalid { reg: span.base.number(), ty });
        };
        let off = span.off.wrapping_add(pointer.off);
        let is_local = pointer.flags.contains(TypeFlags::MEM_ALLOC);
        let part = ObjectPart { btf, id, off, size: span.size, is_local };
        self.check_object_pointer(span.base, pointer, part)?;
        if matches!(access, Access::Write(_))
            && pointer.flags.contains(TypeFlags::PTR_UNTRUSTED)
            && self.env.has(Behaviour::UntrustedIsReadOnly)
        {
            return self.env.reject(BtfAccess::ReadOnly);
        }
        if is_local {
            self.check_local_object(pointer, part)?;
        } else if matches!(access, Access::Write(_)) {
            return self.check_object_write(part);
        }
        let mut loaded = self.look_into(part)?;
        if is_local && matches!(loaded, Loaded::Object { .. }) {
            // What the program itself put there is no pointer any more.
            loaded = Loaded::Scalar;
        }
        let Access::Read(Some(dst)) = access else { return Ok(()) };
        if let Loaded::Object { id, flags, safe } = loaded {
            let flags = self.inherited_trust(pointer, flags, safe);
            return self.load_object(dst, btf, id, flags);
        }
        self.load_no_object(dst, loaded)
    }

    /// What is asked before an object that the program allocated is accessed: that it is still
    /// there, and that no special field is touched.
    fn check_local_object(&mut self, pointer: &RegState, part: ObjectPart) -> Step {
        let is_safe = TypeFlags::NON_OWN_REF | TypeFlags::MEM_RCU;
        if pointer.ref_id == 0 && !pointer.flags.intersects(is_safe) {
            let what = format_args!("ref_obj_id for allocated object must be non-zero");
            return self.env.reject_with(Errno::EFAULT, Path::Bug { what: Text::format(what) });
        }
        let Some(record) = self.type_record(part.btf, part.id)? else { return Ok(()) };
        let (off, end) =
            (part.off.cast_unsigned(), part.off.cast_unsigned().wrapping_add(part.size));
        let mut fields = self.record(record)?.fields.iter();
        let touched =
            fields.find(|field| off < field.offset.wrapping_add(field.size) && field.offset < end);
        match touched.map(|field| field.kind.name()) {
            Some(field) => self.env.reject(BtfAccess::SpecialField { field }),
            None => Ok(()),
        }
    }

    /// What is asked of the pointer before it matters what lies there.
    fn check_object_pointer(&mut self, base: Reg, pointer: &RegState, part: ObjectPart) -> Step {
        let ObjectPart { btf, off, .. } = part;
        let reg = base.number();
        let var_off = pointer.value.bits;
        let refusal: fn(u8, Text, i32, Text) -> Message = if !self.env.privileges.allow_ptr_leaks {
            |_, name, _, _| BtfAccess::NeedsPerfmon { name }.into()
        } else if !self.env.prog.gpl_compatible && !btf.is_programs() {
            |_, name, _, _| BtfAccess::NeedsGpl { name }.into()
        } else if off < 0 {
            |reg, name, off, _| BtfAccess::NegativeOffset { reg, name, off }.into()
        } else if var_off != crate::domain::Tnum::constant(0) {
            |reg, name, off, var_off| BtfAccess::VariableOffset { reg, name, off, var_off }.into()
        } else if pointer.flags.contains(TypeFlags::MEM_USER) {
            |reg, name, off, _| BtfAccess::UserMemory { reg, name, off }.into()
        } else if pointer.flags.contains(TypeFlags::MEM_PERCPU) {
            |reg, name, off, _| BtfAccess::PercpuMemory { reg, name, off }.into()
        } else {
            return Ok(());
        };
        let name = Text::new(self.name_of_type(part.btf, part.id)?);
        self.env.reject(refusal(reg, name, off, TnumText(var_off).text()))
    }

    /// A register becomes a pointer to a structure (`mark_btf_ld_reg`).
    pub(crate) fn load_object(
        &mut self,
        dst: Reg,
        btf: BtfRef,
        id: veristable_btf::TypeId,
        flags: TypeFlags,
    ) -> Step {
        let group = if flags.contains(TypeFlags::PTR_MAYBE_NULL) { self.new_id() } else { 0 };
        let reg = self.reg_mut(dst)?;
        reg.set_number(0);
        (reg.kind, reg.flags, reg.id) = (Kind::BtfId { btf, id }, flags, RegId(group));
        Ok(())
    }

    /// A register becomes a number or a pointer to memory of which nothing is known.
    pub(crate) fn load_no_object(&mut self, dst: Reg, loaded: Loaded) -> Step {
        let reg = self.reg_mut(dst)?;
        if loaded == Loaded::Scalar {
            reg.set_unknown();
            return Ok(());
        }
        reg.set_number(0);
        reg.kind = Kind::Mem { size: 0, dynptr_id: 0 };
        reg.flags = TypeFlags::MEM_RDONLY | TypeFlags::PTR_UNTRUSTED;
        Ok(())
    }
}
