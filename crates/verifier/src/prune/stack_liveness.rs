// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which stack slots are read later, as 6.18 finds out: recorded while paths are simulated, per
//! call chain and instruction, and propagated backwards when a path ends
//! (`kernel/bpf/liveness.c`).

use crate::design::{Design, Liveness, Places};
use crate::env::{Code, InsnFlags, Subprog};
use crate::mem::{BitSet, Budget, List};
use crate::outcome::{Abort, Step};
use crate::simulate::Sim;
use crate::state::{CheckpointId, MAX_FRAMES, State};
use crate::trace::{Event, Level, Observer};
use core::fmt;

/// What is known of one instruction for one frame's stack: one bit per slot (`struct
/// per_frame_masks`).
#[derive(Clone, Copy, Default, Debug)]
struct Masks {
    may_read: u64,
    must_write: u64,
    /// Written by it and whatever follows.
    must_write_acc: u64,
    /// Read by it or whatever follows.
    live_before: u64,
}

/// The calls that lead to a function, and where the functions start (`struct callchain`).
#[derive(Clone, Copy, Debug)]
struct Chain {
    /// The call of each frame but the last; the start of the last one's function.
    callsites: [u32; MAX_FRAMES],
    starts: [u32; MAX_FRAMES],
    depth: u8,
}

impl Chain {
    /// Of a state, down to a frame.
    fn of<D: Design<Liveness = StackLiveness>, O: Observer>(
        sim: &Sim<'_, '_, D, O>,
        state: &State,
        depth: u8,
    ) -> Result<Self, Abort> {
        let mut chain = Self { callsites: [0; MAX_FRAMES], starts: [0; MAX_FRAMES], depth };
        for number in 0..=depth {
            let at = usize::from(number);
            let subprog = sim.store.frame(state.frame(number)?)?.subprog;
            let start = sim.env.subprog(subprog)?.start;
            let callsite = match number {
                _ if number == depth => start,
                _ => state.insn_of_frame(&sim.store, number)?,
            };
            if let (Some(s), Some(c)) = (chain.starts.get_mut(at), chain.callsites.get_mut(at)) {
                (*s, *c) = (start, callsite);
            }
        }
        Ok(chain)
    }

    fn calls(&self) -> &[u32] {
        self.callsites.get(..=usize::from(self.depth)).unwrap_or(&[])
    }

    fn same_as(&self, other: &Self) -> bool {
        self.depth == other.depth && self.calls() == other.calls()
    }

    fn start(&self) -> u32 {
        self.starts.get(usize::from(self.depth)).copied().unwrap_or(0)
    }

    fn callsite(&self, frame: u8) -> u32 {
        self.callsites.get(usize::from(frame)).copied().unwrap_or(0)
    }

    /// The caller's chain.
    fn outer(mut self) -> Self {
        let at = usize::from(self.depth);
        for row in [&mut self.callsites, &mut self.starts] {
            if let Some(place) = row.get_mut(at) {
                *place = 0;
            }
        }
        self.depth = self.depth.saturating_sub(1);
        let (at, start) = (usize::from(self.depth), self.start());
        if let Some(place) = self.callsites.get_mut(at) {
            *place = start;
        }
        self
    }

    fn bucket(&self) -> usize {
        let hash = self
            .calls()
            .iter()
            .fold(0u32, |hash, call| (hash ^ call).wrapping_mul(0x9e37_79b1).rotate_left(13));
        hash as usize % StackLiveness::BUCKETS
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sep = "(";
        for call in self.calls() {
            // The kernel prints them as signed numbers.
            write!(f, "{sep}{}", call.cast_signed())?;
            sep = ",";
        }
        f.write_str(")")
    }
}

/// The masks of all instructions of a function for one frame's stack.
#[derive(Debug)]
struct Row {
    masks: List<Masks>,
    /// Instructions of which a mask may follow from others otherwise than it stands there, by their
    /// places in the function's post-order: the only ones that a sweep needs to look at.
    stale: BitSet,
}

