// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What helpers return.

use super::Call;
use super::maps::knows_its_keys;
use super::rules::Func;
use crate::analysis::record::{FieldKinds, KptrHold};
use crate::design::Design;
use crate::domain::Interval;
use crate::mem::Text;
use crate::messages::Helper as Message;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::{BtfRef, Kind, RegId, RegState};
use crate::trace::Observer;
use veristable_btf::{Kind as BtfKind, TypeId};
use veristable_isa::Reg;
use veristable_kernel::{RetBase, TypeFlags};

/// `MAX_ERRNO` (`include/linux/err.h`)
const MAX_ERRNO: i32 = 4095;

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// R0 after the call.
    pub(super) fn set_result(&mut self, call: &Call<'_>) -> Step {
        let mut result = self.result_of(call)?;
        if result.may_be_null() {
            result.id = RegId(self.new_id());
        }
        let func = call.proto.func;
        let map_type =
            call.map.map(|(map, _)| self.map_spec(map)).transpose()?.map(|spec| spec.map_type);
        if func.casts() || func == Func::DynptrData {
            result.ref_id = call.ref_id;
        } else if func.acquires(map_type) {
            let id = self.acquire_reference()?;
            (result.id, result.ref_id) = (RegId(id), id);
        }
        *self.reg_mut(Reg::R0)? = result;
        self.refine_result(call)
    }

    fn result_of(&mut self, call: &Call<'_>) -> Step<RegState> {
        let flags = call.proto.ret.flags;
        let pointer = |kind| RegState { flags, ..RegState::pointer(kind) };
        Ok(match call.proto.ret.base {
            RetBase::Integer => RegState::UNKNOWN,
            RetBase::Void => RegState::NOT_INIT,
            RetBase::MapValue => return self.map_value(call),
            RetBase::Socket => pointer(Kind::Socket),
            RetBase::SockCommon => pointer(Kind::SockCommon),
            RetBase::TcpSock => pointer(Kind::TcpSock),
            RetBase::Mem => {
                // The kernel keeps 32 bits.
                let (size, dynptr_id) = (call.mem_size as u32, call.dynptr_id);
                pointer(Kind::Mem { size, dynptr_id })
            }
            RetBase::MemOrBtfId => return self.percpu_variable(call),
            RetBase::BtfId => return self.kernel_object(call),
            // Facts of a kernel after 6.18.
            _ => return self.env.unsupported("return type", call.proto.ret.base.kernel_name()),
        })
    }

    /// A value of the map, which certainly exists if the key is known to be an index.
    fn map_value(&mut self, call: &Call<'_>) -> Step<RegState> {
        let Some((map, uid)) = call.map else {
            return self.bug(format_args!("unexpected null map_ptr"));
        };
        let spec = self.map_spec(map)?;
        let mut flags = call.proto.ret.flags;
        let is_index = |key: i64| (0..i64::from(spec.max_entries)).contains(&key);
        if call.proto.func == Func::MapLookup
            && knows_its_keys(spec.map_type)
            && call.key.is_some_and(is_index)
        {
            flags.remove(TypeFlags::PTR_MAYBE_NULL);
        }
        let mut result = RegState { flags, ..RegState::pointer(Kind::MapValue { map, uid }) };
        if !result.may_be_null() && spec.btf_value_type_id != 0 {
            let record = self.map_record(map)?;
            if self.record_has(record, FieldKinds::SPIN_LOCK | FieldKinds::RES_SPIN_LOCK)? {
                result.id = RegId(self.new_id());
            }
        }
        Ok(result)
    }

    /// This processor's part of a variable: a structure, or plain memory of its size.
    fn percpu_variable(&mut self, call: &Call<'_>) -> Step<RegState> {
        let Some((which, id)) = call.object else {
            return self.bug(format_args!("variable without a type"));
        };
        let btf = self.btf(which)?;
        let Ok(ty) = btf.skip_modifiers(id) else {
            // The register's type is one of that BTF.
            return self.env.unsupported("variable of the kernel", "without a type");
        };
        let mut flags = call.proto.ret.flags;
        if matches!(ty.kind(), BtfKind::Struct | BtfKind::Union) {
            if call.percpu_object {
                flags = TypeFlags::MEM_ALLOC | TypeFlags::MEM_RCU;
            } else {
                // Objects have no such modifier.
                flags.remove(TypeFlags::MEM_RDONLY);
            }
            return Ok(RegState { flags, ..RegState::pointer(Kind::BtfId { btf: which, id }) });
        }
        match btf.resolve_size(ty.id()) {
            Ok(size) => {
                Ok(RegState { flags, ..RegState::pointer(Kind::Mem { size, dynptr_id: 0 }) })
            }
            Err(_) => {
                let name = Text::new(ty.name());
                let errno = -22;
                self.env.reject(Message::UnknownSize { name, errno })
            }
        }
    }

    fn kernel_object(&mut self, call: &Call<'_>) -> Step<RegState> {
        let mut flags = call.proto.ret.flags;
        let kind = if call.proto.func == Func::KptrXchg {
            let Some(kptr) = call.kptr else {
                return self.bug(format_args!("exchange without a field"));
            };
            // The objects of programs are allocated.
            if kptr.btf.is_programs() {
                flags |= TypeFlags::MEM_ALLOC;
                if kptr.hold == KptrHold::Percpu {
                    flags |= TypeFlags::MEM_PERCPU;
                }
            }
            Kind::BtfId { btf: kptr.btf, id: kptr.id }
        } else {
            let Some(id) = self.known_type(call.proto.ret_btf)? else {
                // The prototype of a kernel that names no type for its object.
                return self.env.unsupported("result without a type", call.proto.name);
            };
            Kind::BtfId { btf: BtfRef::Kernel, id }
        };
        if let Kind::BtfId { id: TypeId(0), .. } = kind {
            // Fields that hold nothing are refused with the map.
            return self.env.unsupported("result without a type", call.proto.name);
        }
        Ok(RegState { flags, ..RegState::pointer(kind) })
    }

    /// What is known of the number (`do_refine_retval_range`).
    fn refine_result(&mut self, call: &Call<'_>) -> Step {
        let ret = call.proto.ret;
        if ret.base != RetBase::Integer || !ret.flags.is_empty() {
            return Ok(());
        }
        match call.proto.func {
            Func::GetStack
            | Func::GetTaskStack
            | Func::ProbeReadStr
            | Func::ProbeReadKernelStr
            | Func::ProbeReadUserStr => {
                let (max, rules) = (call.max_size, self.env.rules);
                let value = &mut self.reg_mut(Reg::R0)?.value;
                value.s64 = Interval::new(i64::from(-MAX_ERRNO), max);
                value.s32 = Interval::new(-MAX_ERRNO, max as i32);
                value.sync(rules);
            }
            Func::GetSmpProcessorId => {
                let (last, rules) = (self.last_processor()?, self.env.rules);
                let value = &mut self.reg_mut(Reg::R0)?.value;
                value.u64 = Interval::new(0, u64::from(last));
                value.s64 = Interval::new(0, i64::from(last));
                value.u32 = Interval::new(0, last);
                value.s32 = Interval::new(0, last.cast_signed());
                value.sync(rules);
            }
            _ => {}
        }
        self.check_invariants(Reg::R0, "retval")
    }

    /// The highest number that a processor of the machine can have (`nr_cpu_ids - 1`).
    fn last_processor(&self) -> Step<u32> {
        if let Some(cpus) = self.env.machine.cpus {
            return Ok(cpus.saturating_sub(1));
        }
        // The kernel may run on as many as it was made for.
        let limit = self.env.kernel.config("CONFIG_NR_CPUS")?;
        match limit.and_then(|limit| limit.parse::<u32>().ok()) {
            Some(limit) => Ok(limit.saturating_sub(1)),
            // A kernel whose configuration is not known.
            None => self.env.unsupported("number of processors", ""),
        }
    }
}
