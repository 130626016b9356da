// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Calls of helpers (`check_helper_call`).
//!
//! ```text
//! mod.rs     the order of a call: arguments, what they fill and give back, rules, result
//! proto.rs   prototypes, asked of the kernel once
//! args.rs    arguments (`check_func_arg`)
//! types.rs   types of arguments (`check_reg_type`)
//! maps.rs    which helpers take which maps; keys
//! format.rs  constant strings and formats
//! rules.rs   what single helpers ask
//! ret.rs     the result
//! ```

mod args;
mod format;
mod maps;
mod proto;
mod ret;
mod rules;
mod types;

pub(crate) use proto::Helpers;

use self::proto::Proto;
use self::rules::Func;
use super::memory::{Access, FilledStack, Span};
use super::sim::Sim;
use super::step::Next;
use crate::analysis::record::Kptr;
use crate::design::Design;
use crate::env::SubprogId;
use crate::errno::Errno;
use crate::messages::Helper as Message;
use crate::outcome::Step;
use crate::state::{BtfRef, Kind, MapRef, RegState};
use crate::trace::Observer;
use veristable_btf::TypeId;
use veristable_isa::Reg;
use veristable_kernel::{ArgBase, Behaviour, TypeFlags};

/// One call of a helper, as its arguments are looked at (`struct bpf_call_arg_meta`).
struct Call<'a> {
    /// The helper.
    proto: Proto<'a>,
    /// Packet pointers are no longer valid afterwards.
    changes_packet: bool,
    /// The map that it works on, and which look-up of an outer map that came from.
    map: Option<(MapRef, u32)>,
    /// The number that the key is, if it is known.
    key: Option<i64>,
    /// The memory that the last argument of that kind asks to be filled.
    fills: bool,
    /// Stack that the call fills.
    filled: Option<FilledStack>,
    /// The most bytes that it may write (`msize_max_value`).
    max_size: i64,
    /// Bytes of memory that it gives (`mem_size`).
    mem_size: u64,
    /// The argument that it gives back.
    releases: Option<Reg>,
    /// The reference among its arguments, 0 if there is none.
    ref_id: u32,
    /// The dynptr that its result is a slice of, 0 if it is none.
    dynptr_id: u32,
    /// The kernel's type that its result follows (`ret_btf`).
    object: Option<(BtfRef, TypeId)>,
    /// Its first argument is an object that the program allocated for each CPU.
    percpu_object: bool,
    /// The pointer field that it exchanges.
    kptr: Option<Kptr>,
    /// The function that it calls back.
    subprog: Option<SubprogId>,
}

impl<'a> Call<'a> {
    const fn new(proto: Proto<'a>) -> Self {
        Self {
            changes_packet: proto.changes_packet,
            proto,
            map: None,
            key: None,
            fills: false,
            filled: None,
            max_size: 0,
            mem_size: 0,
            releases: None,
            ref_id: 0,
            dynptr_id: 0,
            object: None,
            percpu_object: false,
            kptr: None,
            subprog: None,
        }
    }
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// A call of a helper.
    pub(crate) fn call_helper(&mut self, id: i32) -> Step<Next> {
        let proto = self.helper(id)?;
        if proto.might_sleep && !self.in_sleepable() {
            return self.env.reject(Message::MightSleep);
        }
        let resources = &self.cur.resources;
        if resources.rcu || resources.preempt > 0 || resources.irq_id != 0 {
            self.check_helper_regions(proto.name, proto.id, proto.might_sleep)?;
        }
        let mut call = Call::new(proto);
        for (number, param) in (1u8..).zip(proto.params) {
            if param.ty.base == ArgBase::DontCare {
                continue;
            }
            self.check_argument(&mut call, Reg::new(number), &param)?;
        }
        self.record_map(&call)?;
        self.record_key(&call)?;
        self.fill_stack(&call)?;
        self.release_argument(&call)?;
        self.apply_rules(&mut call)?;
        self.clear_caller_saved(self.cur.depth)?;
        self.set_result(&call)?;
        self.check_map(&call)?;
        if proto.func == Func::GetFuncIp {
            self.check_func_ip(&call)?;
        }
        let tail_call = proto.func == Func::TailCall;
        if tail_call && self.env.has(Behaviour::TailCallReturns) {
            return self.after_tail_call();
        }
        if call.changes_packet || tail_call {
            self.clear_packet_pointers()?;
        }
        Ok(Next::Insn(self.insn + 1))
    }

