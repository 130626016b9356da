// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The guest's only file system: the running program and the libraries it has mapped.
//!
//! No separate agent is built: whoever asks a guest is itself the guest's first process
//! ([`super::agent_if_init`]).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Types of files in the mode of a cpio entry.
const DIRECTORY: u32 = 0o40755;
const FILE: u32 = 0o100_755;
const SYMLINK: u32 = 0o120_777;
const CHARACTER_DEVICE: u32 = 0o20600;

/// An initial file system and where its libraries lie.
pub(super) struct Initrd {
    /// A cpio archive (`newc`).
    pub(super) archive: Vec<u8>,
    /// Value for `LD_LIBRARY_PATH`.
    pub(super) library_path: String,
}

/// Packs the running program.
///
/// # Errors
/// The program or its libraries cannot be read.
pub(super) fn of_this_program() -> io::Result<Initrd> {
    let program = fs::read("/proc/self/exe")?;
    let (program, interpreter) =
        loadable(&program).ok_or_else(|| io::Error::other("the running program is no ELF file"))?;
    let mut cpio = Cpio::default();
    cpio.add(Path::new("dev/console"), CHARACTER_DEVICE, b"", (5, 1));
    for directory in ["proc", "sys", "tmp"] {
        cpio.directory(Path::new(directory));
    }
    cpio.add(Path::new("init"), FILE, &program, (0, 0));
    if let Some(interpreter) = interpreter {
        cpio.add(&interpreter, FILE, &fs::read(&interpreter)?, (0, 0));
    }
    let mut directories = Vec::new();
    for library in libraries(&fs::read_to_string("/proc/self/maps")?) {
        let bytes = fs::read(&library)?;
        let (bytes, _) = loadable(&bytes).unwrap_or((bytes, None));
        cpio.add(&library, FILE, &bytes, (0, 0));
        for alias in aliases(&library) {
            let target = library.file_name().unwrap_or_default();
            cpio.add(&alias, SYMLINK, target.as_bytes(), (0, 0));
        }
        if let Some(directory) = library.parent().and_then(Path::to_str)
            && !directories.iter().any(|known| known == directory)
        {
            directories.push(directory.to_owned());
        }
    }
    Ok(Initrd { archive: cpio.finish(), library_path: directories.join(":") })
}

/// The shared libraries among a process' mappings.
fn libraries(maps: &str) -> BTreeSet<PathBuf> {
    maps.lines()
        .filter_map(|line| line.find('/').and_then(|at| line.get(at..)))
        .filter(|path| !path.ends_with(" (deleted)"))
        .filter(|path| {
            let name = path.rsplit('/').next().unwrap_or_default();
            name.ends_with(".so") || name.contains(".so.")
        })
        .map(PathBuf::from)
        .collect()
}

/// Other names of a library: the symbolic links beside it, of which its soname is one.
fn aliases(library: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (library.parent(), library.file_name()) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
        .map(|entry| entry.path())
        .filter(|path| {
            fs::read_link(path).is_ok_and(|to| to.file_name() == Some(name) && path != library)
        })
        .collect()
}

/// What the loader needs of an ELF file: everything up to the end of its last segment, without
/// sections and debug information behind it; and its interpreter.
fn loadable(elf: &[u8]) -> Option<(Vec<u8>, Option<PathBuf>)> {
    const LOAD: u32 = 1;
    const INTERPRETER: u32 = 3;
    let at = |offset: usize, len: usize| -> Option<u64> {
        let bytes = elf.get(offset..offset.checked_add(len)?)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None; // 64-bit little-endian
    }
    let (start, size, count) = (at(32, 8)? as usize, at(54, 2)? as usize, at(56, 2)? as usize);
    let mut end = start.checked_add(size.checked_mul(count)?)?;
    let mut interpreter = None;
    for index in 0..count {
        let header = start + index * size;
        let (kind, offset, len) =
            (at(header, 4)? as u32, at(header + 8, 8)? as usize, at(header + 32, 8)? as usize);
        let behind = offset.checked_add(len)?;
        match kind {
            LOAD => end = end.max(behind),
            INTERPRETER => {
                let text = elf.get(offset..behind)?.split(|byte| *byte == 0).next()?;
                interpreter = Some(PathBuf::from(OsStr::from_bytes(text)));
            }
            _ => {}
        }
    }
    let mut out = elf.get(..end)?.to_vec();
    out.get_mut(40..48)?.fill(0); // e_shoff
    out.get_mut(60..64)?.fill(0); // e_shnum, e_shstrndx
    Some((out, interpreter))
}

