// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which registers and stack slots are read later, as kernels up to 6.17 find out: every register
//! and slot knows its parent, the same one of the checkpoint that its state grew from, and a read
//! is noted there and further up, until a write is met that screens it off (`mark_reg_read`).
//!
//! The kernel keeps marks and parents inside of its registers. Here they stand beside the states,
//! since frames are shared between them: the current state's, those that wait, and checkpoints'.

use crate::design::{Design, Liveness, Places};
use crate::log::state::Suffixes;
use crate::mem::{Budget, List};
use crate::outcome::{Abort, Step};
use crate::simulate::Sim;
use crate::state::{CALLER_SAVED, CheckpointId, MAX_FRAMES, State};
use crate::trace::Observer;
use veristable_isa::Reg;

/// R0 to R9: the frame pointer has no parent.
const REGS: usize = 10;

/// The parent of a register: a register of a checkpoint.
#[derive(Clone, Copy, Default, Debug)]
struct Parent {
    checkpoint: Option<CheckpointId>,
    frame: u8,
    reg: u8,
}

/// One frame.
#[derive(Clone, Copy, Default, Debug)]
struct FrameMarks {
    parents: [Parent; REGS],
    /// Registers written since the parent checkpoint (`REG_LIVE_WRITTEN`), one bit each.
    written: u16,
    /// Registers read from here on, all of them or the low half (`REG_LIVE_READ64`, `_READ32`).
    /// No register has both bits.
    read: u16,
    read_low: u16,
    /// Slots below this have parents: the same slots of the state's parent checkpoint. The others
    /// were first used since then.
    linked_slots: u8,
    written_slots: u64,
    read_slots: u64,
}

impl FrameMarks {
    fn parent(&self, reg: usize) -> Parent {
        self.parents.get(reg).copied().unwrap_or_default()
    }

    fn set_parent(&mut self, reg: usize, parent: Parent) {
        if let Some(place) = self.parents.get_mut(reg) {
            *place = parent;
        }
    }

    /// A register becomes a copy of another one with its marks.
    fn copy(&mut self, to: usize, from: &Self, reg: usize) {
        self.set_parent(to, from.parent(reg));
        self.written = self.written & !(1 << to) | (from.written >> reg & 1) << to;
    }

    fn links(&self, slot: u8) -> bool {
        slot < self.linked_slots
    }
}

/// A state.
#[derive(Debug, Default)]
struct StateMarks {
    frames: List<FrameMarks>,
    /// The checkpoint that it grew from.
    parent: Option<CheckpointId>,
    /// Nothing changes any more (`REG_LIVE_DONE` on everything).
    done: bool,
}

impl StateMarks {
    /// With one frame, which has no parent.
    fn new(budget: &Budget) -> Result<Self, Abort> {
        Ok(Self { frames: List::filled(budget, 1, FrameMarks::default())?, ..Self::default() })
    }

    fn try_clone(&self, budget: &Budget) -> Result<Self, Abort> {
        Ok(Self { frames: self.frames.try_clone(budget)?, parent: self.parent, done: self.done })
    }

    fn frame(&self, number: u8) -> Result<&FrameMarks, Abort> {
        self.frames.at(usize::from(number))
    }

    fn frame_mut(&mut self, number: u8) -> Result<&mut FrameMarks, Abort> {
        self.frames.at_mut(usize::from(number))
    }

    fn innermost(&mut self) -> Result<&mut FrameMarks, Abort> {
        self.frames.last_mut().ok_or(Abort::Internal("no frame"))
    }

    /// Enters a function; `copies`: its registers that are copies of its caller's.
    fn enter(&mut self, budget: &Budget, copies: &[(Reg, Reg)]) -> Step {
        let caller = *self.innermost()?;
        let mut callee = FrameMarks::default();
        for (to, from) in copies {
            callee.copy(to.index(), &caller, from.index());
        }
        self.frames.push(budget, callee)?;
        Ok(())
    }
}