impl Row {
    fn new(budget: &Budget, len: usize) -> Result<Self, Abort> {
        let masks = List::filled(budget, len, Masks::default())?;
        Ok(Self { masks, stale: BitSet::new(budget, len)? })
    }
}

/// A function's instructions in the order in which changes are propagated.
#[derive(Clone, Copy)]
struct Order<'e> {
    code: &'e Code,
    /// Where its part of [`Code::postorder`] begins.
    first: u32,
}

impl Order<'_> {
    /// The place of an instruction, counted from the function's first.
    fn place(self, insn: u32) -> u32 {
        let place = self.code.places.get(insn as usize).copied();
        place.and_then(|place| place.checked_sub(self.first)).unwrap_or(u32::MAX)
    }

    fn insn(self, place: u32) -> Result<u32, Abort> {
        self.code.postorder.at(self.first.saturating_add(place) as usize).copied()
    }

    /// The masks of an instruction changed: those before it are stale.
    fn mark_predecessors(self, stale: &mut BitSet, insn: u32) {
        for predecessor in self.code.graph.predecessors(insn) {
            stale.insert(self.place(*predecessor));
        }
    }
}

/// What a sweep changed.
struct Change {
    insn: u32,
    old: Masks,
    new: Masks,
}

/// What is recorded of a function when it is reached by one chain of calls (`struct
/// func_instance`).
#[derive(Debug)]
struct Instance {
    chain: Chain,
    /// Slots of its function.
    len: u32,
    /// Where its function begins in the post-order.
    first: u32,
    /// Something new must be propagated.
    updated: bool,
    /// A set of certain writes became smaller.
    must_write_dropped: bool,
    /// One row for each frame on the chain, once it is needed.
    frames: [Option<Row>; MAX_FRAMES],
    /// What is known of the certain writes of each instruction (`must_write_set`).
    certain: List<Certain>,
    next: Option<u32>,
}

impl Instance {
    fn masks(&self, frame: u8, insn: u32) -> Option<&Masks> {
        let index = insn.checked_sub(self.chain.start())?;
        self.frames.get(usize::from(frame))?.as_ref()?.masks.get(index as usize)
    }

    fn order<'e>(&self, code: &'e Code) -> Order<'e> {
        Order { code, first: self.first }
    }

    /// The row of a frame, for recording something.
    fn row_mut(&mut self, budget: &Budget, frame: u8) -> Result<&mut Row, Abort> {
        let place = self.frames.get_mut(usize::from(frame));
        let place = place.ok_or(Abort::Internal("no liveness masks"))?;
        if place.is_none() {
            *place = Some(Row::new(budget, self.len as usize)?);
        }
        place.as_mut().ok_or(Abort::Internal("no liveness masks"))
    }

    fn index(&self, insn: u32) -> usize {
        insn.saturating_sub(self.chain.start()) as usize
    }

    fn add_read(
        &mut self,
        budget: &Budget,
        code: &Code,
        frame: u8,
        insn: u32,
        mask: u64,
    ) -> Result<(), Abort> {
        let (index, order) = (self.index(insn), self.order(code));
        let Row { masks, stale } = self.row_mut(budget, frame)?;
        let masks = masks.at_mut(index)?;
        let may_read = masks.may_read | mask;
        if may_read != masks.may_read {
            let news = may_read & !masks.live_before != 0;
            masks.may_read = may_read;
            stale.insert(order.place(insn));
            self.updated |= news;
        }
        Ok(())
    }

    /// Takes the certain writes of one simulation of an instruction over. The kernel keeps the
    /// old mask in 32 bits, so slots from 32 on are not kept when others change.
    fn commit(
        &mut self,
        budget: &Budget,
        code: &Code,
        insn: u32,
        writes: &[u64; MAX_FRAMES],
    ) -> Step {
        let (index, order) = (self.index(insn), self.order(code));
        let known = *self.certain.at(index)?;
        if known == Certain::Nothing {
            return Ok(());
        }
        let mut now = Certain::Nothing;
        for (frame, mut mask) in (0..=self.chain.depth).zip(writes.iter().copied()) {
            if mask == 0 && known == Certain::Unknown {
                continue;
            }
            let Row { masks, stale } = self.row_mut(budget, frame)?;
            let masks = masks.at_mut(index)?;
            let old = masks.must_write & u64::from(u32::MAX);
            if known == Certain::Something {
                mask &= old;
            }
            let changed = old != mask;
            if changed {
                masks.must_write = mask;
                stale.insert(order.place(insn));
            }
            if masks.must_write & u64::from(u32::MAX) != 0 {
                now = Certain::Something;
            }
            self.updated |= changed;
            self.must_write_dropped |= old & !mask != 0;
        }
        *self.certain.at_mut(index)? = now;
        Ok(())
    }
}

