// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Control groups (cgroup v2), to see how much memory the kernel takes for a load.
//!
//! Each measurement makes a group of its own below the root of the hierarchy, moves the calling
//! process there, and back when it is done. Needs root, and the memory controller in that hierarchy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::answer::Memory;
use crate::sys;

/// Where guests mount the hierarchy, and most distributions too.
const MOUNT: &str = "/sys/fs/cgroup";

/// What names of groups begin with.
const PREFIX: &str = "veristable-";

/// Mounts the hierarchy unless there is one; used by the first process of a guest.
pub(crate) fn mount() -> io::Result<()> {
    match hierarchy(&fs::read_to_string("/proc/self/mountinfo")?) {
        Some(_) => Ok(()),
        None => sys::mount("cgroup2", MOUNT),
    }
}

/// Runs `body` in a fresh group and tells what it took there, or why nobody knows.
pub(crate) fn measure<R>(body: impl FnOnce() -> R) -> (R, Memory) {
    let group = match Group::enter() {
        Ok(group) => group,
        Err(reason) => return (body(), Memory::Unknown { reason }),
    };
    let before = group.bytes("memory.current");
    let result = body();
    let peak = group.bytes("memory.peak");
    let memory = match (before, peak) {
        (Ok(before), Ok(peak)) => Memory::Rise(peak.saturating_sub(before)),
        (Err(reason), _) | (_, Err(reason)) => Memory::Unknown { reason },
    };
    (result, memory)
}

/// A group that this process is in, until it is dropped.
struct Group {
    path: PathBuf,
    /// `cgroup.procs` of the group where the process was before.
    home: PathBuf,
}

impl Group {
    fn enter() -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mounts = read(Path::new("/proc/self/mountinfo"))?;
        let root = hierarchy(&mounts).ok_or("no cgroup v2 hierarchy is mounted")?;
        let controllers = read(&root.join("cgroup.controllers"))?;
        if !controllers.split_whitespace().any(|name| name == "memory") {
            return Err(format!("{}: no memory controller (cgroup v1 has it?)", root.display()));
        }
        let groups = read(Path::new("/proc/self/cgroup"))?;
        let home = root.join(own_group(&groups).trim_start_matches('/')).join("cgroup.procs");
        write(&root.join("cgroup.subtree_control"), "+memory")?;
        remove_left_over(&root);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let group = Self { path, home };
        // 0 is the process that writes.
        write(&group.path.join("cgroup.procs"), "0")?;
        Ok(group)
    }

    /// The number in one of the group's files.
    fn bytes(&self, file: &str) -> Result<u64, String> {
        let path = self.path.join(file);
        let text = read(&path)?;
        text.trim().parse().map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Removes groups of processes that were killed; the kernel keeps those that are in use.
fn remove_left_over(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // If the process does not get home, the next measurement removes the group after it.
        let _ = fs::write(&self.home, "0");
        let _ = fs::remove_dir(&self.path);
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Where cgroup v2 is mounted, by `/proc/self/mountinfo`: fields, ` - `, the kind of file system.
fn hierarchy(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        let target = fields.split(' ').nth(4)?;
        kind.starts_with("cgroup2 ").then(|| PathBuf::from(target))
    })
}

/// The process's own group in that hierarchy, by `/proc/self/cgroup`.
fn own_group(text: &str) -> &str {
    text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_found() {
        let old =
            "29 23 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n";
        let new = "30 23 0:27 / /sys/fs/cgroup rw,relatime shared:10 - cgroup2 cgroup2 rw\n";
        assert_eq!(hierarchy(old), None);
        assert_eq!(hierarchy(&[old, new].concat()), Some(PathBuf::from("/sys/fs/cgroup")));
        assert_eq!(own_group("8:memory:/a\n0::/user.slice/b\n"), "/user.slice/b");
        assert_eq!(own_group(""), "/");
    }
}
