// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! CO-RE relocations applied to functions, once for each kernel.

use crate::LinkError;
use crate::kernel_types::KernelTypes;
use crate::program::{Function, Functions};
use std::collections::HashMap;
use veristable_btf::Btf;
use veristable_btf::relo::{RawInsn, Relocator, Rules};
use veristable_isa::Insn;

/// Instructions of one function that differ from the object's.
pub(crate) type Changed = HashMap<u32, Insn>;

/// For each function what CO-RE makes of it.
pub(crate) struct Core {
    functions: HashMap<usize, Result<Changed, LinkError>>,
}

impl Core {
    /// Applies the relocations of all subprograms and the wanted programs, in the order of the functions: libbpf's answers for a type depend
    /// on the questions before.
    pub(crate) fn apply<'t>(
        functions: &Functions,
        is_wanted: impl Fn(&Function) -> bool,
        btf: Option<&'t Btf<'t>>,
        types: &Result<KernelTypes<'t>, LinkError>,
        custom: Option<&'t Btf<'t>>,
    ) -> Self {
        let with_relos = functions.list.iter().enumerate().filter(|(_, function)| {
            let is_used = functions.is_subprogram(function) || is_wanted(function);
            is_used && !function.core.is_empty()
        });
        let mut done = HashMap::new();
        let mut relocator = None;
        for (index, function) in with_relos {
            let changed = match (&mut relocator, btf) {
                (Some(relocator), _) => apply_to(function, relocator),
                (none, Some(btf)) => match new_relocator(btf, types, custom) {
                    Ok(new) => apply_to(function, none.insert(new)),
                    Err(error) => Err(error),
                },
                (None, None) => continue,
            };
            done.insert(index, changed);
        }
        Self { functions: done }
    }

    /// What changes in a function.
    pub(crate) fn of(&self, function: usize) -> Result<Option<&Changed>, LinkError> {
        self.functions.get(&function).map(Result::as_ref).transpose().map_err(Clone::clone)
    }

    /// The first failure.
    pub(crate) fn error(&self) -> Option<&LinkError> {
        self.functions.values().find_map(|changed| changed.as_ref().err())
    }
}

fn new_relocator<'t>(
    btf: &'t Btf<'t>,
    types: &Result<KernelTypes<'t>, LinkError>,
    custom: Option<&'t Btf<'t>>,
) -> Result<Relocator<'t>, LinkError> {
    if let Some(custom) = custom {
        return Ok(Relocator::new(btf, custom));
    }
    let types = types.as_ref().map_err(Clone::clone)?;
    let kernel = types.own("CO-RE")?;
    Ok(Relocator::new(btf, kernel).with_modules(types.modules().iter().map(|(_, btf)| *btf)))
}

fn apply_to(function: &Function, relocator: &mut Relocator<'_>) -> Result<Changed, LinkError> {
    let mut changed = Changed::new();
    for core in &function.core {
        let error = |problem: String| LinkError::Core {
            function: function.name.to_string(),
            insn: core.insn,
            index: core.index,
            problem,
        };
        let answer = relocator.relocate(&core.relo).map_err(|e| error(e.to_string()))?;
        let next = core.insn.saturating_add(1);
        let at = |insn: u32| {
            changed.get(&insn).copied().or_else(|| function.insns().get(insn as usize).copied())
        };
        let first = at(core.insn).ok_or_else(|| error("there is no such instruction".into()))?;
        let second = at(next);
        let (mut raw, mut raw_second) = (to_raw(first), second.map(to_raw));
        let patch =
            answer.patch(raw, raw_second, Rules::LIBBPF).map_err(|e| error(e.to_string()))?;
        patch.apply(&mut raw, raw_second.as_mut());
        changed.insert(core.insn, from_raw(raw));
        if let (Some(second), Some(raw)) = (second, raw_second)
            && to_raw(second) != raw
        {
            changed.insert(next, from_raw(raw));
        }
    }
    Ok(changed)
}

fn to_raw(insn: Insn) -> RawInsn {
    RawInsn { code: insn.code, dst: insn.dst(), src: insn.src(), offset: insn.off, imm: insn.imm }
}

fn from_raw(raw: RawInsn) -> Insn {
    Insn::new(raw.code, raw.dst, raw.src, raw.offset, raw.imm)
}