/// Whether an instruction certainly writes anything. Once it does not, it never will again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Certain {
    /// It was not simulated yet.
    Unknown,
    Nothing,
    Something,
}

/// All that was recorded (`struct bpf_liveness`).
#[derive(Debug)]
pub(crate) struct StackLiveness {
    instances: List<Instance>,
    buckets: [Option<u32>; Self::BUCKETS],
    /// The instance of the current state.
    current: Option<u32>,
    /// Certain writes of the current instruction.
    writes: [u64; MAX_FRAMES],
    write_insn: u32,
}

impl Default for StackLiveness {
    fn default() -> Self {
        Self {
            instances: List::new(),
            buckets: [None; Self::BUCKETS],
            current: None,
            writes: [0; MAX_FRAMES],
            write_insn: 0,
        }
    }
}

impl StackLiveness {
    const BUCKETS: usize = 256;

    fn find(&self, chain: &Chain) -> Option<u32> {
        let mut next = self.buckets.get(chain.bucket()).copied().flatten();
        while let Some(index) = next {
            let instance = self.instances.get(index as usize)?;
            if instance.chain.same_as(chain) {
                return Some(index);
            }
            next = instance.next;
        }
        None
    }

    fn add(&mut self, budget: &Budget, chain: Chain, subprog: Subprog) -> Result<u32, Abort> {
        let len = subprog.end.saturating_sub(subprog.start);
        let index = u32::try_from(self.instances.len()).map_err(|_| Abort::OutOfMemory)?;
        let bucket = self.buckets.get_mut(chain.bucket()).ok_or(Abort::Internal("no bucket"))?;
        let next = bucket.replace(index);
        self.instances.push(
            budget,
            Instance {
                chain,
                len,
                first: subprog.postorder.0,
                updated: false,
                must_write_dropped: false,
                frames: [const { None }; MAX_FRAMES],
                certain: List::filled(budget, len as usize, Certain::Unknown)?,
                next,
            },
        )?;
        Ok(index)
    }

    fn at_mut(&mut self, index: u32) -> Result<&mut Instance, Abort> {
        self.instances.at_mut(index as usize)
    }

    fn at(&self, index: u32) -> Result<&Instance, Abort> {
        self.instances.at(index as usize)
    }
}

/// Slots -8, -16, … of a mask, as the log lists them (`bpf_fmt_stack_mask`).
#[derive(Clone, Copy)]
pub(crate) struct SlotList(pub(crate) u64);

impl fmt::Display for SlotList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sep = "";
        for slot in (0..64i32).filter(|slot| self.0 & 1 << slot != 0) {
            write!(f, "{sep}{}", -8 * (slot + 1))?;
            sep = ",";
        }
        Ok(())
    }
}

impl Liveness for StackLiveness {
    const STATIC_REGISTERS: bool = true;
    const READS_FIRST: bool = true;

