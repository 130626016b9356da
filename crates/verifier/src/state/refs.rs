// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What must be given back, in lists that states share.
//!
//! A state that forks keeps what it holds, and mostly adds to it or gives the latest back. So a list
//! is a chain from the newest reference to the oldest, and lists that began alike share their older
//! part: thousands of waiting branches with long lists cost one link each.

use crate::mem::{Arena, Budget, Id, List};
use crate::outcome::Abort;

/// What kind of resource a reference stands for (`enum ref_state_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefKind {
    /// An acquired object.
    Ptr,
    /// Disabled interrupts.
    Irq,
    /// `bpf_spin_lock`
    Lock,
    /// `bpf_res_spin_lock`
    ResLock,
    /// `bpf_res_spin_lock_irqsave`
    ResLockIrq,
}

/// Something that must be given back (`struct bpf_reference_state`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reference {
    /// What kind.
    pub kind: RefKind,
    /// Its number, from the counter of ids.
    pub id: u32,
    /// Where it was taken.
    pub insn: u32,
    /// What is locked, as the simulation numbers maps and BTFs; 0 if nothing.
    pub object: u64,
    /// The frame of the callback that took it, if it was one; else 0. Only where each frame has
    /// its own list.
    pub callback: u8,
}

impl Reference {
    /// Whether it is an acquired object of this id.
    #[must_use]
    pub fn is_object(&self, id: u32) -> bool {
        self.kind == RefKind::Ptr && self.id == id
    }
}

/// A reference in a list.
#[derive(Debug)]
struct Link {
    /// Lists and younger links that end in this one.
    count: u32,
    reference: Reference,
    /// The one taken before it.
    older: Option<Id<Link>>,
}

/// A list of references, in [`RefStore`]. Ids are counted by hand: a list comes from
/// [`RefStore::share`] or is [`Refs::EMPTY`], and goes back with [`RefStore::release`].
#[derive(Debug, Default)]
pub struct Refs {
    newest: Option<Id<Link>>,
    len: u32,
}

impl Refs {
    /// Nothing is held.
    pub const EMPTY: Self = Self { newest: None, len: 0 };

    /// How many references there are.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether nothing is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// All references of all states.
#[derive(Default)]
pub struct RefStore {
    links: Arena<Link>,
}

impl RefStore {
    /// The references from the newest to the oldest.
    pub fn newest_first<'s>(
        &'s self,
        refs: &Refs,
    ) -> impl Iterator<Item = &'s Reference> + use<'s> {
        let link = |id| self.links.get(id);
        core::iter::successors(refs.newest.and_then(link), move |at| at.older.and_then(link))
            .map(|link| &link.reference)
    }

