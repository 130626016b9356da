// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The log in the kernel's format, dialect by dialect.

#![allow(clippy::disallowed_methods, reason = "reserved before")]

use crate::design::Dialect;
use crate::errno::Errno;
use crate::log::buffer::{BufferMode, LogBuffer};
use crate::outcome::Stats;
use crate::trace::{Event, Level, Mark, Observer, StateText};
use alloc::string::String;
use core::fmt::{self, Write};
use veristable_program::LogRequest;

/// `BPF_COMPLEXITY_LIMIT_INSNS` (`include/linux/bpf.h`), as the statistics print it.
const COMPLEXITY_LIMIT_INSNS: u32 = 1_000_000;

/// Bits of `log_level` (`include/linux/bpf_verifier.h`).
mod bits {
    pub(super) const LEVEL1: u32 = 1;
    pub(super) const LEVEL2: u32 = 2;
    pub(super) const STATS: u32 = 4;
    pub(super) const FIXED: u32 = 8;
}

/// Records events as the kernel would log them.
#[derive(Debug)]
pub struct KernelLog {
    dialect: Dialect,
    level: u32,
    buffer: LogBuffer,
    /// Position after the last instruction line; a state printed right there joins that line.
    prev_log_pos: u64,
    /// Bytes of the last instruction line.
    prev_insn_len: u64,
    verification_time_us: Option<u64>,
}

impl KernelLog {
    /// A log as the request asks for.
    #[must_use]
    pub const fn new(request: LogRequest, dialect: Dialect) -> Self {
        let mode =
            if request.level & bits::FIXED != 0 { BufferMode::Fixed } else { BufferMode::Rotating };
        Self {
            dialect,
            level: request.level,
            buffer: LogBuffer::new(mode, request.size),
            prev_log_pos: 0,
            prev_insn_len: 0,
            verification_time_us: None,
        }
    }

    /// Supplies the `verification time` of the statistics; without it the line is left out, since
    /// this crate has no clock.
    #[must_use]
    pub const fn with_verification_time(mut self, microseconds: u64) -> Self {
        self.verification_time_us = Some(microseconds);
        self
    }

    /// The buffer.
    #[must_use]
    pub const fn buffer(&self) -> &LogBuffer {
        &self.buffer
    }

    /// The text as the caller of the system call finds it.
    #[must_use]
    pub fn text(&self) -> String {
        let [first, second] = self.buffer.pieces();
        let mut text = String::new();
        if text.try_reserve(first.len().saturating_add(second.len())).is_ok() {
            for chunk in first.utf8_chunks().chain(second.utf8_chunks()) {
                text.push_str(chunk.valid());
                if !chunk.invalid().is_empty() {
                    text.push('?');
                }
            }
        }
        text
    }

    fn line(&mut self, args: fmt::Arguments<'_>) {
        let mut call = Call::default();
        // Formatting into the buffer never fails.
        let _ = call.write_fmt(args);
        self.buffer.write(call.bytes());
    }

    fn state(&mut self, state: &dyn StateText, all: bool) {
        let _ = state.write(all, &mut Sink(&mut self.buffer));
        self.buffer.write(b"\n");
    }

    /// A state after its instruction: on the same line from column 40 on, or on its own.
    fn insn_state(&mut self, index: u32, state: &dyn StateText) {
        if self.prev_log_pos != 0 && self.prev_log_pos == self.buffer.end() {
            self.buffer.reset(self.prev_log_pos - 1);
            let width = usize::try_from(alignment(self.prev_insn_len)).unwrap_or(0);
            self.line(format_args!("{:>width$};", ' '));
        } else {
            self.line(format_args!("{index}:"));
        }
        self.state(state, false);
    }

    fn insn(&mut self, index: u32, text: &dyn fmt::Display) {
        let start = self.buffer.end();
        self.line(format_args!("{index}: "));
        self.line(format_args!("{text}\n"));
        self.prev_log_pos = self.buffer.end();
        self.prev_insn_len = self.buffer.end() - start;
    }

    fn live_registers(&mut self, index: u32, scc: u32, live: u16, insn: &dyn fmt::Display) {
        if scc == 0 {
            self.line(format_args!("    "));
        } else {
            self.line(format_args!("{scc:3} "));
        }
        self.line(format_args!("{index:3}: "));
        for register in 0..10u8 {
            if live & (1 << register) == 0 {
                self.buffer.write(b".");
            } else {
                self.line(format_args!("{register}"));
            }
        }
        self.line(format_args!(" "));
        self.line(format_args!("{insn}\n"));
    }