    fn begin_pass<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) -> Step {
        sim.forget_instance();
        Ok(())
    }

    fn end_pass<D: Design<Liveness = Self>, O: Observer>(_: &mut Sim<'_, '_, D, O>) {}

    fn begin_insn<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) -> Step {
        sim.begin_stack_writes()
    }

    fn commit_insn<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) -> Step {
        sim.commit_stack_writes()
    }

    fn read_slots<D: Design<Liveness = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        frame: u8,
        slots: u64,
    ) -> Step {
        sim.mark_stack_read(frame, slots)
    }

    fn write_slots<D: Design<Liveness = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        frame: u8,
        slots: u64,
    ) {
        sim.mark_stack_write(frame, slots);
    }

    fn path_ended<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) -> Step {
        sim.update_live_stack()
    }

    fn called<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) -> Step {
        sim.forget_instance();
        Ok(())
    }

    fn returning<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) -> Step {
        sim.update_live_stack()
    }

    /// `clean_verifier_state`
    fn dead<D: Design<Liveness = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        _: CheckpointId,
        state: &State,
    ) -> Step<Places> {
        let mut dead = [(0, 0); MAX_FRAMES];
        let at = sim.stack_query(state)?;
        for (number, dead) in (0..=state.depth).zip(&mut dead) {
            let insn = state.insn_of_frame(&sim.store, number)?;
            let live = sim.env.code.aux(insn)?.live_regs;
            *dead = (!live & 0x3ff, sim.dead_slots(&at, number)?);
        }
        Ok(dead)
    }

    /// What is dead was marked where it stands.
    fn unread<D: Design<Liveness = Self>, O: Observer>(
        _: &Sim<'_, '_, D, O>,
        _: CheckpointId,
        _: u8,
    ) -> Result<(u16, u64), Abort> {
        Ok((0, 0))
    }
}

impl<D: Design<Liveness = StackLiveness>, O: Observer> Sim<'_, '_, D, O> {
    fn instance(&mut self, chain: Chain) -> Result<u32, Abort> {
        if let Some(index) = self.liveness.find(&chain) {
            return Ok(index);
        }
        let subprog = *self.env.subprog(self.env.subprog_of(chain.start()))?;
        self.liveness.add(&self.env.budget, chain, subprog)
    }

    fn current_instance(&mut self) -> Result<u32, Abort> {
        if let Some(index) = self.liveness.current {
            return Ok(index);
        }
        let chain = Chain::of(self, &self.cur, self.cur.depth)?;
        let index = self.instance(chain)?;
        self.liveness.current = Some(index);
        Ok(index)
    }

    /// Another function is current now (`bpf_reset_live_stack_callchain`).
    fn forget_instance(&mut self) {
        self.liveness.current = None;
    }

    /// The current instruction may read these slots.
    fn mark_stack_read(&mut self, frame: u8, mask: u64) -> Step {
        let (index, insn) = (self.current_instance()?, self.insn);
        let Self { env, liveness, .. } = self;
        liveness.at_mut(index)?.add_read(&env.budget, &env.code, frame, insn, mask)?;
        Ok(())
    }

    /// The current instruction certainly writes these slots, if it goes on.
    fn mark_stack_write(&mut self, frame: u8, mask: u64) {
        if let Some(writes) = self.liveness.writes.get_mut(usize::from(frame)) {
            *writes |= mask;
        }
    }

    /// An instruction begins (`bpf_reset_stack_write_marks`).
    fn begin_stack_writes(&mut self) -> Step {
        self.current_instance()?;
        self.liveness.write_insn = self.insn;
        self.liveness.writes = [0; MAX_FRAMES];
        Ok(())
    }

    /// An instruction went on (`bpf_commit_stack_write_marks`). A call or return has changed the
    /// instance and records nothing.
    fn commit_stack_writes(&mut self) -> Step {
        let StackLiveness { instances, current, writes, write_insn, .. } = &mut self.liveness;
        let Some(index) = *current else { return Ok(()) };
        let instance = instances.at_mut(index as usize)?;
        instance.commit(&self.env.budget, &self.env.code, *write_insn, writes)?;
        *write_insn = 0;
        Ok(())
    }

