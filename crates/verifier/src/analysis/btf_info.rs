// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Function info, line info and CO-RE records.

use super::core_relo::Relocations;
use crate::env::{Env, SubprogFlags};
use crate::errno::Errno;
use crate::messages::{BtfInfo, CoreRelo as CoreMessage};
use crate::outcome::{Step, Stop};
use crate::trace::{Event, Level, Observer};
use core::fmt;
use veristable_btf::{Btf, CoreRelo, Kind, Linkage, TypeId};
use veristable_program::{Blob, InfoTable, LoadRequest};

/// Function info of one subprogram (`struct bpf_func_info` and `bpf_func_info_aux`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FuncInfo {
    /// First slot.
    pub insn_off: u32,
    /// The `BTF_KIND_FUNC` in the program's BTF.
    pub type_id: TypeId,
    /// Its linkage.
    pub linkage: Linkage,
}

/// A record of line info (`struct bpf_line_info`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineInfo {
    /// First slot that belongs to the line.
    pub insn_off: u32,
    /// The file's name in the string section of the program's BTF.
    pub file_name_off: u32,
    /// The line's text there.
    pub line_off: u32,
    /// Line number << 10 | column.
    pub line_col: u32,
}

impl LineInfo {
    fn of(record: &[u8]) -> Self {
        let [insn_off, file_name_off, line_off, line_col] = words(record);
        Self { insn_off, file_name_off, line_off, line_col }
    }

    /// The line's number (`BPF_LINE_INFO_LINE_NUM`).
    #[must_use]
    pub const fn line(self) -> u32 {
        self.line_col >> 10
    }
}

/// The program's BTF, if the kernel looks at it: without function and line info it leaves the
/// descriptor alone (`check_btf_info_early`).
#[must_use]
pub fn used_btf(request: &LoadRequest) -> Option<&Blob> {
    let informed = request.func_info.count > 0 || request.line_info.count > 0;
    request.btf.as_ref().filter(|_| informed)
}

/// Sizes of the records that 6.18 knows (`struct bpf_func_info`, `struct bpf_line_info`,
/// `struct bpf_core_relo` in `include/uapi/linux/bpf.h`).
const FUNC_INFO_SIZE: u32 = 8;
const LINE_INFO_SIZE: u32 = 16;
const CORE_RELO_SIZE: u32 = 16;
/// `MAX_FUNCINFO_REC_SIZE`, the same for all three.
const MAX_RECORD_SIZE: u32 = 252;

/// Tests function info by itself (`check_btf_info_early`).
///
/// # Errors
///
/// The rejection.
pub fn check_early<O: Observer>(env: &mut Env<'_, O>) -> Step {
    let request = env.request;
    if request.func_info.count == 0 && request.line_info.count == 0 {
        return Ok(());
    }
    let Some(btf) = env.prog.btf else {
        // Descriptor 0 is open in any usual process, and no BTF.
        return Err(Stop::Rejected(Errno::EINVAL));
    };
    check_functions_early(env, btf)
}

/// `check_btf_func_early`
fn check_functions_early<O: Observer>(env: &mut Env<'_, O>, btf: &Btf<'_>) -> Step {
    let table = &env.request.func_info;
    if table.count == 0 {
        return Ok(());
    }
    if !is_record_size(table.rec_size, FUNC_INFO_SIZE) {
        return env.reject(BtfInfo::FuncRecordSize { size: table.rec_size });
    }
    let mut previous = 0;
    for index in 0..table.count {
        env.tick()?;
        let record = record(env, table, index)?;
        if !is_zero_after(record, FUNC_INFO_SIZE) {
            return env.reject(BtfInfo::FuncTail);
        }
        let [offset, type_id] = words(record);
        if index == 0 && offset != 0 {
            return env.reject(BtfInfo::FirstFuncOffset { offset });
        }
        if index > 0 && offset <= previous {
            return env.reject(BtfInfo::FuncOrder { offset, previous });
        }
        let id = TypeId(type_id);
        let Some(func) = btf.type_by_id(id).ok().and_then(|ty| ty.as_func()) else {
            return env.reject(BtfInfo::FuncType { type_id: type_id.cast_signed() });
        };
        if btf.type_by_id(func.proto).ok().is_none_or(|ty| ty.kind() != Kind::FuncProto) {
            return Err(Stop::Rejected(Errno::EINVAL));
        }
        let info = FuncInfo { insn_off: offset, type_id: id, linkage: func.linkage };
        env.code.func_info.push(&env.budget, info)?;
        previous = offset;
    }
    Ok(())
}