    /// The references in the order of taking.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn oldest_first(&self, budget: &Budget, refs: &Refs) -> Result<List<Reference>, Abort> {
        let mut all = List::new();
        for reference in self.newest_first(refs) {
            all.push(budget, *reference)?;
        }
        all.reverse();
        Ok(all)
    }

    /// Takes a reference.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn push(
        &mut self,
        budget: &Budget,
        refs: &mut Refs,
        reference: Reference,
    ) -> Result<(), Abort> {
        let link = Link { count: 1, reference, older: refs.newest };
        refs.newest = Some(self.links.insert(budget, link)?);
        refs.len += 1;
        Ok(())
    }

    /// Gives the oldest reference back that `is` picks. The order of the others stays, or, without
    /// `in_order`, the newest takes its place. False if there is none.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn remove(
        &mut self,
        budget: &Budget,
        refs: &mut Refs,
        in_order: bool,
        is: impl Fn(&Reference) -> bool,
    ) -> Result<bool, Abort> {
        let place = self.newest_first(refs).enumerate().filter(|(_, held)| is(held)).last();
        let Some((place, _)) = place else { return Ok(false) };
        let mut younger = List::new();
        let mut rest = self.share(refs)?;
        for step in 0..=place {
            let Some(id) = rest.newest else { break };
            let Link { reference, older, .. } = *self.links.at(id)?;
            if step < place {
                younger.push(budget, reference)?;
            }
            if let Some(older) = older {
                self.links.at_mut(older)?.count += 1;
            }
            let passed = core::mem::replace(&mut rest.newest, older);
            self.release(Refs { newest: passed, len: 0 })?;
        }
        rest.len = refs.len.saturating_sub(u32::try_from(place).unwrap_or(u32::MAX)) - 1;
        if !in_order && let Some(newest) = younger.remove(0) {
            self.push(budget, &mut rest, newest)?;
        }
        while let Some(reference) = younger.pop() {
            self.push(budget, &mut rest, reference)?;
        }
        younger.release(budget);
        self.release(core::mem::replace(refs, rest))?;
        Ok(true)
    }

    /// A list with the same references.
    ///
    /// # Errors
    /// [`Abort::Internal`] if a link is gone.
    pub fn share(&mut self, refs: &Refs) -> Result<Refs, Abort> {
        if let Some(newest) = refs.newest {
            self.links.at_mut(newest)?.count += 1;
        }
        Ok(Refs { ..*refs })
    }

    /// Gives a list back; what no other list has is freed.
    ///
    /// # Errors
    /// [`Abort::Internal`] if a link is gone.
    pub fn release(&mut self, refs: Refs) -> Result<(), Abort> {
        let mut next = refs.newest;
        while let Some(id) = next {
            let link = self.links.at_mut(id)?;
            link.count = link.count.saturating_sub(1);
            if link.count > 0 {
                break;
            }
            next = link.older;
            self.links.remove(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(id: u32) -> Reference {
        Reference { kind: RefKind::Ptr, id, insn: 0, object: 0, callback: 0 }
    }

    fn ids(store: &RefStore, budget: &Budget, refs: &Refs) -> alloc::vec::Vec<u32> {
        let all = store.oldest_first(budget, refs).unwrap();
        assert_eq!(all.len() as u32, refs.len());
        all.iter().map(|reference| reference.id).collect()
    }

    #[test]
    fn lists_share_what_they_began_with() {
        let (budget, mut store) = (Budget::new(1 << 20), RefStore::default());
        let mut first = Refs::EMPTY;
        for id in 1..=5 {
            store.push(&budget, &mut first, reference(id)).unwrap();
        }
        let mut second = store.share(&first).unwrap();
        store.push(&budget, &mut second, reference(6)).unwrap();
        assert!(store.remove(&budget, &mut first, true, |held| held.id == 2).unwrap());
        assert!(!store.remove(&budget, &mut first, true, |held| held.id == 2).unwrap());
        assert_eq!(ids(&store, &budget, &first), [1, 3, 4, 5]);
        assert_eq!(ids(&store, &budget, &second), [1, 2, 3, 4, 5, 6]);
        assert!(store.remove(&budget, &mut second, true, |held| held.id == 6).unwrap());
        assert!(store.remove(&budget, &mut second, true, |held| held.id == 1).unwrap());
        assert_eq!(ids(&store, &budget, &second), [2, 3, 4, 5]);
        store.release(first).unwrap();
        assert_eq!(ids(&store, &budget, &second), [2, 3, 4, 5]);
        assert!(store.remove(&budget, &mut second, false, |held| held.id == 3).unwrap());
        assert_eq!(ids(&store, &budget, &second), [2, 5, 4]);
        store.release(second).unwrap();
        assert!(store.links.is_empty());
    }

    #[test]
    fn of_equal_ones_the_oldest_goes() {
        let (budget, mut store) = (Budget::new(1 << 20), RefStore::default());
        let mut refs = Refs::EMPTY;
        for insn in 0..3 {
            store.push(&budget, &mut refs, Reference { insn, ..reference(7) }).unwrap();
        }
        assert!(store.remove(&budget, &mut refs, true, |held| held.id == 7).unwrap());
        let left: alloc::vec::Vec<_> = store.newest_first(&refs).map(|held| held.insn).collect();
        assert_eq!(left, [2, 1]);
    }
}
