// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The running kernel, from files alone: no system call of BPF is made.
//!
//! [`describe`] does the same for another machine whose files can be read, such as a guest.
//!
//! Its BTF, configuration and symbols are observed. Everything else is taken over from the nearest
//! built-in kernel and says "assumed", with the kernel types looked up again in the running BTF:
//! what that does not have is not there, and what it has beyond the tables is unknown.

use crate::builtin::{BuiltIn, list};
use crate::error::ProfileError;
use crate::inflate;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use veristable_btf::{Base, Btf, Kind, TypeId};
use veristable_kernel::profile::{Config, Facts, Input, Symbols, TypeRow};
use veristable_kernel::{FactKind, KernelId, Origin, Profile};

/// No file that is read here is longer.
const MAX_FILE: u64 = 256 << 20;

/// Files of the machine whose kernel is described.
pub trait Files {
    /// The contents of a file; the path is absolute.
    ///
    /// # Errors
    /// That it cannot be read.
    fn read(&mut self, path: &str) -> Result<Vec<u8>, FileError>;

    /// Names in a directory, empty if it cannot be read.
    fn list(&mut self, path: &str) -> Vec<String>;
}

/// Why a file cannot be read.
pub type FileError = Box<dyn std::error::Error>;

/// The files of this machine, below a directory.
struct Local<'r>(&'r Path);

impl Local<'_> {
    fn path(&self, path: &str) -> std::path::PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }
}

impl Files for Local<'_> {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, FileError> {
        read(&self.path(path))
    }

    fn list(&mut self, path: &str) -> Vec<String> {
        let Ok(directory) = fs::read_dir(self.path(path)) else { return Vec::new() };
        directory.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
    }
}

/// Describes the running kernel. Its behaviours are those that were found out when it was
/// captured into the cache ([`crate::captured`]), if it was; else they are assumed.
///
/// # Errors
/// If this is not Linux, or the nearest built-in kernel cannot be opened.
pub fn live() -> Result<Profile, ProfileError> {
    let profile = live_at(Path::new("/"))?;
    Ok(crate::captured::with_known_behaviours(profile))
}

/// As [`live`], with all files below `root`.
fn live_at(root: &Path) -> Result<Profile, ProfileError> {
    describe(&mut Local(root), "live")
}

/// Describes the kernel of a machine by its files, under a name.
///
/// # Errors
/// If its release cannot be read, or the nearest built-in kernel cannot be opened.
pub fn describe(files: &mut dyn Files, name: &str) -> Result<Profile, ProfileError> {
    const OSRELEASE: &str = "/proc/sys/kernel/osrelease";
    let error = |problem: String| ProfileError::Live { path: OSRELEASE.to_owned(), problem };
    let release = files.read(OSRELEASE).and_then(|bytes| Ok(String::from_utf8(bytes)?));
    let release = release.map_err(|problem| error(problem.to_string()))?.trim().to_owned();
    let version_code = version_code(&release);
    let mut inputs = Vec::new();
    let btf = running_btf(files, &mut inputs);
    let config = config(files, &release, &mut inputs);
    let symbols = symbols(files, &mut inputs);
    let nearest = nearest(version_code, arch())
        .ok_or_else(|| error("there is no built-in kernel to start from".to_owned()))?;
    let nearest = crate::open(nearest.name)?.into_facts();
    let nearest_name = nearest.id.name.clone();
    inputs.push(Input {
        name: "everything else".to_owned(),
        sha256: String::new(),
        origin: format!("assumed to be as in {nearest_name}"),
    });
    let facts = Facts {
        id: KernelId { name: name.to_owned(), release, arch: arch().to_owned(), version_code },
        origins: origins(&nearest, btf.is_some(), config.is_some(), symbols.is_some()),
        config,
        symbols,
        inputs,
        ..nearest
    };
    let facts = relocate(facts, btf.as_ref());
    let profile =
        Profile::new(facts, btf).map_err(|fact| ProfileError::damaged(&nearest_name, fact))?;
    let modules = profile.shared_btf().map(|base| modules(files, &base));
    let profile = with_later_helpers(profile);
    Ok(match modules {
        Some(modules) => profile.with_modules(modules),
        None => profile,
    })
}