/// Writes the `newc` format (`Documentation/driver-api/early-userspace/buffer-format.rst`).
#[derive(Default)]
struct Cpio {
    out: Vec<u8>,
    known: BTreeSet<PathBuf>,
}

impl Cpio {
    /// A directory, with those above it.
    fn directory(&mut self, path: &Path) {
        if path.as_os_str().is_empty() || self.known.contains(path) {
            return;
        }
        if let Some(parent) = path.parent() {
            let parent = parent.to_owned();
            self.directory(&parent);
        }
        self.entry(path, DIRECTORY, b"", (0, 0));
    }

    /// An entry of any type, with the directories above it. The first of a name counts.
    fn add(&mut self, path: &Path, mode: u32, data: &[u8], device: (u32, u32)) {
        let path = path.strip_prefix("/").unwrap_or(path);
        if self.known.contains(path) {
            return;
        }
        if let Some(parent) = path.parent() {
            self.directory(parent);
        }
        self.entry(path, mode, data, device);
    }

    fn entry(&mut self, path: &Path, mode: u32, data: &[u8], device: (u32, u32)) {
        self.known.insert(path.to_owned());
        self.raw(path.as_os_str().as_bytes(), mode, data, device);
    }

    fn raw(&mut self, name: &[u8], mode: u32, data: &[u8], (major, minor): (u32, u32)) {
        let inode = self.known.len() as u32;
        let (size, name_size) = (data.len() as u32, name.len() as u32 + 1);
        let fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name_size, 0];
        self.out.extend_from_slice(b"070701");
        for field in fields {
            self.out.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.out.extend_from_slice(name);
        self.out.push(0);
        self.align();
        self.out.extend_from_slice(data);
        self.align();
    }

    fn align(&mut self) {
        self.out.resize(self.out.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.raw(b"TRAILER!!!", 0, b"", (0, 0));
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_has_the_program_and_its_directories() {
        let initrd = of_this_program().unwrap();
        let text = String::from_utf8_lossy(&initrd.archive);
        for name in ["\0init\0", "TRAILER!!!\0", "dev/console\0"] {
            assert!(text.contains(name.trim_start_matches('\0')), "{name}");
        }
        assert_eq!(initrd.archive.len() % 4, 0);
        let size = fs::metadata("/proc/self/exe").unwrap().len() as usize;
        assert!(initrd.archive.len() < size + (16 << 20));
    }

    #[test]
    fn mapped_libraries() {
        let maps = "7f00-7f01 r-xp 00000000 fe:00 1  /usr/lib/x/libc.so.6\n\
                    7f01-7f02 r--p 00000000 fe:00 1  /usr/lib/x/libc.so.6\n\
                    7f02-7f03 r-xp 00000000 fe:00 2  /usr/bin/program\n\
                    7f03-7f04 r-xp 00000000 00:00 0  [vdso]\n";
        let found: Vec<_> = libraries(maps).into_iter().collect();
        assert_eq!(found, [Path::new("/usr/lib/x/libc.so.6")]);
    }

    #[test]
    fn damaged_programs_are_not_packed() {
        let program = fs::read("/proc/self/exe").unwrap();
        for end in [0, 5, 63, 64, 100] {
            assert!(loadable(&program[..end]).is_none(), "cut at {end}");
        }
    }
}