    fn stats(&mut self, stats: &Stats) {
        if self.level & bits::STATS != 0 {
            if let Some(time) = self.verification_time_us {
                self.line(format_args!("verification time {time} usec\n"));
            }
            self.buffer.write(b"stack depth ");
            for (i, depth) in stats.stack_depths.iter().enumerate() {
                let plus = if i == 0 { "" } else { "+" };
                self.line(format_args!("{plus}{depth}"));
            }
            self.buffer.write(b"\n");
        }
        self.line(format_args!(
            "processed {} insns (limit {COMPLEXITY_LIMIT_INSNS}) max_states_per_insn {} \
             total_states {} peak_states {} mark_read {}\n",
            stats.processed_insns,
            stats.max_states_per_insn,
            stats.total_states,
            stats.peak_states,
            stats.mark_read
        ));
    }

    /// Forgets successful paths unless level 2 keeps everything.
    fn rewind(&mut self, position: u64) {
        if self.level & bits::LEVEL2 == 0 {
            self.buffer.reset(position);
        }
    }
}

impl Observer for KernelLog {
    const LEVEL: Level = Level::Full;

    fn wants(&self, level: Level) -> bool {
        match level {
            Level::None => true,
            Level::Messages => self.level != 0,
            Level::Path => self.level & (bits::LEVEL1 | bits::LEVEL2) != 0,
            Level::Full => self.level & bits::LEVEL2 != 0,
        }
    }

    fn event(&mut self, event: Event<'_>) {
        if self.level == 0 {
            return;
        }
        let suffix = |speculative| if speculative { " (speculative execution)" } else { "" };
        match event {
            Event::Message(message) => {
                let end = if message.ends_line() { "\n" } else { "" };
                self.line(format_args!("{}{end}", message.text(self.dialect)));
            }
            Event::Subprogram { index, start } => {
                self.line(format_args!("func#{index} @{start}\n"))
            }
            Event::LiveRegistersHeading => self.line(format_args!("Live regs before insn:\n")),
            Event::LiveRegisters { index, scc, live, insn } => {
                self.live_registers(index, scc, live, insn);
            }
            Event::Source { prefix, text, file, line } => {
                self.line(format_args!("{prefix}"));
                self.line(format_args!("{text}"));
                self.line(format_args!(" @ {file}:{line}\n"));
            }
            Event::Insn { index, text } => self.insn(index, text),
            Event::InsnState { index, state } => self.insn_state(index, state),
            Event::From { from, to, speculative, state } => {
                self.line(format_args!("\nfrom {from} to {to}{}:", suffix(speculative)));
                self.state(state, true);
            }
            Event::Safe { index, from: Some(from), speculative } => {
                self.line(format_args!("\nfrom {from} to {index}{}: safe\n", suffix(speculative)));
            }
            Event::Safe { index, from: None, .. } => self.line(format_args!("{index}: safe\n")),
            Event::State { heading, state, all } => {
                self.line(format_args!("{heading}"));
                self.state(state, all);
            }
            Event::Text(text) => self.line(format_args!("{text}")),
            Event::Rewind(Mark(position)) => self.rewind(position),
            Event::PassAccepted => self.rewind(0),
            Event::Stats(stats) => self.stats(stats),
        }
    }

    fn mark(&self) -> Mark {
        Mark(self.buffer.end())
    }

    fn finish(&mut self) -> Result<(), Errno> {
        if self.level == 0 {
            Ok(())
        } else if self.buffer.has_failed() {
            Err(Errno::EFAULT)
        } else if self.buffer.is_truncated() {
            Err(Errno::ENOSPC)
        } else {
            Ok(())
        }
    }
}

/// Blanks between an instruction and its state, so that the state begins at column 40 or at the
/// next multiple of 8 that leaves four blanks (`vlog_alignment`). `len` counts the instruction's
/// line end.
fn alignment(len: u64) -> u64 {
    const COLUMN: u64 = 40;
    const STEP: u64 = 8;
    len.saturating_add(STEP / 2).max(COLUMN).next_multiple_of(STEP) - len - 1
}

/// What one call of the kernel's `verbose` formats: at most 1023 bytes
/// (`BPF_VERIFIER_TMP_LOG_SIZE` less the final zero).
struct Call {
    bytes: [u8; 1023],
    len: usize,
}

impl Default for Call {
    fn default() -> Self {
        Self { bytes: [0; 1023], len: 0 }
    }
}

impl Call {
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl fmt::Write for Call {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - self.len.min(self.bytes.len());
        let text = text.as_bytes();
        let text = text.get(..room).unwrap_or(text);
        if let Some(place) = self.bytes.get_mut(self.len..self.len.saturating_add(text.len())) {
            place.copy_from_slice(text);
            self.len += text.len();
        }
        Ok(())
    }
}

/// Writes through; a state is many small calls.
struct Sink<'b>(&'b mut LogBuffer);

impl fmt::Write for Sink<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
