// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Verifiers that differ by design, and the one place that picks among them.
//!
//! Small differences are flags; where kernels differ in kind, a `Design` bundles the parts. There
//! is a handful of bundles, never the product of all choices.

use crate::log::state::Suffixes;
use crate::outcome::{Abort, Step};
use crate::prune::{LoopEntries, Parentage, StackLiveness, Visits};
use crate::simulate::Sim;
use crate::state::{CheckpointId, MAX_FRAMES, State};
use crate::trace::Observer;
use veristable_isa::Reg;
use veristable_kernel::DesignId;

/// The parts that make one age of the verifier.
pub(crate) trait Design: Sized {
    /// How dead registers and stack slots are found.
    type Liveness: Liveness;
    /// How loops converge.
    type Loops: Loops;
    /// Whose words the log and the messages are in.
    const DIALECT: Dialect;
    /// The phases in the kernel's order, which is observable: the first failure wins.
    const PHASES: &'static [Phase];
}

/// Registers and slots of each frame of a state, one bit each.
pub(crate) type Places = [(u16, u64); MAX_FRAMES];

/// How dead registers and stack slots are found. The simulation tells what happens; designs that
/// do not care do nothing.
pub(crate) trait Liveness: Default {
    /// Whether register liveness was computed before the simulation, and counts in every
    /// comparison of states.
    const STATIC_REGISTERS: bool;
    /// Whether a load from the stack is noted before it is tested that it may be read.
    const READS_FIRST: bool;

    /// A pass begins: the current state has one frame.
    fn begin_pass<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) -> Step;
    /// A pass ended.
    fn end_pass<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>);
    /// An instruction begins.
    fn begin_insn<D: Design<Liveness = Self>, O: Observer>(_: &mut Sim<'_, '_, D, O>) -> Step {
        Ok(())
    }
    /// An instruction went on.
    fn commit_insn<D: Design<Liveness = Self>, O: Observer>(_: &mut Sim<'_, '_, D, O>) -> Step {
        Ok(())
    }
    /// A register of the innermost frame was read; `wide`: all of it.
    #[inline]
    fn read_reg<D: Design<Liveness = Self>, O: Observer>(
        _: &mut Sim<'_, '_, D, O>,
        _reg: Reg,
        _wide: bool,
    ) -> Step {
        Ok(())
    }
    /// Registers of a frame were written, one bit each.
    #[inline]
    fn write_regs<D: Design<Liveness = Self>, O: Observer>(
        _: &mut Sim<'_, '_, D, O>,
        _frame: u8,
        _regs: u16,
    ) {
    }
    /// A register became a copy of another with all that was known of that
    /// (`number += pointer`).
    #[inline]
    fn copy_reg<D: Design<Liveness = Self>, O: Observer>(
        _: &mut Sim<'_, '_, D, O>,
        _to: Reg,
        _from: Reg,
    ) {
    }
    /// Slots of a frame may be read, one bit each.
    fn read_slots<D: Design<Liveness = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        frame: u8,
        slots: u64,
    ) -> Step;
    /// Slots of a frame are certainly written, one bit each.
    fn write_slots<D: Design<Liveness = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        frame: u8,
        slots: u64,
    );
    /// A copy of the current state waits.
    fn forked<D: Design<Liveness = Self>, O: Observer>(_: &mut Sim<'_, '_, D, O>) -> Step {
        Ok(())
    }
    /// A state waits that has nothing to do with the current one but one frame.
    fn started<D: Design<Liveness = Self>, O: Observer>(_: &mut Sim<'_, '_, D, O>) -> Step {
        Ok(())
    }
    /// The current path ended.
    fn path_ended<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) -> Step;
    /// The state that waited last is the current one.
    fn resumed<D: Design<Liveness = Self>, O: Observer>(_: &mut Sim<'_, '_, D, O>) {}
    /// The current state entered a function, with R1 to R5 of its caller.
    fn called<D: Design<Liveness = Self>, O: Observer>(sim: &mut Sim<'_, '_, D, O>) -> Step;
    /// The state that waits last entered a callback. `copies`: which of its registers are copies
    /// of which of its caller's.
    fn called_back<D: Design<Liveness = Self>, O: Observer>(
        _: &mut Sim<'_, '_, D, O>,
        _copies: &[(Reg, Reg)],
    ) -> Step {
        Ok(())
    }
    /// A function is about to return.
    fn returning<D: Design<Liveness = Self>, O: Observer>(_: &mut Sim<'_, '_, D, O>) -> Step {
        Ok(())
    }
    /// The innermost frame's R0 became its caller's.
    fn result_taken<D: Design<Liveness = Self>, O: Observer>(_: &mut Sim<'_, '_, D, O>) -> Step {
        Ok(())
    }
    /// The innermost frame is gone.
    fn returned<D: Design<Liveness = Self>, O: Observer>(_: &mut Sim<'_, '_, D, O>) {}
    /// The current state was set aside. It is not the child of its copy yet.
    fn checkpoint_made<D: Design<Liveness = Self>, O: Observer>(
        _: &mut Sim<'_, '_, D, O>,
        _id: CheckpointId,
    ) -> Step {
        Ok(())
    }
    /// A checkpoint is gone.
    fn checkpoint_freed<D: Design<Liveness = Self>, O: Observer>(
        _: &mut Sim<'_, '_, D, O>,
        _id: CheckpointId,
    ) {
    }
    /// A checkpoint covers the current state: what is read after it is read after this.
    fn covered<D: Design<Liveness = Self>, O: Observer>(
        _: &mut Sim<'_, '_, D, O>,
        _by: CheckpointId,
    ) -> Step {
        Ok(())
    }
    /// What is dead in a checkpoint whose paths are all explored. Its state was taken out.
    fn dead<D: Design<Liveness = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
        state: &State,
    ) -> Step<Places>;
    /// What of a checkpoint's frame was not read: precision does not come from there.
    fn unread<D: Design<Liveness = Self>, O: Observer>(
        sim: &Sim<'_, '_, D, O>,
        id: CheckpointId,
        frame: u8,
    ) -> Result<(u16, u64), Abort>;
    /// What the log shows of a frame of a checkpoint, or of the current state.
    fn suffixes(&self, _id: Option<CheckpointId>, _frame: u8) -> Suffixes {
        Suffixes::default()
    }
}

