// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The machine: one current state, the branches that wait, and what all paths share.

use super::helper::Helpers;
use super::subprogram::Prototypes;
use crate::design::{Design, Liveness};
use crate::env::{DecodedOp, Env, InsnFlags, SubprogId};
use crate::log::state::{StateView, Touched};
use crate::mem::{Budget, List, Text};
use crate::messages::Registers;
use crate::outcome::{Abort, Step};
use crate::prune::{Backtrack, Checkpoints};
use crate::simulate::btf::ctx::{Argument, RefArgument};
use crate::simulate::btf::loaded::WalkCache;
use crate::simulate::memory::{CtxLoads, MapTable};
use crate::state::{FrameMarks, MapRef, RegState, Slot, State, Store};
use crate::trace::{Event, Level, Mark, Observer};
use veristable_isa::{Op, Reg};
use veristable_kernel::{RegBase, TypeFlags};

/// A branch that waits to be explored (`struct bpf_verifier_stack_elem`).
#[derive(Debug)]
pub(crate) struct Pending {
    /// The state at its beginning.
    pub(crate) state: State,
    /// Where it goes.
    pub(crate) insn: u32,
    /// Where it forked.
    pub(crate) previous: u32,
    /// The end of the log there.
    pub(crate) mark: Mark,
}

/// What the simulation remembers of an instruction from path to path. There is one for each slot of
/// the program, so that its size counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InsnMemo {
    /// Its reserved fields were tested.
    pub(crate) fields_tested: bool,
    /// What depends on the kind of instruction.
    pub(crate) of_kind: KindMemo,
}

/// What the simulation remembers of one kind of instruction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum KindMemo {
    /// Nothing yet.
    #[default]
    Nothing,
    /// A load or store: the type of pointer that it used.
    Access(RegBase, TypeFlags),
    /// Pointer arithmetic: how it must be masked for programs without privileges.
    Arithmetic(Masking),
    /// A call of a helper, by its place in [`Sim::calls`].
    Call(u32),
}

/// What the simulation remembers of a call of a helper.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallMemo {
    /// The helper, by its place in [`Sim::helpers`].
    pub(crate) helper: Option<u16>,
    /// The map that it was given last (`map_ptr_state`).
    pub(crate) map: Option<MapRef>,
    /// For `bpf_loop`: whether visits can be replaced by instructions (`loop_inline_state`).
    pub(crate) inline_loop: InlineLoop,
}

/// Whether the calls of `bpf_loop` at an instruction can be replaced by instructions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum InlineLoop {
    /// It was not visited.
    #[default]
    New,
    /// Every visit so far calls this function and has no flags.
    Fits(SubprogId),
    /// Some visit does not.
    No,
}

/// How pointer arithmetic is masked against misprediction (`alu_state`, `alu_limit`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Masking {
    /// `BPF_ALU_*` bits.
    pub(crate) state: u8,
    /// How far the pointer may move.
    pub(crate) limit: u32,
}

/// The simulation of a program.
pub(crate) struct Sim<'s, 'a, D: Design, O: Observer> {
    /// Which verifier it is.
    pub(crate) design: core::marker::PhantomData<D>,
    /// What the phases share.
    pub(crate) env: &'s mut Env<'a, O>,
    /// Frames and stacks.
    pub(crate) store: Store,
    /// Where the simulation is.
    pub(crate) cur: State,
    /// Branches that wait; the last is next.
    pub(crate) pending: List<Pending>,
    /// States set aside for comparison.
    pub(crate) checkpoints: Checkpoints,
    /// Visits of loops.
    pub(crate) loops: D::Loops,
    /// What is read.
    pub(crate) liveness: D::Liveness,
    /// Scratch of precision tracking.
    pub(crate) backtrack: Backtrack,
    /// What is remembered of each instruction.
    pub(crate) memos: List<InsnMemo>,
    /// What is remembered of each call of a helper.
    pub(crate) calls: List<CallMemo>,
    /// What accesses to the context yield.
    pub(crate) ctx_loads: CtxLoads,
    /// What is asked of the maps in use.
    pub(crate) maps: MapTable,
    /// What the program's functions take.
    pub(crate) prototypes: Prototypes,
    /// How each kfunc is called, once it was.
    pub(crate) signatures: List<Option<super::kfunc::Signature>>,
    /// The current instruction; `env.insn` follows it.
    pub(crate) insn: u32,
    /// The one before it; -1 at the start.
    pub(crate) previous: i32,
    /// The one that will have been before the next.
    pub(crate) last: i32,
    /// The last id given.
    pub(crate) id_gen: u32,
    /// What loads from kernel objects found.
    pub(crate) walks: WalkCache,
    /// Arguments of the function that is attached to, as loads found them.
    pub(crate) arguments: List<Argument>,
    /// Those of them that must be given back.
    pub(crate) ref_arguments: List<RefArgument>,
    /// Jumps simulated.
    pub(crate) jumps: u32,
    /// What was touched since it was printed.
    pub(crate) touched: Touched,
    /// The current instruction has its entry at the end of the history (`cur_hist_ent`).
    pub(crate) in_history: bool,
    /// Unknown offsets of masked pointers must be compared strictly (`explore_alu_limits`).
    pub(crate) explore_alu_limits: bool,
    /// Helpers that were called.
    pub(crate) helpers: Helpers<'a>,
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// A register of the innermost frame.
    #[inline]
    pub(crate) fn reg(&self, reg: Reg) -> Result<&RegState, Abort> {
        self.store.frame(self.cur.current()?)?.reg(reg.index())
    }

