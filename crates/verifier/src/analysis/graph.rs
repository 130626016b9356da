// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The graph of control flow, written down once for all that walk it.

use crate::mem::{Budget, List};
use crate::outcome::Abort;
use veristable_isa::Insn;

/// Where control goes from each slot and where it came from, calls aside.
#[derive(Default)]
pub struct Graph {
    successors: List<Successors>,
    /// Where the predecessors of each slot begin in `sources`, and after the last slot their end.
    starts: List<u32>,
    sources: List<u32>,
    /// Something leads back, or to itself.
    goes_back: bool,
}

/// Slots that may follow one, in the kernel's order; the rest is [`NO_SLOT`].
#[derive(Clone, Copy, Debug)]
struct Successors([u32; 2]);

/// No slot: programs are shorter.
const NO_SLOT: u32 = u32::MAX;

impl Graph {
    /// Of these instructions.
    ///
    /// # Errors
    /// If memory does not suffice.
    pub fn of(budget: &Budget, insns: &[Insn]) -> Result<Self, Abort> {
        let mut successors = List::filled(budget, insns.len(), NOWHERE)?;
        let mut starts = List::filled(budget, insns.len().saturating_add(1), 0u32)?;
        let mut edges = 0u32;
        let mut goes_back = false;
        for (index, of_slot) in successors.iter_mut().enumerate() {
            for successor in veristable_isa::successors(insns, index) {
                of_slot.push(u32::try_from(successor).map_err(|_| Abort::OutOfMemory)?);
                *starts.at_mut(successor)? += 1;
                edges += 1;
                goes_back |= successor <= index;
            }
        }
        // Where the predecessors of each slot end, counted down to where they begin as they are
        // filled in.
        let mut end = 0u32;
        for start in starts.iter_mut() {
            end += *start;
            *start = end;
        }
        let mut sources = List::filled(budget, edges as usize, 0u32)?;
        for (index, of_slot) in (0u32..).zip(&successors) {
            for successor in of_slot.as_slice() {
                let start = starts.at_mut(*successor as usize)?;
                *start -= 1;
                *sources.at_mut(*start as usize)? = index;
            }
        }
        Ok(Self { successors, starts, sources, goes_back })
    }

    /// Whether no slot leads to an earlier one: there is no loop then.
    #[must_use]
    pub const fn only_goes_on(&self) -> bool {
        !self.goes_back
    }

    /// Slots that may follow one: the next, then the target of the jump.
    #[inline]
    #[must_use]
    pub fn successors(&self, slot: u32) -> &[u32] {
        self.successors.get(slot as usize).map_or(&[], Successors::as_slice)
    }

    /// Slots that one may follow.
    #[inline]
    #[must_use]
    pub fn predecessors(&self, slot: u32) -> &[u32] {
        let bound = |at: usize| self.starts.get(at).map_or(0, |start| *start as usize);
        let at = slot as usize;
        self.sources.get(bound(at)..bound(at.saturating_add(1))).unwrap_or(&[])
    }
}

const NOWHERE: Successors = Successors([NO_SLOT; 2]);

impl Successors {
    fn push(&mut self, slot: u32) {
        if let Some(place) = self.0.iter_mut().find(|place| **place == NO_SLOT) {
            *place = slot;
        }
    }

    #[inline]
    const fn as_slice(&self) -> &[u32] {
        match &self.0 {
            [NO_SLOT, _] => &[],
            [one, NO_SLOT] => core::slice::from_ref(one),
            both => both,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_go_both_ways() {
        // 0: if r0 == 0 goto 2; 1: r0 = 0; 2: goto 0; 3: exit
        let insns: [Insn; 4] = [
            Insn::from_bytes([0x15, 0, 1, 0, 0, 0, 0, 0]),
            Insn::from_bytes([0xb7, 0, 0, 0, 0, 0, 0, 0]),
            Insn::from_bytes([0x05, 0, 0xfd, 0xff, 0, 0, 0, 0]),
            Insn::from_bytes([0x95, 0, 0, 0, 0, 0, 0, 0]),
        ];
        let graph = Graph::of(&Budget::new(1 << 12), &insns).unwrap();
        assert_eq!(graph.successors(0), [1, 2]);
        assert_eq!(graph.successors(2), [0]);
        assert!(graph.successors(3).is_empty() && graph.successors(4).is_empty());
        assert_eq!(graph.predecessors(0), [2]);
        let mut both = [0; 2];
        both.copy_from_slice(graph.predecessors(2));
        both.sort();
        assert_eq!(both, [0, 1]);
        assert!(graph.predecessors(3).is_empty() && graph.predecessors(4).is_empty());
    }
}
