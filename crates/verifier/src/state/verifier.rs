// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A whole state: the call chain and what it holds.

use super::{CheckpointId, FrameId, HistoryEntry, MAX_FRAMES, Refs, Store};
use crate::mem::{Budget, List};
use crate::outcome::Abort;

/// What a state holds and the regions that it is in.
#[derive(Debug, Default)]
pub struct Resources {
    /// References.
    pub refs: Refs,
    /// Locks held.
    pub locks: u32,
    /// Preemption disabled so many times.
    pub preempt: u32,
    /// In an RCU read section.
    pub rcu: bool,
    /// The innermost disabling of interrupts, 0 if none.
    pub irq_id: u32,
    /// The innermost lock, 0 if none.
    pub lock_id: u32,
    /// What it locks.
    pub lock_object: u64,
}

/// What an outer frame held when it called (`struct bpf_func_state.refs`).
#[derive(Debug)]
pub struct FrameRefs {
    /// The frame.
    pub frame: u8,
    /// Its references.
    pub refs: Refs,
}

/// A state of the program (`struct bpf_verifier_state`).
#[derive(Debug)]
pub struct State {
    frames: [Option<FrameId>; MAX_FRAMES],
    /// Index of the innermost frame.
    pub depth: u8,
    /// The checkpoint that it grew from.
    pub parent: Option<CheckpointId>,
    /// What it holds.
    pub resources: Resources,
    /// Where each frame has its own references: those of the outer ones that hold any, the
    /// outermost first. The current frame's are in `resources`.
    pub outer_refs: Option<List<FrameRefs>>,
    /// Paths from here that are not explored yet, this one included.
    pub branches: u32,
    /// Reached only by misprediction.
    pub speculative: bool,
    /// May sleep here.
    pub in_sleepable: bool,
    /// Where it is.
    pub insn: u32,
    /// Where it began, at the parent checkpoint.
    pub first_insn: u32,
    /// The instruction before it; -1 at the start.
    pub last_insn: i32,
    /// How it came from the first to the last.
    pub history: List<HistoryEntry>,
    /// Checkpoints above it.
    pub dfs_depth: u32,
    /// Unrolled callbacks above it.
    pub callback_unroll_depth: u32,
    /// `may_goto`s taken.
    pub may_goto_depth: u32,
}

impl State {
    /// A state with one frame, which it takes over.
    #[must_use]
    pub const fn new(frame: FrameId, insn: u32, in_sleepable: bool) -> Self {
        let mut this = Self::placeholder();
        let [first, ..] = &mut this.frames;
        *first = Some(frame);
        this.branches = 1;
        this.insn = insn;
        this.first_insn = insn;
        this.in_sleepable = in_sleepable;
        this
    }

    /// A state without frames, to stand where another was taken out.
    #[must_use]
    pub const fn placeholder() -> Self {
        Self {
            frames: [None; MAX_FRAMES],
            depth: 0,
            parent: None,
            resources: Resources {
                refs: Refs::EMPTY,
                locks: 0,
                preempt: 0,
                rcu: false,
                irq_id: 0,
                lock_id: 0,
                lock_object: 0,
            },
            outer_refs: None,
            branches: 0,
            speculative: false,
            in_sleepable: false,
            insn: 0,
            first_insn: 0,
            last_insn: -1,
            history: List::new(),
            dfs_depth: 0,
            callback_unroll_depth: 0,
            may_goto_depth: 0,
        }
    }

    /// The frame at a place on the call chain.
    ///
    /// # Errors
    /// [`Abort::Internal`] if there is none.
    #[inline]
    pub fn frame(&self, number: u8) -> Result<FrameId, Abort> {
        self.frames.get(usize::from(number)).copied().flatten().ok_or(Abort::Internal("no frame"))
    }

    /// The place of a frame's id, for [`Store::frame_mut`].
    ///
    /// # Errors
    /// [`Abort::Internal`] if there is none.
    #[inline]
    pub fn frame_mut(&mut self, number: u8) -> Result<&mut FrameId, Abort> {
        let place = self.frames.get_mut(usize::from(number));
        place.and_then(Option::as_mut).ok_or(Abort::Internal("no frame"))
    }

    /// The innermost frame.
    ///
    /// # Errors
    /// [`Abort::Internal`] never: there is always one.
    #[inline]
    pub fn current(&self) -> Result<FrameId, Abort> {
        self.frame(self.depth)
    }

    /// Enters a function, whose frame it takes over. False if the chain is too long.
    #[must_use]
    pub fn push_frame(&mut self, frame: FrameId) -> bool {
        let Some(place) = self.frames.get_mut(usize::from(self.depth) + 1) else { return false };
        *place = Some(frame);
        self.depth += 1;
        true
    }

