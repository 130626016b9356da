// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask corpus realworld`: BPF objects carved out of Debian packages.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use veristable_corpus::{Manifest, Object, Origin, cache, carve};

use super::apt::{Apt, Available};
use super::tools;

/// Name of the set.
pub(crate) const SET: &str = "realworld";

/// Packages with BPF objects in them.
const PACKAGES: [&str; 14] = [
    "libbpf-tools",
    "xdp-tools",
    "libxdp1",
    "libbpftune0",
    "udev-hid-bpf",
    "systemd",
    "libsystemd-shared",
    "pwru",
    "suricata",
    "opensnitch-ebpf-modules",
    "mimic",
    "bpfilter",
    "bpftop",
    "ir-keytable",
];

/// Suites that are looked at; every distinct version counts.
const SUITES: [&str; 5] = ["bookworm", "bookworm-security", "trixie", "trixie-backports", "sid"];

/// Files larger than this, compressed or not, are not searched.
const MAX_FILE: u64 = 512 << 20;

/// Arguments of `corpus realworld`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fetch the package lists again even if they are recent
    #[arg(long)]
    refresh: bool,
}

/// What is known of one content while packages are read.
struct Found {
    bytes: Vec<u8>,
    origins: Vec<Origin>,
}

/// Downloads, carves and writes the set.
pub(crate) fn run(args: &Args) -> Result<()> {
    let apt = Apt::open(args.refresh)?;
    let dir = cache::set_dir(SET)?;
    let packages = wanted(&apt)?;
    let mut contents: BTreeMap<String, Found> = BTreeMap::new();
    let mut failures = Vec::new();
    for (index, available) in packages.iter().enumerate() {
        let Available { package, version, suite } = available;
        eprint!("[{}/{}] {package} {version} ({suite})", index + 1, packages.len());
        match carve_package(&apt, &dir, available, &mut contents) {
            Ok(count) => eprintln!(": {count} objects"),
            Err(error) => {
                eprintln!(": {error:#}");
                failures.push(veristable_corpus::manifest::Failure {
                    path: format!("{package}={version}"),
                    reason: format!("{error:#}"),
                });
            }
        }
    }
    let mut manifest = Manifest::new(SET);
    manifest.failures = failures;
    manifest.objects = write_objects(&dir, contents)?;
    manifest.write(&dir)?;
    remove_others(&dir, &manifest)?;
    println!("{}: {} unique objects", dir.display(), manifest.objects.len());
    Ok(())
}

/// Every distinct version of every package in the suites, oldest suite first.
fn wanted(apt: &Apt) -> Result<Vec<Available>> {
    let mut wanted: Vec<Available> = Vec::new();
    for package in PACKAGES {
        let versions = apt.versions(package)?;
        if versions.is_empty() {
            eprintln!("warning: no suite has {package}");
        }
        for suite in SUITES {
            for one in versions.iter().filter(|one| one.suite == suite) {
                let known =
                    |have: &Available| have.package == one.package && have.version == one.version;
                if !wanted.iter().any(known) {
                    wanted.push(one.clone());
                }
            }
        }
    }
    Ok(wanted)
}

fn carve_package(
    apt: &Apt,
    dir: &Path,
    available: &Available,
    contents: &mut BTreeMap<String, Found>,
) -> Result<usize> {
    let Available { package, version, .. } = available;
    let deb = apt.package(package, version)?;
    let tree = Tree::unpack(&deb, &dir.join(".unpacked"))?;
    let mut count = 0;
    for path in super::walk(&tree.0)? {
        let Some(data) = read_file(&path)? else { continue };
        for carved in carve::carve(&data) {
            count += 1;
            let origin = Origin {
                package: package.clone(),
                version: version.clone(),
                path: path.strip_prefix(&tree.0).unwrap_or(&path).display().to_string(),
                offset: carved.offset as u64,
            };
            let found = contents
                .entry(cache::sha256(carved.bytes))
                .or_insert_with(|| Found { bytes: carved.bytes.to_vec(), origins: Vec::new() });
            found.origins.push(origin);
        }
    }
    Ok(count)
}

/// An unpacked package, removed when it is done with.
struct Tree(PathBuf);

impl Tree {
    fn unpack(deb: &Path, into: &Path) -> Result<Self> {
        super::remove_dir(into)?;
        fs::create_dir_all(into).with_context(|| into.display().to_string())?;
        let tree = Self(into.to_owned());
        tools::output(Command::new("dpkg-deb").arg("-x").arg(deb).arg(into))?;
        Ok(tree)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // Left-overs are removed by the next run as well.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file's content, decompressed if its first bytes say that it is compressed; nothing for files
/// that are too large or that do not decompress.
fn read_file(path: &Path) -> Result<Option<Vec<u8>>> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    if file.metadata()?.len() > MAX_FILE {
        eprintln!("warning: {} is too large, not searched", path.display());
        return Ok(None);
    }
    let mut data = Vec::new();
    file.read_to_end(&mut data).with_context(|| path.display().to_string())?;
    let tool = match data.get(..6) {
        Some([0x1f, 0x8b, ..]) => "gzip",
        Some([0x28, 0xb5, 0x2f, 0xfd, ..]) => "zstd",
        Some([0xfd, b'7', b'z', b'X', b'Z', 0]) => "xz",
        _ => return Ok(Some(data)),
    };
    let input = File::open(path)?;
    match tools::filter(Command::new(tool).arg("-dc"), input, MAX_FILE) {
        Ok(data) => Ok(Some(data)),
        Err(error) => {
            eprintln!("warning: {} not searched: {error:#}", path.display());
            Ok(None)
        }
    }
}

fn write_objects(dir: &Path, contents: BTreeMap<String, Found>) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    for (sha256, mut found) in contents {
        found.origins.sort();
        let file = object_name(&found.origins, &sha256);
        let path = dir.join(&file);
        if fs::metadata(&path).map(|meta| meta.len()).ok() != Some(found.bytes.len() as u64) {
            cache::write_whole(&path, &found.bytes)?;
        }
        let size = found.bytes.len() as u64;
        objects.push(Object {
            file,
            sha256,
            size,
            without_sys_admin: false,
            origins: found.origins,
        });
    }
    Ok(objects)
}

/// `objects/PACKAGE/FILE-HASH.bpf.o`, after the first place where the content was found.
fn object_name(origins: &[Origin], sha256: &str) -> String {
    let Some(first) = origins.first() else { return format!("objects/{sha256}.bpf.o") };
    let base = first.path.rsplit('/').next().unwrap_or(&first.path);
    let stem = base.trim_end_matches(".o").trim_end_matches(".bpf");
    let stem: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("objects/{}/{stem}-{}.bpf.o", first.package, &sha256[..12])
}

/// Removes objects of earlier runs that the new manifest does not name.
fn remove_others(dir: &Path, manifest: &Manifest) -> Result<()> {
    for path in super::walk(&dir.join("objects"))? {
        let name = path.strip_prefix(dir).unwrap_or(&path).display().to_string();
        if !manifest.objects.iter().any(|object| object.file == name) {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}
