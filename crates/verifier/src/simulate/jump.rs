// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Conditional jumps (`check_cond_jmp_op`).

use super::btf::trust::is_trusted;
use super::packet_range::decide_packet;
use super::pointer::MAX_VAR_OFF;
use super::sim::{Sim, last_branch};
use super::step::{Next, target};
use crate::design::Design;
use crate::domain::{Rules, flipped};
use crate::env::Env;
use crate::errno::Errno;
use crate::messages::Path;
use crate::outcome::Step;
use crate::state::{Access, Kind, Linked, LinkedRegs, Place, RegState, State, Store};
use crate::trace::Observer;
use veristable_isa::{CmpOp, Operand, Reg, Width};
use veristable_kernel::{Behaviour, TypeFlags};

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// A jump by `off` slots if `dst op src`. The first operand has been read.
    pub(crate) fn branch(
        &mut self,
        op: CmpOp,
        width: Width,
        dst: Reg,
        src: Operand,
        off: i32,
    ) -> Step<Next> {
        let left = self.copy_of(dst)?;
        let right = match src {
            Operand::Reg(src) => {
                self.read(src, width == Width::W64)?;
                let right = self.copy_of(src)?;
                if !(is_packet_any(&left) && is_packet_any(&right)) && self.is_secret(src)? {
                    return self.env.reject(Path::PointerComparison { reg: src.number() });
                }
                right
            }
            Operand::Imm(imm) => RegState::scalar(i64::from(imm).cast_unsigned()),
        };
        // Reading may have changed what only the JIT minds.
        let left = RegState { subreg_def: self.reg(dst)?.subreg_def, ..left };
        let access = Access {
            slot: None,
            dst_is_stack: matches!(left.kind, Kind::Stack),
            src_is_stack: matches!(src, Operand::Reg(_)) && matches!(right.kind, Kind::Stack),
        };
        if access != Access::default() {
            self.note_history(access, LinkedRegs::default())?;
        }
        let (through, to) = (self.insn + 1, target(self.insn, off));
        let taken = if is_packet_any(&left) && is_packet_any(&right) && width == Width::W64 {
            decide_packet(op, &left, &right)
        } else {
            self.decide(op, width, &left, &right)
        };
        let Some(taken) = taken else {
            self.fork(op, width, dst, src, to)?;
            self.print_insn_state();
            return Ok(Next::Insn(through));
        };
        if left.is_scalar() {
            self.mark_precise(dst)?;
        }
        if let (Operand::Reg(src), true) = (src, right.is_scalar()) {
            self.mark_precise(src)?;
        }
        let (followed, other) = if taken { (to, through) } else { (through, to) };
        self.push_mispredicted(other, dst, src)?;
        self.print_insn_state();
        Ok(Next::Insn(followed))
    }

    /// Which way a jump goes, if that is certain (`is_branch_taken`; not for two packet pointers).
    fn decide(&self, op: CmpOp, width: Width, left: &RegState, right: &RegState) -> Option<bool> {
        if left.is_scalar() && right.is_scalar() {
            return left.value.decide(op, &right.value, width);
        }
        if width == Width::W32 && self.env.has(Behaviour::HalfPointerUndecided) {
            return None;
        }
        let constant = |reg: &RegState| match width {
            _ if !reg.is_scalar() => None,
            Width::W32 => reg.value.as_const32().map(u64::from),
            Width::W64 => reg.value.as_const(),
        };
        // A valid pointer is not 0. Of a 32-bit jump only the low half is compared, and some
        // kernels still say so.
        let (pointer, number, op) = match constant(right) {
            Some(number) => (left, number, op),
            None => (right, constant(left)?, flipped(op)),
        };
        if number != 0 || !self.is_never_null(pointer) {
            return None;
        }
        match op {
            CmpOp::Eq => Some(false),
            CmpOp::Ne => Some(true),
            _ => None,
        }
    }

    /// `reg_not_null`
    pub(crate) fn is_never_null(&self, reg: &RegState) -> bool {
        let far = reg.value.s64.min <= -MAX_VAR_OFF || reg.value.s64.max >= MAX_VAR_OFF;
        if reg.may_be_null() || (far && self.env.has(Behaviour::FarPointerMayBeNull)) {
            return false;
        }
        match reg.kind {
            Kind::Socket
            | Kind::TcpSock
            | Kind::MapValue { .. }
            | Kind::MapKey { .. }
            | Kind::SockCommon
            | Kind::ConstMapPtr { .. } => true,
            Kind::XdpSock | Kind::Buf => self.env.has(Behaviour::BufferNeverNull),
            Kind::BtfId { .. } => is_trusted(reg),
            Kind::Mem { .. } => !reg.flags.contains(TypeFlags::PTR_UNTRUSTED),
            _ => false,
        }
    }

    /// Both ways are possible: the jump is set aside, and each way learns what it implies.
    fn fork(&mut self, op: CmpOp, width: Width, dst: Reg, src: Operand, to: u32) -> Step {
        let linked = self.collect_linked(dst, src)?;
        if linked.len() > 1 {
            self.note_history(Access::default(), linked)?;
        }
        self.push_branch(to, self.insn, false, Errno::EFAULT)?;
        self.learn(op, width, dst, src)?;
        if let Operand::Reg(src) = src {
            self.sync_linked(src, &linked)?;
        }
        self.sync_linked(dst, &linked)?;
        if width == Width::W64 {
            if let Operand::Reg(src) = src {
                self.learn_from_equal_pointers(op, dst, src)?;
            }
            let is_null_test = matches!((op, src), (CmpOp::Eq | CmpOp::Ne, Operand::Imm(0)));
            if is_null_test && self.reg(dst)?.may_be_null() {
                return self.learn_null(dst, op == CmpOp::Eq);
            }
            if let Operand::Reg(src) = src
                && self.learn_packet_range(op, dst, src)?
            {
                return Ok(());
            }
        }
        if self.is_secret(dst)? {
            return self.env.reject(Path::PointerComparison { reg: dst.number() });
        }
        Ok(())
    }

    /// The registers and slots that learn together with the operands. Those beyond the limit
    /// lose their id.
    fn collect_linked(&mut self, dst: Reg, src: Operand) -> Step<LinkedRegs> {
        let mut linked = LinkedRegs::default();
        let src = match src {
            Operand::Reg(src) => Some(src),
            Operand::Imm(_) => None,
        };
        for operand in [src, Some(dst)].into_iter().flatten() {
            let reg = self.reg(operand)?;
            if reg.is_scalar() && !reg.id.is_none() {
                let group = reg.id.group();
                self.collect_group(group, &mut linked)?;
            }
        }
        Ok(linked)
    }

    fn collect_group(&mut self, group: u32, linked: &mut LinkedRegs) -> Step {
        let distance_too = self.env.has(Behaviour::DistanceGoesWithId);
        let belongs = |reg: &RegState| reg.is_scalar() && reg.id.group() == group;
        for number in (0..=self.cur.depth).rev() {
            for reg in 0..10u8 {
                let is = Reg::new(reg);
                if belongs(self.store.frame(self.cur.frame(number)?)?.reg(is.index())?)
                    && !linked.push(Linked::Reg { frame: number, reg })
                {
                    let id = self.cur.frame_mut(number)?;
                    let frame = self.store.frame_mut(&self.env.budget, id)?;
                    frame.reg_mut(is.index())?.unlink(distance_too);
                }
            }
            let count = self.store.slots(self.cur.frame(number)?)?.len();
            for index in 0..count {
                let slot = self.slot(number, index)?;
                let place = Place { frame: number, slot: u8::try_from(index).unwrap_or(63) };
                if slot.is_spill() && belongs(&slot.reg) && !linked.push(Linked::Slot(place)) {
                    self.slot_mut(number, index)?.reg.unlink(distance_too);
                }
            }
        }
        Ok(())
    }

    /// Refines both operands on both ways (`reg_set_min_max`). The jump waits as the last branch.
    fn learn(&mut self, op: CmpOp, width: Width, dst: Reg, src: Operand) -> Step {
        let left = self.copy_of(dst)?;
        let (right, src) = match src {
            Operand::Reg(src) => (self.copy_of(src)?, Some(src)),
            Operand::Imm(imm) => (RegState::scalar(i64::from(imm).cast_unsigned()), None),
        };
        if !left.is_scalar() || !right.is_scalar() {
            return Ok(());
        }
        let same = src == Some(dst);
        let ways = left.value.refine(op, &right.value, width, same, self.env.rules);
        let [mut taken_1, mut taken_2] = ways.taken;
        let [mut through_1, mut through_2] = ways.not_taken;
        self.repair(&mut taken_1, "true_reg1")?;
        if same {
            self.repair(&mut taken_1, "true_reg2")?;
            self.repair(&mut through_1, "false_reg1")?;
            self.repair(&mut through_1, "false_reg2")?;
        } else {
            self.repair(&mut taken_2, "true_reg2")?;
            self.repair(&mut through_1, "false_reg1")?;
            self.repair(&mut through_2, "false_reg2")?;
        }
        self.reg_mut(dst)?.value = through_1;
        if let (Some(src), false) = (src, same) {
            self.reg_mut(src)?.value = through_2;
        }
        self.branch_reg(dst)?.value = taken_1;
        if let (Some(src), false) = (src, same) {
            self.branch_reg(src)?.value = taken_2;
        }
        Ok(())
    }

    /// What was learnt of `known` holds for those that move with it, on both ways.
    fn sync_linked(&mut self, known: Reg, linked: &LinkedRegs) -> Step {
        let reg = self.reg(known)?;
        if !reg.is_scalar() || reg.id.is_none() {
            return Ok(());
        }
        let Self { env, store, cur, pending, .. } = self;
        sync_state(env, store, cur, known, linked)?;
        sync_state(env, store, last_branch(pending)?, known, linked)
    }
}