    /// Leaves the innermost function; its frame is the caller's to release.
    pub fn pop_frame(&mut self) -> Option<FrameId> {
        let place = self.frames.get_mut(usize::from(self.depth))?;
        let frame = place.take();
        self.depth = self.depth.saturating_sub(1);
        frame
    }

    /// The frames from the outermost on.
    pub fn frames(&self) -> impl DoubleEndedIterator<Item = FrameId> + '_ {
        self.frames.iter().take(usize::from(self.depth) + 1).copied().flatten()
    }

    /// A copy that shares the frames (`copy_verifier_state`).
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn share(&self, budget: &Budget, store: &mut Store) -> Result<Self, Abort> {
        let history = self.history.try_clone(budget)?;
        let resources =
            Resources { refs: store.refs.share(&self.resources.refs)?, ..self.resources };
        let mut outer_refs = self.outer_refs.as_ref().map(|_| List::new());
        if let (Some(copy), Some(outer)) = (&mut outer_refs, &self.outer_refs) {
            for held in outer.iter() {
                let refs = store.refs.share(&held.refs)?;
                copy.push(budget, FrameRefs { refs, ..*held })?;
            }
        }
        for frame in self.frames() {
            store.share(frame)?;
        }
        Ok(Self { frames: self.frames, history, resources, outer_refs, ..*self })
    }

    /// Gives the frames and memory back.
    ///
    /// # Errors
    /// [`Abort::Internal`] if a frame is gone.
    pub fn release(self, budget: &Budget, store: &mut Store) -> Result<(), Abort> {
        for frame in self.frames() {
            store.release(budget, frame)?;
        }
        self.history.release(budget);
        if let Some(mut outer) = self.outer_refs {
            while let Some(held) = outer.pop() {
                store.refs.release(held.refs)?;
            }
            outer.release(budget);
        }
        store.refs.release(self.resources.refs)
    }

    /// What a frame holds, or the whole state where references belong to that.
    #[must_use]
    pub fn refs_of(&self, frame: u8) -> Option<&Refs> {
        match &self.outer_refs {
            Some(outer) if frame != self.depth => {
                outer.iter().find(|held| held.frame == frame).map(|held| &held.refs)
            }
            _ => Some(&self.resources.refs),
        }
    }

    /// The current frame calls: the callee begins with a copy of its references, if frames have
    /// their own (`copy_reference_state`).
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn lend_refs(&mut self, budget: &Budget, store: &mut Store) -> Result<(), Abort> {
        let Some(outer) = &mut self.outer_refs else { return Ok(()) };
        if self.resources.refs.is_empty() {
            return Ok(());
        }
        let refs = store.refs.share(&self.resources.refs)?;
        outer.push(budget, FrameRefs { frame: self.depth, refs })
    }

    /// The current frame is about to return to its caller, which has its references from now on
    /// (`copy_reference_state`). [`State::take_refs_back`] does the same where the frame is left;
    /// this is for the log, which shows both frames before.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn hand_refs_over(&mut self, budget: &Budget, store: &mut Store) -> Result<(), Abort> {
        let (Some(outer), Some(caller)) = (&mut self.outer_refs, self.depth.checked_sub(1)) else {
            return Ok(());
        };
        let refs = store.refs.share(&self.resources.refs)?;
        match outer.last_mut() {
            Some(held) if held.frame == caller => {
                store.refs.release(core::mem::replace(&mut held.refs, refs))
            }
            _ if refs.is_empty() => store.refs.release(refs),
            _ => outer.push(budget, FrameRefs { frame: caller, refs }),
        }
    }

    /// The current frame returned, and has been left: its references are its caller's now, or,
    /// unless they are `kept`, the caller has those that it had.
    ///
    /// # Errors
    /// [`Abort::Internal`] if a link is gone.
    pub fn take_refs_back(&mut self, store: &mut Store, kept: bool) -> Result<(), Abort> {
        let Some(outer) = &mut self.outer_refs else { return Ok(()) };
        let own = match outer.iter().next_back() {
            Some(held) if held.frame == self.depth => outer.pop().map(|held| held.refs),
            _ => None,
        };
        let own = own.unwrap_or_default();
        store.refs.release(match kept {
            true => own,
            false => core::mem::replace(&mut self.resources.refs, own),
        })
    }

    /// Where a frame is: the state's instruction for the innermost, else the call
    /// (`frame_insn_idx`).
    ///
    /// # Errors
    /// [`Abort::Internal`] if there is no such frame.
    pub fn insn_of_frame(&self, store: &Store, number: u8) -> Result<u32, Abort> {
        if number == self.depth {
            return Ok(self.insn);
        }
        let inner = self.frame(number.saturating_add(1))?;
        Ok(store.frame(inner)?.callsite.number())
    }
}