    /// A register of the innermost frame, for writing.
    #[inline]
    pub(crate) fn reg_mut(&mut self, reg: Reg) -> Result<&mut RegState, Abort> {
        let depth = self.cur.depth;
        let id = self.cur.frame_mut(depth)?;
        self.store.frame_mut(&self.env.budget, id)?.reg_mut(reg.index())
    }

    /// A register as a value.
    #[inline]
    pub(crate) fn copy_of(&self, reg: Reg) -> Result<RegState, Abort> {
        self.reg(reg).copied()
    }

    /// A slot of a frame's stack; never written if it is beyond what was accessed.
    pub(crate) fn slot(&self, frame: u8, slot: usize) -> Result<Slot, Abort> {
        let slots = self.store.slots(self.cur.frame(frame)?)?;
        Ok(slots.get(slot).copied().unwrap_or(Slot::EMPTY))
    }

    /// A slot of a frame's stack for writing, which must have been accessed.
    pub(crate) fn slot_mut(&mut self, frame: u8, slot: usize) -> Result<&mut Slot, Abort> {
        let id = self.cur.frame_mut(frame)?;
        self.store.stack_mut(&self.env.budget, id)?.at_mut(slot)
    }

    /// The typed instruction.
    #[inline]
    pub(crate) fn op(&self, insn: u32) -> Result<Option<Op>, Abort> {
        Ok(match self.env.code.aux(insn)?.op {
            DecodedOp::Op(op) => Some(op),
            DecodedOp::SecondSlot | DecodedOp::Malformed => None,
        })
    }

    /// Whether an instruction has a mark.
    #[inline]
    pub(crate) fn has_flag(&self, insn: u32, flag: InsnFlags) -> Result<bool, Abort> {
        self.env.has_flag(insn, flag)
    }

    /// Gives an instruction a mark.
    pub(crate) fn set_flag(&mut self, insn: u32, flag: InsnFlags) -> Result<(), Abort> {
        self.env.code.aux_mut(insn)?.flags.insert(flag);
        Ok(())
    }

    /// What is remembered of the current instruction, which calls a helper.
    pub(crate) fn call_memo(&mut self) -> Result<&mut CallMemo, Abort> {
        let place = match self.memo()?.of_kind {
            KindMemo::Call(place) => place,
            _ => {
                let place = u32::try_from(self.calls.len()).map_err(|_| Abort::OutOfMemory)?;
                self.calls.push(&self.env.budget, CallMemo::default())?;
                self.memo()?.of_kind = KindMemo::Call(place);
                place
            }
        };
        self.calls.at_mut(place as usize)
    }

    /// What is remembered of the current instruction.
    pub(crate) fn memo(&mut self) -> Result<&mut InsnMemo, Abort> {
        let insn = self.insn;
        self.memos.at_mut(insn as usize)
    }

    /// The register was touched.
    #[inline]
    pub(crate) fn touch_reg(&mut self, reg: Reg) {
        self.touched.regs |= 1 << reg.number();
    }

    /// The slot was touched.
    #[inline]
    pub(crate) fn touch_slot(&mut self, slot: usize) {
        if slot < 64 {
            self.touched.slots |= 1 << slot;
        }
    }

