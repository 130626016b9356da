// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Whether what was found safe from one state is safe from another (`states_equal`).

use crate::env::InsnAux;
use crate::mem::{Budget, List};
use crate::outcome::Abort;
use crate::state::{
    Frame, FrameId, FrameMarks, Kind, Linked, MAX_FRAMES, Place, REGS, RefKind, RegId, RegState,
    Resources, Slot, SlotType, State, StateMarks, Store,
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

/// What a load of a slot gives, if that is a number.
enum Number<'s> {
    /// The number that was spilled there.
    Spilled(&'s RegState),
    /// Any.
    Any,
}

impl<'s> Number<'s> {
    const fn reg(&self) -> &'s RegState {
        match self {
            Self::Spilled(reg) => reg,
            Self::Any => &RegState::UNKNOWN,
        }
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
    /// What to look at first, and then what the states were told apart by, if it was a register or
    /// a slot.
    pub(crate) differed: Option<Linked>,
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
        {
            return Ok(false);
        }
        if let Some(place) = self.differed {
            // Without what other places say of ids: they could only refuse more.
            let last = self.ids.last;
            self.ids.reset(last);
            if !self.place(old, marks, new, place)? {
                return Ok(false);
            }
            self.ids.reset(last);
            self.differed = None;
        }
        if !self.resources(old, new)? {
            return Ok(false);
        }
        for (number, marks) in (0..=old.depth).zip(marks) {
            let (old_id, new_id) = (old.frame(number)?, new.frame(number)?);
            let (old_frame, new_frame) = (self.store.frame(old_id)?, self.store.frame(new_id)?);
            if old_frame.callsite.number() != new_frame.callsite.number()
                || !self.frames(old_frame, marks, new_frame, self.live_regs(old, number)?)?
            {
                return Ok(false);
            }
            let (old_stack, new_stack) = (self.store.slots(old_id)?, self.store.slots(new_id)?);
            if !self.stacks(old_stack, marks, new_stack, number)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether one register or slot of `new` is safe because that of `old` was.
    fn place(
        &mut self,
        old: &State,
        marks: &StateMarks,
        new: &State,
        place: Linked,
    ) -> Result<bool, Abort> {
        let (Linked::Reg { frame, .. } | Linked::Slot(Place { frame, .. })) = place;
        let Some(marks) = marks.get(usize::from(frame)).filter(|_| frame <= old.depth) else {
            return Ok(true);
        };
        let (old_id, new_id) = (old.frame(frame)?, new.frame(frame)?);
        match place {
            Linked::Reg { reg, .. } => {
                let live = self.live_regs(old, frame)?;
                let (old, new) = (self.store.frame(old_id)?, self.store.frame(new_id)?);
                self.reg_at(old, marks, new, live, reg.into())
            }
            Linked::Slot(Place { slot, .. }) => {
                let (old, new) = (self.store.slots(old_id)?, self.store.slots(new_id)?);
                let Some(old) = old.get(usize::from(slot)) else { return Ok(true) };
                self.slot_at(old, marks, new, slot.into())
            }
        }
    }

    /// Registers of a frame that are read later, by what is known of its instruction.
    fn live_regs(&self, old: &State, frame: u8) -> Result<u16, Abort> {
        let insn = old.insn_of_frame(self.store, frame)?;
        Ok(self.aux.get(insn as usize).map_or(u16::MAX, |aux| aux.live_regs))
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
        live: u16,
    ) -> Result<bool, Abort> {
        if old.callback_depth > new.callback_depth {
            return Ok(false);
        }
        for reg in 0u8..REGS as u8 {
            if !self.reg_at(old, marks, new, live, reg.into())? {
                self.differed = Some(Linked::Reg { frame: old.number, reg });
                return Ok(false);
            }
        }
        Ok(true)
    }

    #[inline]
    fn reg_at(
        &mut self,
        old: &Frame,
        marks: &FrameMarks,
        new: &Frame,
        live: u16,
        number: usize,
    ) -> Result<bool, Abort> {
        // What was never readable covers anything.
        let ignored = if self.exact == Exact::No { marks.dead_regs } else { 0 };
        if live & !ignored & 1 << number == 0 {
            return Ok(true);
        }
        let dead = marks.is_dead_reg(number);
        let old = if dead { &RegState::NOT_INIT } else { old.reg(number)? };
        self.regs(old, marks.is_precise_reg(number), new.reg(number)?)
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
        if self.exact == Exact::No && !precise && self.any_number_will_do(old) {
            return Ok(old.same_type(new));
        }
        if matches!(old.kind, Kind::NotInit)
            && (self.exact == Exact::No || matches!(new.kind, Kind::NotInit))
        {
            return Ok(true);
        }
        if !old.same_type(new) {
            return Ok(false);
        }
        let within = |old: &RegState, new: &RegState| {
            old.value.includes_ranges(&new.value) && old.value.bits.includes(new.value.bits)
        };
        match (old.kind, new.kind) {
            (Kind::Scalar, _) => self.numbers(old, new),
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

    /// Whether an old number whose precision does not matter covers any other.
    #[inline]
    const fn any_number_will_do(&self, old: &RegState) -> bool {
        old.is_scalar() && !self.strict_numbers && !self.all_precise
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

    fn numbers(&mut self, old: &RegState, new: &RegState) -> Result<bool, Abort> {
        if self.strict_numbers {
            return Ok(old.same_content(new) && self.links(old.id, new.id)?);
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
    fn stacks(
        &mut self,
        old: &[Slot],
        marks: &FrameMarks,
        new: &[Slot],
        frame: u8,
    ) -> Result<bool, Abort> {
        for (slot, old) in (0u8..).zip(old) {
            if !self.slot_at(old, marks, new, slot.into())? {
                self.differed = Some(Linked::Slot(Place { frame, slot }));
                return Ok(false);
            }
        }
        Ok(true)
    }

    #[inline]
    fn slot_at(
        &mut self,
        old: &Slot,
        marks: &FrameMarks,
        new: &[Slot],
        number: usize,
    ) -> Result<bool, Abort> {
        let new = new.get(number);
        match marks.is_dead_slot(number) {
            // As if nothing had been written.
            true => {
                Ok(self.exact == Exact::No || new.is_some_and(|new| new.type_word().is_invalid()))
            }
            false => self.slots(old, marks.is_precise_slot(number), new),
        }
    }

    #[inline]
    fn slots(&mut self, old: &Slot, precise: bool, new: Option<&Slot>) -> Result<bool, Abort> {
        let types = old.type_word();
        if self.exact != Exact::No && new.map(Slot::type_word) != Some(types) {
            return Ok(false);
        }
        if types.is_invalid() || (self.allow_uninit_stack && types.is_misc_or_invalid()) {
            return Ok(true);
        }
        let Some(new) = new else { return Ok(false) };
        if let (Some(number), Some(new)) = (self.as_number(old), self.as_number(new)) {
            return match number {
                Number::Spilled(old) => self.regs(old, precise, new.reg()),
                Number::Any => self.regs(&RegState::UNKNOWN, false, new.reg()),
            };
        }
        if types != new.type_word() && !self.covers_bytes(old, new) {
            return Ok(false);
        }
        self.objects(old, precise, new)
    }

    /// Whether each byte that matters in the old slot is of the same type in the new one, or as
    /// good.
    fn covers_bytes(&self, old: &Slot, new: &Slot) -> bool {
        old.types.iter().zip(&new.types).all(|(old, new)| match (old, new) {
            (SlotType::Invalid, _) | (SlotType::Misc, SlotType::Zero) => true,
            (SlotType::Misc, _) if self.allow_uninit_stack => true,
            (old, new) => old == new,
        })
    }

    /// A slot as the number that a load of it would give (`scalar_reg_for_stack`).
    #[inline]
    fn as_number<'s>(&self, slot: &'s Slot) -> Option<Number<'s>> {
        if slot.is_whole_scalar_spill() {
            return Some(Number::Spilled(&slot.reg));
        }
        let types = slot.type_word();
        let misc = types.is_misc() || (self.allow_uninit_stack && types.is_misc_or_invalid());
        misc.then_some(Number::Any)
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
