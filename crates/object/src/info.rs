// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Function and line info: of sections in the object, of one program after linking.

use crate::elf::Elf;
use crate::program::Function;
use std::collections::HashMap;
use veristable_btf::{Btf, BtfExt, Groups, Record};
use veristable_program::{Blob, InfoTable};

/// The records of one section.
#[derive(Debug)]
struct Rows {
    bytes: Vec<u8>,
    /// Whether offsets do not fall, so that they can be searched.
    sorted: bool,
}

/// One kind of info for all sections.
#[derive(Debug, Default)]
pub(crate) struct Info {
    record_size: u32,
    sections: HashMap<usize, Rows>,
}

impl Info {
    /// Bytes that have to be looked through for a function, where they are not in order.
    pub(crate) fn search_cost(&self, function: &Function) -> usize {
        let rows = self.sections.get(&function.section).filter(|rows| !rows.sorted);
        rows.map_or(0, |rows| rows.bytes.len())
    }

    fn new<R: Record>(elf: &Elf<'_>, btf: &Btf<'_>, groups: Groups<'_, R>) -> Self {
        let record_size = groups.record_size();
        let mut sections = HashMap::new();
        for group in groups {
            let name = btf.utf8(group.section_name_offset).unwrap_or("");
            let Some(index) = elf.section_named(name) else { continue };
            // Where two groups are for the same section, libbpf looks at the first only.
            sections.entry(index).or_insert_with(|| {
                let bytes = group.records.raw().to_vec();
                let size = record_size as usize;
                let offsets =
                    (0..bytes.len() / size.max(1)).map(|row| offset_at(&bytes, row, size));
                let sorted = offsets.is_sorted();
                Rows { bytes, sorted }
            });
        }
        Self { record_size, sections }
    }

    /// The records of a function: those from its first to its last instruction
    /// (`adjust_prog_btf_ext_info` of libbpf). `None` if there are none.
    fn of(&self, function: &Function) -> Option<&[u8]> {
        let rows = self.sections.get(&function.section)?;
        let size = self.record_size as usize;
        let count = rows.bytes.len() / size.max(1);
        let insn = |row: usize| offset_at(&rows.bytes, row, size) / 8;
        let (start, end) = if rows.sorted {
            (
                find(count, |row| insn(row) < function.first),
                find(count, |row| insn(row) < function.end()),
            )
        } else {
            // As libbpf: from the first record that belongs, until one is past the end.
            let before_end = (0..count).take_while(|row| insn(*row) < function.end());
            let mut inside = before_end.filter(|row| insn(*row) >= function.first);
            let start = inside.next()?;
            (start, inside.last().unwrap_or(start) + 1)
        };
        rows.bytes.get(start * size..end * size).filter(|records| !records.is_empty())
    }
}

/// The first row for which `before` does not hold, of rows that are in order.
fn find(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

fn offset_at(bytes: &[u8], row: usize, size: usize) -> u32 {
    let raw = bytes.get(row * size..).and_then(|rest| rest.first_chunk::<4>());
    raw.map_or(0, |raw| u32::from_le_bytes(*raw))
}

/// What `.BTF.ext` says besides CO-RE relocations.
#[derive(Debug, Default)]
pub(crate) struct Infos {
    pub(crate) func: Info,
    pub(crate) line: Info,
}

impl Infos {
    pub(crate) fn new(elf: &Elf<'_>, btf: &Btf<'_>, ext: &BtfExt<'_>) -> Self {
        Self {
            func: Info::new(elf, btf, ext.func_info()),
            line: Info::new(elf, btf, ext.line_info()),
        }
    }
}

/// One kind of info of a program that is being linked.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    bytes: Vec<u8>,
    /// The program proper has none, so its subprograms get none either.
    absent: bool,
}

impl Collected {
    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a function's records; `at` is its place in the program, the first function's is 0.
    /// `Err` if the program has records and the function has none.
    pub(crate) fn add(&mut self, info: &Info, function: &Function, at: u32) -> Result<(), ()> {
        if self.absent {
            return Ok(());
        }
        let Some(records) = info.of(function) else {
            if self.bytes.is_empty() {
                self.absent = true;
                return Ok(());
            }
            return Err(());
        };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(records);
        let shift = at.wrapping_sub(function.first);
        let rows = self.bytes.get_mut(start..).unwrap_or(&mut []);
        for record in rows.chunks_exact_mut((info.record_size as usize).max(4)) {
            if let Some(word) = record.first_chunk_mut::<4>() {
                let insn = (u32::from_le_bytes(*word) / 8).wrapping_add(shift);
                *word = insn.to_le_bytes();
            }
        }
        Ok(())
    }

    /// The table for the load.
    pub(crate) fn table(self, info: &Info) -> InfoTable {
        if self.bytes.is_empty() {
            return InfoTable::default();
        }
        let count = self.bytes.len() / (info.record_size as usize).max(1);
        InfoTable {
            rec_size: info.record_size,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            bytes: Blob::from(self.bytes),
        }
    }
}
