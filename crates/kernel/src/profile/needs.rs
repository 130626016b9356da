// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What helpers need of the loader.

use super::Profile;
use crate::{Fact, HelperId, LoaderNeeds, ProgContext, ProgType};

/// Programs that nobody loads without both capabilities (`is_perfmon_prog_type` of
/// `kernel/bpf/syscall.c`) and that may have helpers of a hook, a target or a member only, which
/// were not measured one by one.
const BY_TARGET: [ProgType; 3] = [ProgType::TRACING, ProgType::LSM, ProgType::STRUCT_OPS];

impl Profile {
    /// [`crate::Kernel::helper_needs`]: by the variants of the program's type. Where these do not
    /// tell, the helper was measured for other types, and what those agree on holds: the functions
    /// that give helpers (`get_func_proto`) ask for capabilities in what they share.
    pub(super) fn needs_of_helper(
        &self,
        id: HelperId,
        program: &ProgContext<'_>,
    ) -> Result<LoaderNeeds, Fact> {
        let in_set = |set: u16| {
            let set = self.facts.need_sets.get(usize::from(set))?;
            let at = set.binary_search_by_key(&id, |(id, _)| *id).ok()?;
            set.get(at).map(|(_, needs)| *needs)
        };
        let what = format_args!("capabilities for helper {}", id.0);
        let by_type = self.decide(program, &what, |variant| variant.needs.and_then(in_set));
        if by_type.is_ok() || !BY_TARGET.contains(&program.prog_type) {
            return by_type;
        }
        let gate = LoaderNeeds::BPF | LoaderNeeds::PERFMON;
        let measured = self.facts.variants.iter().filter_map(|v| v.needs.and_then(in_set));
        let mut measured = measured.map(|needs| needs | gate);
        let first = measured.next();
        first
            .filter(|first| measured.all(|needs| needs == *first))
            .ok_or_else(|| self.unknown(what))
    }
}
