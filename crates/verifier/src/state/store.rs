// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Frames, stacks and references, shared until they are written.

use super::{Frame, RefStore, Slot};
use crate::mem::{Arena, Budget, Id, List};
use crate::outcome::Abort;

/// A stack: slot 0 is the eight bytes below the frame pointer. Only as long as it was accessed
/// (`allocated_stack`).
pub type Stack = List<Slot>;

/// An item and how many refer to it.
#[derive(Clone, Copy, Debug)]
pub struct Counted<T> {
    count: u32,
    item: T,
}

/// A frame in a [`Store`].
pub type FrameId = Id<Counted<Frame>>;

/// A stack in a [`Store`].
pub(super) type StackId = Id<Counted<Stack>>;

/// All frames, stacks and references of one verification. Ids are counted by hand: whoever keeps one got it
/// from [`Store::add`] or [`Store::share`] and gives it back with [`Store::release`].
#[derive(Default)]
pub struct Store {
    frames: Arena<Counted<Frame>>,
    stacks: Arena<Counted<Stack>>,
    /// What states hold.
    pub refs: RefStore,
}

impl Store {
    /// Puts a frame with an empty stack in.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn add(&mut self, budget: &Budget, frame: Frame) -> Result<FrameId, Abort> {
        self.frames.insert(budget, Counted { count: 1, item: frame })
    }

    /// One more refers to the frame.
    ///
    /// # Errors
    /// [`Abort::Internal`] if it is gone.
    pub fn share(&mut self, id: FrameId) -> Result<FrameId, Abort> {
        self.frames.at_mut(id)?.count += 1;
        Ok(id)
    }

    /// One less refers to the frame; the last one frees it.
    ///
    /// # Errors
    /// [`Abort::Internal`] if it is gone.
    pub fn release(&mut self, budget: &Budget, id: FrameId) -> Result<(), Abort> {
        let counted = self.frames.at_mut(id)?;
        if counted.count > 1 {
            counted.count -= 1;
            return Ok(());
        }
        let stack = counted.item.stack;
        self.frames.discard(id);
        match stack {
            Some(stack) => self.release_stack(budget, stack),
            None => Ok(()),
        }
    }

    fn release_stack(&mut self, budget: &Budget, id: StackId) -> Result<(), Abort> {
        let counted = self.stacks.at_mut(id)?;
        if counted.count > 1 {
            counted.count -= 1;
        } else if let Some(counted) = self.stacks.remove(id) {
            counted.item.release(budget);
        }
        Ok(())
    }

    /// The frame.
    ///
    /// # Errors
    /// [`Abort::Internal`] if it is gone.
    #[inline]
    pub fn frame(&self, id: FrameId) -> Result<&Frame, Abort> {
        Ok(&self.frames.at(id)?.item)
    }

    /// The frame for writing; `id` becomes a copy's if it was shared.
    ///
    /// # Errors
    /// If memory does not suffice.
    #[inline]
    pub fn frame_mut(&mut self, budget: &Budget, id: &mut FrameId) -> Result<&mut Frame, Abort> {
        if self.frames.at(*id)?.count > 1 {
            self.unshare(budget, id)?;
        }
        Ok(&mut self.frames.at_mut(*id)?.item)
    }

    fn unshare(&mut self, budget: &Budget, id: &mut FrameId) -> Result<(), Abort> {
        let shared = *id;
        *id = self.frames.insert_copy(budget, shared)?;
        self.frames.at_mut(shared)?.count -= 1;
        let copy = self.frames.at_mut(*id)?;
        copy.count = 1;
        if let Some(stack) = copy.item.stack {
            self.stacks.at_mut(stack)?.count += 1;
        }
        Ok(())
    }

    /// The slots of a frame's stack.
    ///
    /// # Errors
    /// [`Abort::Internal`] if the frame is gone.
    #[inline]
    pub fn slots(&self, id: FrameId) -> Result<&[Slot], Abort> {
        match self.frame(id)?.stack {
            Some(stack) => Ok(&self.stacks.at(stack)?.item),
            None => Ok(&[]),
        }
    }

    /// The stack of a frame for writing; both are copied first if they are shared.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn stack_mut(&mut self, budget: &Budget, id: &mut FrameId) -> Result<&mut Stack, Abort> {
        let current = self.frame_mut(budget, id)?.stack;
        let stack = match current {
            Some(stack) if self.stacks.at(stack)?.count == 1 => stack,
            Some(shared) => {
                let counted = self.stacks.at_mut(shared)?;
                let copy = counted.item.try_clone(budget)?;
                counted.count -= 1;
                self.put_stack(budget, *id, copy)?
            }
            None => self.put_stack(budget, *id, Stack::new())?,
        };
        Ok(&mut self.stacks.at_mut(stack)?.item)
    }

    fn put_stack(&mut self, budget: &Budget, id: FrameId, stack: Stack) -> Result<StackId, Abort> {
        let stack = self.stacks.insert(budget, Counted { count: 1, item: stack })?;
        self.frames.at_mut(id)?.item.stack = Some(stack);
        Ok(stack)
    }
}
