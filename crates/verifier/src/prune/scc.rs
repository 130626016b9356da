// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Loops: a visit of a strongly connected component begins with the first checkpoint inside and
//! ends when all paths from it are explored. States that met an open checkpoint meanwhile are
//! kept, so that precision found later reaches their parents too (`struct bpf_scc_visit`).

use crate::design::{Design, Loops};
use crate::mem::List;
use crate::outcome::{Abort, Step};
use crate::simulate::Sim;
use crate::state::{CheckpointId, MAX_FRAMES, State};
use crate::trace::{Event, Level, Observer};
use core::fmt;

/// Rounds over the back-edges before everything is made precise (`MAX_BACKEDGE_ITERS`).
const MAX_ROUNDS: u32 = 64;

/// The calls that lead to a component, and the component (`struct bpf_scc_callchain`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LoopChain {
    callsites: [u32; MAX_FRAMES - 1],
    scc: u32,
}

impl fmt::Display for LoopChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for call in self.callsites.iter().take_while(|call| **call != 0) {
            write!(f, "{call},")?;
        }
        write!(f, "{})", self.scc)
    }
}

/// A state that met a checkpoint whose loop is not explored yet.
#[derive(Debug)]
struct BackEdge {
    state: State,
    /// The checkpoint that it met.
    equal: CheckpointId,
}

/// A visit of a loop.
#[derive(Debug)]
struct Visit {
    chain: LoopChain,
    /// The checkpoint with which it began, while it lasts.
    entry: Option<CheckpointId>,
    back_edges: List<BackEdge>,
    /// As [`Visit::back_edges`] until the visit ends: what counts for the statistics.
    counted: u32,
}

/// All visits of one pass.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    visits: List<Visit>,
    /// Back-edges that count for the statistics.
    back_edges: u32,
}

impl Visits {
    fn find(&self, chain: &LoopChain) -> Option<usize> {
        self.visits.iter().position(|visit| visit.chain == *chain)
    }
}

impl Loops for Visits {
    fn is_open<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
    ) -> Step<bool> {
        Ok(sim.is_incomplete(id)?)
    }

    fn made<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
    ) -> Step {
        sim.update_peak();
        sim.maybe_enter_loop(id)
    }

    fn explored<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: Option<CheckpointId>,
    ) -> Step {
        sim.maybe_exit_loop(id)
    }

    fn met<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
        insn: u32,
    ) -> Step {
        sim.add_back_edge(id, insn)
    }

    fn retired<D: Design<Loops = Self>, O: Observer>(
        _: &mut Sim<'_, '_, D, O>,
        _: CheckpointId,
    ) -> Step {
        Ok(())
    }

    fn needs<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
    ) -> Step<bool> {
        Ok(sim.is_incomplete(id)?)
    }
}

impl<D: Design<Loops = Visits>, O: Observer> Sim<'_, '_, D, O> {
    /// The outermost loop that a state is in (`compute_scc_callchain`).
    fn loop_of(&self, state: &State) -> Result<Option<LoopChain>, Abort> {
        if self.env.code.scc_count == 0 {
            return Ok(None);
        }
        let mut chain = LoopChain { callsites: [0; MAX_FRAMES - 1], scc: 0 };
        for number in 0..=state.depth {
            let insn = state.insn_of_frame(&self.store, number)?;
            chain.scc = self.env.code.aux(insn)?.scc;
            if chain.scc != 0 {
                return Ok(Some(chain));
            }
            if let Some(place) = chain.callsites.get_mut(usize::from(number)) {
                *place = insn;
            }
        }
        Ok(None)
    }

    /// Whether what is known of a checkpoint is not final because its loop is being explored
    /// (`incomplete_read_marks`).
    fn is_incomplete(&self, id: CheckpointId) -> Result<bool, Abort> {
        let Some(chain) = self.loop_of(&self.checkpoints.at(id)?.state)? else { return Ok(false) };
        let visit = self.loops.find(&chain).and_then(|index| self.loops.visits.get(index));
        Ok(visit.is_some_and(|visit| !visit.back_edges.is_empty()))
    }

    fn log_loop(&mut self, what: &str, chain: &LoopChain) {
        if self.env.wants(Level::Full) {
            self.env.emit(Event::Text(&format_args!("SCC {what} {chain}\n")));
        }
    }

