// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Growth under a budget.
//!
//! Everything in this crate that grows with its input grows through the containers here: they ask
//! the allocator with `try_reserve`, count the bytes against a [`Budget`] and report failure as
//! [`Abort`], so that no input can exhaust memory and no allocation failure ends the process. That
//! is what a kernel module needs, and Clippy's `disallowed_methods` (`clippy.toml`) keeps it so.
//!
//! Containers do not know their budget: whoever owns both passes it in. A container that dies
//! before the end of the verification should be given back with `release`, or its bytes stay
//! counted, which is safe but wasteful.

#![allow(clippy::disallowed_methods, reason = "this is where they are wrapped")]

use crate::outcome::Abort;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU32;
use core::ops::{Deref, DerefMut};

/// How many bytes may be in use, and how many are.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: Cell<usize>,
    peak: Cell<usize>,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, used: Cell::new(0), peak: Cell::new(0) }
    }

    /// Bytes in use.
    #[must_use]
    pub const fn used(&self) -> usize {
        self.used.get()
    }

    /// The largest number of bytes that were in use at once.
    #[must_use]
    pub const fn peak(&self) -> usize {
        self.peak.get()
    }

    /// Takes bytes.
    ///
    /// # Errors
    ///
    /// If that would exceed the limit; nothing is taken then.
    pub fn take(&self, bytes: usize) -> Result<(), Abort> {
        let used = self.used.get().checked_add(bytes).filter(|used| *used <= self.limit);
        let used = used.ok_or(Abort::Memory { limit: self.limit })?;
        self.used.set(used);
        self.peak.set(self.peak.get().max(used));
        Ok(())
    }

    /// Gives bytes back.
    pub fn give_back(&self, bytes: usize) {
        self.used.set(self.used.get().saturating_sub(bytes));
    }
}

/// A growable row: a vector whose growth can fail.
pub struct List<T> {
    items: Vec<T>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> List<T> {
    /// An empty row; takes no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: Vec::new() }
    }

    /// A row of `len` times the same value.
    ///
    /// # Errors
    ///
    /// If memory or the budget does not suffice.
    pub fn filled(budget: &Budget, len: usize, value: T) -> Result<Self, Abort>
    where
        T: Clone,
    {
        let mut list = Self::new();
        list.reserve_exact(budget, len)?;
        list.items.resize(len, value);
        Ok(list)
    }

    /// An empty row with room for `len` items.
    ///
    /// # Errors
    ///
    /// If memory or the budget does not suffice.
    pub fn with_room(budget: &Budget, len: usize) -> Result<Self, Abort> {
        let mut list = Self::new();
        list.reserve_exact(budget, len)?;
        Ok(list)
    }

    /// A row with the items of an iterator.
    ///
    /// # Errors
    ///
    /// If memory or the budget does not suffice.
    pub fn collect(
        budget: &Budget,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    ) -> Result<Self, Abort> {
        let items = items.into_iter();
        let mut list = Self::new();
        list.reserve_exact(budget, items.len())?;
        for item in items {
            list.push(budget, item)?;
        }
        Ok(list)
    }

    /// A copy.
    ///
    /// # Errors
    ///
    /// If memory or the budget does not suffice.
    pub fn try_clone(&self, budget: &Budget) -> Result<Self, Abort>
    where
        T: Clone,
    {
        let mut list = Self::new();
        list.reserve_exact(budget, self.items.len())?;
        list.items.extend_from_slice(&self.items);
        Ok(list)
    }

    fn reserve_exact(&mut self, budget: &Budget, more: usize) -> Result<(), Abort> {
        let needed = self.items.len().saturating_add(more);
        self.grow_to(budget, needed)
    }

    fn grow_to(&mut self, budget: &Budget, capacity: usize) -> Result<(), Abort> {
        let old = self.items.capacity();
        if capacity <= old || size_of::<T>() == 0 {
            return Ok(());
        }
        let bytes = (capacity - old).saturating_mul(size_of::<T>());
        budget.take(bytes)?;
        let more = capacity - self.items.len();
        if self.items.try_reserve_exact(more).is_err() {
            budget.give_back(bytes);
            return Err(Abort::OutOfMemory);
        }
        Ok(())
    }

    /// Adds an item at the end.
    ///
    /// # Errors
    ///
    /// If memory or the budget does not suffice.
    #[inline]
    pub fn push(&mut self, budget: &Budget, item: T) -> Result<(), Abort> {
        self.make_room(budget)?;
        self.items.push(item);
        Ok(())
    }

