// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The memory through which host and guest talk: BAR 2 of an `ivshmem-plain` device.
//!
//! The host writes one command at a time; the guest answers with a stream of frames in a ring, so
//! that answers arrive while the command runs and logs may be longer than the ring. Words are
//! little-endian; both sides are x86-64.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::answer::{Answer, LoadOptions, Memory};
use crate::batch::Batch;
use crate::supervise::End;
use crate::sys::SharedMem;

/// Bytes of the whole mailbox.
pub(super) const SIZE: usize = 64 << 20;

/// Written by the guest when it is ready; changes with the protocol.
pub(super) const READY: u32 = 0x5645_0001;

/// Offsets of the words.
pub(super) mod word {
    pub(in super::super) const READY: usize = 0;
    /// Host: number of the current command.
    pub(in super::super) const SEQUENCE: usize = 8;
    /// Host: bytes of the current command.
    pub(in super::super) const INPUT_LEN: usize = 12;
    /// Guest: bytes ever written to the ring, modulo 2^32.
    pub(in super::super) const HEAD: usize = 16;
    /// Host: bytes ever taken from the ring, modulo 2^32.
    pub(in super::super) const TAIL: usize = 20;
}

/// Where a command is written.
pub(super) const INPUT: usize = 4096;
/// Longest command.
pub(super) const INPUT_MAX: usize = OUTPUT - INPUT;
/// Where the ring lies; its length divides 2^32.
const OUTPUT: usize = 32 << 20;
const OUTPUT_LEN: usize = 32 << 20;

/// What the host asks.
#[derive(Serialize, Deserialize)]
pub(super) enum Command {
    /// Load the programs from number `from` on.
    Load { options: LoadOptions, from: u32, batch: Batch },
    /// The contents of a file.
    ReadFile(String),
}

/// What the guest answers; some are followed by bytes of their own.
#[derive(Serialize, Deserialize)]
pub(super) enum Reply {
    /// About one program, with the memory that its load took; followed by its log.
    Answer(u32, Box<Answer>, Memory),
    /// End of a load.
    End(End),
    /// Followed by the contents.
    File,
    /// The command failed.
    Failed(String),
}

/// Somebody on the other side who must still be there while one waits.
pub(super) trait Patience {
    type Error;
    /// Called while nothing happens; sleeps a little, or says that waiting is over.
    fn wait(&mut self) -> Result<(), Self::Error>;
    /// Called when something happened.
    fn progress(&mut self) {}
}

/// One side of the ring.
pub(super) struct Ring<'a>(pub(super) &'a SharedMem);

impl Ring<'_> {
    /// Guest: appends a frame.
    pub(super) fn send<P: Patience>(
        &self,
        reply: &Reply,
        raw: &[u8],
        patience: &mut P,
    ) -> Result<(), P::Error> {
        // Plain data always serialises; should it not, the host sees an empty, malformed frame.
        let meta = postcard::to_stdvec(reply).unwrap_or_default();
        let mut header = [0; 8];
        header[..4].copy_from_slice(&(meta.len() as u32).to_le_bytes());
        header[4..].copy_from_slice(&(raw.len() as u32).to_le_bytes());
        for part in [&header[..], &meta, raw] {
            self.write(part, patience)?;
        }
        Ok(())
    }

    /// Host: takes a frame. `None`: what arrived is no frame.
    pub(super) fn receive<P: Patience>(
        &self,
        patience: &mut P,
    ) -> Result<Option<(Reply, Vec<u8>)>, P::Error> {
        let header = self.read(8, patience)?;
        let (Some(meta), Some(raw)) = (number(&header, 0), number(&header, 4)) else {
            return Ok(None);
        };
        if meta > MAX_META || raw > MAX_RAW {
            return Ok(None);
        }
        let meta = self.read(meta, patience)?;
        let raw = self.read(raw, patience)?;
        Ok(postcard::from_bytes(&meta).ok().map(|reply| (reply, raw)))
    }

    fn write<P: Patience>(&self, mut bytes: &[u8], patience: &mut P) -> Result<(), P::Error> {
        while !bytes.is_empty() {
            let head = self.0.load(word::HEAD);
            let used = head.wrapping_sub(self.0.load(word::TAIL)) as usize;
            let at = head as usize % OUTPUT_LEN;
            let room = OUTPUT_LEN.saturating_sub(used).min(OUTPUT_LEN - at).min(bytes.len());
            if room == 0 {
                patience.wait()?;
                continue;
            }
            let (now, later) = bytes.split_at(room);
            self.0.write(OUTPUT + at, now);
            self.0.store(word::HEAD, head.wrapping_add(room as u32));
            bytes = later;
            patience.progress();
        }
        Ok(())
    }

    fn read<P: Patience>(&self, len: usize, patience: &mut P) -> Result<Vec<u8>, P::Error> {
        let mut out = vec![0; len];
        let mut done = 0;
        while done < len {
            let tail = self.0.load(word::TAIL);
            let ready = self.0.load(word::HEAD).wrapping_sub(tail) as usize;
            let at = tail as usize % OUTPUT_LEN;
            let part = ready.min(OUTPUT_LEN - at).min(len - done);
            if part == 0 {
                patience.wait()?;
                continue;
            }
            self.0.read(OUTPUT + at, &mut out[done..done + part]);
            self.0.store(word::TAIL, tail.wrapping_add(part as u32));
            done += part;
            patience.progress();
        }
        Ok(out)
    }
}

/// Longest serialised reply and longest bytes behind it that the host believes.
const MAX_META: usize = 256 << 20;
const MAX_RAW: usize = 512 << 20;

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_le_bytes(word) as usize)
}

/// Waits as long as it takes.
pub(super) struct Endless;

impl Patience for Endless {
    type Error = std::convert::Infallible;
    fn wait(&mut self) -> Result<(), Self::Error> {
        std::thread::sleep(Duration::from_micros(200));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn frames_longer_than_the_ring_pass() {
        let file = crate::sys::memory_file(c"mailbox").unwrap();
        file.set_len(SIZE as u64).unwrap();
        let [host, guest] = [0, 1].map(|_| SharedMem::of_file(file.as_fd(), SIZE).unwrap());
        let lengths = [0, 1, OUTPUT_LEN - 100, OUTPUT_LEN + 4321, 7];
        let writer = std::thread::spawn(move || {
            for (index, len) in lengths.into_iter().enumerate() {
                let raw = vec![index as u8; len];
                Ring(&guest).send(&Reply::Failed(index.to_string()), &raw, &mut Endless).unwrap();
            }
        });
        for (index, len) in lengths.into_iter().enumerate() {
            let (reply, raw) = Ring(&host).receive(&mut Endless).unwrap().unwrap();
            assert!(matches!(reply, Reply::Failed(text) if text == index.to_string()));
            assert!(raw.len() == len && raw.iter().all(|byte| *byte == index as u8));
        }
        writer.join().unwrap();
    }
}
