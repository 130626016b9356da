// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Tables of context access.

use super::{TypeRow, prog_type_text};
use crate::{
    CtxAccess, CtxAnswer, CtxField, Direction, Fact, Profile, ProgContext, ProgType, RegBase,
    RegType, TypeFlags,
};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A range of offsets, for every size and both directions: from `start` to before `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Window {
    /// First offset.
    pub start: u32,
    /// Offset after the last.
    pub end: u32,
}

/// What a permitted access yields.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CtxResult {
    /// Register type.
    pub ty: RegType,
    /// Kernel type.
    pub btf: Option<TypeRow>,
    /// `ctx_field_size`.
    pub field_size: u8,
    /// `is_retval`.
    pub is_retval: bool,
    /// The conversion refuses it later.
    pub conversion_fails: bool,
}

/// Permitted accesses of one size and direction at evenly spaced offsets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CtxRun {
    /// First offset.
    pub start: u32,
    /// Distance of the offsets; at least 1.
    pub step: u8,
    /// How many offsets.
    pub count: u16,
    /// Size in bytes.
    pub size: u8,
    /// A store.
    pub write: bool,
    /// Index of the result.
    pub result: u16,
}

impl CtxRun {
    fn covers(&self, offset: u32, size: u32, write: bool) -> bool {
        let step = u32::from(self.step.max(1));
        u32::from(self.size) == size
            && self.write == write
            && offset.checked_sub(self.start).is_some_and(|distance| {
                distance % step == 0 && distance / step < u32::from(self.count)
            })
    }
}

/// The permitted accesses of one context.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CtxTable {
    /// Where every access was tried. What is not in a run there is refused.
    pub windows: Vec<Window>,
    /// Everything at and after this offset is refused: the table was measured beyond the end.
    pub end: Option<u32>,
    /// Permitted accesses.
    pub runs: Vec<CtxRun>,
    /// What they yield.
    pub results: Vec<CtxResult>,
}

enum Cell<'t> {
    Refused,
    Allowed(&'t CtxResult),
    NotMeasured,
}

impl CtxTable {
    fn cell(&self, offset: u32, size: u32, write: bool) -> Cell<'_> {
        let run = self.runs.iter().find(|run| run.covers(offset, size, write));
        if let Some(result) = run.and_then(|run| self.results.get(usize::from(run.result))) {
            return Cell::Allowed(result);
        }
        let refused = !matches!(size, 1 | 2 | 4 | 8)
            || self.end.is_some_and(|end| offset >= end)
            || self.windows.iter().any(|w| (w.start..w.end).contains(&offset));
        if refused { Cell::Refused } else { Cell::NotMeasured }
    }
}

impl Profile {
    /// [`crate::Kernel::context`].
    pub(super) fn context_answer(
        &self,
        access: CtxAccess,
        program: &ProgContext<'_>,
    ) -> Result<CtxAnswer<'_>, Fact> {
        let Ok(offset) = u32::try_from(access.offset) else {
            return Ok(before_context(access, program.prog_type));
        };
        if program.prog_type == ProgType::STRUCT_OPS {
            return Ok(CtxAnswer::ByBtf);
        }
        let table = if is_by_btf(program) {
            // Measured for single targets only.
            let Some(index) = self.exact(program, |variant| variant.context) else {
                return Ok(CtxAnswer::ByBtf);
            };
            index
        } else {
            self.context_table(program)?
        };
        let write = access.direction == Direction::Write;
        let table = self.facts.contexts.get(usize::from(table));
        match table.map(|table| table.cell(offset, access.size, write)) {
            Some(Cell::Allowed(result)) => {
                // The checks of packet pointers refuse `info->is_ldsx`, e.g.
                // bpf_skb_is_valid_access of net/core/filter.c.
                let is_packet = matches!(
                    result.ty.base,
                    RegBase::Packet | RegBase::PacketMeta | RegBase::PacketEnd
                );
                if access.sign_extend && is_packet {
                    return Ok(CtxAnswer::Refused);
                }
                Ok(CtxAnswer::Allowed(CtxField {
                    ty: result.ty,
                    btf: result.btf.as_ref().map(|ty| self.facts.type_ref(ty)),
                    field_size: u32::from(result.field_size),
                    is_retval: result.is_retval,
                    conversion_fails: result.conversion_fails,
                }))
            }
            Some(Cell::Refused) => Ok(CtxAnswer::Refused),
            Some(Cell::NotMeasured) if program.prog_type == ProgType::SYSCALL => {
                Ok(far_in_context(access, offset))
            }
            Some(Cell::NotMeasured) => Err(self.unknown(format_args!(
                "context access at offset {offset} of {} programs",
                prog_type_text(program.prog_type)
            ))),
            None => Err(self.unknown("context access")),
        }
    }

    /// The table for a program: the one that was measured, else the one that all variants share.
    fn context_table(&self, program: &ProgContext<'_>) -> Result<u16, Fact> {
        self.decide(program, &"context access", |variant| variant.context)
    }
}

/// An access before the start of the context. Every `is_valid_access` begins with `off < 0`, but
/// for `tp_prog_is_valid_access` of `kernel/trace/bpf_trace.c`: that compares the offset with a
/// size, which is unsigned, and so permits reads.
const fn before_context<'k>(access: CtxAccess, prog_type: ProgType) -> CtxAnswer<'k> {
    let CtxAccess { offset, size, direction, .. } = access;
    let reads = matches!(direction, Direction::Read) && prog_type.0 == ProgType::TRACEPOINT.0;
    let aligned = size != 0 && offset.unsigned_abs().is_multiple_of(size);
    if reads && aligned { NUMBER } else { CtxAnswer::Refused }
}

/// An access to the context of a system call further away than instructions reach, which calls do
/// (`syscall_prog_is_valid_access` of `kernel/bpf/syscall.c`).
const fn far_in_context<'k>(access: CtxAccess, offset: u32) -> CtxAnswer<'k> {
    let aligned = access.size != 0 && offset.is_multiple_of(access.size);
    if aligned && offset < u16::MAX as u32 { NUMBER } else { CtxAnswer::Refused }
}

/// A number without conditions.
const NUMBER: CtxAnswer<'_> = CtxAnswer::Allowed(CtxField {
    ty: RegType { base: RegBase::Scalar, flags: TypeFlags::empty() },
    btf: None,
    field_size: 0,
    is_retval: false,
    conversion_fails: false,
});

/// Whether the context is the arguments of a kernel function (`btf_ctx_access`).
fn is_by_btf(program: &ProgContext<'_>) -> bool {
    matches!(program.prog_type, ProgType::TRACING | ProgType::LSM)
}

impl CtxTable {
    /// Packs measured cells: offset, size, write, index of the result. `cells` need no order.
    #[must_use]
    pub fn pack(
        windows: Vec<Window>,
        end: Option<u32>,
        mut cells: Vec<(u32, u8, bool, u16)>,
        results: Vec<CtxResult>,
    ) -> Self {
        cells.sort_unstable_by_key(|(offset, size, write, result)| {
            (*size, *write, *result, *offset)
        });
        let mut runs: Vec<CtxRun> = Vec::new();
        for (offset, size, write, result) in cells {
            if let Some(run) = runs.last_mut()
                && (run.size, run.write, run.result) == (size, write, result)
                && extend(run, offset)
            {
                continue;
            }
            runs.push(CtxRun { start: offset, step: 1, count: 1, size, write, result });
        }
        Self { windows, end, runs, results }
    }
}

/// Lets a run take in the next offset if it is evenly spaced.
fn extend(run: &mut CtxRun, offset: u32) -> bool {
    let Some(distance) = offset.checked_sub(run.start) else { return false };
    if run.count == 1 {
        let Ok(step) = u8::try_from(distance) else { return false };
        if step == 0 {
            return false;
        }
        run.step = step;
    } else if distance != u32::from(run.step) * u32::from(run.count) {
        return false;
    }
    let Some(count) = run.count.checked_add(1) else { return false };
    run.count = count;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_cells_are_the_same_cells() {
        let result = |field_size| CtxResult {
            ty: RegType { base: RegBase::Scalar, flags: TypeFlags::empty() },
            btf: None,
            field_size,
            is_retval: false,
            conversion_fails: false,
        };
        let mut cells = Vec::new();
        for offset in 0..40u32 {
            for size in [1u8, 2, 4, 8] {
                if offset % u32::from(size) == 0 && offset != 12 && offset + u32::from(size) <= 40 {
                    cells.push((offset, size, false, u16::from(offset >= 20)));
                }
            }
        }
        let window = Window { start: 0, end: 48 };
        let results = alloc::vec![result(4), result(0)];
        let table = CtxTable::pack(alloc::vec![window], None, cells.clone(), results);
        assert!(table.runs.len() < cells.len() / 3, "{} runs", table.runs.len());
        for offset in 0..48u32 {
            for size in [1u8, 2, 4, 8] {
                for write in [false, true] {
                    let want = cells.iter().find(|c| (c.0, c.1, c.2) == (offset, size, write));
                    match (table.cell(offset, size.into(), write), want) {
                        (Cell::Allowed(got), Some(want)) => {
                            assert_eq!(Some(got), table.results.get(usize::from(want.3)));
                        }
                        (Cell::Refused, None) => {}
                        _ => panic!("offset {offset} size {size}"),
                    }
                }
            }
        }
        assert!(matches!(table.cell(48, 1, false), Cell::NotMeasured));
    }
}
