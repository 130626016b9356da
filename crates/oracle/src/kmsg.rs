// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The kernel's own log, read for warnings that a program caused.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;

/// Signs of trouble in a line of the kernel's log.
const SIGNS: [&str; 12] = [
    "WARNING: ",
    "BUG: ",
    "kernel BUG at",
    "Oops: ",
    "general protection fault",
    "verifier bug",
    "verifier backtracking bug",
    "REG INVARIANTS VIOLATION",
    "UBSAN: ",
    "KASAN: ",
    "Kernel panic",
    "rcu: INFO: rcu_",
];

/// Lines of one splat that are kept.
const MAX_LINES: usize = 120;

/// Whether a text shows that something went wrong in the kernel.
pub(crate) fn is_splat(text: &str) -> bool {
    SIGNS.iter().any(|sign| text.contains(sign))
}

/// A reader of `/dev/kmsg` that sees only what comes after it was opened.
pub(crate) struct Kmsg(File);

impl Kmsg {
    /// `None` where the log may not be read.
    pub(crate) fn open() -> Option<Self> {
        let mut file =
            OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg").ok()?;
        file.seek(SeekFrom::End(0)).ok()?;
        Some(Self(file))
    }

    /// What was logged since the last call, without time stamps.
    pub(crate) fn news(&mut self) -> String {
        let mut record = [0; 8192];
        let mut out = String::new();
        let mut lines = 0;
        loop {
            match self.0.read(&mut record) {
                Ok(len) if len > 0 => {
                    let text = String::from_utf8_lossy(&record[..len]);
                    // "priority,sequence,time,flags;text", then lines of properties
                    let text = text.split_once(';').map_or(&*text, |(_, text)| text);
                    if lines < MAX_LINES {
                        out.push_str(text.lines().next().unwrap_or_default());
                        out.push('\n');
                    }
                    lines += 1;
                }
                // The ring was overwritten under us: go on with what is left.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                _ => return out,
            }
        }
    }

    /// A splat since the last call.
    pub(crate) fn splat(&mut self) -> Option<String> {
        let news = self.news();
        is_splat(&news).then_some(news)
    }
}