    /// Makes room for one more item.
    #[inline]
    fn make_room(&mut self, budget: &Budget) -> Result<(), Abort> {
        if self.items.len() < self.items.capacity() {
            return Ok(());
        }
        /// Above so many bytes rows grow by a quarter: they are moved more often, but less of them
        /// stays unused.
        const LARGE: usize = 1 << 16;
        let now = self.items.capacity();
        let large = now.saturating_mul(size_of::<T>()) >= LARGE;
        let more = if large { now / 4 } else { now };
        self.grow_to(budget, now.saturating_add(more.max(4)))
    }

    /// Adds a copy of the item at `index`, which must be there.
    ///
    /// # Errors
    ///
    /// If memory or the budget does not suffice, or there is no such item.
    pub fn push_copy(&mut self, budget: &Budget, index: usize) -> Result<(), Abort>
    where
        T: Copy,
    {
        self.at(index)?;
        self.make_room(budget)?;
        self.items.extend_from_within(index..=index);
        Ok(())
    }

    /// Removes and returns the last item.
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop()
    }

    /// Removes and returns the item at `index`; later items move down.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        (index < self.items.len()).then(|| self.items.remove(index))
    }

    /// Inserts an item before `index` (at the end if there is no such item).
    ///
    /// # Errors
    ///
    /// If memory or the budget does not suffice.
    pub fn insert(&mut self, budget: &Budget, index: usize, item: T) -> Result<(), Abort> {
        self.push(budget, item)?;
        if let Some(tail) = self.items.get_mut(index..) {
            tail.rotate_right(1);
        }
        Ok(())
    }

    /// Keeps the first `len` items.
    pub fn truncate(&mut self, len: usize) {
        self.items.truncate(len);
    }

    /// Removes every item but keeps the memory.
    pub fn clear(&mut self) {
        self.items.clear();
    }

    /// Makes the row exactly `len` items long, new ones being copies of `value`.
    ///
    /// # Errors
    ///
    /// If memory or the budget does not suffice.
    pub fn resize(&mut self, budget: &Budget, len: usize, value: T) -> Result<(), Abort>
    where
        T: Clone,
    {
        self.grow_to(budget, len)?;
        self.items.resize(len, value);
        Ok(())
    }

    /// The item at `index`, which must be there.
    ///
    /// # Errors
    ///
    /// [`Abort::Internal`] if it is not: a mistake of this crate, reported and not a panic.
    #[inline]
    pub fn at(&self, index: usize) -> Result<&T, Abort> {
        self.items.get(index).ok_or(Abort::Internal("index out of range"))
    }

    /// The item at `index`, which must be there.
    ///
    /// # Errors
    ///
    /// [`Abort::Internal`] if it is not.
    #[inline]
    pub fn at_mut(&mut self, index: usize) -> Result<&mut T, Abort> {
        self.items.get_mut(index).ok_or(Abort::Internal("index out of range"))
    }

    /// Frees the memory and gives its bytes back.
    pub fn release(self, budget: &Budget) {
        budget.give_back(self.items.capacity().saturating_mul(size_of::<T>()));
    }

    /// The items as a plain vector, which no budget counts any more.
    #[must_use]
    pub fn into_vec(self, budget: &Budget) -> Vec<T> {
        budget.give_back(self.items.capacity().saturating_mul(size_of::<T>()));
        self.items
    }
}

impl<T> Deref for List<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}

impl<'l, T> IntoIterator for &'l List<T> {
    type Item = &'l T;
    type IntoIter = core::slice::Iter<'l, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl<T: fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items.fmt(f)
    }
}

/// A set of small numbers, one bit each.
#[derive(Debug, Default)]
pub struct BitSet {
    words: List<u64>,
}

impl BitSet {
    /// An empty set for the numbers below `len`.
    ///
    /// # Errors
    ///
    /// If memory or the budget does not suffice.
    pub fn new(budget: &Budget, len: usize) -> Result<Self, Abort> {
        Ok(Self { words: List::filled(budget, len.div_ceil(64), 0)? })
    }

    /// Adds a number; one that is too large is left out.
    #[inline]
    pub fn insert(&mut self, number: u32) {
        if let Some(word) = self.words.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }

    /// Takes the smallest number from `from` on out.
    #[inline]
    pub fn take_from(&mut self, from: u32) -> Option<u32> {
        let mut mask = u64::MAX << (from % 64);
        let first = from as usize / 64;
        for (index, word) in self.words.iter_mut().enumerate().skip(first) {
            let bits = *word & mask;
            if bits != 0 {
                let bit = bits.trailing_zeros();
                *word &= !(1 << bit);
                return u32::try_from(index).ok()?.checked_mul(64)?.checked_add(bit);
            }
            mask = u64::MAX;
        }
        None
    }
}

/// The index of an item in an [`Arena`].
pub struct Id<T> {
    /// The index and one more, so that an optional id takes no more memory.
    after: NonZeroU32,
    item: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    fn new(index: u32) -> Result<Self, Abort> {
        let after = index.checked_add(1).and_then(NonZeroU32::new).ok_or(Abort::OutOfMemory)?;
        Ok(Self { after, item: PhantomData })
    }

    /// The plain number, e.g. as an index into a parallel row.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.after.get() - 1
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.after == other.after
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.after.cmp(&other.after)
    }
}
impl<T> core::hash::Hash for Id<T> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.after.hash(state);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.number())
    }
}

/// Items that come and go, addressed by index; freed places are used again.
pub struct Arena<T> {
    slots: List<Slot<T>>,
    free: Option<u32>,
    len: usize,
}

#[derive(Clone, Copy)]
enum Slot<T> {
    Used(T),
    Free(Option<u32>),
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Arena<T> {
    /// An empty arena; takes no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { slots: List::new(), free: None, len: 0 }
    }

    /// How many items there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an item.
    ///
    /// # Errors
    ///
    /// If memory or the budget does not suffice.
    pub fn insert(&mut self, budget: &Budget, item: T) -> Result<Id<T>, Abort> {
        let index = match self.free {
            Some(index) => {
                let slot = self.slots.at_mut(index as usize)?;
                if let Slot::Free(next) = *slot {
                    self.free = next;
                }
                *slot = Slot::Used(item);
                index
            }
            None => {
                let index = u32::try_from(self.slots.len()).map_err(|_| Abort::OutOfMemory)?;
                self.slots.push(budget, Slot::Used(item))?;
                index
            }
        };
        self.len += 1;
        Id::new(index)
    }

    /// Adds a copy of an item: one copy in memory, and none on the way.
    ///
    /// # Errors
    ///
    /// If memory or the budget does not suffice, or the item is not there.
    pub fn insert_copy(&mut self, budget: &Budget, of: Id<T>) -> Result<Id<T>, Abort>
    where
        T: Copy,
    {
        self.at(of)?;
        let from = of.number() as usize;
        let index = match self.free {
            Some(index) => {
                let places = self.slots.get_disjoint_mut([from, index as usize]);
                let Ok([from, to]) = places else { return Err(Abort::Internal("free arena item")) };
                if let Slot::Free(next) = *to {
                    self.free = next;
                }
                *to = *from;
                index
            }
            None => {
                let index = u32::try_from(self.slots.len()).map_err(|_| Abort::OutOfMemory)?;
                self.slots.push_copy(budget, from)?;
                index
            }
        };
        self.len += 1;
        Id::new(index)
    }

    /// As [`Arena::remove`], for an item that nobody wants.
    pub fn discard(&mut self, id: Id<T>) {
        let Some(slot @ Slot::Used(_)) = self.slots.get_mut(id.number() as usize) else { return };
        *slot = Slot::Free(self.free);
        self.free = Some(id.number());
        self.len = self.len.saturating_sub(1);
    }

    /// Takes an item out; its place is free again.
    pub fn remove(&mut self, id: Id<T>) -> Option<T> {
        let slot = self.slots.get_mut(id.number() as usize)?;
        if matches!(slot, Slot::Free(_)) {
            return None;
        }
        let Slot::Used(item) = core::mem::replace(slot, Slot::Free(self.free)) else { return None };
        self.free = Some(id.number());
        self.len = self.len.saturating_sub(1);
        Some(item)
    }