    /// Reads a register as an operand (`check_reg_arg` with `SRC_OP`). `wide`: all of it.
    pub(crate) fn read(&mut self, reg: Reg, wide: bool) -> Step {
        let number = reg.number();
        if !reg.exists() {
            return self.env.reject(Registers::Invalid { reg: number });
        }
        self.touch_reg(reg);
        let state = self.reg(reg)?;
        if matches!(state.kind, crate::state::Kind::NotInit) {
            return self.env.reject(Registers::NotReadable { reg: number });
        }
        if reg == Reg::FP {
            return Ok(());
        }
        if wide && state.subreg_def != 0 {
            self.extend(self.cur.depth, reg.index())?;
        }
        D::Liveness::read_reg(self, reg, wide)
    }

    /// All of a frame's register is read: the JIT must clear the upper half where it was last set
    /// (`mark_insn_zext`).
    pub(crate) fn extend(&mut self, frame: u8, reg: usize) -> Step {
        let def = self.store.frame(self.cur.frame(frame)?)?.reg(reg)?.subreg_def;
        if def != 0 {
            self.set_flag(def - 1, InsnFlags::ZEXT_DST)?;
            let id = self.cur.frame_mut(frame)?;
            self.store.frame_mut(&self.env.budget, id)?.reg_mut(reg)?.subreg_def = 0;
        }
        Ok(())
    }

    /// A register becomes a result that the caller will set (`DST_OP_NO_MARK`).
    pub(crate) fn write(&mut self, reg: Reg, wide: bool) -> Step {
        if !reg.exists() {
            return self.env.reject(Registers::Invalid { reg: reg.number() });
        }
        self.touch_reg(reg);
        if reg == Reg::FP {
            return self.env.reject(Registers::FramePointer);
        }
        D::Liveness::write_regs(self, self.cur.depth, 1 << reg.number());
        let def = if wide { 0 } else { self.insn + 1 };
        self.reg_mut(reg)?.subreg_def = def;
        Ok(())
    }

    /// A register becomes any number (`DST_OP`).
    pub(crate) fn write_unknown(&mut self, reg: Reg, wide: bool) -> Step {
        self.write(reg, wide)?;
        self.reg_mut(reg)?.set_unknown();
        Ok(())
    }

    /// Whether the program must not see this register's value as a number
    /// (`is_pointer_value`).
    pub(crate) fn is_secret(&self, reg: Reg) -> Result<bool, Abort> {
        Ok(!self.env.privileges.allow_ptr_leaks && self.reg(reg)?.is_pointer())
    }

    /// Tests that a register's value does not contradict itself, and forgets its ranges if it
    /// does (`reg_bounds_sanity_check`).
    pub(crate) fn check_invariants(&mut self, reg: Reg, place: &'static str) -> Step {
        if self.reg(reg)?.value.check().is_ok() {
            return Ok(());
        }
        let mut value = self.reg(reg)?.value;
        if self.repair(&mut value, place)? {
            self.reg_mut(reg)?.value = value;
        }
        Ok(())
    }

    /// As [`Sim::check_invariants`], for a value. True if it was changed.
    pub(crate) fn repair(
        &mut self,
        value: &mut crate::domain::Quad,
        place: &'static str,
    ) -> Step<bool> {
        use crate::domain::Violation;
        let Err(violation) = value.check() else { return Ok(false) };
        let what = match violation {
            Violation::EmptyRange => "range bounds violation",
            Violation::Constant => "const tnum out of sync with range bounds",
            Violation::ConstantSubreg => "const subreg tnum out of sync with range bounds",
        };
        let crate::domain::Quad { bits, u64, s64, u32, s32 } = *value;
        let values = Text::format(format_args!(
            "u64=[{:#x}, {:#x}] s64=[{:#x}, {:#x}] u32=[{:#x}, {:#x}] s32=[{:#x}, {:#x}] \
             var_off=({:#x}, {:#x})",
            u64.min,
            u64.max,
            s64.min,
            s64.max,
            u32.min,
            u32.max,
            s32.min,
            s32.max,
            bits.value,
            bits.mask
        ));
        let message = Registers::Invariants { place, what, values };
        if self.env.prog.test_reg_invariants {
            return self.env.reject_with(crate::Errno::EFAULT, message);
        }
        self.env.say(message)?;
        value.forget_ranges();
        Ok(true)
    }

