// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Writing `.BTF.ext`.

use alloc::vec::Vec;

use crate::raw::{HEADER_LEN, HEADER_LEN_LAYOUT, MAGIC};
use crate::{CoreRelo, FuncInfo, LineInfo};

/// `.BTF.ext` that is being written. Sections are given by the offset of their names in the
/// strings of the `.BTF` beside it; records of one section that are added one after the other
/// become one group.
#[derive(Clone, Debug)]
pub struct ExtWriter {
    parts: [Part; 3],
    header_len: usize,
    extra: u32,
}

/// A subsection: groups of records.
#[derive(Clone, Debug, Default)]
struct Part {
    groups: Vec<(u32, Vec<Vec<u32>>)>,
}

impl Part {
    fn add(&mut self, section: u32, record: &[u32]) {
        match self.groups.last_mut() {
            Some((last, records)) if *last == section => records.push(record.to_vec()),
            _ => self.groups.push((section, alloc::vec![record.to_vec()])),
        }
    }

    /// The subsection's data; `extra` words follow each record.
    fn finish(&self, words: u32, extra: u32) -> Vec<u8> {
        let mut data: Vec<u32> = Vec::new();
        if !self.groups.is_empty() {
            data.push(words.saturating_add(extra).saturating_mul(4));
        }
        for (section, records) in &self.groups {
            data.extend([*section, u32::try_from(records.len()).unwrap_or(u32::MAX)]);
            for record in records {
                data.extend(record);
                data.extend((0..extra).map(|_| u32::MAX));
            }
        }
        data.into_iter().flat_map(u32::to_le_bytes).collect()
    }
}

impl Default for ExtWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl ExtWriter {
    /// `.BTF.ext` without records.
    pub fn new() -> Self {
        Self { parts: Default::default(), header_len: HEADER_LEN_LAYOUT, extra: 0 }
    }

    /// Changes the length of the header: 24 is the least and leaves out the relocations.
    pub fn set_header_len(&mut self, len: usize) {
        self.header_len = len.max(HEADER_LEN);
    }

    /// Makes every record longer by so many words, as a later compiler might.
    pub const fn set_extra_words(&mut self, extra: u32) {
        self.extra = extra;
    }

    /// Adds where a function begins.
    pub fn add_func_info(&mut self, section: u32, info: FuncInfo) {
        let [part, ..] = &mut self.parts;
        part.add(section, &[info.insn_offset, info.type_id.0]);
    }

    /// Adds where a line begins.
    pub fn add_line_info(&mut self, section: u32, info: LineInfo) {
        let [_, part, _] = &mut self.parts;
        let LineInfo { insn_offset, file_name_offset, line_offset, line_column } = info;
        part.add(section, &[insn_offset, file_name_offset, line_offset, line_column]);
    }

    /// Adds a relocation.
    pub fn add_core_relo(&mut self, section: u32, relo: CoreRelo) {
        let [.., part] = &mut self.parts;
        let CoreRelo { insn_offset, type_id, access_offset, kind_number } = relo;
        part.add(section, &[insn_offset, type_id.0, access_offset, kind_number]);
    }

    /// The finished data.
    pub fn finish(&self) -> Vec<u8> {
        let has_relos = self.header_len >= HEADER_LEN_LAYOUT;
        let words = [2, 4, 4];
        let count = if has_relos { 3 } else { 2 };
        let parts = self.parts.iter().zip(words).take(count);
        let parts: Vec<_> = parts.map(|(part, words)| part.finish(words, self.extra)).collect();
        let header_len = u32::try_from(self.header_len).unwrap_or(u32::MAX);
        let mut header = alloc::vec![header_len];
        let mut at: u32 = 0;
        for part in &parts {
            let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
            header.extend([at, len]);
            at = at.saturating_add(len);
        }
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&[1, 0]);
        bytes.extend(header.into_iter().flat_map(u32::to_le_bytes));
        bytes.resize(self.header_len, 0);
        bytes.extend(parts.into_iter().flatten());
        bytes
    }
}
