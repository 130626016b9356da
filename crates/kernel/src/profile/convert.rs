// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Contexts by program type, read from the kernel's BTF once and not for every program.

use crate::{ContextTypes, ProgType};
use alloc::vec::Vec;
use veristable_btf::{Btf, Kind, Member};

/// The members of `struct bpf_ctx_convert` (`kernel/bpf/btf.c`): for each program type one as
/// programs see the context and one as the kernel has it.
#[derive(Clone, Debug, Default)]
pub(super) struct ContextTable {
    pairs: Vec<(ProgType, ContextTypes)>,
}

impl ContextTable {
    /// What this BTF of a kernel says.
    pub(super) fn of(btf: &Btf<'_>) -> Self {
        let id = btf.find_by_name("bpf_ctx_convert", Kind::Struct);
        let Some(convert) = id.and_then(|id| btf.type_by_id(id).ok()) else {
            return Self::default();
        };
        let members: Vec<Member<'_>> = convert.members().iter().collect();
        let pair = |pair: &[Member<'_>]| {
            let [program, kernel] = pair else { return None };
            let name = program.name().strip_prefix("BPF_PROG_TYPE_")?.strip_suffix("_prog")?;
            let prog_type = ProgType::from_name(name)?;
            Some((prog_type, ContextTypes { program: program.type_id, kernel: kernel.type_id }))
        };
        Self { pairs: members.chunks_exact(2).filter_map(pair).collect() }
    }

    /// The context of programs of this type. Types without members of their own have that of the
    /// first, as `bpf_ctx_convert_map` is zero there.
    pub(super) fn of_type(&self, prog_type: ProgType) -> Option<ContextTypes> {
        let own = self.pairs.iter().find(|(of, _)| *of == prog_type);
        own.or_else(|| self.pairs.first()).map(|(_, types)| *types)
    }
}
