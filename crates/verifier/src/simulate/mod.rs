// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The simulation: every path of the program with every value that a register can have.

mod alu;
mod btf;
mod helper;
mod jump;
mod kfunc;
mod memory;
mod null_check;
mod objects;
mod packet_range;
mod path;
mod pointer;
mod sim;
mod speculation;
mod step;
mod subprogram;
mod wide;

pub(crate) use sim::{Sim, last_branch};

use self::subprogram::Prototypes;
use crate::design::{Design, Liveness};
use crate::env::{Env, SubprogId};
use crate::log::state::Touched;
use crate::mem::List;
use crate::outcome::Step;
use crate::prune::{Backtrack, Checkpoints};
use crate::state::{Callsite, Frame, FrameId, State, Store};
use crate::trace::{Event, Observer};
use veristable_kernel::Behaviour;

/// Simulates the main program and the global functions that it calls.
///
/// # Errors
///
/// Why the program is refused, or why that cannot be said.
pub(crate) fn run<D: Design, O: Observer>(env: &mut Env<'_, O>) -> Step {
    let memos = List::filled(&env.budget, env.code.insns.len(), sim::InsnMemo::default())?;
    let mut checkpoints = Checkpoints::default();
    checkpoints.prepare(&env.budget, env.code.insns.len(), env.kernel.behaviours())?;
    let mut sim: Sim<'_, '_, D, O> = Sim {
        design: core::marker::PhantomData,
        env,
        store: Store::default(),
        cur: State::placeholder(),
        pending: List::new(),
        checkpoints,
        loops: D::Loops::default(),
        liveness: D::Liveness::default(),
        backtrack: Backtrack::default(),
        memos,
        calls: List::new(),
        ctx_loads: memory::CtxLoads::default(),
        maps: memory::MapTable::default(),
        prototypes: Prototypes::default(),
        signatures: List::new(),
        insn: 0,
        previous: -1,
        last: -1,
        id_gen: 0,
        walks: btf::loaded::WalkCache::default(),
        arguments: List::new(),
        ref_arguments: List::new(),
        jumps: 0,
        touched: Touched::default(),
        in_history: false,
        explore_alu_limits: false,
        helpers: helper::Helpers::default(),
    };
    sim.pass(SubprogId::MAIN)?;
    sim.check_called_functions()
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// One pass: a function with any arguments (`do_check_common`).
    fn pass(&mut self, subprog: SubprogId) -> Step {
        self.env.forget_source_line();
        let mut frame = Frame::new(Callsite::Main, 0, subprog);
        self.enter_pass(subprog, &mut frame)?;
        self.touched = Touched::ALL;
        let start = self.env.subprog(subprog)?.start;
        let id = self.store.add(&self.env.budget, frame)?;
        let sleepable = self.env.prog.sleepable && self.env.has(Behaviour::StateSleeps);
        self.cur = self.new_state(id, start, sleepable);
        self.insn = start;
        if subprog == SubprogId::MAIN {
            self.acquire_arguments()?;
        }
        D::Liveness::begin_pass(self)?;
        self.run_paths()?;
        let last = core::mem::replace(&mut self.cur, State::placeholder());
        last.release(&self.env.budget, &mut self.store)?;
        self.loops = D::Loops::default();
        D::Liveness::end_pass(self);
        self.checkpoints.clear(&self.env.budget, &mut self.store)?;
        self.env.emit(Event::PassAccepted);
        Ok(())
    }

    /// A state with one frame, which it takes over, and that holds nothing.
    pub(crate) fn new_state(&self, frame: FrameId, insn: u32, sleepable: bool) -> State {
        let mut state = State::new(frame, insn, sleepable);
        if !self.env.has(Behaviour::ReferencesOfState) {
            state.outer_refs = Some(List::new());
        }
        state
    }
}
