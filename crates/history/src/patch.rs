// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Unified diffs as git writes them.

use crate::boundary::{ONCE_IN_VERIFIER, VERIFIER};
use crate::ids::{FilePath, Paths};
use sha2::{Digest, Sha256};

/// What a line of a hunk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineKind {
    /// It stays.
    Context,
    /// It comes.
    Added,
    /// It goes.
    Removed,
}

/// A hunk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hunk {
    /// First line in the old file, counted from 1; 0 if it has none.
    pub old_start: u32,
    /// Lines in the old file.
    pub old_lines: u32,
    /// First line in the new file.
    pub new_start: u32,
    /// Lines in the new file.
    pub new_lines: u32,
    /// What stands after the second `@@`: the function that git found before.
    pub section: String,
    /// Its lines without their first character.
    pub lines: Vec<(LineKind, String)>,
}

impl Hunk {
    /// The lines of one kind.
    pub fn of(&self, kind: LineKind) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(move |line| line.0 == kind).map(|line| line.1.as_str())
    }
}

/// The changes of one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilePatch {
    /// Its path before; `None` if it is new.
    pub old: Option<FilePath>,
    /// Its path after; `None` if it is deleted.
    pub new: Option<FilePath>,
    /// It is no text.
    pub binary: bool,
    /// What changes.
    pub hunks: Vec<Hunk>,
}

impl FilePatch {
    /// Both paths, or the one if they are equal.
    pub fn paths(&self) -> impl Iterator<Item = &FilePath> {
        let old = self.old.iter().filter(|old| Some(*old) != self.new.as_ref());
        self.new.iter().chain(old)
    }
}

/// Reads diffs line by line.
#[derive(Debug, Default)]
pub struct Parser {
    paths: Paths,
    files: Vec<FilePatch>,
    /// Lines that the current hunk still has: (old, new).
    left: (u32, u32),
    /// Inside of the header of a file, before its first hunk.
    header: bool,
}

impl Parser {
    /// A line without its end. Lines outside of diffs are passed over.
    pub fn line(&mut self, line: &[u8]) {
        if self.left != (0, 0) && self.hunk_line(line) {
            return;
        }
        self.left = (0, 0);
        let text = String::from_utf8_lossy(line);
        if let Some(rest) = text.strip_prefix("diff --git ") {
            self.header = true;
            let (old, new) = self.both(rest);
            self.files.push(FilePatch { old, new, binary: false, hunks: Vec::new() });
        } else if let Some(rest) = text.strip_prefix("@@ -") {
            self.header = false;
            self.hunk(rest);
        } else if self.header || text.starts_with("--- ") || text.starts_with("+++ ") {
            self.header_line(&text);
        }
    }

    /// Whether a hunk is open, so that the next line belongs to it whatever it looks like.
    #[must_use]
    pub fn in_hunk(&self) -> bool {
        self.left != (0, 0)
    }

    /// What was read since the last call.
    pub fn take(&mut self) -> Vec<FilePatch> {
        self.left = (0, 0);
        self.header = false;
        let mut files = std::mem::take(&mut self.files);
        files.retain(|file| file.old.is_some() || file.new.is_some());
        files
    }

    fn header_line(&mut self, text: &str) {
        let path = |paths: &mut Paths, rest: &str| {
            let rest = rest.split('\t').next().unwrap_or("");
            let rest = unquote(rest);
            let plain = rest.strip_prefix("a/").or_else(|| rest.strip_prefix("b/"));
            (rest != "/dev/null").then(|| paths.get(plain.unwrap_or(&rest)))
        };
        if let Some(rest) = text.strip_prefix("--- ") {
            if !self.header {
                // A patch without git's own line before: the file begins here.
                self.files.push(FilePatch {
                    old: None,
                    new: None,
                    binary: false,
                    hunks: Vec::new(),
                });
                self.header = true;
            }
            let old = path(&mut self.paths, rest);
            self.files.iter_mut().last().into_iter().for_each(|file| file.old.clone_from(&old));
        } else if let Some(rest) = text.strip_prefix("+++ ") {
            let new = path(&mut self.paths, rest);
            self.files.iter_mut().last().into_iter().for_each(|file| file.new.clone_from(&new));
        } else if let Some(file) = self.files.last_mut() {
            if text.starts_with("new file mode") {
                file.old = None;
            } else if text.starts_with("deleted file mode") {
                file.new = None;
            } else if text.starts_with("Binary files ") || text.starts_with("GIT binary patch") {
                file.binary = true;
            } else if let Some(rest) = text.strip_prefix("rename from ") {
                file.old = Some(self.paths.get(&unquote(rest)));
            } else if let Some(rest) = text.strip_prefix("rename to ") {
                file.new = Some(self.paths.get(&unquote(rest)));
            }
        }
    }