    /// A checkpoint was made (`maybe_enter_scc`).
    fn maybe_enter_loop(&mut self, id: CheckpointId) -> Step {
        let Some(chain) = self.loop_of(&self.checkpoints.at(id)?.state)? else { return Ok(()) };
        let index = match self.loops.find(&chain) {
            Some(index) => index,
            None => {
                let visit = Visit { chain, entry: None, back_edges: List::new(), counted: 0 };
                self.loops.visits.push(&self.env.budget, visit)?;
                self.loops.visits.len() - 1
            }
        };
        let visit = self.loops.visits.at_mut(index)?;
        if visit.entry.is_none() {
            visit.entry = Some(id);
            self.log_loop("enter", &chain);
        }
        Ok(())
    }

    /// All paths from a state are explored: `id` is its checkpoint, or none for the current state
    /// (`maybe_exit_scc`).
    fn maybe_exit_loop(&mut self, id: Option<CheckpointId>) -> Step {
        let state = match id {
            Some(id) => &self.checkpoints.at(id)?.state,
            None => &self.cur,
        };
        let speculative = state.speculative;
        let Some(chain) = self.loop_of(state)? else { return Ok(()) };
        let Some(index) = self.loops.find(&chain) else {
            if speculative {
                return Ok(());
            }
            return self.bug(format_args!("scc exit: no visit info for call chain {chain}"));
        };
        let visit = self.loops.visits.at_mut(index)?;
        if visit.entry.is_none() || visit.entry != id {
            return Ok(());
        }
        visit.entry = None;
        self.loops.back_edges = self.loops.back_edges.saturating_sub(visit.counted);
        visit.counted = 0;
        self.log_loop("exit", &chain);
        self.update_peak();
        self.propagate_back_edges(index)
    }

    /// The current state met an open checkpoint (`add_scc_backedge`).
    fn add_back_edge(&mut self, equal: CheckpointId, insn: u32) -> Step {
        let mut state = self.cur.share(&self.env.budget, &mut self.store)?;
        state.insn = insn;
        let chain = self.loop_of(&self.checkpoints.at(equal)?.state)?;
        let Some(chain) = chain else {
            let insn = self.checkpoints.at(equal)?.state.insn;
            return self
                .bug(format_args!("add backedge: no SCC in verification path, insn_idx {insn}"));
        };
        let Some(index) = self.loops.find(&chain) else {
            return self.bug(format_args!("add backedge: no visit info for call chain {chain}"));
        };
        self.log_loop("backedge", &chain);
        let visit = self.loops.visits.at_mut(index)?;
        visit.back_edges.push(&self.env.budget, BackEdge { state, equal })?;
        visit.counted += 1;
        self.loops.back_edges += 1;
        self.update_peak();
        Ok(())
    }

    /// Carries precision over the back-edges until nothing changes (`propagate_backedges`).
    fn propagate_back_edges(&mut self, index: usize) -> Step {
        let edges = core::mem::take(&mut self.loops.visits.at_mut(index)?.back_edges);
        let result = self.propagate_edges(&edges);
        let mut edges = edges;
        while let Some(BackEdge { state, .. }) = edges.pop() {
            state.release(&self.env.budget, &mut self.store)?;
        }
        edges.release(&self.env.budget);
        result
    }

    fn propagate_edges(&mut self, edges: &List<BackEdge>) -> Step {
        for _ in 0..=MAX_ROUNDS {
            let mut changed = false;
            // The kernel keeps them newest first.
            for edge in edges.iter().rev() {
                self.propagate_precision(edge.equal, Some(&edge.state), &mut changed)?;
            }
            if !changed {
                return Ok(());
            }
        }
        if self.env.wants(Level::Full) {
            self.env.emit(Event::Text(&"propagate_backedges: too many iterations\n"));
        }
        for edge in edges.iter().rev() {
            self.force_precise(Some(&edge.state))?;
        }
        Ok(())
    }

    /// `update_peak_states`
    fn update_peak(&mut self) {
        let now = self.checkpoints.kept().saturating_add(self.loops.back_edges);
        let peak = &mut self.env.stats.peak_states;
        *peak = (*peak).max(now);
    }
}
