// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The log buffer as user space sees it (`bpf_verifier_vlog`, `bpf_vlog_reset`,
//! `bpf_vlog_finalize` in `kernel/bpf/log.c`).
//!
//! A rotating buffer keeps the last bytes, a fixed one (`BPF_LOG_FIXED`) the first. Positions count
//! all bytes ever written on the current path, and a path that ended well is taken back.

#![allow(clippy::disallowed_methods, reason = "the log belongs to the caller; reserved before")]

use alloc::vec::Vec;

/// What happens when the buffer is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BufferMode {
    /// The first bytes stay.
    Fixed,
    /// The last bytes stay.
    Rotating,
}

/// The buffer.
#[derive(Clone, Debug)]
pub struct LogBuffer {
    mode: BufferMode,
    /// `len_total`: bytes in the caller's buffer, one of them for the final zero. 0: no buffer.
    size: u64,
    /// Byte `position % size` of the log stands here at `position` (rotating), or at its position
    /// (fixed). Grows as it is filled.
    bytes: Vec<u8>,
    /// Position of the oldest byte that is kept (rotating).
    start: u64,
    /// Position of the next byte.
    end: u64,
    /// The longest the log ever was, with its final zero.
    longest: u64,
    /// The allocator failed.
    failed: bool,
}

impl LogBuffer {
    /// A buffer of `size` bytes; with 0 only lengths are counted.
    #[must_use]
    pub const fn new(mode: BufferMode, size: u32) -> Self {
        Self {
            mode,
            size: size as u64,
            bytes: Vec::new(),
            start: 0,
            end: 0,
            longest: 0,
            failed: false,
        }
    }

    /// Where the next byte goes.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Writes what one `verbose` call of the kernel writes.
    pub fn write(&mut self, text: &[u8]) {
        let len = text.len() as u64;
        let at = self.end;
        self.end = at.saturating_add(len);
        self.longest = self.longest.max(self.end.saturating_add(1)).min(u64::from(u32::MAX));
        if self.mode == BufferMode::Rotating {
            // The final zero takes part in the rotation.
            let new_end = self.end.saturating_add(1);
            if new_end - self.start.min(new_end) >= self.size {
                self.start = new_end.saturating_sub(self.size);
            }
        }
        if self.size == 0 || self.failed {
            return;
        }
        match self.mode {
            BufferMode::Fixed => {
                let room = self.size.saturating_sub(1).saturating_sub(at).min(len);
                let text = text.get(..room as usize).unwrap_or(text);
                self.put(at, text);
            }
            BufferMode::Rotating => {
                let skip = len.saturating_sub(self.size.saturating_sub(1));
                let text = text.get(skip as usize..).unwrap_or(&[]);
                self.put_rotating(at.saturating_add(skip), text);
            }
        }
    }

    fn put_rotating(&mut self, at: u64, text: &[u8]) {
        let index = at % self.size;
        let first = (self.size - index).min(text.len() as u64);
        let (head, tail) = text.split_at_checked(first as usize).unwrap_or((text, &[]));
        self.put(index, head);
        if !tail.is_empty() {
            self.put(0, tail);
        }
    }

    fn put(&mut self, index: u64, text: &[u8]) {
        let Ok(index) = usize::try_from(index) else { return self.failed = true };
        let end = index.saturating_add(text.len());
        if end > self.bytes.len() {
            let more = end - self.bytes.len();
            if self.bytes.try_reserve(more).is_err() {
                self.failed = true;
                return;
            }
            self.bytes.resize(end, 0);
        }
        if let Some(place) = self.bytes.get_mut(index..end) {
            place.copy_from_slice(text);
        }
    }

    /// Takes back what was written at and after a position (`bpf_vlog_reset`).
    pub fn reset(&mut self, position: u64) {
        if position > self.end {
            return;
        }
        self.end = position;
        self.start = self.start.min(position);
    }

    /// `log_true_size`: the buffer size that would have sufficed (`len_max`).
    #[must_use]
    pub const fn true_size(&self) -> u64 {
        self.longest
    }

