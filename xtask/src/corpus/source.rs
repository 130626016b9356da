// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Kernel sources and the image that belongs to them, from the distribution's packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};
use veristable_corpus::cache;

use super::apt::Apt;
use super::tools;

/// A line of kernels that a set is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Line {
    /// 5.10 (raw tests only)
    #[value(name = "5.10")]
    V5_10,
    /// 6.1 (raw tests only)
    #[value(name = "6.1")]
    V6_1,
    /// 6.12
    #[value(name = "6.12")]
    V6_12,
    /// 6.18.15
    #[value(name = "6.18")]
    V6_18,
    /// 7.3
    #[value(name = "7.3")]
    V7_3,
}

impl Line {
    /// Lines whose selftests are compiled, the wanted ones first.
    pub(crate) const COMPILED: [Self; 3] = [Self::V6_18, Self::V6_12, Self::V7_3];

    /// Lines whose raw tests are dumped.
    pub(crate) const RAW: [Self; 5] =
        [Self::V6_18, Self::V6_12, Self::V7_3, Self::V6_1, Self::V5_10];

    /// `6.12`
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V6_18 => "6.18",
            Self::V7_3 => "7.3",
        }
    }

    fn origin(self) -> From {
        match self {
            Self::V6_18 => From::Tarball {
                version: "6.18.15",
                path: "pool/main/l/linux/linux_6.18.15.orig.tar.xz",
            },
            Self::V5_10 => From::Package("linux-source-5.10"),
            Self::V6_1 => From::Package("linux-source-6.1"),
            Self::V6_12 => From::Package("linux-source-6.12"),
            Self::V7_3 => From::Package("linux-source-7.3"),
        }
    }
}

enum From {
    /// The newest version of a source package that any suite has.
    Package(&'static str),
    /// An upstream tarball in the archive's pool.
    Tarball { version: &'static str, path: &'static str },
}

/// Parts of a tree that the sets need.
const PARTS: [&str; 6] = [
    "*/tools/testing/selftests/bpf/*",
    "*/tools/lib/bpf/*",
    "*/tools/include/*",
    "*/tools/arch/x86/include/*",
    "*/include/uapi/*",
    "*/scripts/bpf_*.py",
];

/// An unpacked part of a kernel tree.
pub(crate) struct Sources {
    /// Its root.
    pub(crate) tree: PathBuf,
    /// The package it came from, `linux-source-6.12`.
    pub(crate) package: String,
    /// Debian version, `6.12.117-1~deb12u1`, or upstream's for a tarball.
    pub(crate) version: String,
}

impl Sources {
    /// Downloads and unpacks, unless an earlier run did.
    ///
    /// # Errors
    ///
    /// The archive no longer has the line, or a tool is missing.
    pub(crate) fn open(apt: &Apt, line: Line) -> Result<Self> {
        let (package, version, archive) = match line.origin() {
            From::Package(package) => {
                let version = apt.newest(package)?;
                (package, version.clone(), apt.package(package, &version)?)
            }
            From::Tarball { version, path } => ("linux", version.to_owned(), apt.pool_file(path)?),
        };
        let tree = cache::root()?.join("sources").join(format!("{package}-{version}"));
        if !tree.exists() {
            eprintln!("unpacking {}", archive.display());
            let temporary = cache::temporary_beside(&tree);
            super::remove_dir(&temporary)?;
            fs::create_dir_all(&temporary).with_context(|| temporary.display().to_string())?;
            unpack(&archive, &temporary)?;
            fs::rename(&temporary, &tree).with_context(|| tree.display().to_string())?;
        }
        Ok(Self { tree, package: package.to_owned(), version })
    }

    /// The package with the image of the very kernel that these are the sources of.
    ///
    /// # Errors
    ///
    /// No suite has it.
    pub(crate) fn image(&self, apt: &Apt) -> Result<PathBuf> {
        let upstream = self.version.split('-').next().unwrap_or(&self.version);
        for release in ["deb12", "deb13", "deb14"] {
            // From 6.19 on, linux-image is a metapackage.
            for kind in ["binary", "image"] {
                let package = format!("linux-{kind}-{upstream}+{release}-cloud-amd64");
                if let Ok(version) = apt.newest(&package) {
                    return apt.package(&package, &version);
                }
            }
        }
        bail!("no suite has the image of {upstream} (linux-image-{upstream}+debN-cloud-amd64)")
    }
}

fn unpack(archive: &Path, into: &Path) -> Result<()> {
    if archive.extension().is_none_or(|extension| extension != "deb") {
        return tools::show(tar(into).arg("-xJf").arg(archive).args(PARTS));
    }
    let inner = into.join(".deb");
    fs::create_dir_all(&inner)?;
    tools::output(Command::new("dpkg-deb").arg("-x").arg(archive).arg(&inner))?;
    let tarball = super::walk(&inner)?
        .into_iter()
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("linux-source-") && name.contains(".tar.")
        })
        .ok_or_else(|| anyhow!("{}: no tarball inside", archive.display()))?;
    tools::show(tar(into).arg("-xf").arg(tarball).args(PARTS))?;
    super::remove_dir(&inner)
}

/// `tar` that takes patterns and is quiet about those that match nothing in an older tree.
fn tar(into: &Path) -> Command {
    let mut command = Command::new("tar");
    command.arg("-C").arg(into).args(["--strip-components=1", "--wildcards"]);
    command.stderr(Stdio::inherit());
    command
}