/// How much of a register is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Read {
    All,
    Low,
}

/// The marks of all states.
#[derive(Debug, Default)]
pub(crate) struct Parentage {
    /// The current state's. It has no read marks: reads are its parents'.
    current: StateMarks,
    /// Of the states that wait.
    waiting: List<StateMarks>,
    /// Of the checkpoints, by their numbers.
    checkpoints: List<StateMarks>,
}

/// Reads never reach what was found final; if this happens, a parent is wrong.
const FINAL: Abort = Abort::Internal("read mark on a final checkpoint");

impl Parentage {
    fn checkpoint(&self, id: CheckpointId) -> Result<&StateMarks, Abort> {
        self.checkpoints.at(id.number() as usize)
    }

    fn checkpoint_mut(&mut self, id: CheckpointId) -> Result<&mut StateMarks, Abort> {
        self.checkpoints.at_mut(id.number() as usize)
    }

    /// Notes a read at a register's parent and above. Gives the number of registers marked.
    fn climb(&mut self, mut parent: Parent, read: Read) -> Result<u32, Abort> {
        let mut steps = 0;
        while let Some(id) = parent.checkpoint {
            let state = self.checkpoint_mut(id)?;
            if state.done {
                return Err(FINAL);
            }
            let marks = state.frame_mut(parent.frame)?;
            let bit = 1 << parent.reg;
            if marks.read & bit != 0 || (read == Read::Low && marks.read_low & bit != 0) {
                break;
            }
            match read {
                Read::All => {
                    marks.read |= bit;
                    marks.read_low &= !bit;
                }
                Read::Low => marks.read_low |= bit,
            }
            steps += 1;
            if marks.written & bit != 0 {
                break;
            }
            parent = marks.parent(usize::from(parent.reg));
        }
        Ok(steps)
    }

    /// The same for a slot of a frame.
    fn climb_slot(
        &mut self,
        mut parent: Option<CheckpointId>,
        frame: u8,
        slot: u8,
    ) -> Result<u32, Abort> {
        let mut steps = 0;
        let bit = 1u64 << (slot & 63);
        while let Some(id) = parent {
            let state = self.checkpoint_mut(id)?;
            if state.done {
                return Err(FINAL);
            }
            let next = state.parent;
            let marks = state.frame_mut(frame)?;
            if marks.read_slots & bit != 0 {
                break;
            }
            marks.read_slots |= bit;
            steps += 1;
            if marks.written_slots & bit != 0 || !marks.links(slot) {
                break;
            }
            parent = next;
        }
        Ok(steps)
    }

    fn read_current(&mut self, frame: u8, reg: usize, read: Read) -> Result<u32, Abort> {
        let marks = self.current.frame(frame)?;
        if marks.written & 1 << reg != 0 {
            return Ok(0);
        }
        let parent = marks.parent(reg);
        self.climb(parent, read)
    }

    fn read_current_slot(&mut self, frame: u8, slot: u8) -> Result<u32, Abort> {
        let marks = self.current.frame(frame)?;
        if marks.written_slots & 1 << (slot & 63) != 0 || !marks.links(slot) {
            return Ok(0);
        }
        self.climb_slot(self.current.parent, frame, slot)
    }
}

/// The first register that follows checkpoints: of callers, not those that calls destroy.
const fn first_followed(innermost: bool) -> usize {
    if innermost { 0 } else { CALLER_SAVED as usize }
}

/// The numbers of the bits of a mask, ascending.
fn bits(mut mask: u64) -> impl Iterator<Item = u8> {
    core::iter::from_fn(move || {
        let bit = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        u8::try_from(bit).ok().filter(|bit| *bit < 64)
    })
}

impl Liveness for Parentage {
    const STATIC_REGISTERS: bool = false;
    const READS_FIRST: bool = false;

