// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Not simulating twice what was simulated before (`is_state_visited`).

mod backtrack;
mod equal;
mod loop_entry;
mod parentage;
mod precision;
mod scc;
mod stack_liveness;
mod widen;

pub(crate) use backtrack::Backtrack;
pub(crate) use backtrack::Concerns;
pub(crate) use loop_entry::LoopEntries;
pub(crate) use parentage::Parentage;
pub(crate) use scc::Visits;
pub(crate) use stack_liveness::StackLiveness;

use crate::design::{Design, Liveness, Loops};
use crate::env::InsnFlags;
use crate::log::state::{StateView, Touched};
use crate::mem::{Arena, Budget, List};
use crate::messages::Path;
use crate::outcome::{Abort, Step};
use crate::simulate::Sim;
use crate::state::{
    Access, Checkpoint, CheckpointId, FrameFlags, IterState, Kind, LinkedRegs, Slot, SlotType,
    StateMarks, Store, slot_of,
};
use crate::trace::{Event, Level, Observer};
use equal::{CompareRules, Comparison, Exact, IdMap};
use veristable_isa::{Op, Reg};
use veristable_kernel::Behaviours;

/// Checkpoints in one bucket for programs without `CAP_BPF` (`BPF_COMPLEXITY_LIMIT_STATES`).
const MAX_STATES: u32 = 64;
/// After so many jumps the history is cut by a checkpoint.
const LONG_HISTORY: usize = 40;

/// Whether a state needs simulating.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Visit {
    /// A checkpoint is known to be safe and covers it.
    Known,
    /// It does.
    New,
}

/// The states set aside, in buckets by instruction and call.
#[derive(Default)]
pub(crate) struct Checkpoints {
    arena: Arena<Checkpoint>,
    /// The newest of each bucket.
    buckets: List<Option<CheckpointId>>,
    /// How many are in buckets, over all passes (`explored_states_size`).
    explored: u32,
    /// How many wait for their children (`free_list_size`).
    retired: u32,
    /// Jumps and instructions at the last checkpoint.
    jumps: u32,
    processed: u32,
    ids: IdMap,
    rules: CompareRules,
}

impl Checkpoints {
    /// Buckets for a program of `len` slots.
    pub(crate) fn prepare(
        &mut self,
        budget: &Budget,
        len: usize,
        behaviours: &Behaviours,
    ) -> Result<(), Abort> {
        self.rules = CompareRules::of(behaviours);
        self.buckets = List::filled(budget, len, None)?;
        Ok(())
    }

    pub(crate) fn at(&self, id: CheckpointId) -> Result<&Checkpoint, Abort> {
        self.arena.at(id)
    }

    pub(crate) fn at_mut(&mut self, id: CheckpointId) -> Result<&mut Checkpoint, Abort> {
        self.arena.at_mut(id)
    }

    /// How many there are.
    const fn kept(&self) -> u32 {
        self.explored.saturating_add(self.retired)
    }

    fn first(&self, bucket: usize) -> Option<CheckpointId> {
        self.buckets.get(bucket).copied().flatten()
    }

    /// Takes a checkpoint out of its bucket; `before` is the one that leads to it.
    fn unlink(
        &mut self,
        bucket: usize,
        before: Option<CheckpointId>,
        id: CheckpointId,
    ) -> Result<(), Abort> {
        let next = self.at(id)?.next;
        match before {
            Some(before) => self.at_mut(before)?.next = next,
            None => *self.buckets.at_mut(bucket)? = next,
        }
        Ok(())
    }

    /// Frees everything at the end of a pass; the figures stay.
    pub(crate) fn clear(&mut self, budget: &Budget, store: &mut Store) -> Result<(), Abort> {
        let Self { arena, buckets, .. } = self;
        for bucket in buckets.iter_mut() {
            *bucket = None;
        }
        let mut next = List::new();
        for (id, _) in arena.iter() {
            next.push(budget, id)?;
        }
        while let Some(id) = next.pop() {
            if let Some(checkpoint) = arena.remove(id) {
                checkpoint.state.release(budget, store)?;
            }
        }
        next.release(budget);
        Ok(())
    }
}

impl Checkpoint {
    /// What was found out of a frame.
    pub(crate) fn marks_of(&self, frame: u8) -> crate::state::FrameMarks {
        self.marks.get(usize::from(frame)).copied().unwrap_or_default()
    }
}

/// What a checkpoint says of the current state.
enum Match {
    /// It covers it.
    Hit,
    Miss,
    /// It is the same: the program goes round for ever.
    InfiniteLoop,
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    fn bucket_of(&self, insn: u32) -> Result<usize, Abort> {
        let callsite = self.store.frame(self.cur.current()?)?.callsite.number();
        Ok(((insn ^ callsite) % self.env.code.len().max(1)) as usize)
    }