/// Adds the names of helpers that the kernel's own BTF has beyond the tables, which were taken
/// over from another kernel.
pub(crate) fn with_later_helpers(profile: Profile) -> Profile {
    let later = profile.shared_btf().map(|btf| later_helpers(&btf, profile.facts()));
    profile.with_more_helpers(later.unwrap_or_default())
}

/// Reads a file whose size is not known before, as those of procfs are.
fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("it is longer than 256 MiB".into());
    }
    Ok(bytes)
}

/// The architecture in Debian's spelling.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64el",
        arch => arch,
    }
}

/// `major << 16 | minor << 8 | patch` of the beginning of a release.
fn version_code(release: &str) -> u32 {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let mut number = || numbers.next().and_then(Result::ok).unwrap_or(0).min(255);
    number() << 16 | number() << 8 | number()
}

/// The built-in kernel of the same architecture with the nearest version; of any architecture if
/// there is none.
fn nearest(version_code: u32, arch: &str) -> Option<&'static BuiltIn> {
    list().min_by_key(|kernel| {
        (kernel.arch != arch, version_code.abs_diff(self::version_code(kernel.name)))
    })
}

fn observed(inputs: &mut Vec<Input>, name: &str, path: &str) {
    let origin = format!("observed: {path}");
    inputs.push(Input { name: name.to_owned(), sha256: String::new(), origin });
}

fn running_btf(files: &mut dyn Files, inputs: &mut Vec<Input>) -> Option<Btf<'static>> {
    const PATH: &str = "/sys/kernel/btf/vmlinux";
    let mut btf = Btf::open(files.read(PATH).ok()?).ok()?;
    btf.build_name_index();
    observed(inputs, "vmlinux.btf", PATH);
    Some(btf)
}

fn config(files: &mut dyn Files, release: &str, inputs: &mut Vec<Input>) -> Option<Config> {
    let packed = "/proc/config.gz".to_owned();
    let plain = [format!("/boot/config-{release}"), format!("/lib/modules/{release}/config")];
    for path in [packed].into_iter().chain(plain) {
        let Ok(bytes) = files.read(&path) else { continue };
        let unpacked =
            if path.ends_with(".gz") { inflate::gunzip(&bytes).ok() } else { Some(bytes) };
        let text = unpacked.and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some(config) = text.as_deref().and_then(Config::parse)
            && !config.is_empty()
        {
            observed(inputs, "config", &path);
            return Some(config);
        }
    }
    None
}

fn symbols(files: &mut dyn Files, inputs: &mut Vec<Input>) -> Option<Symbols> {
    const PATH: &str = "/proc/kallsyms";
    let text = String::from_utf8(files.read(PATH).ok()?).ok()?;
    let symbols = Symbols::parse(&text).filter(|symbols| !symbols.is_empty())?;
    observed(inputs, "kallsyms", PATH);
    Some(symbols)
}