    /// The paths of `a/X b/X`. Both are equal unless the file is renamed, and then further lines say so.
    fn both(&mut self, rest: &str) -> (Option<FilePath>, Option<FilePath>) {
        let half = rest.len().saturating_sub(1) / 2;
        let (Some(first), Some(second)) = (rest.get(..half), rest.get(half + 1..)) else {
            return (None, None);
        };
        let (first, second) = (unquote(first), unquote(second));
        match (first.strip_prefix("a/"), second.strip_prefix("b/")) {
            (Some(a), Some(b)) if a == b => {
                let path = self.paths.get(a);
                (Some(path.clone()), Some(path))
            }
            _ => (None, None),
        }
    }

    /// `OLD[,COUNT] +NEW[,COUNT] @@ SECTION`.
    fn hunk(&mut self, rest: &str) {
        let Some((ranges, section)) = rest.split_once(" @@") else { return };
        let Some((old, new)) = ranges.split_once(" +") else { return };
        let range = |text: &str| -> Option<(u32, u32)> {
            match text.split_once(',') {
                Some((start, count)) => Some((start.parse().ok()?, count.parse().ok()?)),
                None => Some((text.parse().ok()?, 1)),
            }
        };
        let (Some(old), Some(new)) = (range(old), range(new)) else { return };
        let Some(file) = self.files.last_mut() else { return };
        file.hunks.push(Hunk {
            old_start: old.0,
            old_lines: old.1,
            new_start: new.0,
            new_lines: new.1,
            section: section.trim().to_owned(),
            lines: Vec::new(),
        });
        self.left = (old.1, new.1);
    }

    /// Whether the line is part of the open hunk.
    fn hunk_line(&mut self, line: &[u8]) -> bool {
        let (old, new) = self.left;
        let (kind, old, new) = match line.first() {
            Some(b'+') => (LineKind::Added, Some(old), new.checked_sub(1)),
            Some(b'-') => (LineKind::Removed, old.checked_sub(1), Some(new)),
            // Mail programs strip blanks at the end of lines.
            Some(b' ') | None => (LineKind::Context, old.checked_sub(1), new.checked_sub(1)),
            // "\ No newline at end of file", in whatever language.
            Some(b'\\') => return true,
            Some(_) => return false,
        };
        let (Some(old), Some(new)) = (old, new) else { return false };
        let text = String::from_utf8_lossy(line.get(1..).unwrap_or(b"")).into_owned();
        let Some(hunk) = self.files.last_mut().and_then(|file| file.hunks.last_mut()) else {
            return false;
        };
        hunk.lines.push((kind, text));
        self.left = (old, new);
        true
    }
}

/// Paths with odd characters stand in quotes, as strings of C.
fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut bytes = Vec::new();
    let mut rest = inner.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'r') => bytes.push(b'\r'),
            Some(digit @ b'0'..=b'7') => {
                let mut value = u32::from(digit - b'0');
                for _ in 0..2 {
                    let Some(next) = rest.next_if(|next| (b'0'..=b'7').contains(next)) else {
                        break;
                    };
                    value = value * 8 + u32::from(next - b'0');
                }
                bytes.push(u8::try_from(value & 255).unwrap_or(b'?'));
            }
            Some(other) => bytes.push(other),
            None => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads the diffs of a patch file; its mail headers and message are passed over.
#[must_use]
pub fn parse(bytes: &[u8]) -> Vec<FilePatch> {
    let mut parser = Parser::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        parser.line(line.strip_suffix(b"\r").unwrap_or(line));
    }
    parser.take()
}

/// By which two patches are the same: a hash of the lines without blanks, whatever their numbers, as `git
/// patch-id --stable` does. It is not git's own id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PatchId([u8; 16]);

/// Hashes patches with their lines of context. `None` if nothing changes.
#[must_use]
pub fn patch_id<'a>(files: impl IntoIterator<Item = &'a FilePatch>) -> Option<PatchId> {
    let mut hashes: Vec<[u8; 32]> = Vec::new();
    for file in files {
        let mut hash = Sha256::new();
        let mut some = file.binary;
        for path in [&file.old, &file.new] {
            hash.update(path.as_ref().map_or("/dev/null", FilePath::as_str));
            hash.update([0]);
        }
        for (kind, text) in file.hunks.iter().flat_map(|hunk| &hunk.lines) {
            some |= *kind != LineKind::Context;
            hash.update(mark(*kind));
            text.split_whitespace().for_each(|word| hash.update(word));
        }
        if some {
            hashes.push(hash.finalize().into());
        }
    }
    all(hashes)
}