    /// Compares the current state with the checkpoints at this instruction, and makes another if
    /// that is worth while.
    pub(crate) fn visit(&mut self, insn: u32) -> Step<Visit> {
        let forced = self.env.prog.test_state_freq
            || self.has_flag(insn, InsnFlags::FORCE_CHECKPOINT)?
            || self.cur.history.len() > LONG_HISTORY;
        let jumps = self.jumps.wrapping_sub(self.checkpoints.jumps);
        let processed = self.env.stats.processed_insns.wrapping_sub(self.checkpoints.processed);
        let mut add = forced || (jumps >= 2 && processed >= 8);
        let bucket = self.bucket_of(insn)?;
        self.clean_bucket(bucket, insn)?;
        let mut states = 0;
        let (mut before, mut next) = (None, self.checkpoints.first(bucket));
        let mut in_loop = false;
        while let Some(id) = next {
            self.env.tick()?;
            states += 1;
            let checkpoint = self.checkpoints.at(id)?;
            next = checkpoint.next;
            if checkpoint.state.insn != insn {
                before = Some(id);
                continue;
            }
            let open = checkpoint.state.branches > 0;
            match self.compare(id, insn, &mut in_loop)? {
                Match::Hit => {
                    self.take_hit(id, insn, in_loop)?;
                    return Ok(Visit::Known);
                }
                Match::InfiniteLoop => return self.refuse_infinite_loop(id, insn),
                Match::Miss => {}
            }
            if open && !forced && jumps < 20 && processed < 100 {
                add = false;
            }
            if self.is_useless(id, insn, add)? {
                self.retire(bucket, before, id)?;
            } else {
                before = Some(id);
            }
        }
        let most = &mut self.env.stats.max_states_per_insn;
        *most = (*most).max(states);
        let too_many = !self.env.privileges.bpf_capable && states > MAX_STATES;
        if add && !too_many {
            self.make_checkpoint(bucket, insn)?;
        }
        Ok(Visit::New)
    }

    /// Counts a miss; true if the checkpoint is not worth keeping.
    fn is_useless(&mut self, id: CheckpointId, insn: u32, add: bool) -> Result<bool, Abort> {
        let kept_long = self.has_flag(insn, InsnFlags::FORCE_CHECKPOINT)?;
        let checkpoint = self.checkpoints.at_mut(id)?;
        if add {
            checkpoint.misses += 1;
        }
        let n = if kept_long && checkpoint.state.branches > 0 { 64 } else { 3 };
        Ok(checkpoint.misses > checkpoint.hits.saturating_mul(n).saturating_add(n))
    }

    fn retire(&mut self, bucket: usize, before: Option<CheckpointId>, id: CheckpointId) -> Step {
        self.checkpoints.unlink(bucket, before, id)?;
        self.checkpoints.at_mut(id)?.retired = true;
        D::Loops::retired(self, id)?;
        self.checkpoints.retired += 1;
        self.checkpoints.explored = self.checkpoints.explored.saturating_sub(1);
        self.maybe_free(id)
    }

    /// Frees a retired checkpoint that nothing needs any more (`maybe_free_verifier_state`).
    fn maybe_free(&mut self, id: CheckpointId) -> Step {
        let checkpoint = self.checkpoints.at(id)?;
        if !checkpoint.retired || checkpoint.state.branches != 0 || D::Loops::needs(self, id)? {
            return Ok(());
        }
        D::Liveness::checkpoint_freed(self, id);
        if let Some(checkpoint) = self.checkpoints.arena.remove(id) {
            checkpoint.state.release(&self.env.budget, &mut self.store)?;
        }
        self.checkpoints.retired = self.checkpoints.retired.saturating_sub(1);
        Ok(())
    }

    /// A path ended: counts down the checkpoints that it came from, as far as it was the last
    /// (`update_branch_counts`).
    pub(crate) fn finish_branch(&mut self) -> Step {
        self.cur.branches = self.cur.branches.saturating_sub(1);
        if self.cur.branches > 0 {
            return Ok(());
        }
        D::Loops::explored(self, None)?;
        let mut next = self.cur.parent;
        while let Some(id) = next {
            let state = &mut self.checkpoints.at_mut(id)?.state;
            state.branches = state.branches.saturating_sub(1);
            if state.branches > 0 {
                return Ok(());
            }
            next = state.parent;
            D::Loops::explored(self, Some(id))?;
            self.maybe_free(id)?;
        }
        Ok(())
    }