    /// Changes every register and spilled register of the call chain that `wanted` picks
    /// (`bpf_for_each_reg_in_vstate`). Frames without one stay shared.
    pub(crate) fn update_regs(
        &mut self,
        wanted: impl Fn(&RegState) -> bool,
        mut change: impl FnMut(&mut RegState),
    ) -> Step {
        let Self { env, store, cur, .. } = self;
        update_regs_of(&env.budget, store, cur, wanted, &mut change)
    }

    /// As [`Sim::update_regs`], in the branch that waits last.
    pub(crate) fn update_regs_of_branch(
        &mut self,
        wanted: impl Fn(&RegState) -> bool,
        mut change: impl FnMut(&mut RegState),
    ) -> Step {
        let Self { env, store, pending, .. } = self;
        update_regs_of(&env.budget, store, last_branch(pending)?, wanted, &mut change)
    }

    /// The branch that waits last: the other way of the fork just made.
    pub(crate) fn last_branch(&mut self) -> Result<&mut State, Abort> {
        last_branch(&mut self.pending)
    }

    /// A register of the innermost frame of the branch that waits last, for writing.
    pub(crate) fn branch_reg(&mut self, reg: Reg) -> Result<&mut RegState, Abort> {
        let Self { env, store, pending, .. } = self;
        let state = last_branch(pending)?;
        let depth = state.depth;
        store.frame_mut(&env.budget, state.frame_mut(depth)?)?.reg_mut(reg.index())
    }

    /// The next id.
    pub(crate) fn new_id(&mut self) -> u32 {
        self.id_gen = self.id_gen.wrapping_add(1);
        self.id_gen
    }

    /// Refuses for a reason that cannot occur in the kernel without a bug there.
    pub(crate) fn bug<T>(&mut self, what: core::fmt::Arguments<'_>) -> Step<T> {
        self.env.bug(what)
    }

    /// Prints what the current instruction changed, if anyone reads it.
    pub(crate) fn print_insn_state(&mut self) {
        if self.env.wants(Level::Path) {
            let index = self.insn;
            self.with_view(self.cur.depth, |event, view| {
                event(Event::InsnState { index, state: view });
            });
            self.touched = Touched::default();
        }
    }

    /// Prints a frame of the current state in full under a heading.
    pub(crate) fn print_frame(&mut self, heading: &str, frame: u8) {
        self.with_view(frame, |event, view| {
            event(Event::State { heading, state: view, all: true });
        });
    }

    /// Lets `emit` send an event that shows a frame of the current state.
    pub(crate) fn with_view(
        &mut self,
        frame: u8,
        emit: impl FnOnce(&mut dyn FnMut(Event<'_>), &StateView<'_>),
    ) {
        let Self { env, store, cur, touched, liveness, .. } = self;
        let all_precise = !env.privileges.bpf_capable;
        let (names, observer) = env.names_and_observer();
        let view = StateView {
            store,
            state: cur,
            frame,
            marks: FrameMarks::default(),
            suffixes: liveness.suffixes(None, frame),
            all_precise,
            touched: *touched,
            names,
        };
        emit(&mut |event| observer.event(event), &view);
    }
}

/// As [`Sim::last_branch`], where other parts of the machine are needed beside it.
pub(crate) fn last_branch(pending: &mut List<Pending>) -> Result<&mut State, Abort> {
    Ok(&mut pending.last_mut().ok_or(Abort::Internal("no branch"))?.state)
}

fn update_regs_of(
    budget: &Budget,
    store: &mut Store,
    state: &mut State,
    wanted: impl Fn(&RegState) -> bool,
    change: &mut impl FnMut(&mut RegState),
) -> Step {
    for number in 0..=state.depth {
        let id = state.frame(number)?;
        if store.frame(id)?.regs.iter().any(&wanted) {
            let frame = store.frame_mut(budget, state.frame_mut(number)?)?;
            frame.regs.iter_mut().filter(|reg| wanted(reg)).for_each(&mut *change);
        }
        let spilled = |slot: &Slot| slot.is_spill() && wanted(&slot.reg);
        if store.slots(state.frame(number)?)?.iter().any(spilled) {
            let stack = store.stack_mut(budget, state.frame_mut(number)?)?;
            stack.iter_mut().filter(|slot| spilled(slot)).for_each(|slot| change(&mut slot.reg));
        }
    }
    Ok(())
}
