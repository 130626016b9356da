// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Context tables out of what the kernel's `is_valid_access` answered.

use super::build::Builder;
use super::input::{CtxVariant, GuestVariant};
use anyhow::{Context, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use veristable_kernel::ProgType;
use veristable_kernel::profile::{CtxResult, CtxTable, Window};

type Cell = (u32, u8, bool, u16);

/// The offsets that were tried (the list `V` of the decoding scripts): of a context that is a
/// structure every offset to 8 bytes past its end, otherwise fixed ranges.
pub(crate) fn windows(prog_type: ProgType, guest: &GuestVariant) -> anyhow::Result<Vec<Window>> {
    let window = |start, end| Window { start, end };
    let offsets = guest.programs.context("no count of programs")? / 8;
    let windows = match (guest.ctx_size, prog_type) {
        (Some(size), _) => vec![window(0, size + 9)],
        (None, ProgType::TRACEPOINT) => vec![window(0, 72), window(8176, 8208)],
        (None, ProgType::SYSCALL) => vec![window(0, 24), window(32752, 32768)],
        (None, _) => vec![window(0, offsets)],
    };
    let sum: u32 = windows.iter().map(|w| w.end - w.start).sum();
    ensure!(sum == offsets, "{offsets} offsets were tried, not {sum}");
    Ok(windows)
}

/// The table of one variant.
pub(crate) fn table(
    builder: &Builder<'_>,
    prog_type: ProgType,
    offline: &CtxVariant,
    guest: &GuestVariant,
) -> anyhow::Result<Option<CtxTable>> {
    let (Some(rows), Some(read), Some(write)) = (&offline.accepted, &guest.read, &guest.write)
    else {
        return Ok(None);
    };
    ensure!(offline.failed.is_empty(), "some accesses have no answer: {:?}", offline.failed);
    let mut confirmed: BTreeSet<(u32, u8, bool)> = BTreeSet::new();
    confirmed.extend(read.iter().map(|(offset, size, _)| (*offset, *size, false)));
    confirmed.extend(write.iter().map(|(offset, size)| (*offset, *size, true)));
    let mut results: Vec<CtxResult> = Vec::new();
    let mut cells: Vec<Cell> = Vec::new();
    for row in rows {
        let cell = row.cell();
        let ty = builder.register_type(cell.ty)?;
        let btf = cell.extra.btf.as_deref();
        let result = CtxResult {
            ty,
            btf: btf.map(|name| builder.structure(name)),
            field_size: u8::try_from(cell.extra.field_size())?,
            is_retval: cell.extra.is_retval != 0,
            conversion_fails: !confirmed.remove(&(cell.offset, cell.size, cell.write)),
        };
        let at = results.iter().position(|r| *r == result).unwrap_or_else(|| {
            results.push(result);
            results.len() - 1
        });
        cells.push((cell.offset, cell.size, cell.write, u16::try_from(at)?));
    }
    if let Some(cell) = confirmed.first() {
        bail!("the guest accepts {cell:?}, which is_valid_access refuses");
    }
    let mut windows = windows(prog_type, guest)?;
    if let [first, second] = windows[..]
        && let Some(filled) = fill_gap(&cells, first, second)
    {
        cells.extend(filled);
        windows = vec![Window { start: first.start, end: second.end }];
    }
    let end = guest.ctx_size.or_else(|| end(&cells, &windows));
    Ok(Some(CtxTable::pack(windows, end, cells, results)))
}

/// Everything past a context's end is refused. The end was seen if the last eight offsets that
/// were tried permit nothing.
fn end(cells: &[Cell], windows: &[Window]) -> Option<u32> {
    let end = windows.last()?.end;
    let last = cells.iter().map(|cell| cell.0 + u32::from(cell.1)).max().unwrap_or(0);
    (last + 8 <= end).then_some(end)
}

/// Two ranges were tried, the first and the last part of a long context. If the last eight bytes
/// of the first permit the same as the first eight of the second, the gap is taken to go on alike:
/// these checks look at alignment and bounds only (`tp_prog_is_valid_access` of
/// `kernel/trace/bpf_trace.c`, `syscall_prog_is_valid_access` of `kernel/bpf/syscall.c`).
fn fill_gap(cells: &[Cell], first: Window, second: Window) -> Option<Vec<Cell>> {
    let pattern = |start: u32| -> BTreeMap<(u32, u8, bool), u16> {
        let inside = cells.iter().filter(|cell| (start..start + 8).contains(&cell.0));
        inside
            .map(|(offset, size, write, result)| ((offset - start, *size, *write), *result))
            .collect()
    };
    let before = pattern(first.end.checked_sub(8)?);
    if before.is_empty() || before != pattern(second.start) || !first.end.is_multiple_of(8) {
        return None;
    }
    let blocks = (first.end..second.start).step_by(8);
    Some(
        blocks
            .flat_map(|block| {
                before.iter().map(move |((offset, size, write), result)| {
                    (block + offset, *size, *write, *result)
                })
            })
            .collect(),
    )
}