/// Hashes the lines that patches change and nothing else, in no order, those of the split verifier as lines
/// of `kernel/bpf/verifier.c`: a copy in other surroundings, or before the file was split, has the same.
#[must_use]
pub fn lines_id<'a>(files: impl IntoIterator<Item = &'a FilePatch>) -> Option<PatchId> {
    let mut hashes: Vec<[u8; 32]> = Vec::new();
    for file in files {
        let path = file.paths().next().map_or("", |path| once_named(path.as_str()));
        for (kind, text) in file.hunks.iter().flat_map(|hunk| &hunk.lines) {
            if *kind == LineKind::Context || text.trim().is_empty() {
                continue;
            }
            let mut hash = Sha256::new();
            hash.update(path);
            hash.update(mark(*kind));
            text.split_whitespace().for_each(|word| hash.update(word));
            hashes.push(hash.finalize().into());
        }
    }
    all(hashes)
}

/// The file in which older trees have what a file of the split verifier holds.
#[must_use]
pub fn once_named(path: &str) -> &str {
    if ONCE_IN_VERIFIER.contains(&path) { VERIFIER } else { path }
}

fn mark(kind: LineKind) -> &'static [u8] {
    match kind {
        LineKind::Context => b" ",
        LineKind::Added => b"+",
        LineKind::Removed => b"-",
    }
}

/// A hash of hashes, whatever their order.
fn all(mut hashes: Vec<[u8; 32]>) -> Option<PatchId> {
    hashes.sort_unstable();
    let mut all = Sha256::new();
    hashes.iter().for_each(|hash| all.update(hash));
    let all: [u8; 32] = all.finalize().into();
    let mut id = [0; 16];
    id.iter_mut().zip(all).for_each(|(to, from)| *to = from);
    (!hashes.is_empty()).then_some(PatchId(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "From: x\n\nmessage\n---\n a.c | 2 +-\n\ndiff --git a/a.c b/a.c\nindex 1..2 100644\n\
        --- a/a.c\n+++ b/a.c\n@@ -1,3 +1,3 @@ int f(void)\n one\n-two\n+-- 2\n three\n\
        diff --git a/n.c b/n.c\nnew file mode 100644\n--- /dev/null\n+++ b/n.c\n@@ -0,0 +1 @@\n+x\n--\n2.1\n";

    #[test]
    fn patches_are_read() {
        let files = parse(PATCH.as_bytes());
        assert_eq!(files.len(), 2);
        assert_eq!(files[0].paths().map(FilePath::as_str).collect::<Vec<_>>(), ["a.c"]);
        let hunk = &files[0].hunks[0];
        assert_eq!(hunk.section, "int f(void)");
        assert_eq!(hunk.of(LineKind::Added).collect::<Vec<_>>(), ["-- 2"]);
        assert_eq!((files[1].old.as_ref(), files[1].hunks[0].new_lines), (None, 1));
    }

    #[test]
    fn equal_patches_have_equal_ids() {
        let files = parse(PATCH.as_bytes());
        let moved = parse(PATCH.replace("@@ -1,3 +1,3 @@", "@@ -91,3 +95,3 @@").as_bytes());
        assert_eq!(patch_id(&files), patch_id(&moved));
        let context = parse(PATCH.replace(" one", " other").as_bytes());
        assert_ne!(patch_id(&files), patch_id(&context));
        assert_eq!(lines_id(&files), lines_id(&context));
        assert_eq!(patch_id(&[]), None);
        let split = parse(PATCH.replace("a.c", "kernel/bpf/states.c").as_bytes());
        let before = parse(PATCH.replace("a.c", "kernel/bpf/verifier.c").as_bytes());
        assert_ne!(patch_id(&split), patch_id(&before));
        assert_eq!(lines_id(&split), lines_id(&before));
    }

    #[test]
    fn odd_paths() {
        assert_eq!(unquote("\"a\\303\\251\\\"\\n\""), "aé\"\n");
        assert_eq!(unquote("plain"), "plain");
        assert_eq!(unquote("\"\\"), "\"\\");
        assert_eq!(unquote("\"\\\""), "");
    }
}
