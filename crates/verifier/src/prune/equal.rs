// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Whether what was found safe from one state is safe from another (`states_equal`).

use crate::env::InsnAux;
use crate::mem::{Budget, List};
use crate::outcome::Abort;
use crate::state::{
    Frame, FrameId, FrameMarks, Kind, MAX_FRAMES, REGS, RefKind, RegId, RegState, Resources, Slot,
    SlotType, State, StateMarks, Store,
};
use veristable_kernel::{Behaviour, Behaviours};

/// How closely two states must agree (`enum exact_level`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exact {
    /// What does not matter for safety may differ.
    No,
    /// Everything must be the same.
    Yes,
    /// Ranges may be narrower in the new state, precise or not.
    RangeWithin,
}

/// Pairs of ids that stand for each other (`struct bpf_idmap`).
#[derive(Debug, Default)]
pub(crate) struct IdMap {
    pairs: List<(u32, u32)>,
    /// The last id, for ids that exist only here.
    last: u32,
}

impl IdMap {
    /// `BPF_ID_MAP_SIZE`
    const MAX: usize = (REGS + 64) * MAX_FRAMES;

    /// Forgets all pairs; `last` is the last id given by the simulation.
    pub(crate) fn reset(&mut self, last: u32) {
        self.pairs.clear();
        self.last = last;
    }

    /// Whether two ids may stand for each other, and from now on do (`check_ids`).
    fn check(&mut self, budget: &Budget, old: u32, new: u32) -> Result<bool, Abort> {
        if (old == 0) != (new == 0) {
            return Ok(false);
        }
        if old == 0 {
            return Ok(true);
        }
        for (known_old, known_new) in &self.pairs {
            if *known_old == old {
                return Ok(*known_new == new);
            }
            if *known_new == new {
                return Ok(false);
            }
        }
        if self.pairs.len() >= Self::MAX {
            return Ok(false);
        }
        self.pairs.push(budget, (old, new))?;
        Ok(true)
    }

    /// As [`IdMap::check`], where none stands for one of its own (`check_scalar_ids`).
    fn check_scalar(&mut self, budget: &Budget, old: RegId, new: RegId) -> Result<bool, Abort> {
        let mut own = |id| {
            if id != 0 {
                return id;
            }
            self.last = self.last.wrapping_add(1);
            self.last
        };
        let (old, new) = (own(old.0), own(new.0));
        self.check(budget, old, new)
    }

    /// The same where a number without a link covers any
    /// ([`Behaviour::UnlinkedCoversLinked`](veristable_kernel::Behaviour::UnlinkedCoversLinked)).
    fn check_linked(&mut self, budget: &Budget, old: RegId, new: RegId) -> Result<bool, Abort> {
        if old.is_none() {
            return Ok(true);
        }
        let new = if new.is_none() {
            self.last = self.last.wrapping_add(1);
            RegId(self.last)
        } else {
            new
        };
        Ok(self.check(budget, old.0, new.0)?
            && (!old.has_distance() || self.check(budget, old.group(), new.group())?))
    }
}

bitflags::bitflags! {
    /// Behaviours that concern the comparison of states.
    #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
    pub(crate) struct CompareRules: u8 {
        /// [`Behaviour::UnlinkedCoversLinked`]
        const UNLINKED_COVERS_LINKED = 1 << 0;
        /// [`Behaviour::PacketEndsMatch`]
        const PACKET_ENDS_MATCH = 1 << 1;
        /// [`Behaviour::IteratorTrustMatches`]
        const ITERATOR_TRUST_MATCHES = 1 << 2;
    }
}

impl CompareRules {
    /// Those of a kernel.
    pub(crate) fn of(behaviours: &Behaviours) -> Self {
        let mut rules = Self::empty();
        for (behaviour, rule) in [
            (Behaviour::UnlinkedCoversLinked, Self::UNLINKED_COVERS_LINKED),
            (Behaviour::PacketEndsMatch, Self::PACKET_ENDS_MATCH),
            (Behaviour::IteratorTrustMatches, Self::ITERATOR_TRUST_MATCHES),
        ] {
            rules.set(rule, behaviours.has(behaviour));
        }
        rules
    }
}

