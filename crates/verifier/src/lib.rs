// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The Linux BPF verifier as a pure function.
//!
//! [`verify`] takes a [`LoadRequest`], a [`Kernel`] and limits, and answers what that kernel would:
//! accepted or rejected with its errno, its messages and its statistics. What it does not know it
//! calls [`Outcome::Unsupported`] or [`Outcome::UnknownFact`] by name; it never guesses.
//!
//! ```text
//! lib.rs        verify(): the phases, readable from top to bottom
//! design.rs     verifiers that differ by design, their phases, the dispatch among them
//! env.rs        what the phases share
//! analysis/     load gate, subprograms, BTF info, wide loads, control flow, components, liveness
//! domain/       tnum and ranges: nothing there knows BPF
//! state/        registers, stack, frames
//! simulate/     the main loop and the instruction classes
//! target.rs     programs that others attach to
//! prune/        state equality, precision, loops
//! messages/     the table of messages
//! log/          the kernel-format log
//! mem.rs        growth under a budget
//! trace.rs      events
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_macros))]

extern crate alloc;

pub mod analysis;
pub mod design;
pub mod domain;
pub mod env;
pub mod errno;
pub mod log;
pub mod mem;
pub mod messages;
pub mod options;
pub mod outcome;
mod prune;
pub mod simulate;
pub mod state;
mod target;
pub mod trace;

pub use design::Dialect;
pub use errno::Errno;
pub use messages::Message;
pub use options::{Machine, Options};
pub use outcome::{Abort, Accepted, Feature, Outcome, Rejected, Stats};
pub use trace::{Event, Level, Observer, Silent};

use crate::design::{Design, Phase, V6_12, V6_18};
use crate::env::{Env, Programs};
use crate::mem::Budget;
use crate::outcome::{Step, Stop};
use crate::target::{TargetFacts, TargetProgram};
use veristable_btf::Btf;
use veristable_kernel::{DesignId, Kernel};
use veristable_program::LoadRequest;

/// Says whether the kernel loads the program, and why not.
///
/// Deterministic; bounded by the limits in `options`; without side effects but the events that
/// `observer` receives.
pub fn verify<O: Observer>(
    request: &LoadRequest,
    kernel: &dyn Kernel,
    options: &Options<'_>,
    observer: &mut O,
) -> Outcome {
    match kernel.design() {
        DesignId::V6_18 => verify_as::<V6_18, O>(request, kernel, options, observer),
        DesignId::V6_12 => verify_as::<V6_12, O>(request, kernel, options, observer),
        other => Outcome::Unsupported(Feature::of("verifier design", other.name())),
    }
}

fn verify_as<D: Design, O: Observer>(
    request: &LoadRequest,
    kernel: &dyn Kernel,
    options: &Options<'_>,
    observer: &mut O,
) -> Outcome {
    // A program that another attaches to was loaded before it.
    let targets = match target::chain(request, &Budget::new(options.memory)) {
        Ok(targets) => targets,
        Err(stop) => return stopped(stop),
    };
    let mut below: Option<(&LoadRequest, TargetFacts)> = None;
    for target in targets.iter().rev() {
        let mut facts = None;
        let mut remember = |env: &Env<'_, Silent>| {
            facts = Some(target::remember(env)?);
            Ok(())
        };
        let load = Load { request: target, below: below.as_ref(), kernel, options };
        match (load.run::<D, Silent>(&mut Silent, &mut remember), facts) {
            (Outcome::Accepted(_), Some(facts)) => below = Some((target, facts)),
            (Outcome::Accepted(_), None) => {
                return Outcome::Aborted(Abort::Internal("nothing remembered"));
            }
            (Outcome::Rejected(_), _) => {
                // There is no descriptor to load the program with.
                return Outcome::Unsupported(Feature::of("target program", "that is refused"));
            }
            (other, _) => return other,
        }
    }
    let load = Load { request, below: below.as_ref(), kernel, options };
    load.run::<D, O>(observer, &mut |_| Ok(()))
}

/// One verification.
struct Load<'l> {
    request: &'l LoadRequest,
    /// The program that it attaches to.
    below: Option<&'l (&'l LoadRequest, TargetFacts)>,
    kernel: &'l dyn Kernel,
    options: &'l Options<'l>,
}