    /// Propagates what is new, from the innermost function outwards (`bpf_update_live_stack`).
    fn update_live_stack(&mut self) -> Step {
        self.forget_instance();
        for depth in (0..=self.cur.depth).rev() {
            let chain = Chain::of(self, &self.cur, depth)?;
            let index = self.instance(chain)?;
            if self.liveness.at(index)?.updated {
                self.update_instance(index)?;
                let instance = self.liveness.at_mut(index)?;
                instance.updated = false;
                instance.must_write_dropped = false;
            }
        }
        Ok(())
    }

    /// `update_instance`: sweeps over the instructions until nothing changes. An instruction to
    /// which nothing happened since it was looked at last would come out the same, so that only
    /// the stale ones are looked at; the sweeps are those of the kernel.
    fn update_instance(&mut self, index: u32) -> Step {
        let chain = self.liveness.at(index)?.chain;
        self.forget_dropped_writes(index)?;
        let mut rounds = 0u32;
        let mut changed = true;
        while changed {
            rounds += 1;
            changed = false;
            for frame in 0..=chain.depth {
                changed |= self.sweep(index, frame)?;
            }
        }
        if self.env.wants(Level::Full) {
            self.env.emit(Event::Text(&format_args!(
                "{chain} live stack update done in {rounds} iterations\n"
            )));
        }
        if chain.depth > 0 { self.propagate_to_caller(index) } else { Ok(()) }
    }

    /// Where an instruction writes less than was known, what is written after it is found out anew.
    fn forget_dropped_writes(&mut self, index: u32) -> Step {
        let Self { env, liveness, .. } = self;
        let instance = liveness.at_mut(index)?;
        let order = instance.order(&env.code);
        if !instance.must_write_dropped {
            return Ok(());
        }
        let start = instance.chain.start();
        for Row { masks, stale } in instance.frames.iter_mut().flatten() {
            for (insn, masks) in (start..).zip(masks.iter_mut()) {
                if core::mem::take(&mut masks.must_write_acc) != 0 {
                    stale.insert(order.place(insn));
                    order.mark_predecessors(stale, insn);
                }
            }
        }
        Ok(())
    }

    /// Looks at the stale instructions once, in post-order. True if anything changed.
    fn sweep(&mut self, index: u32, frame: u8) -> Step<bool> {
        let logged = self.env.wants(Level::Full);
        let (mut changed, mut from) = (false, 0);
        while let Some(change) = self.next_change(index, frame, &mut from)? {
            changed = true;
            let Change { insn, old, new } = change;
            let chain = self.liveness.at(index)?.chain;
            if logged
                && (old.may_read != 0
                    || old.must_write != 0
                    || insn == chain.start()
                    || self.has_flag(insn, InsnFlags::PRUNE_POINT)?)
            {
                self.log_change(&chain, "live", frame, insn, old.live_before, new.live_before);
                let (old, new) = (old.must_write_acc, new.must_write_acc);
                self.log_change(&chain, "written", frame, insn, old, new);
            }
        }
        Ok(changed)
    }

    /// Looks at stale instructions from a place on until one changes (`update_insn`).
    fn next_change(&mut self, index: u32, frame: u8, from: &mut u32) -> Step<Option<Change>> {
        let Self { env, liveness, .. } = self;
        let instance = liveness.at_mut(index)?;
        let (start, order) = (instance.chain.start(), instance.order(&env.code));
        let row = instance.frames.get_mut(usize::from(frame));
        let Some(Row { masks, stale }) = row.and_then(Option::as_mut) else { return Ok(None) };
        while let Some(place) = stale.take_from(*from) {
            env.meter.tick()?;
            *from = place.saturating_add(1);
            let insn = order.insn(place)?;
            let successors = env.code.graph.successors(insn);
            if successors.is_empty() {
                continue;
            }
            let (mut after, mut written) = (0, u64::MAX);
            for next in successors {
                let next = next.checked_sub(start).and_then(|next| masks.get(next as usize));
                let next = next.copied().unwrap_or_default();
                after |= next.live_before;
                written &= next.must_write_acc;
            }
            let masks = masks.at_mut(insn.saturating_sub(start) as usize)?;
            let old = *masks;
            masks.live_before = (after & !old.must_write) | old.may_read;
            masks.must_write_acc = written | old.must_write;
            let new = *masks;
            if (new.live_before, new.must_write_acc) != (old.live_before, old.must_write_acc) {
                order.mark_predecessors(stale, insn);
                return Ok(Some(Change { insn, old, new }));
            }
        }
        Ok(None)
    }