    /// The item, if it has not been removed.
    #[inline]
    #[must_use]
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        match self.slots.get(id.number() as usize) {
            Some(Slot::Used(item)) => Some(item),
            _ => None,
        }
    }

    /// The item, if it has not been removed.
    #[inline]
    pub fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        match self.slots.get_mut(id.number() as usize) {
            Some(Slot::Used(item)) => Some(item),
            _ => None,
        }
    }

    /// The item, which must be there.
    ///
    /// # Errors
    ///
    /// [`Abort::Internal`] if it is not.
    #[inline]
    pub fn at(&self, id: Id<T>) -> Result<&T, Abort> {
        self.get(id).ok_or(Abort::Internal("freed arena item"))
    }

    /// The item, which must be there.
    ///
    /// # Errors
    ///
    /// [`Abort::Internal`] if it is not.
    #[inline]
    pub fn at_mut(&mut self, id: Id<T>) -> Result<&mut T, Abort> {
        self.get_mut(id).ok_or(Abort::Internal("freed arena item"))
    }

    /// The items with their places, in the order of places.
    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        (0u32..).zip(&self.slots).filter_map(|(index, slot)| match slot {
            Slot::Used(item) => Some((Id::new(index).ok()?, item)),
            Slot::Free(_) => None,
        })
    }
}

/// A short row that takes no memory of its own up to `N` items.
#[derive(Debug)]
pub struct SmallList<T: Copy + Default, const N: usize> {
    inline: [T; N],
    len: usize,
    /// Once in use, holds all items.
    spilled: List<T>,
}

impl<T: Copy + Default, const N: usize> Default for SmallList<T, N> {
    fn default() -> Self {
        Self { inline: [T::default(); N], len: 0, spilled: List::new() }
    }
}

impl<T: Copy + Default, const N: usize> SmallList<T, N> {
    /// An empty row.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an item at the end.
    ///
    /// # Errors
    ///
    /// If memory or the budget does not suffice.
    pub fn push(&mut self, budget: &Budget, item: T) -> Result<(), Abort> {
        if self.spilled.is_empty() {
            if let Some(place) = self.inline.get_mut(self.len) {
                *place = item;
                self.len += 1;
                return Ok(());
            }
            for item in self.inline.iter().take(self.len) {
                self.spilled.push(budget, *item)?;
            }
        }
        self.spilled.push(budget, item)?;
        self.len += 1;
        Ok(())
    }

    /// Removes and returns the last item.
    pub fn pop(&mut self) -> Option<T> {
        let item = self.last().copied()?;
        self.len -= 1;
        if !self.spilled.is_empty() {
            self.spilled.pop();
            if self.spilled.is_empty() {
                self.len = 0;
            }
        }
        Some(item)
    }

    /// Removes every item.
    pub fn clear(&mut self) {
        self.len = 0;
        self.spilled.clear();
    }
}

impl<T: Copy + Default, const N: usize> Deref for SmallList<T, N> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        if self.spilled.is_empty() {
            self.inline.get(..self.len).unwrap_or(&[])
        } else {
            &self.spilled
        }
    }
}

impl<T: Copy + Default, const N: usize> DerefMut for SmallList<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        if self.spilled.is_empty() {
            self.inline.get_mut(..self.len).unwrap_or(&mut [])
        } else {
            &mut self.spilled
        }
    }
}

/// A short text of its own, such as a name in a message.
///
/// Cut at [`Text::MAX`] bytes (no kernel name is longer), so that it needs no budget; empty if
/// memory fails, since a message without a name is better than none.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
pub struct Text(String);

impl Text {
    /// The longest text in bytes; the kernel formats messages in a buffer of 1024
    /// (`BPF_VERIFIER_TMP_LOG_SIZE`, `include/linux/bpf_verifier.h`).
    pub const MAX: usize = 1024;