/// How loops converge.
pub(crate) trait Loops: Default {
    /// Whether a checkpoint, all of whose paths are explored, is inside of a loop that is not:
    /// what is known of it is not final.
    fn is_open<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
    ) -> Step<bool>;
    /// A checkpoint of the bucket that is searched is passed, all of whose paths are explored.
    #[inline]
    fn passed<D: Design<Loops = Self>, O: Observer>(
        _: &mut Sim<'_, '_, D, O>,
        _id: CheckpointId,
    ) -> Step {
        Ok(())
    }
    /// A checkpoint was made.
    fn made<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
    ) -> Step;
    /// All paths from a checkpoint are explored, or from the current state.
    fn explored<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: Option<CheckpointId>,
    ) -> Step;
    /// The current state met a checkpoint in a loop that is not explored.
    fn met<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
        insn: u32,
    ) -> Step;
    /// A checkpoint was taken out of its bucket.
    fn retired<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
    ) -> Step;
    /// Whether a retired checkpoint, all of whose paths are explored, is needed nevertheless.
    fn needs<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
    ) -> Step<bool>;
}

/// Linux 6.18.
#[derive(Debug)]
pub(crate) enum V6_18 {}

impl Design for V6_18 {
    type Liveness = StackLiveness;
    type Loops = Visits;
    const DIALECT: Dialect = Dialect::V6_18;
    const PHASES: &'static [Phase] = &[
        Phase::BindFdArray,
        Phase::KernelBtf,
        Phase::EarlyFunctionInfo,
        Phase::SubprogramsAndKfuncs,
        Phase::SubprogramBounds,
        Phase::BtfInfo,
        Phase::WideLoads,
        Phase::ControlFlow,
        Phase::PostOrder,
        Phase::AttachTarget,
        Phase::Components,
        Phase::LiveRegisters,
        Phase::FastcallPatterns,
        Phase::Simulation,
        Phase::RemoveFastcallSpills,
        Phase::StackDepth,
        Phase::Rewrites,
        Phase::Fixups,
    ];
}

/// Linux 6.12.
#[derive(Debug)]
pub(crate) enum V6_12 {}

impl Design for V6_12 {
    type Liveness = Parentage;
    type Loops = LoopEntries;
    const DIALECT: Dialect = Dialect::V6_12;
    const PHASES: &'static [Phase] = &[
        Phase::KernelBtf,
        Phase::EarlyFunctionInfo,
        Phase::SubprogramsAndKfuncs,
        Phase::SubprogramBounds,
        Phase::BtfInfo,
        Phase::WideLoads,
        Phase::ControlFlow,
        Phase::AttachTarget,
        Phase::FastcallPatterns,
        Phase::Simulation,
        Phase::RemoveFastcallSpills,
        Phase::StackDepth,
        Phase::Rewrites,
        Phase::Fixups,
    ];
}

/// Whose words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dialect {
    /// Linux 6.12.
    V6_12,
    /// Linux 6.18.
    V6_18,
}

impl Dialect {
    /// The words of a design; 6.18's if it is not built.
    #[must_use]
    pub const fn of(design: DesignId) -> Self {
        match design {
            DesignId::V6_12 => Self::V6_12,
            _ => Self::V6_18,
        }
    }
}

/// One phase of `bpf_check` (`kernel/bpf/verifier.c`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Phase {
    /// `process_fd_array`: the maps and BTFs of a counted `fd_array`.
    BindFdArray,
    /// The kernel's own BTF must be readable.
    KernelBtf,
    /// `check_btf_info_early`: function info by itself.
    EarlyFunctionInfo,
    /// `add_subprog_and_kfunc`.
    SubprogramsAndKfuncs,
    /// `check_subprogs`: jumps stay inside, the last instruction ends.
    SubprogramBounds,
    /// `check_btf_info`: function info against subprograms, line info, CO-RE relocations.
    BtfInfo,
    /// `resolve_pseudo_ldimm64`.
    WideLoads,
    /// `check_cfg`.
    ControlFlow,
    /// `compute_postorder`.
    PostOrder,
    /// `check_attach_btf_id`.
    AttachTarget,
    /// `compute_scc`.
    Components,
    /// `compute_live_registers`.
    LiveRegisters,
    /// `mark_fastcall_patterns`.
    FastcallPatterns,
    /// `do_check_main`, `do_check_subprogs`.
    Simulation,
    /// `remove_fastcall_spills_fills`: may make stack frames smaller.
    RemoveFastcallSpills,
    /// `check_max_stack_depth`.
    StackDepth,
    /// `optimize_bpf_loop`, `opt_remove_dead_code`, `do_misc_fixups`: what they do to stack frames.
    Rewrites,
    /// What may still refuse a program while it is rewritten.
    Fixups,
}
