// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Mistakes beside the instructions: in tables, flags and what a program attaches to.

use veristable_kernel::AttachType;
use veristable_program::{Attach, InfoTable, LoadRequest, ProgFlags};

use crate::choices::Choices;

/// Makes one.
pub(crate) fn twist(choices: &mut Choices<'_>, request: &mut LoadRequest) {
    let has_lines = request.line_info.count > 0;
    match choices.below(8) {
        0 | 1 if has_lines => twist_table(choices, &mut request.line_info),
        0..=3 if request.func_info.count > 0 => twist_table(choices, &mut request.func_info),
        4 => attach_elsewhere(choices, request),
        5 => request.expected_attach_type = AttachType(choices.below(64) as u32),
        6 => request.flags |= ProgFlags::from_bits_retain(1 << choices.below(10)),
        _ => request.license = choices.pick(["", "Proprietary", "gpl"]).to_owned(),
    }
}

fn attach_elsewhere(choices: &mut Choices<'_>, request: &mut LoadRequest) {
    let Attach::Kernel { btf_id, .. } = &mut request.attach else { return };
    *btf_id = match choices.below(4) {
        0 => 1,
        1 => btf_id.wrapping_add(1),
        2 => btf_id.wrapping_sub(1),
        _ => choices.below(160_000) as u32 + 1,
    };
}

/// Changes a table in a way that leaves as many bytes as it says.
fn twist_table(choices: &mut Choices<'_>, table: &mut InfoTable) {
    let size = table.rec_size as usize;
    let mut records: Vec<Vec<u8>> =
        table.bytes.chunks_exact(size.max(1)).map(<[u8]>::to_vec).collect();
    let at = choices.below(records.len());
    match choices.below(7) {
        0 => {
            records.remove(at);
        }
        1 => records.insert(at, records.get(at).cloned().unwrap_or_default()),
        2 => {
            let tail = choices.pick([0, 0, 1]);
            records.iter_mut().for_each(|record| record.extend([tail, 0, 0, 0]));
        }
        3 => records.iter_mut().for_each(|record| record.truncate(size.saturating_sub(4))),
        4 => records.swap(0, at),
        _ => {
            let word = choices.below(size / 4) * 4;
            let by = choices.pick([1_u32, 2, u32::MAX, 8, 1 << 20]);
            let place = records.get_mut(at).and_then(|record| record.get_mut(word..word + 4));
            if let Some(place) = place.and_then(|place| place.first_chunk_mut::<4>()) {
                *place = u32::from_le_bytes(*place).wrapping_add(by).to_le_bytes();
            }
        }
    }
    table.rec_size = records.first().map_or(table.rec_size, |record| record.len() as u32);
    table.count = records.len() as u32;
    table.bytes = records.concat().into();
}