    /// Copies a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut this = Self::default();
        this.append(text);
        this
    }

    /// Formats a text.
    #[must_use]
    pub fn format(args: fmt::Arguments<'_>) -> Self {
        let mut this = Self::default();
        // Appending never fails.
        let _ = fmt::Write::write_fmt(&mut this, args);
        this
    }

    /// Copies bytes, each one that is no UTF-8 as `?`.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut this = Self::default();
        for chunk in bytes.utf8_chunks() {
            this.append(chunk.valid());
            if !chunk.invalid().is_empty() {
                this.append("?");
            }
        }
        this
    }

    fn append(&mut self, text: &str) {
        let room = Self::MAX - self.0.len().min(Self::MAX);
        let text = match text.get(..room) {
            _ if text.len() <= room => text,
            Some(head) => head,
            None => return,
        };
        if self.0.try_reserve(text.len()).is_ok() {
            self.0.push_str(text);
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.append(text);
        Ok(())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn lists_count_their_bytes() {
        let budget = Budget::new(64);
        let mut list = List::new();
        for n in 0..8u64 {
            list.push(&budget, n).unwrap();
        }
        assert_eq!(budget.used(), 64);
        assert_eq!(list.push(&budget, 8), Err(Abort::Memory { limit: 64 }));
        assert_eq!((list.len(), list.at(7), list.at(8).is_err()), (8, Ok(&7), true));
        list.release(&budget);
        assert_eq!((budget.used(), budget.peak()), (0, 64));
    }

    #[test]
    fn lists_insert_and_remove() {
        let budget = Budget::new(1 << 10);
        let mut list = List::collect(&budget, [1, 3]).unwrap();
        list.insert(&budget, 1, 2).unwrap();
        assert_eq!(&*list, &[1, 2, 3]);
        assert_eq!((list.remove(0), list.remove(7), list.pop()), (Some(1), None, Some(3)));
    }

    #[test]
    fn large_lists_grow_by_a_quarter() {
        let budget = Budget::new(usize::MAX);
        let mut list = List::filled(&budget, 1 << 16, 0u8).unwrap();
        list.push(&budget, 1).unwrap();
        assert_eq!(budget.used(), (1 << 16) + (1 << 14));
        list.push_copy(&budget, 1 << 16).unwrap();
        assert_eq!(list.last(), Some(&1));
        assert!(list.push_copy(&budget, 1 << 20).is_err());
    }

    #[test]
    fn arenas_copy_items_in_place() {
        let budget = Budget::new(1 << 10);
        let mut arena = Arena::new();
        let first = arena.insert(&budget, 7).unwrap();
        let second = arena.insert_copy(&budget, first).unwrap();
        arena.discard(first);
        arena.discard(first);
        assert_eq!((arena.get(first), arena.get(second), arena.len()), (None, Some(&7), 1));
        assert!(arena.insert_copy(&budget, first).is_err());
        // The free place is taken.
        let third = arena.insert_copy(&budget, second).unwrap();
        assert_eq!((third, arena.at(third), arena.len()), (first, Ok(&7), 2));
        assert_eq!(size_of::<Option<Id<u8>>>(), 4);
    }

    #[test]
    fn sets_give_their_numbers_in_order() {
        let budget = Budget::new(1 << 10);
        let mut set = BitSet::new(&budget, 130).unwrap();
        for number in [129, 3, 64, 63, 1000] {
            set.insert(number);
        }
        assert_eq!(
            (set.take_from(4), set.take_from(0), set.take_from(130)),
            (Some(63), Some(3), None)
        );
        assert_eq!(
            (set.take_from(64), set.take_from(65), set.take_from(0)),
            (Some(64), Some(129), None)
        );
    }

    #[test]
    fn arenas_use_freed_places_again() {
        let budget = Budget::new(1 << 10);
        let mut arena = Arena::new();
        let a = arena.insert(&budget, 'a').unwrap();
        let b = arena.insert(&budget, 'b').unwrap();
        assert_eq!((arena.remove(a), arena.remove(a), arena.get(a)), (Some('a'), None, None));
        let c = arena.insert(&budget, 'c').unwrap();
        assert_eq!((c.number(), arena.len()), (a.number(), 2));
        let all: Vec<_> = arena.iter().map(|(id, item)| (id, *item)).collect();
        assert_eq!(all, [(c, 'c'), (b, 'b')]);
    }

    #[test]
    fn small_lists_spill_and_come_back() {
        let budget = Budget::new(1 << 10);
        let mut list: SmallList<u32, 2> = SmallList::new();
        for n in 0..5 {
            list.push(&budget, n).unwrap();
            assert_eq!(list.last(), Some(&n));
        }
        assert_eq!(&*list, &[0, 1, 2, 3, 4]);
        for n in (0..5).rev() {
            assert_eq!(list.pop(), Some(n));
        }
        assert_eq!(list.pop(), None);
        list.push(&budget, 9).unwrap();
        assert_eq!(&*list, &[9]);
    }

    #[test]
    fn texts_are_cut() {
        let long = alloc::string::String::from_utf8(alloc::vec![b'x'; 5000]).unwrap();
        assert_eq!(Text::new(&long).as_str().len(), Text::MAX);
        assert_eq!(Text::from_bytes(b"a\xffb").as_str(), "a?b");
    }
}
