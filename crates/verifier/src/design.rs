// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Verifiers that differ by design, and the one place that picks among them.
//!
//! Small differences are flags; where kernels differ in kind, a [`Design`] bundles the parts. There
//! is a handful of bundles, never the product of all choices.

/// The parts that make one age of the verifier.
pub trait Design {
    /// How values are tracked.
    type Domain;
    /// How dead registers and stack slots are found.
    type Liveness;
    /// How loops converge.
    type Loops;
    /// How resources are identified.
    type References;
    /// The design's name, as [`crate::Feature`] and reports give it.
    const NAME: &'static str;
    /// Whose words the log and the messages are in.
    const DIALECT: Dialect;
    /// The phases in the kernel's order, which is observable: the first failure wins.
    const PHASES: &'static [Phase];
}

/// Four ranges beside a tnum, deduced as up to 6.18.
#[derive(Debug)]
pub enum QuadBounds {}
/// Static register liveness; stack liveness recorded per call chain while simulating.
#[derive(Debug)]
pub enum RecordedStackLiveness {}
/// Strongly connected components with propagation over their back-edges.
#[derive(Debug)]
pub enum Components {}
/// One number shared by all pointers of a resource.
#[derive(Debug)]
pub enum RefObjId {}

/// Linux 6.18.
#[derive(Debug)]
pub enum V6_18 {}

impl Design for V6_18 {
    type Domain = QuadBounds;
    type Liveness = RecordedStackLiveness;
    type Loops = Components;
    type References = RefObjId;
    const NAME: &'static str = "6.18";
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

/// Whose words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dialect {
    /// Linux 6.18.
    V6_18,
}

/// One phase of `bpf_check` (`kernel/bpf/verifier.c`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
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