/// What two states are compared with.
pub(crate) struct Comparison<'c> {
    /// Where their frames are.
    pub(crate) store: &'c Store,
    /// Memory.
    pub(crate) budget: &'c Budget,
    /// What is known of each instruction.
    pub(crate) aux: &'c [InsnAux],
    /// Scratch.
    pub(crate) ids: &'c mut IdMap,
    /// How closely.
    pub(crate) exact: Exact,
    /// All numbers matter (no `CAP_BPF`).
    pub(crate) all_precise: bool,
    /// Unwritten stack may be read.
    pub(crate) allow_uninit_stack: bool,
    /// Numbers must be the same (`explore_alu_limits`).
    pub(crate) strict_numbers: bool,
    /// How exactly the kernel compares.
    pub(crate) rules: CompareRules,
}

impl Comparison<'_> {
    /// Whether `new` is safe because `old` was.
    pub(crate) fn states(
        &mut self,
        old: &State,
        marks: &StateMarks,
        new: &State,
    ) -> Result<bool, Abort> {
        if old.depth != new.depth
            || (old.speculative && !new.speculative)
            || old.in_sleepable != new.in_sleepable
            || !self.resources(old, new)?
        {
            return Ok(false);
        }
        for (number, marks) in (0..=old.depth).zip(marks) {
            let insn = old.insn_of_frame(self.store, number)?;
            let (old_id, new_id) = (old.frame(number)?, new.frame(number)?);
            let (old_frame, new_frame) = (self.store.frame(old_id)?, self.store.frame(new_id)?);
            if old_frame.callsite.number() != new_frame.callsite.number()
                || !self.frames(old_frame, marks, new_frame, insn)?
            {
                return Ok(false);
            }
            let (old_stack, new_stack) = (self.store.slots(old_id)?, self.store.slots(new_id)?);
            if !self.stacks(old_stack, marks, new_stack)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn ids(&mut self, old: u32, new: u32) -> Result<bool, Abort> {
        self.ids.check(self.budget, old, new)
    }

    /// `refsafe`
    fn resources(&mut self, old: &State, new: &State) -> Result<bool, Abort> {
        if !self.outer_refs(old, new)? {
            return Ok(false);
        }
        let (old, new) = (&old.resources, &new.resources);
        if old.refs.len() != new.refs.len()
            || old.locks != new.locks
            || old.preempt != new.preempt
            || old.rcu != new.rcu
            || !self.ids(old.irq_id, new.irq_id)?
            || !self.ids(old.lock_id, new.lock_id)?
            || old.lock_object != new.lock_object
        {
            return Ok(false);
        }
        // In either direction: which ids stand for which does not depend on the order.
        let held = |resources: &Resources| self.store.refs.newest_first(&resources.refs);
        for (old, new) in held(old).zip(held(new)) {
            if !self.ids(old.id, new.id)? || old.kind != new.kind {
                return Ok(false);
            }
            let object_matters = !matches!(old.kind, RefKind::Ptr | RefKind::Irq);
            if object_matters && old.object != new.object {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `refsafe` of the outer frames, where each has its own references.
    fn outer_refs(&mut self, old: &State, new: &State) -> Result<bool, Abort> {
        let (Some(old), Some(new)) = (&old.outer_refs, &new.outer_refs) else { return Ok(true) };
        if old.len() != new.len() {
            return Ok(false);
        }
        for (old, new) in old.iter().zip(new.iter()) {
            if old.frame != new.frame || old.refs.len() != new.refs.len() {
                return Ok(false);
            }
            let held = |refs| self.store.refs.newest_first(refs);
            for (old, new) in held(&old.refs).zip(held(&new.refs)) {
                if !self.ids(old.id, new.id)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// `func_states_equal` without the stack.
    fn frames(
        &mut self,
        old: &Frame,
        marks: &FrameMarks,
        new: &Frame,
        insn: u32,
    ) -> Result<bool, Abort> {
        if old.callback_depth > new.callback_depth {
            return Ok(false);
        }
        let live = self.aux.get(insn as usize).map_or(u16::MAX, |aux| aux.live_regs);
        for (number, (old, new)) in old.regs.iter().zip(&new.regs).enumerate() {
            if live & 1 << number == 0 {
                continue;
            }
            let dead = marks.is_dead_reg(number);
            let old = if dead { &RegState::NOT_INIT } else { old };
            if !self.regs(old, marks.is_precise_reg(number), new)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `regs_exact`
    fn regs_exact(&mut self, old: &RegState, new: &RegState) -> Result<bool, Abort> {
        Ok(old.same_content(new)
            && self.ids(old.id.0, new.id.0)?
            && self.ids(old.ref_id, new.ref_id)?)
    }

    /// Numbers in registers and spilled ones that are not the same in two frames and did not matter
    /// in the old one (`maybe_widen_reg`), one bit each.
    pub(crate) fn changed_numbers(
        &mut self,
        old: FrameId,
        marks: &FrameMarks,
        new: FrameId,
    ) -> Result<(u16, u64), Abort> {
        let store = self.store;
        let (mut regs, mut slots) = (0, 0);
        let pairs = store.frame(old)?.regs.iter().zip(&store.frame(new)?.regs);
        for (number, (old, new)) in pairs.enumerate() {
            if !marks.is_precise_reg(number) && self.is_changed_number(old, new)? {
                regs |= 1u16 << number;
            }
        }
        let pairs = store.slots(old)?.iter().zip(store.slots(new)?).take(64);
        for (number, (old, new)) in pairs.enumerate() {
            if old.is_spill()
                && new.is_spill()
                && !marks.is_precise_slot(number)
                && self.is_changed_number(&old.reg, &new.reg)?
            {
                slots |= 1u64 << number;
            }
        }
        Ok((regs, slots))
    }

    fn is_changed_number(&mut self, old: &RegState, new: &RegState) -> Result<bool, Abort> {
        Ok(old.is_scalar() && old.same_type(new) && !self.regs_exact(old, new)?)
    }

    /// `regsafe`. `precise`: the old number matters.
    fn regs(&mut self, old: &RegState, precise: bool, new: &RegState) -> Result<bool, Abort> {
        if self.exact == Exact::Yes {
            return self.regs_exact(old, new);
        }
        if old.kind == Kind::NotInit && (self.exact == Exact::No || new.kind == Kind::NotInit) {
            return Ok(true);
        }
        if !old.same_type(new) {
            return Ok(false);
        }
        let within = |old: &RegState, new: &RegState| {
            old.value.includes_ranges(&new.value) && old.value.bits.includes(new.value.bits)
        };
        match (old.kind, new.kind) {
            (Kind::Scalar, _) => self.numbers(old, precise, new),
            (
                Kind::MapKey { .. }
                | Kind::MapValue { .. }
                | Kind::Mem { .. }
                | Kind::Buf
                | Kind::TpBuffer,
                _,
            ) => Ok(old.same_head(new)
                && within(old, new)
                && self.ids(old.id.0, new.id.0)?
                && self.ids(old.ref_id, new.ref_id)?),
            (
                Kind::Packet { range: before } | Kind::PacketMeta { range: before },
                Kind::Packet { range: now } | Kind::PacketMeta { range: now },
            ) => Ok(self.covers_range(before, now)
                && old.off == new.off
                && self.ids(old.id.0, new.id.0)?
                && within(old, new)),
            (Kind::Stack, _) => Ok(self.regs_exact(old, new)? && old.frame == new.frame),
            (Kind::Arena, _) => Ok(true),
            _ => self.regs_exact(old, new),
        }
    }

    /// Whether the bytes that may be read behind a packet pointer suffice.
    fn covers_range(&self, before: i32, now: i32) -> bool {
        let ends_match = self.rules.contains(CompareRules::PACKET_ENDS_MATCH);
        if ends_match && (before < 0 || now < 0) { before == now } else { before <= now }
    }

    fn links(&mut self, old: RegId, new: RegId) -> Result<bool, Abort> {
        if self.rules.contains(CompareRules::UNLINKED_COVERS_LINKED) {
            self.ids.check_linked(self.budget, old, new)
        } else {
            self.ids.check_scalar(self.budget, old, new)
        }
    }

    fn numbers(&mut self, old: &RegState, precise: bool, new: &RegState) -> Result<bool, Abort> {
        if self.strict_numbers {
            return Ok(old.same_content(new) && self.links(old.id, new.id)?);
        }
        if !precise && !self.all_precise && self.exact == Exact::No {
            return Ok(true);
        }
        let counts =
            !old.id.is_none() || !self.rules.contains(CompareRules::UNLINKED_COVERS_LINKED);
        if (counts && !old.id.has_same_kind(new.id))
            || (old.id.has_distance() && old.off != new.off)
        {
            return Ok(false);
        }
        Ok(old.value.includes_ranges(&new.value)
            && old.value.bits.includes(new.value.bits)
            && self.links(old.id, new.id)?)
    }

    /// `stacksafe`
    fn stacks(&mut self, old: &[Slot], marks: &FrameMarks, new: &[Slot]) -> Result<bool, Abort> {
        for (number, old) in old.iter().enumerate() {
            let old = if marks.is_dead_slot(number) { &Slot::EMPTY } else { old };
            if !self.slots(old, marks.is_precise_slot(number), new.get(number))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn slots(&mut self, old: &Slot, precise: bool, new: Option<&Slot>) -> Result<bool, Abort> {
        let mut compared = false;
        for (index, old_type) in old.types.iter().enumerate() {
            let new_type = new.and_then(|new| new.types.get(index)).copied();
            if self.exact != Exact::No && new_type != Some(*old_type) {
                return Ok(false);
            }
            if *old_type == SlotType::Invalid
                || (*old_type == SlotType::Misc && self.allow_uninit_stack)
            {
                continue;
            }
            let (Some(new), Some(new_type)) = (new, new_type) else { return Ok(false) };
            if !core::mem::replace(&mut compared, true)
                && let (Some((old, precise)), Some((new, _))) =
                    (self.as_number(old, precise), self.as_number(new, false))
            {
                let (old, new) = (*old, *new);
                return self.regs(&old, precise, &new);
            }
            if *old_type == SlotType::Misc && new_type == SlotType::Zero {
                continue;
            }
            if *old_type != new_type {
                return Ok(false);
            }
            let is_last = index + 1 == old.types.len();
            if is_last && !self.objects(old, precise, new)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A slot as the number that a load of it would give (`scalar_reg_for_stack`), and whether
    /// that matters.
    fn as_number<'s>(&self, slot: &'s Slot, precise: bool) -> Option<(&'s RegState, bool)> {
        const UNKNOWN: &RegState = &RegState::UNKNOWN;
        if slot.is_whole_scalar_spill() {
            return Some((&slot.reg, precise || self.all_precise));
        }
        let misc = |ty: &SlotType| match ty {
            SlotType::Misc => true,
            SlotType::Invalid => self.allow_uninit_stack,
            _ => false,
        };
        slot.types.iter().all(misc).then_some((UNKNOWN, false))
    }

    /// What two slots of the same types hold.
    fn objects(&mut self, old: &Slot, precise: bool, new: &Slot) -> Result<bool, Abort> {
        let ids = |this: &mut Self| this.ids(old.reg.ref_id, new.reg.ref_id);
        match (old.main_type(), old.reg.kind, new.reg.kind) {
            (SlotType::Spill, _, _) => self.regs(&old.reg, precise, &new.reg),
            (
                SlotType::Iter,
                Kind::Iter { btf, id, state, .. },
                Kind::Iter { btf: new_btf, id: new_id, state: new_state, .. },
            ) => {
                let trust = self.rules.contains(CompareRules::ITERATOR_TRUST_MATCHES);
                Ok((btf, id, state) == (new_btf, new_id, new_state)
                    && (!trust || old.reg.flags == new.reg.flags)
                    && ids(self)?)
            }
            (SlotType::Dynptr | SlotType::IrqFlag, old, new) => Ok(old == new && ids(self)?),
            (SlotType::Misc | SlotType::Zero | SlotType::Invalid, _, _) => Ok(true),
            (SlotType::Iter, _, _) => Ok(false),
        }
    }
}
