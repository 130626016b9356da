// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Constant strings and formats in read-only maps (`check_reg_const_str`,
//! `check_bpf_snprintf_call`).

use crate::analysis::btf_info::is_space;
use crate::design::Design;
use crate::errno::Errno;
use crate::messages::Helper as Message;
use crate::outcome::{Step, Stop};
use crate::simulate::memory::{Accessor, Part, only_read};
use crate::simulate::sim::Sim;
use crate::state::{Kind, MapRef, RegState};
use crate::trace::Observer;
use alloc::borrow::Cow;
use veristable_isa::Reg;

impl<'a, D: Design, O: Observer> Sim<'_, 'a, D, O> {
    /// A pointer to a string that ends with a zero, in a frozen map that programs only read
    /// (`check_reg_const_str`).
    pub(crate) fn check_const_string(&mut self, reg: Reg) -> Step {
        let (number, state) = (reg.number(), self.copy_of(reg)?);
        let Kind::MapValue { map, .. } = state.kind else { return Err(Errno::EINVAL.into()) };
        if !state.flags.is_empty() {
            return Err(Errno::EINVAL.into());
        }
        let spec = self.map_spec(map)?;
        let frozen = !map.inner && self.env.map(map.index)?.frozen;
        if !(frozen && only_read(spec)) {
            return self.env.reject(Message::WritableMap { reg: number });
        }
        if !state.value.bits.is_const() {
            return self.env.reject(Message::NotConstantAddress { reg: number });
        }
        let facts = self.env.kernel.map_type(spec.map_type)?;
        if facts.is_none_or(|facts| facts.op("map_direct_value_addr").is_none()) {
            return self.env.reject(Message::NoDirectString);
        }
        let (off, zero_size_allowed) = (state.off, false);
        // Beyond the value this is negative, and so the kernel says.
        let size = spec.value_size.wrapping_sub(off.cast_unsigned());
        self.check_map_value(
            Part { reg, off, size, zero_size_allowed },
            &state,
            map,
            Accessor::Callee,
        )?;
        match self.string_at(map, &state)? {
            Err(errno) => self.env.reject_with(errno, Message::DirectString),
            Ok(None) => self.env.reject(Message::Unterminated),
            Ok(Some(_)) => Ok(()),
        }
    }

    /// The string that a register points to, without its end; `None` if it has none. The inner
    /// error is that of the map's `map_direct_value_addr`.
    fn string_at(
        &self,
        map: MapRef,
        state: &RegState,
    ) -> Step<Result<Option<Cow<'a, [u8]>>, Errno>> {
        let (spec, desc) = (self.map_spec(map)?, self.env.map(map.index)?);
        let facts = self.env.kernel.map_type(spec.map_type)?;
        let op = facts.and_then(|facts| facts.op("map_direct_value_addr"));
        if op != Some("array_map_direct_value_addr") || map.inner {
            // Inner maps do not count as frozen, and arenas are never read-only.
            return self.env.unsupported("constant string", "in such a map");
        }
        let at = i64::from(state.off).wrapping_add(state.value.bits.value.cast_signed());
        if spec.max_entries != 1 {
            return Ok(Err(Errno::ENOTSUPP));
        }
        let at = match u32::try_from(at) {
            Ok(at) if at < spec.value_size => at as usize,
            _ => return Ok(Err(Errno::EINVAL)),
        };
        let contents = desc.contents.as_deref().unwrap_or_default();
        let written = contents.get(at..).unwrap_or_default();
        // What was not written is zero; a blob may be longer than the value.
        let room = (spec.value_size as usize).saturating_sub(at);
        let written = written.get(..room).unwrap_or(written);
        let end = written.iter().position(|byte| *byte == 0);
        let string = match end {
            Some(end) => written.get(..end),
            None if written.len() < room => Some(written),
            None => None,
        };
        Ok(Ok(string.map(Cow::Borrowed)))
    }

    /// The format of `bpf_snprintf` must fit its arguments (`check_bpf_snprintf_call`).
    pub(super) fn check_snprintf(&mut self) -> Step {
        let length = self.reg(Reg::R5)?.value.bits.value;
        if length % 8 != 0 {
            return Err(Stop::Rejected(Errno::EINVAL));
        }
        let format = self.copy_of(Reg::R3)?;
        let Kind::MapValue { map, .. } = format.kind else {
            return self.bug(format_args!("format is no constant string"));
        };
        let Ok(Some(text)) = self.string_at(map, &format)? else {
            return self.bug(format_args!("format is no constant string"));
        };
        if is_format(&text, length / 8) {
            return Ok(());
        }
        self.env.reject(Message::InvalidFormat)
    }
}

/// Whether a format is one that `bpf_bprintf_prepare` (`kernel/bpf/helpers.c`) takes, with at
/// most so many arguments.
fn is_format(format: &[u8], args: u64) -> bool {
    let at = |i: usize| format.get(i).copied().unwrap_or(0);
    let ends_word =
        |byte: u8| byte == 0 || is_space(char::from(byte)) || byte.is_ascii_punctuation();
    let (mut i, mut used) = (0, 0);
    while i < format.len() {
        let byte = at(i);
        if !(byte == b' ' || byte.is_ascii_graphic() || is_space(char::from(byte))) {
            return false;
        }
        i += 1;
        if byte != b'%' {
            continue;
        }
        if at(i) == b'%' {
            i += 1;
            continue;
        }
        if used >= args {
            return false;
        }
        used += 1;
        while matches!(at(i), b'0' | b'+' | b'-' | b' ') {
            i += 1;
        }
        if matches!(at(i), b'1'..=b'9') {
            while at(i).is_ascii_digit() {
                i += 1;
            }
        }
        let Some(last) = conversion(&at, i, ends_word) else { return false };
        i = last + 1;
    }
    true
}

/// The last byte of the conversion that begins at `i`, after its width; `None` if there is no
/// such conversion.
fn conversion(
    at: &impl Fn(usize) -> u8,
    i: usize,
    ends_word: impl Fn(u8) -> bool,
) -> Option<usize> {
    match at(i) {
        b'p' => match (at(i + 1), at(i + 2)) {
            (next, _) if ends_word(next) => Some(i),
            (b'k' | b'u', b's') => ends_word(at(i + 3)).then_some(i + 2),
            (b'K' | b'x' | b's' | b'S' | b'B', _) => Some(i + 1),
            (b'i' | b'I', b'4' | b'6') => Some(i + 2),
            _ => None,
        },
        b's' => ends_word(at(i + 1)).then_some(i),
        b'c' => Some(i),
        _ => {
            let longs = (0..2).take_while(|n| at(i + n) == b'l').count();
            matches!(at(i + longs), b'i' | b'd' | b'u' | b'x' | b'X').then_some(i + longs)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_format;

    #[test]
    fn formats() {
        for (format, args) in
            [("", 0), ("100%%", 0), ("%d %llx", 2), ("%08lu", 1), ("%pks %s.", 2), ("%pI4 %pi6", 2)]
        {
            assert!(is_format(format.as_bytes(), args), "{format}");
        }
        for (format, args) in
            [("%d", 0), ("%", 1), ("%q", 1), ("%lllu", 1), ("%sx", 1), ("%pI5", 1), ("\u{e4}", 1)]
        {
            assert!(!is_format(format.as_bytes(), args), "{format}");
        }
    }
}