    /// Writes the stack that the helper fills, byte by byte.
    fn fill_stack(&mut self, call: &Call<'_>) -> Step {
        let Some(FilledStack { reg: base, size }) = call.filled else { return Ok(()) };
        let privileges = self.env.privileges;
        if privileges.allow_ptr_leaks && privileges.bypass_spec_v4 {
            return self.fill_stack_bytes(base, size);
        }
        for off in 0..size.cast_signed() {
            self.access(Span { base, off, size: 1 }, Access::Write(None), false, false)?;
        }
        Ok(())
    }

    /// Gives back what the helper releases.
    fn release_argument(&mut self, call: &Call<'_>) -> Step {
        let Some(reg) = call.releases else { return Ok(()) };
        let param = call.proto.params.get(reg.index().saturating_sub(1));
        if param.is_some_and(|param| param.ty.base == ArgBase::Dynptr) {
            return self.release_dynptr(reg);
        }
        let released = if call.ref_id == 0 {
            self.reg(reg)?.is_null()
        } else if call.proto.func == Func::KptrXchg {
            self.release_into_field(call.ref_id)?
        } else {
            self.release_reference(call.ref_id)?
        };
        if !released {
            return self.env.reject(Message::NotAcquired { func: call.proto.label() });
        }
        Ok(())
    }

    /// What is stored in a field is no longer the program's; an object for each CPU stays alive
    /// under RCU.
    fn release_into_field(&mut self, id: u32) -> Step<bool> {
        if !self.forget_reference(id)? {
            return Ok(false);
        }
        let (in_rcu, leaks) = (self.in_rcu(), self.env.privileges.allow_ptr_leaks);
        let percpu = TypeFlags::MEM_ALLOC | TypeFlags::MEM_PERCPU;
        self.update_regs(
            |reg| reg.ref_id == id,
            |reg| {
                if in_rcu && reg.flags.contains(percpu) {
                    reg.ref_id = 0;
                    reg.flags.remove(TypeFlags::MEM_ALLOC);
                    reg.flags.insert(TypeFlags::MEM_RCU);
                } else if leaks {
                    reg.set_unknown();
                } else {
                    reg.set_not_init();
                }
            },
        )?;
        Ok(true)
    }

    /// A tail call that fails goes on; one that succeeds does not come back here, but a function
    /// that made it returns to its caller.
    fn after_tail_call(&mut self) -> Step<Next> {
        let through = self.insn + 1;
        if self.cur.depth == 0 {
            return Ok(Next::Insn(through));
        }
        self.touch_reg(Reg::R0);
        self.push_branch(through, self.insn, false, Errno::EFAULT)?;
        self.clear_packet_pointers()?;
        self.reg_mut(Reg::R0)?.set_unknown();
        match self.return_to_caller()? {
            Next::Returned(insn) => Ok(Next::Insn(insn)),
            other => Ok(other),
        }
    }

    /// The packet may have moved (`clear_all_pkt_pointers`).
    pub(crate) fn clear_packet_pointers(&mut self) -> Step {
        let slices = TypeFlags::DYNPTR_TYPE_SKB
            | TypeFlags::DYNPTR_TYPE_XDP
            | TypeFlags::DYNPTR_TYPE_SKB_META;
        self.invalidate_regs(|reg: &RegState| match reg.kind {
            Kind::Packet { .. } | Kind::PacketMeta { .. } | Kind::PacketEnd => true,
            Kind::Mem { .. } => reg.flags.intersects(slices),
            _ => false,
        })
    }
}
