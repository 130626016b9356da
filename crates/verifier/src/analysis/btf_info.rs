// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Function info, line info and CO-RE records.

use crate::env::Env;
use crate::outcome::Step;
use crate::trace::{Event, Level, Observer};
use core::fmt;
use veristable_btf::{Linkage, TypeId};

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
    /// The line's number (`BPF_LINE_INFO_LINE_NUM`).
    #[must_use]
    pub const fn line(self) -> u32 {
        self.line_col >> 10
    }
}

/// Tests function info by itself (`check_btf_info_early`).
///
/// # Errors
///
/// The rejection.
pub fn check_early<O: Observer>(env: &mut Env<'_, O>) -> Step {
    env.unsupported("phase", "early function info")
}

/// Tests function info against the subprograms, line info and CO-RE records (`check_btf_info`).
///
/// # Errors
///
/// The rejection.
pub fn check<O: Observer>(env: &mut Env<'_, O>) -> Step {
    env.unsupported("phase", "BTF info")
}

impl<O: Observer> Env<'_, O> {
    /// Emits the source line of an instruction unless it is the one emitted last
    /// (`verbose_linfo` in `kernel/bpf/log.c`). The simulation calls it before each instruction
    /// with the prefix `; ` and sets [`Env::forget_source_line`] when a pass begins.
    pub fn source_line(&mut self, insn: u32, prefix: &dyn fmt::Display) {
        if !self.wants(Level::Messages) {
            return;
        }
        let lines = &self.code.line_info;
        // The first record is that of instruction 0.
        let Some(index) = lines.partition_point(|line| line.insn_off <= insn).checked_sub(1) else {
            return;
        };
        let (Some(line), Some(btf)) = (lines.get(index).copied(), self.prog.btf) else { return };
        let previous = self.last_line.and_then(|last| lines.get(last as usize));
        let index = u32::try_from(index).ok();
        if self.last_line == index && index.is_some()
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
        self.last_line = index;
    }

    /// A pass begins: the next source line is emitted whatever came before.
    pub fn forget_source_line(&mut self) {
        self.last_line = None;
    }
}

/// C's `isspace` for ASCII.
const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}
