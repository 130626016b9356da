// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Memory shared between processes, or with a guest.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// A shared mapping. Others write to it at any time, so it is only copied from and to, never
/// borrowed; ranges are checked.
pub(crate) struct SharedMem {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and every access is a copy or an
// atomic operation.
unsafe impl Send for SharedMem {}

impl SharedMem {
    /// Anonymous memory that forked children share; pages cost nothing until touched.
    pub(crate) fn anonymous(len: usize) -> io::Result<Self> {
        Self::map(len, libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, None)
    }

    /// The first `len` bytes of a file or device.
    pub(crate) fn of_file(file: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        Self::map(len, libc::MAP_SHARED, Some(file))
    }

    fn map(len: usize, flags: i32, file: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        let fd = file.map_or(-1, |file| file.as_raw_fd());
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at 0"))?;
        Ok(Self { start, len })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where the kernel may write.
    pub(crate) fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    /// Start of a range that lies inside the mapping.
    ///
    /// # Panics
    /// The range does not lie inside: offsets are constants or were cut to the mapping.
    fn at(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(
            offset.checked_add(len).is_some_and(|end| end <= self.len),
            "{len} bytes at {offset} of a mapping of {}",
            self.len
        );
        // SAFETY: inside the mapping, as just checked.
        unsafe { self.start.as_ptr().add(offset) }
    }

    /// Copies bytes in.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        let to = self.at(offset, bytes.len());
        // SAFETY: `to` has room for the bytes, and a Rust slice never overlaps the mapping.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
    }

    /// Copies bytes out.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        let from = self.at(offset, bytes.len());
        // SAFETY: as for `write`; any bytes are valid `u8`s.
        unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len()) }
    }

    /// A copy of a range.
    pub(crate) fn copy(&self, offset: usize, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        self.read(offset, &mut out);
        out
    }

    /// Bytes before the first zero, at most `limit`.
    pub(crate) fn text_len(&self, limit: usize) -> usize {
        const STEP: usize = 1 << 14;
        let limit = limit.min(self.len);
        let mut chunk = [0; STEP];
        let mut done = 0;
        while done < limit {
            let step = STEP.min(limit - done);
            let part = &mut chunk[..step];
            self.read(done, part);
            if let Some(at) = part.iter().position(|byte| *byte == 0) {
                return done + at;
            }
            done += step;
        }
        limit
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "misaligned word at {offset}");
        // SAFETY: inside the mapping, aligned (mappings start at pages), and only ever accessed
        // atomically.
        unsafe { AtomicU32::from_ptr(self.at(offset, 4).cast()) }
    }

    /// Reads a word; everything that its writer wrote before is visible after.
    pub(crate) fn load(&self, offset: usize) -> u32 {
        self.word(offset).load(Ordering::Acquire)
    }

    /// Writes a word after everything written before.
    pub(crate) fn store(&self, offset: usize, value: u32) {
        self.word(offset).store(value, Ordering::Release);
    }
}

impl Drop for SharedMem {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing borrows from it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// A file that has no name and lives in memory.
pub(crate) fn memory_file(name: &std::ffi::CStr) -> io::Result<std::fs::File> {
    use std::os::fd::FromRawFd as _;
    // SAFETY: the name is terminated; the descriptor returned is new and nobody else's.
    unsafe {
        let fd = libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(std::fs::File::from_raw_fd(fd)) }
    }
}
