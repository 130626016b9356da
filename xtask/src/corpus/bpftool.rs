// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A recent `bpftool`, whatever the machine has: the selftests' `vmlinux.h` needs one that writes
//! kfunc prototypes. It comes from the archive with the libraries it wants, is unpacked in the
//! cache and run through its own dynamic loader.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use veristable_corpus::cache;

use super::apt::Apt;
use super::tools;

/// Suites that the tool and its libraries are taken from; the first that has a package wins.
const SUITES: [&str; 2] = ["trixie-backports", "trixie"];

const PACKAGES: [&str; 7] =
    ["bpftool", "libc6", "libelf1t64", "libssl3t64", "libzstd1", "zlib1g", "libcap2"];

/// An unpacked `bpftool`.
pub(crate) struct Bpftool {
    root: PathBuf,
}

impl Bpftool {
    /// Unpacks the tool, unless an earlier run did.
    ///
    /// # Errors
    ///
    /// The packages cannot be had, or the tool does not run here.
    pub(crate) fn open(apt: &Apt) -> Result<Self> {
        let mut debs = Vec::new();
        let mut id = String::new();
        for package in PACKAGES {
            let version = apt.version_in(package, &SUITES)?;
            id.push_str(&format!("{package}={version}\n"));
            debs.push(apt.package(package, &version)?);
        }
        let root = cache::root()?.join("tools/bpftool");
        let stamp = root.join("packages.txt");
        let tool = Self { root };
        if fs::read(&stamp).is_ok_and(|old| old == id.as_bytes()) {
            return Ok(tool);
        }
        super::remove_dir(&tool.root)?;
        fs::create_dir_all(&tool.root).with_context(|| tool.root.display().to_string())?;
        for deb in &debs {
            tools::output(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&tool.root))?;
        }
        tools::output(tool.command().arg("version")).context("bpftool does not run here")?;
        cache::write_whole(&stamp, id.as_bytes())?;
        Ok(tool)
    }

    /// The command, without arguments.
    pub(crate) fn command(&self) -> Command {
        let libraries = self.root.join("usr/lib/x86_64-linux-gnu");
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(&libraries).arg(self.root.join("usr/sbin/bpftool"));
        command
    }

    /// `vmlinux.h` of a kernel's BTF.
    ///
    /// # Errors
    ///
    /// `bpftool` refuses the BTF.
    pub(crate) fn header(&self, btf: &Path) -> Result<Vec<u8>> {
        tools::output(self.command().args(["btf", "dump", "file"]).arg(btf).args(["format", "c"]))
    }
}