impl Load<'_> {
    /// Verifies. `accepted` is called with what was found out if the program is accepted.
    fn run<D: Design, O: Observer>(
        &self,
        observer: &mut O,
        accepted: &mut dyn FnMut(&Env<'_, O>) -> Result<(), Abort>,
    ) -> Outcome {
        let (btf, target_btf) =
            match (open_btf(self.request), self.below.map(|(below, _)| open_btf(below))) {
                (Ok(btf), None) => (btf, None),
                (Ok(btf), Some(Ok(target_btf))) => (btf, target_btf),
                (Err(feature), _) | (_, Some(Err(feature))) => {
                    return Outcome::Unsupported(feature);
                }
            };
        let target = self
            .below
            .map(|(request, facts)| TargetProgram::new(request, target_btf.as_ref(), facts));
        let Self { request, kernel, options, .. } = *self;
        let map_btfs = analysis::maps::open_btfs(self.request, &Budget::new(self.options.memory));
        let map_btfs = match map_btfs {
            Ok(map_btfs) => map_btfs,
            Err(abort) => return Outcome::Aborted(abort),
        };
        let programs = Programs { btf: btf.as_ref(), target: target.as_ref(), map_btfs: &map_btfs };
        let mut env = Env::new(request, kernel, options, D::DIALECT, programs, observer);
        if let Err(stop) = analysis::gate::check(&mut env) {
            return conclude(&mut env, options, Err(stop), false);
        }
        let mut result = env.load_code();
        for phase in D::PHASES {
            if result.is_err() {
                break;
            }
            result = run_phase::<D, O>(*phase, &mut env);
        }
        if matches!(result, Ok(()) | Err(Stop::Rejected(_))) {
            if let Err(abort) = env.finish_stats() {
                result = Err(Stop::Aborted(abort));
            } else if let Err(errno) = env.observer.finish() {
                result = Err(Stop::Rejected(errno));
            }
        }
        if result.is_ok() {
            result = accepted(&env).map_err(Stop::Aborted);
        }
        conclude(&mut env, options, result, true)
    }
}

fn open_btf(request: &LoadRequest) -> Result<Option<Btf<'_>>, Feature> {
    // BPF_BTF_LOAD refuses what cannot be opened, so that there is no descriptor to load the
    // program with.
    let broken = |error| Feature::of("program BTF", mem::Text::format(format_args!("{error}")));
    let btf = request.btf.as_deref().map(Btf::open).transpose().map_err(broken)?;
    Ok(btf.filter(|_| analysis::btf_info::used_btf(request).is_some()))
}

fn run_phase<D: Design, O: Observer>(phase: Phase, env: &mut Env<'_, O>) -> Step {
    env.insn = None;
    match phase {
        Phase::BindFdArray => analysis::maps::bind_fd_array(env),
        Phase::KernelBtf => analysis::attach::check_kernel_btf(env),
        Phase::EarlyFunctionInfo => analysis::btf_info::check_early(env),
        Phase::SubprogramsAndKfuncs => analysis::subprograms::find(env),
        Phase::SubprogramBounds => analysis::subprograms::check_bounds(env),
        Phase::BtfInfo => analysis::btf_info::check(env),
        Phase::WideLoads => analysis::wide_loads::resolve(env),
        Phase::ControlFlow => analysis::cfg::check(env),
        Phase::PostOrder => analysis::postorder::compute(env),
        Phase::AttachTarget => analysis::attach::check(env),
        Phase::Components => analysis::scc::compute(env),
        Phase::LiveRegisters => analysis::live_registers::compute(env),
        Phase::FastcallPatterns => analysis::fastcall::mark(env),
        Phase::Simulation => simulate::run::<D, O>(env),
        Phase::RemoveFastcallSpills => analysis::fastcall::remove_spills(env),
        Phase::StackDepth => analysis::stack_depth::check(env),
        Phase::Rewrites => analysis::rewrites::adjust_frames(env),
        Phase::Fixups => analysis::fixups::check(env),
    }
}

fn conclude<O: Observer>(
    env: &mut Env<'_, O>,
    options: &Options<'_>,
    result: Step,
    in_verifier: bool,
) -> Outcome {
    if let Some(peak) = options.peak {
        peak.set(peak.get().max(env.budget.peak()));
    }
    let stats = core::mem::take(&mut env.stats);
    match result {
        Ok(()) => Outcome::Accepted(Accepted { stats }),
        Err(Stop::Rejected(errno)) => Outcome::Rejected(Rejected {
            errno,
            messages: env.take_messages(),
            insn: env.insn,
            stats: in_verifier.then_some(stats),
        }),
        Err(stop) => stopped(stop),
    }
}

/// The answer where nothing was found out about the program.
fn stopped(stop: Stop) -> Outcome {
    match stop {
        Stop::Rejected(errno) => Outcome::Rejected(Rejected {
            errno,
            messages: alloc::vec::Vec::new(),
            insn: None,
            stats: None,
        }),
        Stop::Unsupported(feature) => Outcome::Unsupported(feature),
        Stop::UnknownFact(fact) => Outcome::UnknownFact(fact),
        Stop::Aborted(abort) => Outcome::Aborted(abort),
    }
}
