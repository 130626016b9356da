// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Precision: where the value of a number matters, everything that it was computed from matters
//! too, back to where it came from (`__mark_chain_precision`).
//!
//! Marks are set only on checkpoints. The current state needs none, since a checkpoint forgets
//! those that it would inherit.

use super::backtrack::{ARGS, Found, RegList, SlotList};
use crate::design::{Design, Liveness};
use crate::log::state::{StateView, Touched};
use crate::mem::Text;
use crate::outcome::{Abort, Step};
use crate::simulate::Sim;
use crate::state::{Callsite, CheckpointId, HistoryEntry, State, scalar_spills_of};
use crate::trace::{Event, Level, Observer};
use veristable_isa::Reg;

/// R0 to R9.
const NUMBERS: u16 = 0x3ff;

/// A state on the way back: where it began, or a checkpoint.
#[derive(Clone, Copy)]
enum Here<'e> {
    /// The current state.
    Current,
    /// A state kept with a back-edge.
    Kept(&'e State),
    /// A checkpoint.
    Checkpoint(CheckpointId),
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// The number in this register of the current state matters (`mark_chain_precision`).
    pub(crate) fn mark_precise(&mut self, reg: Reg) -> Step {
        if !self.env.privileges.bpf_capable {
            return Ok(());
        }
        if !self.reg(reg)?.is_scalar() {
            return self.bug(format_args!("backtracking misuse"));
        }
        self.backtrack.frame = self.cur.depth;
        self.backtrack.set_reg(self.cur.depth, reg.number());
        self.go_back(Here::Current, &mut false)
    }

    /// The number in this stack slot of the current state matters
    /// (`mark_chain_precision_batch`).
    pub(crate) fn mark_slot_precise(&mut self, frame: u8, slot: usize) -> Step {
        if !self.env.privileges.bpf_capable || slot > 63 {
            return Ok(());
        }
        self.backtrack.frame = self.cur.depth;
        self.backtrack.add(frame, 0, 1 << slot);
        self.go_back(Here::Current, &mut false)
    }

    /// What matters in a checkpoint matters in a state that was found equal to it, too: in the
    /// current one, or in one kept with a back-edge (`propagate_precision`).
    pub(crate) fn propagate_precision(
        &mut self,
        equal: CheckpointId,
        kept: Option<&State>,
        changed: &mut bool,
    ) -> Step {
        let all = !self.env.privileges.bpf_capable;
        let depth = self.checkpoints.at(equal)?.state.depth;
        for number in (0..=depth).rev() {
            let checkpoint = self.checkpoints.at(equal)?;
            let marks = checkpoint.marks_of(number);
            let id = checkpoint.state.frame(number)?;
            let (unread_regs, unread_slots) = D::Liveness::unread(self, equal, number)?;
            let (dead_regs, dead_slots) =
                (marks.dead_regs | unread_regs, marks.dead_slots | unread_slots);
            let (precise_regs, precise_slots) = match all {
                true => (u16::MAX, u64::MAX),
                false => (marks.precise_regs, marks.precise_slots),
            };
            let regs = self.store.frame(id)?.scalars_of(precise_regs & !dead_regs & NUMBERS);
            let slots = scalar_spills_of(self.store.slots(id)?, precise_slots & !dead_slots);
            self.backtrack.add(number, regs, slots);
            self.log_propagation(number, regs, slots);
        }
        if all {
            return Ok(());
        }
        let start = kept.map_or(Here::Current, Here::Kept);
        self.backtrack.frame = self.state_at(start)?.depth;
        self.go_back(start, changed)
    }

    fn log_propagation(&mut self, frame: u8, regs: u16, slots: u64) {
        if regs == 0 && slots == 0 {
            return;
        }
        if self.env.wants(Level::Full) {
            let mut heading = Some(frame);
            let names = (0..10u8).filter(|reg| regs & 1 << reg != 0);
            for reg in names {
                self.log_propagated(&mut heading, format_args!("r{reg}"));
            }
            for slot in (0..64i32).filter(|slot| slots & 1 << slot != 0) {
                self.log_propagated(&mut heading, format_args!("fp{}", -8 * (slot + 1)));
            }
        }
        // The kernel ends the line even where it printed none.
        if self.env.wants(Level::Messages) {
            self.env.emit(Event::Text(&"\n"));
        }
    }

    fn log_propagated(&mut self, heading: &mut Option<u8>, name: core::fmt::Arguments<'_>) {
        match heading.take() {
            Some(frame) => {
                self.env.emit(Event::Text(&format_args!("frame {frame}: propagating {name}")));
            }
            None => self.env.emit(Event::Text(&format_args!(",{name}"))),
        }
    }

    fn state_at<'s>(&'s self, here: Here<'s>) -> Result<&'s State, Abort> {
        Ok(match here {
            Here::Current => &self.cur,
            Here::Kept(state) => state,
            Here::Checkpoint(id) => &self.checkpoints.at(id)?.state,
        })
    }

    /// Walks back from a state through its history and its parents until the origin of all that
    /// is sought was found.
    fn go_back(&mut self, start: Here<'_>, changed: &mut bool) -> Step {
        if self.backtrack.is_empty() {
            return Ok(());
        }
        let mut here = start;
        let state = self.state_at(here)?;
        let (mut first, mut last) = (i64::from(state.first_insn), i64::from(state.insn));
        let mut after = -1;
        let mut skip_first = true;
        loop {
            if self.env.wants(Level::Full) {
                let frame = self.backtrack.frame;
                self.env.emit(Event::Text(&format_args!(
                    "mark_precise: frame{frame}: last_idx {last} first_idx {first} subseq_idx \
                     {after} \n"
                )));
            }
            if last < 0 {
                return self.reach_entry(here, changed);
            }
            match self.walk_state(here, last, &mut after, &mut skip_first)? {
                Found::All => return Ok(()),
                Found::GaveUp => return self.give_up(start),
                Found::More => {}
            }
            let Some(parent) = self.state_at(here)?.parent else { break };
            self.mark_parent(parent, changed)?;
            if self.backtrack.is_empty() {
                return Ok(());
            }
            after = first;
            here = Here::Checkpoint(parent);
            let state = self.state_at(here)?;
            (first, last) = (i64::from(state.first_insn), i64::from(state.last_insn));
        }
        // Something was missed, such as an access to the stack by another register.
        self.give_up(start)
    }

    fn give_up(&mut self, start: Here<'_>) -> Step {
        self.backtrack.clear();
        match start {
            Here::Kept(state) => self.force_precise(Some(state)),
            _ => self.force_precise(None),
        }
    }

    /// The entry of a global function: its arguments may be anything, and matter.
    fn reach_entry(&mut self, here: Here<'_>, changed: &mut bool) -> Step {
        let (regs, slots) = self.backtrack.at(self.backtrack.frame);
        let state = self.state_at(here)?;
        let frame = self.store.frame(state.frame(0)?)?;
        let is_entry = state.depth == 0
            && frame.subprog.0 > 0
            && frame.callsite.number() == Callsite::Main.number()
            && slots == 0
            && regs & !ARGS == 0;
        if !is_entry {
            let subprog = frame.subprog.0;
            return self.bug(format_args!(
                "backtracking func entry subprog {subprog} reg_mask {regs:x} stack_mask {slots:x}"
            ));
        }
        let scalars = frame.scalars_of(regs);
        self.backtrack.clear();
        if let Here::Checkpoint(id) = here
            && let Some(marks) = self.checkpoints.at_mut(id)?.marks.first_mut()
        {
            marks.precise_regs |= scalars;
        }
        *changed |= scalars != 0;
        Ok(())
    }

    /// One state, from its last instruction to its first (`get_prev_insn_idx` finds the way).
    fn walk_state(
        &mut self,
        here: Here<'_>,
        last: i64,
        after: &mut i64,
        skip_first: &mut bool,
    ) -> Step<Found> {
        let Self { env, cur, checkpoints, backtrack, .. } = self;
        let state = match here {
            Here::Current => &*cur,
            Here::Kept(state) => state,
            Here::Checkpoint(id) => &checkpoints.at(id)?.state,
        };
        let first = state.first_insn;
        let shown = env.wants(Level::Full);
        let mut history: &[HistoryEntry] = &state.history;
        env.meter.ticks(history.len())?;
        let mut insn = u32::try_from(last).map_err(|_| Abort::Internal("history"))?;
        loop {
            let concerns = env.code.aux(insn)?.concerns;
            let entry = history.last().filter(|entry| entry.insn == insn);
            let skipped = core::mem::take(skip_first);
            let matters = !skipped && !backtrack.passes(concerns, entry);
            if matters {
                env.tick()?;
            }
            // The log shows every instruction.
            if matters || (shown && !skipped) {
                if backtrack.back_over(env, insn, *after, entry)? == Found::GaveUp {
                    return Ok(Found::GaveUp);
                }
                if backtrack.is_empty() {
                    return Ok(Found::All);
                }
            }
            *after = i64::from(insn);
            // The first instruction may come again, if there is more history than its own entry.
            if insn == first && history.len() <= usize::from(entry.is_some()) {
                return Ok(Found::More);
            }
            let previous = match (entry, history.split_last()) {
                (Some(entry), Some((_, rest))) => {
                    history = rest;
                    i64::from(entry.previous)
                }
                _ => i64::from(insn) - 1,
            };
            insn = match u32::try_from(previous) {
                Ok(previous) if previous < env.code.len() => previous,
                _ => return env.bug(format_args!("backtracking idx {previous}")),
            };
        }
    }

    /// Marks what is sought in a checkpoint. What is marked already, or no number there, is not
    /// sought further.
    fn mark_parent(&mut self, parent: CheckpointId, changed: &mut bool) -> Step {
        for number in (0..=self.backtrack.frame).rev() {
            let (regs, slots) = self.backtrack.at(number);
            let checkpoint = self.checkpoints.at_mut(parent)?;
            let id = checkpoint.state.frame(number)?;
            let frame = self.store.frame(id)?;
            let stack = self.store.slots(id)?;
            let count = u32::try_from(stack.len()).unwrap_or(64);
            if slots.checked_shr(count).unwrap_or(0) != 0 {
                let slot = (slots >> count).trailing_zeros() + count;
                return self.bug(format_args!(
                    "stack slot {slot}, total slots {count} (i >= func->allocated_stack / \
                     BPF_REG_SIZE)"
                ));
            }
            let Some(marks) = checkpoint.marks.get_mut(usize::from(number)) else { continue };
            let regs = frame.scalars_of(regs & !marks.precise_regs & !marks.dead_regs);
            let slots = scalar_spills_of(stack, slots & !marks.precise_slots & !marks.dead_slots);
            marks.precise_regs |= regs;
            marks.precise_slots |= slots;
            *changed |= regs != 0 || slots != 0;
            self.backtrack.set(number, regs, slots);
            if self.env.wants(Level::Full) {
                self.log_parent(parent, number, regs, slots)?;
            }
        }
        Ok(())
    }

    fn log_parent(&mut self, parent: CheckpointId, frame: u8, regs: u16, slots: u64) -> Step {
        let heading = Text::format(format_args!(
            "mark_precise: frame{frame}: parent state regs={} stack={}: ",
            RegList(regs),
            SlotList(slots)
        ));
        let Self { env, store, checkpoints, liveness, .. } = self;
        let checkpoint = checkpoints.at(parent)?;
        let (names, observer) = env.names_and_observer();
        let state = StateView {
            store,
            state: &checkpoint.state,
            frame,
            marks: checkpoint.marks_of(frame),
            suffixes: liveness.suffixes(Some(parent), frame),
            all_precise: false,
            touched: Touched::ALL,
            names,
        };
        let heading = heading.as_str();
        observer.event(Event::State { heading, state: &state, all: true });
        Ok(())
    }

    /// All numbers on the way to a state matter (`mark_all_scalars_precise`).
    pub(crate) fn force_precise(&mut self, kept: Option<&State>) -> Step {
        let start = kept.unwrap_or(&self.cur);
        let (depth, mut next) = (start.depth, start.parent);
        let logged = self.env.wants(Level::Full);
        if logged {
            self.env.emit(Event::Text(&format_args!(
                "mark_precise: frame{depth}: falling back to forcing all scalars precise\n"
            )));
        }
        while let Some(id) = next {
            let state = &self.checkpoints.at(id)?.state;
            let depth = state.depth;
            next = state.parent;
            for number in 0..=depth {
                let checkpoint = self.checkpoints.at_mut(id)?;
                let frame = checkpoint.state.frame(number)?;
                let (stack, frame) = (self.store.slots(frame)?, self.store.frame(frame)?);
                let Some(marks) = checkpoint.marks.get_mut(usize::from(number)) else { continue };
                let regs = frame.scalars_of(NUMBERS & !marks.precise_regs & !marks.dead_regs);
                let slots = scalar_spills_of(stack, !marks.precise_slots & !marks.dead_slots);
                marks.precise_regs |= regs;
                marks.precise_slots |= slots;
                if logged {
                    self.log_forced(number, regs, slots);
                }
            }
        }
        Ok(())
    }

    fn log_forced(&mut self, frame: u8, regs: u16, slots: u64) {
        for reg in (0..10u8).filter(|reg| regs & 1 << reg != 0) {
            self.env.emit(Event::Text(&format_args!(
                "force_precise: frame{frame}: forcing r{reg} to be precise\n"
            )));
        }
        for slot in (0..64i32).filter(|slot| slots & 1 << slot != 0) {
            self.env.emit(Event::Text(&format_args!(
                "force_precise: frame{frame}: forcing fp{} to be precise\n",
                -8 * (slot + 1)
            )));
        }
    }
}