    /// Whether something did not fit, so that the load fails with `ENOSPC`.
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        self.size > 0 && self.longest > self.size
    }

    /// Whether memory did not suffice for the log; the kernel returns `EFAULT` where it cannot
    /// write to the caller's buffer.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.failed
    }

    /// The text as the caller finds it, in one or two pieces: the second follows the first.
    #[must_use]
    pub fn pieces(&self) -> [&[u8]; 2] {
        if self.size == 0 {
            return [&[], &[]];
        }
        let range = |from: u64, to: u64| {
            let (from, to) = (usize::try_from(from).ok(), usize::try_from(to).ok());
            from.zip(to).and_then(|(from, to)| self.bytes.get(from..to)).unwrap_or(&[])
        };
        match self.mode {
            BufferMode::Fixed => [range(0, self.end.min(self.size - 1)), &[]],
            BufferMode::Rotating if self.start == self.end => [&[], &[]],
            BufferMode::Rotating => {
                let (from, to) = (self.start % self.size, self.end % self.size);
                if from < to {
                    [range(from, to), &[]]
                } else {
                    [range(from, self.size.min(self.bytes.len() as u64)), range(0, to)]
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn text(buffer: &LogBuffer) -> String {
        buffer.pieces().iter().flat_map(|piece| piece.iter().copied().map(char::from)).collect()
    }

    fn written(mode: BufferMode, size: u32, lines: &[&str]) -> LogBuffer {
        let mut buffer = LogBuffer::new(mode, size);
        lines.iter().for_each(|line| buffer.write(line.as_bytes()));
        buffer
    }

    #[test]
    fn what_fits_stays() {
        for mode in [BufferMode::Fixed, BufferMode::Rotating] {
            let buffer = written(mode, 8, &["abc\n", "de\n"]);
            assert_eq!((text(&buffer).as_str(), buffer.true_size()), ("abc\nde\n", 8));
            assert!(!buffer.is_truncated());
        }
    }

    #[test]
    fn fixed_keeps_the_first_and_rotating_the_last_bytes() {
        let lines = ["one\n", "two\n", "three\n"];
        let fixed = written(BufferMode::Fixed, 8, &lines);
        assert_eq!((text(&fixed).as_str(), fixed.true_size()), ("one\ntwo", 15));
        let rotating = written(BufferMode::Rotating, 8, &lines);
        assert_eq!((text(&rotating).as_str(), rotating.true_size()), ("\nthree\n", 15));
        assert!(fixed.is_truncated() && rotating.is_truncated());
    }

    #[test]
    fn every_size_keeps_the_same_tail() {
        let lines = ["0: (b7) r0 = 0\n", "1: (95) exit\n", "processed 2 insns\n"];
        let all: String = lines.concat();
        for size in 1..60u32 {
            let buffer = written(BufferMode::Rotating, size, &lines);
            let keep = all.len().min(size as usize - 1);
            assert_eq!(text(&buffer), all[all.len() - keep..], "{size}");
            let buffer = written(BufferMode::Fixed, size, &lines);
            assert_eq!(text(&buffer), all[..keep], "{size}");
        }
    }

    #[test]
    fn a_path_is_taken_back() {
        let mut buffer = written(BufferMode::Rotating, 64, &["start\n", "path\n"]);
        buffer.reset(6);
        buffer.write(b"end\n");
        assert_eq!((text(&buffer).as_str(), buffer.true_size()), ("start\nend\n", 12));
        // Beyond what is kept: nothing of it is left.
        let mut buffer = written(BufferMode::Rotating, 8, &["start\n", "a long path\n"]);
        buffer.reset(6);
        buffer.write(b"end\n");
        assert_eq!(text(&buffer), "end\n");
    }

    #[test]
    fn without_a_buffer_lengths_are_counted() {
        let buffer = written(BufferMode::Rotating, 0, &["abc\n"]);
        assert_eq!((text(&buffer).as_str(), buffer.true_size()), ("", 5));
        assert!(!buffer.is_truncated());
    }
}
