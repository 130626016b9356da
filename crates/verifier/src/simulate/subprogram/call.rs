// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Calls of subprograms (`check_func_call`).

use crate::design::{Design, Liveness};
use crate::env::{SubprogFlags, SubprogId, Target};
use crate::errno::Errno;
use crate::log::state::Touched;
use crate::mem::Text;
use crate::messages::{Functions, Path};
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::simulate::step::Next;
use crate::state::{CALLER_SAVED, CALLER_SAVED_MASK, Callsite, Frame, Kind, MAX_FRAMES, RegState};
use crate::trace::{Level, Observer};
use veristable_isa::Reg;
use veristable_kernel::{Behaviour, TypeFlags};

/// Memory in a packet that a dynptr gave (`reg_is_dynptr_slice_pkt`).
const PACKET_SLICE: TypeFlags = TypeFlags::DYNPTR_TYPE_SKB
    .union(TypeFlags::DYNPTR_TYPE_XDP)
    .union(TypeFlags::DYNPTR_TYPE_SKB_META);

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// A call of a function of the program.
    pub(crate) fn call_subprogram(&mut self) -> Step<Next> {
        let Target::Subprog(subprog) = self.env.code.aux(self.insn)?.target else {
            // `resolve_calls` found the function of every such call.
            return self.env.unsupported("subprogram call", "unresolved");
        };
        let mismatch = self.check_arguments(subprog)?;
        let info = *self.env.subprog(subprog)?;
        if info.flags.contains(SubprogFlags::IS_GLOBAL) {
            self.call_global(subprog, info.flags, mismatch)?;
            self.touch_reg(Reg::R0);
            return Ok(Next::Insn(self.insn + 1));
        }
        let caller_depth = self.cur.depth;
        let mut callee = self.frame_above(caller_depth, subprog)?;
        let caller = self.store.frame(self.cur.current()?)?;
        for (to, from) in callee.regs.iter_mut().zip(&caller.regs).take(6).skip(1) {
            *to = *from;
        }
        self.touched = Touched::ALL;
        let id = self.store.add(&self.env.budget, callee)?;
        self.cur.lend_refs(&self.env.budget, &mut self.store)?;
        if !self.cur.push_frame(id) {
            return self.bug(format_args!("Frame {} already allocated", caller_depth + 1));
        }
        // The caller keeps R6 to R9.
        D::Liveness::called(self)?;
        self.clear_caller_saved(caller_depth)?;
        if self.env.wants(Level::Path) {
            self.print_frame("caller:\n", caller_depth);
            self.print_frame("callee:\n", caller_depth + 1);
        }
        self.touch_reg(Reg::R0);
        Ok(Next::Insn(info.start))
    }

    /// A frame for a function that the current instruction calls from a frame (the first half of
    /// `setup_func_entry`).
    pub(super) fn frame_above(&mut self, caller: u8, subprog: SubprogId) -> Step<Frame> {
        if usize::from(caller) + 1 >= MAX_FRAMES {
            let frames = u32::from(caller) + 2;
            return self.env.reject(Path::TooManyFrames { frames });
        }
        Ok(Frame::new(Callsite::Insn(self.insn), caller + 1, subprog))
    }

    /// R0 to R5 of a frame are gone (`clear_caller_saved_regs`).
    pub(crate) fn clear_caller_saved(&mut self, frame: u8) -> Step {
        let def = self.insn + 1;
        D::Liveness::write_regs(self, frame, CALLER_SAVED_MASK);
        let frame = self.store.frame_mut(&self.env.budget, self.cur.frame_mut(frame)?)?;
        for reg in frame.regs.iter_mut().take(usize::from(CALLER_SAVED)) {
            *reg = RegState { subreg_def: def, ..RegState::NOT_INIT };
        }
        self.touched.regs |= CALLER_SAVED_MASK;
        Ok(())
    }

    /// A global function is checked on its own; here only what it is given counts.
    fn call_global(
        &mut self,
        subprog: SubprogId,
        flags: SubprogFlags,
        mismatch: Option<Errno>,
    ) -> Step {
        let held = &self.cur.resources;
        if held.locks > 0 {
            return self.env.reject(Functions::GlobalWithLock);
        }
        if held.preempt != 0 && !self.env.has(Behaviour::GlobalCallsBySleep) {
            return self.env.reject(Functions::GlobalWithoutPreemption);
        }
        let may_sleep = flags.contains(SubprogFlags::MIGHT_SLEEP)
            && self.env.has(Behaviour::GlobalCallsBySleep);
        let asleep = !held.rcu && held.preempt == 0 && held.irq_id == 0 && self.in_sleepable();
        if may_sleep && !asleep {
            return self.env.reject(Functions::GlobalMaySleep);
        }
        let name = Text::new(self.function_name(subprog));
        let number = subprog.0;
        if let Some(errno) = mismatch {
            let message = Functions::InvalidArguments { subprog: number, name };
            return self.env.reject_with(errno, message);
        }
        self.env.say(Functions::AssumedValid { subprog: number, name })?;
        if flags.contains(SubprogFlags::CHANGES_PKT_DATA) {
            self.forget_packet_pointers()?;
        }
        self.env.subprog_mut(subprog)?.flags |= SubprogFlags::CALLED;
        self.clear_caller_saved(self.cur.depth)?;
        let result = self.reg_mut(Reg::R0)?;
        result.set_unknown();
        result.subreg_def = 0;
        Ok(())
    }

    /// The packet may have moved (`clear_all_pkt_pointers`).
    fn forget_packet_pointers(&mut self) -> Step {
        let readable = self.env.privileges.allow_ptr_leaks;
        let into_packet = |reg: &RegState| match reg.kind {
            Kind::Packet { .. } | Kind::PacketMeta { .. } | Kind::PacketEnd => reg.flags.is_empty(),
            Kind::Mem { .. } => reg.flags.intersects(PACKET_SLICE),
            _ => false,
        };
        self.update_regs(
            into_packet,
            |reg| {
                if readable { reg.set_unknown() } else { reg.set_not_init() }
            },
        )
    }
}