/// Tests function info against the subprograms, line info and CO-RE records (`check_btf_info`).
///
/// # Errors
///
/// The rejection.
pub fn check<O: Observer>(env: &mut Env<'_, O>) -> Step {
    let request = env.request;
    if request.func_info.count == 0 && request.line_info.count == 0 {
        // Without either of them relocations are not looked at.
        return check_abnormal_return(env);
    }
    let Some(btf) = env.prog.btf else { return Err(Stop::Rejected(Errno::EINVAL)) };
    check_functions(env, btf)?;
    check_lines(env, btf)?;
    check_relocations(env, btf)
}

/// `check_abnormal_return`
fn check_abnormal_return<O: Observer>(env: &mut Env<'_, O>) -> Step {
    let has = |flags: SubprogFlags| {
        if flags.contains(SubprogFlags::HAS_LD_ABS) {
            Some(BtfInfo::LdAbsWithoutBtf)
        } else if flags.contains(SubprogFlags::HAS_TAIL_CALL) {
            Some(BtfInfo::TailCallWithoutBtf)
        } else {
            None
        }
    };
    match env.subprogs.iter().skip(1).find_map(|subprog| has(subprog.flags)) {
        Some(message) => env.reject(message),
        None => Ok(()),
    }
}

/// `check_btf_func`
fn check_functions<O: Observer>(env: &mut Env<'_, O>, btf: &Btf<'_>) -> Step {
    if env.code.func_info.is_empty() {
        return check_abnormal_return(env);
    }
    if env.code.func_info.len() != env.subprogs.len() {
        return env.reject(BtfInfo::FuncCount);
    }
    for index in 0..env.code.func_info.len() {
        let info = *env.code.func_info.at(index)?;
        let subprog = *env.subprogs.at(index)?;
        if subprog.start != info.insn_off {
            return env.reject(BtfInfo::FuncLayout);
        }
        if index > 0 && !returns_int(btf, info.type_id) {
            if subprog.flags.contains(SubprogFlags::HAS_LD_ABS) {
                return env.reject(BtfInfo::LdAbsNotInt);
            }
            if subprog.flags.contains(SubprogFlags::HAS_TAIL_CALL) {
                return env.reject(BtfInfo::TailCallNotInt);
            }
        }
    }
    // From here on the functions are known by their linkage (`subprog_is_global`).
    for (subprog, info) in env.subprogs.iter_mut().zip(&env.code.func_info) {
        subprog.flags.set(SubprogFlags::IS_GLOBAL, info.linkage == Linkage::Global);
    }
    Ok(())
}

/// Whether a function returns an integer of up to 8 bytes or an enum (`btf_type_is_small_int`,
/// `btf_is_any_enum`).
fn returns_int(btf: &Btf<'_>, func: TypeId) -> bool {
    let proto = |id| btf.type_by_id(id).ok()?.as_func_proto();
    let returned = || {
        let func = btf.type_by_id(func).ok()?.as_func()?;
        btf.skip_modifiers(proto(func.proto)?.returns).ok()
    };
    returned().is_some_and(|ty| ty.kind().is_enum() || ty.as_int().is_some_and(|int| int.size <= 8))
}

/// `check_btf_line`
fn check_lines<O: Observer>(env: &mut Env<'_, O>, btf: &Btf<'_>) -> Step {
    let table = &env.request.line_info;
    if table.count == 0 {
        return Ok(());
    }
    // The last column of the record was there from the start.
    check_size(table, LINE_INFO_SIZE)?;
    let mut func = 0;
    let mut previous = 0;
    for index in 0..table.count {
        env.tick()?;
        let record = record(env, table, index)?;
        if !is_zero_after(record, LINE_INFO_SIZE) {
            return env.reject(BtfInfo::LineTail);
        }
        let LineInfo { insn_off: offset, file_name_off, line_off, .. } = LineInfo::of(record);
        let len = env.code.len();
        if (index > 0 && offset <= previous) || offset >= len {
            return env.reject(BtfInfo::LineOffset { index, offset, previous, len });
        }
        if env.code.insn(offset)?.code == 0 {
            return env.reject(BtfInfo::LineInsn { index });
        }
        if !btf.has_string(line_off) || !btf.has_string(file_name_off) {
            return env.reject(BtfInfo::LineName { index });
        }
        if let Some(subprog) = env.subprogs.get(func) {
            if offset == subprog.start {
                func += 1;
            } else if subprog.start < offset {
                let func = u32::try_from(func).unwrap_or(u32::MAX);
                return env.reject(BtfInfo::LineMissing { func });
            }
        }
        previous = offset;
    }
    if func != env.subprogs.len() {
        // The kernel keeps no line info of a program that it refuses: no source lines follow.
        let count = u32::try_from(env.subprogs.len() - func).unwrap_or(u32::MAX);
        let func = u32::try_from(func).unwrap_or(u32::MAX);
        return env.reject(BtfInfo::LinesMissing { count, func });
    }
    env.code.lines = table.count;
    Ok(())
}