/// `sync_linked_regs`
fn sync_state<O: Observer>(
    env: &Env<'_, O>,
    store: &mut Store,
    state: &mut State,
    known: Reg,
    linked: &LinkedRegs,
) -> Step {
    let (budget, rules) = (&env.budget, env.rules);
    let depth = state.depth;
    let source = *store.frame(state.current()?)?.reg(known.index())?;
    for other in linked.iter() {
        match other {
            Linked::Reg { frame, reg } => {
                if frame == depth && reg == known.number() {
                    continue;
                }
                let target = *store.frame(state.frame(frame)?)?.reg(usize::from(reg))?;
                if let Some(learnt) = follow(&target, &source, rules) {
                    let frame = store.frame_mut(budget, state.frame_mut(frame)?)?;
                    *frame.reg_mut(usize::from(reg))? = learnt;
                }
            }
            Linked::Slot(Place { frame, slot }) => {
                let slots = store.slots(state.frame(frame)?)?;
                let Some(target) = slots.get(usize::from(slot)) else { continue };
                if let Some(learnt) = follow(&target.reg, &source, rules) {
                    let stack = store.stack_mut(budget, state.frame_mut(frame)?)?;
                    stack.at_mut(usize::from(slot))?.reg = learnt;
                }
            }
        }
    }
    Ok(())
}

/// What `reg` becomes if it moves with `known`: a copy, at its distance if it has another. The
/// sum is not synchronised.
fn follow(reg: &RegState, known: &RegState, rules: Rules) -> Option<RegState> {
    if !reg.is_scalar() || reg.id.group() != known.id.group() || reg.id.is_at_odds(known.id) {
        return None;
    }
    let no_distance = !reg.id.has_distance() && !known.id.has_distance();
    let mut learnt = RegState { subreg_def: reg.subreg_def, ..*known };
    if !no_distance && reg.off != known.off {
        (learnt.off, learnt.id) = (reg.off, reg.id);
        let distance = i64::from(reg.off) - i64::from(known.off);
        let distance = crate::domain::Quad::constant(distance.cast_unsigned());
        learnt.value.add_unsynced(&distance, rules);
        if rules.contains(Rules::SYNCED_LINKS) {
            if reg.id.has_half_distance() || known.id.has_half_distance() {
                learnt.value.zero_extend_low();
            }
            learnt.value.sync(rules);
        }
    }
    Some(learnt)
}

fn is_packet_any(reg: &RegState) -> bool {
    reg.kind.is_packet() || matches!(reg.kind, Kind::PacketEnd)
}
