// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Programs that others attach to: which of them a request stands on, and what a kernel remembers
//! of one that it loaded (`struct bpf_prog_aux`).

use crate::env::{Env, SubprogFlags, SubprogId};
use crate::mem::{Budget, List};
use crate::outcome::{Abort, Feature, Step};
use crate::trace::Observer;
use alloc::vec::Vec;
use veristable_btf::{Btf, TypeId};
use veristable_kernel::{AttachType, ProgType};
use veristable_program::{Attach, LoadRequest};

/// How many programs may stand below one. What is of use has at most three: fentry on fentry on a
/// replacement on any other program. Kernels load longer rows of iterators on replacements on
/// iterators.
const MAX_DEPTH: usize = 4;

/// What is remembered of a loaded program.
pub(crate) struct TargetFacts {
    /// Its type.
    prog_type: ProgType,
    /// The type whose rules held for it (`saved_dst_prog_type` of a replacement).
    rules: ProgType,
    /// Its attach type.
    attach_type: AttachType,
    /// It is a tracing program of a tracing program (`attach_tracing_prog`).
    traces_tracing: bool,
    /// Its functions, as its function info lists those that were not removed.
    functions: Vec<Function>,
}

/// A function of a loaded program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function {
    /// Its type in the program's BTF.
    pub(crate) type_id: TypeId,
    /// What the verification found out about it.
    pub(crate) flags: SubprogFlags,
}

/// A loaded program that the one that is verified attaches to.
pub(crate) struct TargetProgram<'a> {
    /// Its BTF; the kernel keeps it only where records refer to it.
    pub(crate) btf: Option<&'a Btf<'a>>,
    facts: &'a TargetFacts,
}

impl<'a> TargetProgram<'a> {
    pub(crate) fn new(
        request: &LoadRequest,
        btf: Option<&'a Btf<'a>>,
        facts: &'a TargetFacts,
    ) -> Self {
        let has_records = request.func_info.count != 0 || request.line_info.count != 0;
        Self { btf: btf.filter(|_| has_records), facts }
    }

    /// Its type.
    pub(crate) fn prog_type(&self) -> ProgType {
        self.facts.prog_type
    }

    /// The type whose rules held for it.
    pub(crate) fn rules(&self) -> ProgType {
        self.facts.rules
    }

    /// Its attach type.
    pub(crate) fn attach_type(&self) -> AttachType {
        self.facts.attach_type
    }

    /// Whether it is a tracing program of a tracing program.
    pub(crate) fn traces_tracing(&self) -> bool {
        self.facts.traces_tracing
    }

    /// The function with this type.
    pub(crate) fn function(&self, type_id: TypeId) -> Option<Function> {
        self.facts.functions.iter().find(|function| function.type_id == type_id).copied()
    }
}

/// The programs that a request stands on, from the nearest.
///
/// # Errors
///
/// If one cannot be read, or there are too many.
pub(crate) fn chain(request: &LoadRequest, budget: &Budget) -> Step<List<LoadRequest>> {
    const NAME: &str = "target program";
    let mut chain: List<LoadRequest> = List::new();
    while let Attach::Program { target, .. } = &chain.last().unwrap_or(request).attach {
        if chain.len() >= MAX_DEPTH {
            return Err(Feature::of(NAME, "of too many others").into());
        }
        let Ok(below) = LoadRequest::from_bytes(target) else {
            return Err(Feature::of(NAME, "that cannot be read").into());
        };
        chain.push(budget, below)?;
    }
    Ok(chain)
}

/// What a kernel remembers of a program that was just accepted.
///
/// # Errors
///
/// If memory does not suffice.
pub(crate) fn remember<O: Observer>(env: &Env<'_, O>) -> Result<TargetFacts, Abort> {
    let prog = &env.prog;
    let mut functions = List::new();
    for (info, number) in env.code.func_info.iter().zip(0..) {
        let flags = env.subprog(SubprogId(number))?.flags;
        if !flags.contains(SubprogFlags::REMOVED) {
            functions.push(&env.budget, Function { type_id: info.type_id, flags })?;
        }
    }
    let below = prog.target.map(TargetProgram::prog_type);
    Ok(TargetFacts {
        prog_type: prog.prog_type,
        rules: prog.rules,
        // A replacement has its target's only while it is verified.
        attach_type: match prog.prog_type {
            ProgType::EXT => AttachType(0),
            _ => prog.attach_type,
        },
        traces_tracing: prog.prog_type == ProgType::TRACING && below == Some(ProgType::TRACING),
        functions: functions.into_vec(&env.budget),
    })
}