/// `check_core_relo`
fn check_relocations<'a, O: Observer>(env: &mut Env<'a, O>, btf: &'a Btf<'a>) -> Step {
    let table = &env.request.core_relos;
    if table.count == 0 {
        return Ok(());
    }
    check_size(table, CORE_RELO_SIZE)?;
    let mut relocations = Relocations::new(env, btf);
    for index in 0..table.count {
        env.tick()?;
        let record = record(env, table, index)?;
        if !is_zero_after(record, CORE_RELO_SIZE) {
            return env.reject(CoreMessage::RecordTail);
        }
        let [offset, type_id, access_offset, kind_number] = words(record);
        let len = env.code.len();
        if offset % 8 != 0 || offset / 8 >= len {
            return env.reject(CoreMessage::Offset { index, offset, len });
        }
        let type_id = TypeId(type_id);
        let relo = CoreRelo { insn_offset: offset, type_id, access_offset, kind_number };
        relocations.apply(env, &relo, index)?;
    }
    env.decode()
}

/// `INT_MAX`
const MAX_RECORDS: u32 = i32::MAX.cast_unsigned();

/// Refuses tables of too many records, or of records shorter than `least` bytes.
fn check_size(table: &InfoTable, least: u32) -> Step {
    if table.count > MAX_RECORDS / least || !is_record_size(table.rec_size, least) {
        return Err(Stop::Rejected(Errno::EINVAL));
    }
    Ok(())
}

const fn is_record_size(size: u32, least: u32) -> bool {
    size >= least && size <= MAX_RECORD_SIZE && size.is_multiple_of(4)
}

/// One record of a table.
fn record<'r, O: Observer>(env: &Env<'_, O>, table: &'r InfoTable, index: u32) -> Step<&'r [u8]> {
    let size = table.rec_size as usize;
    let start = size.checked_mul(index as usize);
    let range = start.and_then(|start| Some(start..start.checked_add(size)?));
    match range.and_then(|range| table.bytes.get(range)) {
        Some(record) => Ok(record),
        // The kernel would read whatever stands behind it in the loader's memory, which a request
        // does not have: it is no answer of the kernel's.
        None => env.unsupported("info table shorter than its count", ""),
    }
}

/// `bpf_check_uarg_tail_zero` (`kernel/bpf/syscall.c`)
fn is_zero_after(record: &[u8], known: u32) -> bool {
    record.iter().skip(known as usize).all(|byte| *byte == 0)
}

/// The first words of a record.
fn words<const N: usize>(record: &[u8]) -> [u32; N] {
    let (words, _) = record.as_chunks::<4>();
    let mut out = [0; N];
    for (out, word) in out.iter_mut().zip(words) {
        *out = u32::from_le_bytes(*word);
    }
    out
}

impl<O: Observer> Env<'_, O> {
    /// Emits the source line of an instruction unless it is the one emitted last
    /// (`verbose_linfo` in `kernel/bpf/log.c`). The simulation calls it before each instruction
    /// with the prefix `; ` and sets [`Env::forget_source_line`] when a pass begins.
    pub fn source_line(&mut self, insn: u32, prefix: &dyn fmt::Display) {
        if !self.wants(Level::Messages) {
            return;
        }
        let Some((index, line)) = self.line_of(insn) else { return };
        let Some(btf) = self.prog.btf else { return };
        let previous = self.last_line.and_then(|last| self.line(last));
        if self.last_line == Some(index)
            || previous.is_some_and(|previous| {
                previous.file_name_off == line.file_name_off && previous.line() == line.line()
            })
        {
            return;
        }
        let text = btf.utf8(line.line_off).unwrap_or("").trim_start_matches(is_space);
        let path = btf.utf8(line.file_name_off).unwrap_or("");
        let file = path.rsplit('/').next().unwrap_or(path);
        self.observer.event(Event::Source { prefix, text, file, line: line.line() });
        self.last_line = Some(index);
    }

    /// A record of line info: read where the loader has put it, since only logs ask.
    fn line(&self, index: u32) -> Option<LineInfo> {
        let table = &self.request.line_info;
        let record = record(self, table, index).ok().filter(|_| index < self.code.lines);
        record.map(LineInfo::of)
    }

    /// The record that an instruction belongs to, and its index.
    fn line_of(&self, insn: u32) -> Option<(u32, LineInfo)> {
        let (mut low, mut high) = (0, self.code.lines);
        while low < high {
            let middle = low.midpoint(high);
            if self.line(middle)?.insn_off <= insn {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        // The first record is that of instruction 0.
        let index = low.checked_sub(1)?;
        Some((index, self.line(index)?))
    }

    /// A pass begins: the next source line is emitted whatever came before.
    pub fn forget_source_line(&mut self) {
        self.last_line = None;
    }
}

/// C's `isspace` for ASCII.
pub(crate) const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}