/// BTF of the modules that are loaded now.
fn modules(files: &mut dyn Files, base: &Arc<Btf<'static>>) -> BTreeMap<String, Btf<'static>> {
    const DIRECTORY: &str = "/sys/kernel/btf";
    let mut found = BTreeMap::new();
    for name in files.list(DIRECTORY).into_iter().filter(|name| name != "vmlinux") {
        let Ok(bytes) = files.read(&format!("{DIRECTORY}/{name}")) else { continue };
        if let Ok(btf) = Btf::open_split(bytes, Base::Shared(Arc::clone(base))) {
            found.insert(name, btf);
        }
    }
    found
}

fn origins(nearest: &Facts, btf: bool, config: bool, symbols: bool) -> Vec<(FactKind, Origin)> {
    let seen = |is: bool| if is { Origin::Observed } else { Origin::Unknown };
    let origin = |kind: FactKind| match kind {
        FactKind::Btf | FactKind::Iterators => seen(btf),
        FactKind::Config => seen(config),
        FactKind::Symbols => seen(symbols),
        kind => match nearest.origins.iter().find(|(known, _)| *known == kind) {
            None | Some((_, Origin::Unknown)) => Origin::Unknown,
            Some(_) => Origin::Assumed,
        },
    };
    FactKind::ALL.iter().map(|kind| (*kind, origin(*kind))).collect()
}

/// Looks every kernel type up again. A type that the running BTF lacks has no id.
fn relocate(mut facts: Facts, btf: Option<&Btf<'_>>) -> Facts {
    let strings = facts.strings.clone();
    let id = |name: &str, kind: Kind| {
        btf.and_then(|btf| btf.find_by_name(name, kind)).map_or(0, |TypeId(id)| id)
    };
    let look_up = |row: &mut TypeRow| row.id = id(strings.get(row.name), row.kind.into());
    facts.type_rows_mut().for_each(look_up);
    for kfunc in &mut facts.kfuncs {
        kfunc.btf_id = id(strings.get(kfunc.name), Kind::Func);
    }
    facts
}

/// Names of helpers in the running kernel's `enum bpf_func_id` past those of the tables.
fn later_helpers(btf: &Btf<'_>, facts: &Facts) -> Vec<String> {
    let Some(id) = btf.find_by_name("bpf_func_id", Kind::Enum) else { return Vec::new() };
    let Ok(ty) = btf.type_by_id(id) else { return Vec::new() };
    let Some(values) = ty.as_enum().map(|data| data.values) else { return Vec::new() };
    let mut later: Vec<(u64, String)> = values
        .iter()
        .filter_map(|value| {
            let name = value.name().strip_prefix("BPF_FUNC_")?.to_owned();
            Some((u64::try_from(value.value).ok()?, name))
        })
        .filter(|(number, _)| *number >= facts.helper_names.len() as u64)
        .collect();
    later.sort_unstable();
    // Without gaps, since the position is the number.
    let first = facts.helper_names.len() as u64;
    (first..).zip(later).take_while(|(at, (number, _))| at == number).map(|(_, (_, n))| n).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use veristable_kernel::{Kernel, KfuncRef, ProgContext, ProgType};

    #[test]
    fn releases_have_versions() {
        let check = |release: &str, want: (u32, u32, u32)| {
            assert_eq!(version_code(release), want.0 << 16 | want.1 << 8 | want.2, "{release}");
        };
        check("6.18.15+deb13-cloud-amd64", (6, 18, 15));
        check("5.10.300-x", (5, 10, 255));
        check("7.0-rc1", (7, 0, 0));
        check("", (0, 0, 0));
        assert_eq!(nearest(version_code("6.18.44"), "amd64").unwrap().name, "6.18.15");
        assert_eq!(nearest(version_code("6.13.2"), "amd64").unwrap().name, "6.12.117");
    }

    /// A machine with nothing but a release and a configuration: no BTF, no symbols.
    #[test]
    fn what_cannot_be_read_is_unknown() {
        let root = std::env::temp_dir().join(format!("veristable-live-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/sys/kernel/osrelease", "6.18.99-test\n");
        write("boot/config-6.18.99-test", "CONFIG_BPF=y\n# CONFIG_X is not set\n");
        let profile = live_at(&root).unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(profile.id().release, "6.18.99-test");
        assert_eq!(profile.config("CONFIG_BPF"), Ok(Some("y")));
        assert_eq!(profile.config("CONFIG_X"), Ok(None));
        assert_eq!(profile.origin(FactKind::Config), Origin::Observed);
        assert_eq!(profile.origin(FactKind::Btf), Origin::Unknown);
        assert_eq!(profile.origin(FactKind::Helpers), Origin::Assumed);
        assert!(profile.btf(None).is_err());
        assert!(profile.symbol("_text").is_err());
        assert!(profile.tracepoint("sched_switch").unwrap().is_some());
        let program = ProgContext::of(ProgType::XDP);
        let kfunc = profile.kfunc(KfuncRef::Name("bpf_xdp_get_xfrm_state"), &program);
        assert!(kfunc.is_ok_and(|kfunc| kfunc.is_some_and(|kfunc| kfunc.btf_id.is_none())));
    }

    #[test]
    fn the_running_kernel_is_described() {
        if cfg!(not(target_os = "linux")) {
            eprintln!("skipped: not Linux");
            return;
        }
        let profile = live().unwrap();
        if profile.origin(FactKind::Btf) == Origin::Unknown {
            eprintln!("skipped: no readable /sys/kernel/btf/vmlinux");
            return;
        }
        let btf = profile.btf(None).unwrap().unwrap();
        assert!(btf.find_by_name("task_struct", Kind::Struct).is_some());
        // Nothing is called observed that was taken over.
        assert_eq!(profile.origin(FactKind::Kfuncs), Origin::Assumed);
        let absent = profile.kfunc(KfuncRef::Name("no_such"), &ProgContext::of(ProgType::XDP));
        assert_eq!(absent, Ok(None));
    }
}