    fn begin_pass<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) -> Step {
        let old = core::mem::replace(&mut sim.liveness.current, StateMarks::new(&sim.env.budget)?);
        old.frames.release(&sim.env.budget);
        Ok(())
    }

    fn end_pass<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) {
        while let Some(state) = sim.liveness.checkpoints.pop() {
            state.frames.release(&sim.env.budget);
        }
    }

    #[inline]
    fn read_reg<D: Design<Liveness = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        reg: Reg,
        wide: bool,
    ) -> Step {
        let read = if wide { Read::All } else { Read::Low };
        let depth = sim.cur.depth;
        let steps = sim.liveness.read_current(depth, reg.index(), read)?;
        sim.count_marks(steps);
        Ok(())
    }

    #[inline]
    fn write_regs<D: Design<Liveness = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        frame: u8,
        regs: u16,
    ) {
        if let Ok(marks) = sim.liveness.current.frame_mut(frame) {
            marks.written |= regs;
        }
    }

    fn copy_reg<D: Design<Liveness = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        to: Reg,
        from: Reg,
    ) {
        let depth = sim.cur.depth;
        if let Ok(marks) = sim.liveness.current.frame_mut(depth) {
            let before = *marks;
            marks.copy(to.index(), &before, from.index());
        }
    }

    fn read_slots<D: Design<Liveness = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        frame: u8,
        slots: u64,
    ) -> Step {
        for slot in bits(slots) {
            let steps = sim.liveness.read_current_slot(frame, slot)?;
            sim.count_marks(steps);
        }
        Ok(())
    }

    fn write_slots<D: Design<Liveness = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        frame: u8,
        slots: u64,
    ) {
        if let Ok(marks) = sim.liveness.current.frame_mut(frame) {
            marks.written_slots |= slots;
        }
    }

    fn forked<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) -> Step {
        let Sim { env, liveness, .. } = sim;
        let copy = liveness.current.try_clone(&env.budget)?;
        liveness.waiting.push(&env.budget, copy)?;
        Ok(())
    }

    fn started<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) -> Step {
        let Sim { env, liveness, .. } = sim;
        let fresh = StateMarks::new(&env.budget)?;
        liveness.waiting.push(&env.budget, fresh)?;
        Ok(())
    }

    fn path_ended<D: Design<Liveness = Self>, O: Observer>(_: &mut Sim<'_, '_, D, O>) -> Step {
        Ok(())
    }

    fn resumed<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) {
        if let Some(next) = sim.liveness.waiting.pop() {
            let ended = core::mem::replace(&mut sim.liveness.current, next);
            ended.frames.release(&sim.env.budget);
        }
    }

    fn called<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) -> Step {
        let Sim { env, liveness, .. } = sim;
        let arguments = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5].map(|reg| (reg, reg));
        liveness.current.enter(&env.budget, &arguments)
    }

    fn called_back<D: Design<Liveness = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        copies: &[(Reg, Reg)],
    ) -> Step {
        let Sim { env, liveness, .. } = sim;
        let branch = liveness.waiting.last_mut().ok_or(Abort::Internal("no branch"))?;
        branch.enter(&env.budget, copies)
    }

    fn result_taken<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) -> Step {
        let depth = sim.cur.depth;
        let callee = *sim.liveness.current.frame(depth)?;
        sim.liveness.current.frame_mut(depth.saturating_sub(1))?.copy(0, &callee, 0);
        Ok(())
    }

    fn returned<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) {
        sim.liveness.current.frames.pop();
    }

    fn checkpoint_made<D: Design<Liveness = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
    ) -> Step {
        let Sim { env, liveness, cur, store, .. } = sim;
        let Parentage { current, checkpoints, .. } = liveness;
        let copy = current.try_clone(&env.budget)?;
        let place = id.number() as usize;
        while checkpoints.len() <= place {
            checkpoints.push(&env.budget, StateMarks::default())?;
        }
        let gone = core::mem::replace(checkpoints.at_mut(place)?, copy);
        gone.frames.release(&env.budget);
        current.parent = Some(id);
        for (number, marks) in (0..=cur.depth).zip(current.frames.iter_mut()) {
            let from = first_followed(number == cur.depth);
            for (reg, parent) in (0u8..).zip(&mut marks.parents).skip(from) {
                *parent = Parent { checkpoint: Some(id), frame: number, reg };
            }
            let slots = store.slots(cur.frame(number)?)?.len();
            marks.linked_slots = u8::try_from(slots).unwrap_or(64);
            (marks.written, marks.written_slots) = (0, 0);
        }
        Ok(())
    }

    fn checkpoint_freed<D: Design<Liveness = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
    ) {
        if let Ok(place) = sim.liveness.checkpoint_mut(id) {
            core::mem::take(place).frames.release(&sim.env.budget);
        }
    }

    /// `propagate_liveness`: a read after the checkpoint is one after the current state, whatever
    /// was written before that. The kernel marks the current state first, which ends here.
    fn covered<D: Design<Liveness = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        by: CheckpointId,
    ) -> Step {
        let depth = sim.cur.depth;
        for number in 0..=depth {
            let old = *sim.liveness.checkpoint(by)?.frame(number)?;
            let from = first_followed(number == depth);
            for reg in from..REGS {
                let read = match 1 << reg {
                    bit if old.read & bit != 0 => Read::All,
                    bit if old.read_low & bit != 0 => Read::Low,
                    _ => continue,
                };
                let steps = sim.liveness.read_current(number, reg, read)?;
                sim.count_marks(steps + 1);
                if read == Read::All {
                    sim.extend(number, reg)?;
                }
            }
            let slots = sim.store.slots(sim.cur.frame(number)?)?.len();
            let here = u32::try_from(slots).ok().and_then(|slots| 1u64.checked_shl(slots));
            for slot in bits(old.read_slots & here.map_or(u64::MAX, |bit| bit - 1)) {
                let steps = sim.liveness.read_current_slot(number, slot)?;
                sim.count_marks(steps + 1);
            }
        }
        Ok(())
    }

    /// `clean_verifier_state`
    fn dead<D: Design<Liveness = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
        _: &State,
    ) -> Step<Places> {
        let state = sim.liveness.checkpoint_mut(id)?;
        state.done = true;
        let mut dead = [(0, 0); MAX_FRAMES];
        for (marks, dead) in state.frames.iter().zip(&mut dead) {
            *dead = (!(marks.read | marks.read_low) & 0x3ff, !marks.read_slots);
        }
        Ok(dead)
    }

    fn unread<D: Design<Liveness = Self>, O: Observer>(
        sim: &Sim<'_, '_, D, O>,
        id: CheckpointId,
        frame: u8,
    ) -> Result<(u16, u64), Abort> {
        let marks = sim.liveness.checkpoint(id)?.frame(frame)?;
        Ok((!(marks.read | marks.read_low), !marks.read_slots))
    }

    fn suffixes(&self, id: Option<CheckpointId>, frame: u8) -> Suffixes {
        let state = match id {
            Some(id) => self.checkpoint(id),
            None => Ok(&self.current),
        };
        let Ok(state) = state else { return Suffixes::default() };
        let Ok(marks) = state.frame(frame) else { return Suffixes::default() };
        Suffixes {
            read_regs: marks.read | marks.read_low,
            written_regs: marks.written,
            read_slots: marks.read_slots,
            written_slots: marks.written_slots,
            done: state.done,
        }
    }
}

impl<D: Design<Liveness = Parentage>, O: Observer> Sim<'_, '_, D, O> {
    /// One read marked so many checkpoints (`longest_mark_read_walk`).
    fn count_marks(&mut self, steps: u32) {
        let most = &mut self.env.stats.mark_read;
        *most = (*most).max(steps);
    }
}