    /// Finds out what is dead in the checkpoints at this instruction whose paths are all explored
    /// (`clean_live_states`).
    fn clean_bucket(&mut self, bucket: usize, insn: u32) -> Step {
        let mut next = self.checkpoints.first(bucket);
        while let Some(id) = next {
            let checkpoint = self.checkpoints.at(id)?;
            next = checkpoint.next;
            if checkpoint.state.branches > 0 {
                continue;
            }
            let differs = checkpoint.state.insn != insn || checkpoint.cleaned;
            D::Loops::passed(self, id)?;
            if differs || !self.has_same_calls(id)? || D::Loops::is_open(self, id)? {
                continue;
            }
            self.clean(id)?;
        }
        Ok(())
    }

    /// Same calls as the current state (`same_callsites`).
    fn has_same_calls(&self, id: CheckpointId) -> Result<bool, Abort> {
        let old = &self.checkpoints.at(id)?.state;
        if old.depth != self.cur.depth {
            return Ok(false);
        }
        for (old, new) in old.frames().zip(self.cur.frames()) {
            let (old, new) = (self.store.frame(old)?.callsite, self.store.frame(new)?.callsite);
            if old.number() != new.number() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `clean_verifier_state`
    fn clean(&mut self, id: CheckpointId) -> Step {
        // Taken out, so that the rest can be asked.
        let mut state = crate::state::State::placeholder();
        core::mem::swap(&mut state, &mut self.checkpoints.at_mut(id)?.state);
        let result = D::Liveness::dead(self, id, &state);
        let checkpoint = self.checkpoints.at_mut(id)?;
        checkpoint.state = state;
        checkpoint.cleaned = true;
        let dead = result?;
        for (marks, (regs, slots)) in checkpoint.marks.iter_mut().zip(dead) {
            marks.dead_regs |= regs;
            marks.dead_slots |= slots;
        }
        Ok(())
    }

    /// What one checkpoint at this instruction says. `in_loop`: the loop around it is not explored
    /// yet; where neither is the checkpoint of a callback's call, it stays as it was found for the
    /// one before, as in the kernel.
    fn compare(&mut self, id: CheckpointId, insn: u32, in_loop: &mut bool) -> Step<Match> {
        let hit = |equal| if equal { Match::Hit } else { Match::Miss };
        if self.checkpoints.at(id)?.state.branches == 0 {
            *in_loop = D::Loops::is_open(self, id)?;
            let exact = if *in_loop { Exact::RangeWithin } else { Exact::No };
            return Ok(hit(self.is_equal(id, exact)?));
        }
        if self.is_another_async_entry(id)? {
            return Ok(Match::Miss);
        }
        let old = &self.checkpoints.at(id)?.state;
        let same_may_goto = old.may_goto_depth == self.cur.may_goto_depth;
        let same_unrolling = old.callback_unroll_depth == self.cur.callback_unroll_depth;
        let flags = self.env.code.aux(insn)?.flags;
        if flags.contains(InsnFlags::ITER_NEXT) {
            if self.is_equal(id, Exact::RangeWithin)? && self.iterates()? {
                *in_loop = true;
                return Ok(Match::Hit);
            }
            return Ok(Match::Miss);
        }
        if matches!(self.op(insn)?, Some(Op::MayGoto { .. }))
            && !same_may_goto
            && self.is_equal(id, Exact::RangeWithin)?
        {
            *in_loop = true;
            return Ok(Match::Hit);
        }
        if flags.contains(InsnFlags::CALLS_CALLBACK) {
            return Ok(hit(self.is_equal(id, Exact::RangeWithin)?));
        }
        let looping = self.may_be_looping(id)?
            && self.is_equal(id, Exact::Yes)?
            && !self.iterates_differently(id)?
            && same_may_goto
            && same_unrolling;
        Ok(if looping { Match::InfiniteLoop } else { Match::Miss })
    }

    /// Whether the checkpoint and the current state entered an asynchronous callback differently
    /// often: then it is no loop that they are the same.
    fn is_another_async_entry(&self, id: CheckpointId) -> Result<bool, Abort> {
        let old = self.store.frame(self.checkpoints.at(id)?.state.current()?)?;
        let new = self.store.frame(self.cur.current()?)?;
        Ok(old.flags.contains(FrameFlags::IN_ASYNC_CALLBACK)
            && old.async_entries != new.async_entries)
    }

    /// Whether the iterator that R1 points to may give another element.
    fn iterates(&self) -> Result<bool, Abort> {
        let iterator = self.reg(Reg::R1)?;
        let off = iterator.value.bits.value.wrapping_add(i64::from(iterator.off).cast_unsigned());
        let off = i32::try_from(off.cast_signed()).unwrap_or(0);
        let slot = self.slot(iterator.frame, slot_of(off))?;
        Ok(matches!(slot.reg.kind, Kind::Iter { state: IterState::Active, .. }))
    }

    /// Whether an active iterator is further in one state than in the other
    /// (`iter_active_depths_differ`).
    fn iterates_differently(&self, id: CheckpointId) -> Result<bool, Abort> {
        let old = &self.checkpoints.at(id)?.state;
        let depth_of = |slot: &Slot| match slot.reg.kind {
            Kind::Iter { depth, .. } => depth,
            _ => 0,
        };
        for number in 0..=old.depth {
            let slots = self.store.slots(old.frame(number)?)?;
            let new = self.store.slots(self.cur.frame(number)?)?;
            for (index, slot) in slots.iter().enumerate() {
                let active = slot.types.first() == Some(&SlotType::Iter)
                    && matches!(slot.reg.kind, Kind::Iter { state: IterState::Active, .. });
                if active && new.get(index).map(depth_of) != Some(depth_of(slot)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// A quick test before the thorough one (`states_maybe_looping`).
    fn may_be_looping(&self, id: CheckpointId) -> Result<bool, Abort> {
        let old = &self.checkpoints.at(id)?.state;
        if old.depth != self.cur.depth {
            return Ok(false);
        }
        let old = self.store.frame(old.current()?)?;
        let new = self.store.frame(self.cur.current()?)?;
        Ok(old.regs.iter().zip(&new.regs).all(|(old, new)| old.same_with_ids(new)))
    }

    fn is_equal(&mut self, id: CheckpointId, exact: Exact) -> Result<bool, Abort> {
        let Self { env, store, cur, checkpoints, id_gen, explore_alu_limits, .. } = self;
        let Checkpoints { arena, ids, rules, .. } = checkpoints;
        let checkpoint = arena.at(id)?;
        ids.reset(*id_gen);
        let mut comparison = Comparison {
            store,
            budget: &env.budget,
            aux: if D::Liveness::STATIC_REGISTERS { &env.code.aux } else { &[] },
            ids,
            exact,
            all_precise: !env.privileges.bpf_capable,
            allow_uninit_stack: env.privileges.allow_uninit_stack,
            strict_numbers: *explore_alu_limits,
            rules: *rules,
            differed: checkpoint.differed,
        };
        let equal = comparison.states(&checkpoint.state, &checkpoint.marks, cur)?;
        let differed = comparison.differed;
        if differed != checkpoint.differed {
            arena.at_mut(id)?.differed = differed;
        }
        Ok(equal)
    }

    /// A checkpoint covers the current state: what matters there matters here.
    fn take_hit(&mut self, id: CheckpointId, insn: u32, in_loop: bool) -> Step {
        self.checkpoints.at_mut(id)?.hits += 1;
        D::Liveness::covered(self, id)?;
        if self.has_flag(insn, InsnFlags::JMP_POINT)? {
            self.note_history(Access::default(), LinkedRegs::default())?;
        }
        self.propagate_precision(id, None, &mut false)?;
        if in_loop {
            D::Loops::met(self, id, insn)?;
        }
        Ok(())
    }

    fn refuse_infinite_loop(&mut self, id: CheckpointId, insn: u32) -> Step<Visit> {
        self.env.source_line(insn, &"; ");
        self.env.say(Path::InfiniteLoop { insn })?;
        if self.env.wants(Level::Messages) {
            let frame = self.cur.depth;
            self.print_frame("cur state:", frame);
            let Self { env, store, checkpoints, liveness, .. } = self;
            let checkpoint = checkpoints.at(id)?;
            let all_precise = !env.privileges.bpf_capable;
            let (names, observer) = env.names_and_observer();
            let state = StateView {
                store,
                state: &checkpoint.state,
                frame,
                marks: checkpoint.marks_of(frame),
                suffixes: liveness.suffixes(Some(id), frame),
                all_precise,
                touched: Touched::ALL,
                names,
            };
            observer.event(Event::State { heading: "old state:", state: &state, all: true });
        }
        Err(crate::Errno::EINVAL.into())
    }

    /// Sets the current state aside; it goes on as the child of its copy.
    fn make_checkpoint(&mut self, bucket: usize, insn: u32) -> Step {
        self.env.stats.total_states += 1;
        self.checkpoints.explored += 1;
        self.checkpoints.jumps = self.jumps;
        self.checkpoints.processed = self.env.stats.processed_insns;
        let state = self.cur.share(&self.env.budget, &mut self.store)?;
        let dfs_depth = state.dfs_depth;
        let checkpoint = Checkpoint {
            state,
            marks: StateMarks::default(),
            next: self.checkpoints.first(bucket),
            misses: 0,
            hits: 0,
            retired: false,
            cleaned: false,
            differed: None,
        };
        let id = self.checkpoints.arena.insert(&self.env.budget, checkpoint)?;
        D::Loops::made(self, id)?;
        D::Liveness::checkpoint_made(self, id)?;
        self.cur.parent = Some(id);
        self.cur.first_insn = insn;
        self.cur.dfs_depth = dfs_depth + 1;
        self.cur.history.clear();
        *self.checkpoints.buckets.at_mut(bucket)? = Some(id);
        Ok(())
    }
}