    fn log_change(&mut self, chain: &Chain, what: &str, frame: u8, insn: u32, old: u64, new: u64) {
        let (gained, lost) = (new & !old, old & !new);
        if gained | lost == 0 {
            return;
        }
        self.env.emit(Event::Text(&format_args!("{chain} frame {frame} insn {insn} ")));
        if gained != 0 {
            self.env.emit(Event::Text(&format_args!("+{what} {} ", SlotList(gained))));
        }
        if lost != 0 {
            self.env.emit(Event::Text(&format_args!("-{what} {}", SlotList(lost))));
        }
        self.env.emit(Event::Text(&"\n"));
    }

    /// What a function does to its callers' stacks counts for the call
    /// (`propagate_to_outer_instance`).
    fn propagate_to_caller(&mut self, index: u32) -> Step {
        let chain = self.liveness.at(index)?.chain;
        let outer_chain = chain.outer();
        let outer = self.instance(outer_chain)?;
        let call = chain.callsite(chain.depth.saturating_sub(1));
        let mut writes = [0; MAX_FRAMES];
        for (frame, writes) in (0..chain.depth).zip(&mut writes) {
            let Some(masks) = self.liveness.at(index)?.masks(frame, chain.start()).copied() else {
                continue;
            };
            *writes = masks.must_write_acc;
            let Self { env, liveness, .. } = self;
            let live = masks.live_before;
            liveness.at_mut(outer)?.add_read(&env.budget, &env.code, frame, call, live)?;
        }
        let Self { env, liveness, .. } = self;
        liveness.at_mut(outer)?.commit(&env.budget, &env.code, call, &writes)
    }

    /// Slots of a state's frame that no instruction reads later (`bpf_stack_slot_alive`), as a
    /// mask.
    fn dead_slots(&mut self, state: &StateAt, frame: u8) -> Step<u64> {
        let mut alive = 0;
        let live = |sim: &Self, depth: u8, insn: u32| -> Result<u64, Abort> {
            let Some(index) = state.instance(depth) else { return Ok(0) };
            let masks = sim.liveness.at(index)?.masks(frame, insn).copied();
            Ok(masks.unwrap_or_default().live_before)
        };
        alive |= live(self, state.depth, state.insn)?;
        for depth in frame..state.depth {
            let call = state.chain.callsite(depth);
            let calls_back = self.has_flag(call, InsnFlags::CALLS_CALLBACK)?;
            alive |= live(self, depth, if calls_back { call } else { call + 1 })?;
        }
        Ok(!alive)
    }

    /// Prepares [`Sim::dead_slots`] (`bpf_live_stack_query_init`).
    fn stack_query(&mut self, state: &State) -> Step<StateAt> {
        let chain = Chain::of(self, state, state.depth)?;
        let mut instances = [None; MAX_FRAMES];
        for (depth, place) in (0..=state.depth).zip(&mut instances) {
            let chain = Chain::of(self, state, depth)?;
            *place = Some(self.instance(chain)?);
        }
        Ok(StateAt { chain, instances, depth: state.depth, insn: state.insn })
    }
}

/// Where a state is, for asking which slots are alive there.
#[derive(Clone, Copy)]
pub(crate) struct StateAt {
    chain: Chain,
    instances: [Option<u32>; MAX_FRAMES],
    depth: u8,
    insn: u32,
}

impl StateAt {
    fn instance(&self, depth: u8) -> Option<u32> {
        self.instances.get(usize::from(depth)).copied().flatten()
    }
}
