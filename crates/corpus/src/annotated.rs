// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Annotated selftests as load requests: each as the kernel's own test loader loads it
//! (`run_subtest`, `tools/testing/selftests/bpf/test_loader.c`).
//!
//! A set `annotated-LINE` is the privileged half of the objects of `selftests-LINE`,
//! `annotated-LINE@unpriv` the unprivileged one. Two things are more lenient than the test loader:
//! an object in which something else cannot be linked still gives its other tests, and nothing is
//! run.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use veristable_btf::Btf;
use veristable_kernel::{Kernel, MapType};
use veristable_object::{LinkOptions, MapInfo, Object};
use veristable_program::{
    Capabilities, InfoTable, LoadRequest, LogRequest, MapDesc, MapFlags, MapSpec,
};

use crate::annotation::{self, Annotation, Expectation};
use crate::sets::{ObjectSet, SELFTESTS};

/// Bytes that the test loader has for a log (`TEST_LOADER_LOG_BUF_SZ`).
const LOG_SIZE: u32 = 2 << 20;

/// First kernel that knows `BPF_F_TEST_REG_INVARIANTS`: 6.8, as `KERNEL_VERSION` codes it.
const REG_INVARIANTS: u32 = (6 << 16) | (8 << 8);

/// With which capabilities tests are loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Those of root; some objects without `CAP_SYS_ADMIN`.
    Privileged,
    /// Those that the test names, if any.
    Unprivileged,
}

/// A set by its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnotatedSet {
    name: String,
    objects: &'static str,
    mode: Mode,
}

/// One program of a set.
#[derive(Clone, Debug)]
pub struct Test {
    /// `SET/OBJECT:PROGRAM`.
    pub id: String,
    /// What is loaded. Its log level is that of the annotation.
    pub request: LoadRequest,
    /// The annotation asks for no log: the test loader sees one only if the load fails.
    pub quiet: bool,
    /// What is expected; absent for a program that is only loaded for others.
    pub expectation: Option<Expectation>,
    /// Auxiliary programs that are loaded with it: if one fails, so does the test's load.
    pub companions: Vec<Companion>,
}

/// An auxiliary program that is loaded together with a test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Companion {
    /// Its [`Test::id`].
    pub id: String,
    /// It is loaded before the tested program, which is not loaded at all if it fails.
    pub first: bool,
}

/// A test that is not in the set, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Absent {
    /// What [`Test::id`] would be.
    pub id: String,
    /// Why.
    pub reason: String,
    /// The test loader skips it, too: it is for another architecture or for a kernel without JIT.
    pub skipped: bool,
}

/// A set, linked for a kernel.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The programs, in the order of objects and programs.
    pub tests: Vec<Test>,
    /// What could not be linked or is skipped.
    pub absent: Vec<Absent>,
    /// Tags that were not understood, with the program's id.
    pub unknown_tags: Vec<(String, String)>,
}

impl AnnotatedSet {
    /// Reads a set's name: `annotated-6.12`, `annotated-6.12@unpriv`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (base, mode) = match name.strip_suffix("@unpriv") {
            Some(base) => (base, Mode::Unprivileged),
            None => (name, Mode::Privileged),
        };
        let line = base.strip_prefix("annotated-")?;
        let objects =
            SELFTESTS.into_iter().find(|set| set.strip_prefix("selftests-") == Some(line))?;
        Some(Self { name: name.to_owned(), objects, mode })
    }

    /// Links the set for a kernel, which has a JIT or not.
    ///
    /// # Errors
    ///
    /// The objects are not in the cache, or one cannot be read.
    pub fn load(&self, kernel: &dyn Kernel, jit: bool) -> Result<Loaded> {
        let set = ObjectSet::open(self.objects)?;
        let mut loaded = Loaded::default();
        for (path, described) in set.objects() {
            let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let stem = file.strip_suffix(".bpf").unwrap_or(&file).to_owned();
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            let annotations =
                annotation::of_object(&bytes).with_context(|| path.display().to_string())?;
            if annotations.iter().all(|a| a.of(self.mode).is_none()) {
                continue;
            }
            let prefix = format!("{}/{stem}:", self.name);
            let object = match Object::parse(&bytes, &format!("{file}.o")) {
                Ok(object) => object,
                Err(why) => {
                    let absent =
                        |a: &Annotation| absent(&prefix, a, format!("(whole object) {why}"));
                    loaded.absent.extend(annotations.iter().map(absent));
                    continue;
                }
            };
            let without_sys_admin = described.without_sys_admin;
            let reader =
                Reader { kernel, jit, mode: self.mode, prefix: &prefix, without_sys_admin };
            reader.object(&object, &annotations, path.parent().unwrap_or(&path), &mut loaded)?;
        }
        Ok(loaded)
    }
}

fn absent(prefix: &str, annotation: &Annotation, reason: String) -> Absent {
    Absent { id: format!("{prefix}{}", annotation.program), reason, skipped: false }
}

impl Annotation {
    /// What is expected in a mode; absent if the program is not loaded so.
    #[must_use]
    pub fn of(&self, mode: Mode) -> Option<&Expectation> {
        match mode {
            Mode::Privileged => self.privileged.as_ref(),
            Mode::Unprivileged => self.unprivileged.as_ref(),
        }
    }

    /// Capabilities that the test is loaded with. Only those four are ever taken away
    /// (`drop_capabilities`).
    #[must_use]
    pub fn capabilities(&self, mode: Mode, without_sys_admin: bool) -> Capabilities {
        let dropped = Capabilities::SYS_ADMIN
            | Capabilities::NET_ADMIN
            | Capabilities::PERFMON
            | Capabilities::BPF;
        match mode {
            Mode::Privileged if without_sys_admin => Capabilities::all() - Capabilities::SYS_ADMIN,
            Mode::Privileged => Capabilities::all(),
            Mode::Unprivileged => (Capabilities::all() - dropped) | self.unprivileged_caps,
        }
    }

    /// The level of the log in which messages are looked for, statistics included. Without a level
    /// libbpf takes a log of level 1 from a second load if the first fails; where only statistics
    /// are asked for, the trace before them does no harm.
    #[must_use]
    pub fn load_log_level(&self) -> u32 {
        const TRACE: u32 = 1 | 2;
        const STATS: u32 = 4;
        let level = if self.log_level & TRACE == 0 { 1 } else { self.log_level };
        level | STATS
    }
}

/// Makes tests of one object's programs.
struct Reader<'a> {
    kernel: &'a dyn Kernel,
    jit: bool,
    mode: Mode,
    prefix: &'a str,
    without_sys_admin: bool,
}

impl Reader<'_> {
    /// Adds the tests of an object. All of its programs are linked at once: what becomes of one
    /// does not change another.
    fn object(
        &self,
        object: &Object,
        annotations: &[Annotation],
        dir: &Path,
        loaded: &mut Loaded,
    ) -> Result<()> {
        let by_name: HashMap<&str, &Annotation> =
            annotations.iter().map(|a| (a.program.as_str(), a)).collect();
        let order: Vec<_> = object.programs().map(|program| program.name).collect();
        let auxiliary = |name: &&String| {
            by_name.get(name.as_str()).is_some_and(|a| a.auxiliary && a.of(self.mode).is_some())
        };
        let auxiliaries: Vec<&String> = order.iter().filter(auxiliary).collect();
        let mut linked = BTreeMap::new();
        for name in &order {
            let Some(annotation) = by_name.get(name.as_str()).copied() else { continue };
            let Some(expectation) = annotation.of(self.mode) else { continue };
            let id = format!("{}{name}", self.prefix);
            let tags = annotation.unknown.iter().map(|tag| (id.clone(), tag.clone()));
            loaded.unknown_tags.extend(tags);
            if let Some(reason) = self.skips(annotation) {
                loaded.absent.push(Absent { id, reason, skipped: true });
                continue;
            }
            let types = annotation.btf_path.as_ref().or(annotation.btf_func_path.as_ref());
            if let Entry::Vacant(entry) = linked.entry(types) {
                entry.insert(self.link(object, types.map(|name| dir.join(name)).as_deref())?);
            }
            let request = linked.get(&types).and_then(|programs| programs.get(name));
            let request = match request {
                Some(Ok(request)) => self.request(request.clone(), annotation),
                Some(Err(reason)) => Err(reason.clone()),
                None => Err("there is no such program".to_owned()),
            };
            match request {
                Ok(request) => {
                    let position = |name: &String| order.iter().position(|other| other == name);
                    let companion = |other: &&String| Companion {
                        id: format!("{}{other}", self.prefix),
                        first: position(other) < position(name),
                    };
                    let companions = if annotation.auxiliary { &[][..] } else { &auxiliaries };
                    loaded.tests.push(Test {
                        id,
                        request,
                        quiet: annotation.log_level == 0,
                        expectation: (!annotation.auxiliary).then(|| expectation.clone()),
                        companions: companions.iter().map(companion).collect(),
                    });
                }
                Err(reason) => loaded.absent.push(absent(self.prefix, annotation, reason)),
            }
        }
        Ok(())
    }

    /// Why the test loader does not load a test here.
    fn skips(&self, annotation: &Annotation) -> Option<String> {
        if !annotation.for_x86_64() {
            return Some(format!("for {} only", annotation.architectures.join(", ")));
        }
        match annotation.jit {
            Some(true) if !self.jit => Some("with JIT only".to_owned()),
            Some(false) if self.jit => Some("without JIT only".to_owned()),
            _ => None,
        }
    }

    /// Links all programs, with the types of a file in place of the kernel's if one is named.
    fn link(
        &self,
        object: &Object,
        types: Option<&Path>,
    ) -> Result<HashMap<String, Result<LoadRequest, String>>> {
        let core_types = match types {
            Some(path) => Some(Arc::new(types_of(path)?)),
            None => None,
        };
        let created = |map: &MapInfo| match self.mode {
            Mode::Privileged => true,
            Mode::Unprivileged => is_unprivileged_map(map),
        };
        let autocreate = object.maps().map(|map| (map.name.clone(), created(&map))).collect();
        let options = LinkOptions { core_types, autocreate, ..LinkOptions::default() };
        let programs = object.link(self.kernel, &options).programs.into_iter();
        Ok(programs
            .map(|(info, request)| (info.name, request.map_err(|why| why.to_string())))
            .collect())
    }

    /// The request with what the test loader adds (`prepare_case`): auxiliary programs have their
    /// own flags only.
    fn request(
        &self,
        mut request: LoadRequest,
        annotation: &Annotation,
    ) -> Result<LoadRequest, String> {
        if !annotation.auxiliary {
            let reg_invariants = self.kernel.id().version_code >= REG_INVARIANTS;
            request.flags = annotation.flags(request.flags, reg_invariants);
        }
        let level = if annotation.auxiliary { 4 } else { annotation.load_log_level() };
        request.log = LogRequest { level, size: LOG_SIZE };
        request.capabilities = annotation.capabilities(self.mode, self.without_sys_admin);
        if !request.capabilities.allows(Capabilities::BPF) {
            without_types(&mut request)?;
        }
        Ok(request)
    }
}

/// Maps that the test loader creates for unprivileged tests (`is_unpriv_capable_map`).
fn is_unprivileged_map(map: &MapInfo) -> bool {
    match map.map_type {
        MapType::HASH | MapType::PERCPU_HASH | MapType::HASH_OF_MAPS => {
            !map.flags.contains(MapFlags::ZERO_SEED)
        }
        MapType::PERCPU_CGROUP_STORAGE
        | MapType::ARRAY
        | MapType::RINGBUF
        | MapType::PROG_ARRAY
        | MapType::CGROUP_ARRAY
        | MapType::PERCPU_ARRAY
        | MapType::USER_RINGBUF
        | MapType::ARRAY_OF_MAPS
        | MapType::CGROUP_STORAGE
        | MapType::PERF_EVENT_ARRAY => true,
        _ => false,
    }
}

/// `BPF_BTF_LOAD` wants CAP_BPF: libbpf goes on without types, unless they are for struct_ops
/// (`bpf_object__sanitize_and_load_btf`).
fn without_types(request: &mut LoadRequest) -> Result<(), String> {
    if request.maps.iter().any(|map| map.spec.map_type == MapType::STRUCT_OPS) {
        return Err("struct_ops maps need types, which want CAP_BPF".to_owned());
    }
    request.btf = None;
    request.func_info = InfoTable::default();
    request.line_info = InfoTable::default();
    let plain = |spec: &MapSpec| MapSpec {
        btf: None,
        btf_key_type_id: 0,
        btf_value_type_id: 0,
        ..spec.clone()
    };
    for map in &mut request.maps {
        let inner = map.inner.as_deref().map(|inner| Arc::new(plain(inner)));
        *map = Arc::new(MapDesc { spec: plain(&map.spec), inner, ..MapDesc::clone(map) });
    }
    Ok(())
}

/// The BTF of an object file.
fn types_of(path: &Path) -> Result<Btf<'static>> {
    use object::{Object as _, ObjectSection as _};
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let file = object::File::parse(bytes.as_slice()).with_context(|| path.display().to_string())?;
    let section =
        file.section_by_name(".BTF").with_context(|| format!("{}: no BTF", path.display()))?;
    let data = section.data().with_context(|| path.display().to_string())?;
    let btf = Btf::open(data.to_vec()).map_err(|error| anyhow!("{}: {error}", path.display()))?;
    Ok(btf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use veristable_program::Blob;

    #[test]
    fn names_of_sets() {
        let check = |name: &str, want: Option<(&str, Mode)>| {
            let got = AnnotatedSet::parse(name);
            assert_eq!(got.as_ref().map(|set| (set.objects, set.mode)), want, "{name}");
        };
        check("annotated-6.12", Some(("selftests-6.12", Mode::Privileged)));
        check("annotated-7.3@unpriv", Some(("selftests-7.3", Mode::Unprivileged)));
        check("annotated-5.10", None);
        check("selftests-6.12", None);
        check("annotated-6.12@root", None);
    }

    #[test]
    fn capabilities_of_modes() {
        let plain = Annotation::default();
        let plain = Annotation { unprivileged_caps: Capabilities::empty(), ..plain };
        let boot = Capabilities::SYS_BOOT;
        assert_eq!(plain.capabilities(Mode::Privileged, false), Capabilities::all());
        let without = plain.capabilities(Mode::Privileged, true);
        assert_eq!(without, Capabilities::all() - Capabilities::SYS_ADMIN);
        assert_eq!(plain.capabilities(Mode::Unprivileged, true), boot);
        let kept = Annotation { unprivileged_caps: Capabilities::BPF, ..plain };
        assert_eq!(kept.capabilities(Mode::Unprivileged, false), boot | Capabilities::BPF);
    }

    #[test]
    fn levels_have_statistics_and_a_trace() {
        for (level, want) in [(0, 5), (1, 5), (2, 6), (4, 5), (6, 6)] {
            let annotation = Annotation { log_level: level, ..Annotation::default() };
            assert_eq!(annotation.load_log_level(), want, "{level}");
        }
    }

    fn map(map_type: MapType, flags: MapFlags) -> MapInfo {
        let (name, section) = (String::new(), String::new());
        MapInfo { name, section, map_type, flags, max_entries: 1, autocreate: true }
    }

    #[test]
    fn maps_of_unprivileged_tests() {
        let check = |map_type, flags, want| {
            assert_eq!(is_unprivileged_map(&map(map_type, flags)), want, "{map_type:?}");
        };
        check(MapType::HASH, MapFlags::empty(), true);
        check(MapType::HASH, MapFlags::ZERO_SEED, false);
        check(MapType::RINGBUF, MapFlags::empty(), true);
        check(MapType::TASK_STORAGE, MapFlags::empty(), false);
        check(MapType::ARENA, MapFlags::empty(), false);
    }

    #[test]
    fn loaders_without_cap_bpf_hand_over_no_types() {
        let blob = || Some(Blob::new(&[0x9fu8, 0xeb][..]));
        let map = |map_type| {
            let spec =
                MapSpec { map_type, btf: blob(), btf_value_type_id: 3, ..MapSpec::default() };
            Arc::new(MapDesc { spec, frozen: true, ..MapDesc::default() })
        };
        let request = |map_type| LoadRequest {
            btf: blob(),
            func_info: InfoTable { rec_size: 8, count: 1, bytes: Blob::new(&[0u8; 8][..]) },
            maps: vec![map(map_type)],
            ..LoadRequest::default()
        };
        let mut array = request(MapType::ARRAY);
        without_types(&mut array).unwrap();
        assert_eq!((&array.btf, &array.func_info), (&None, &InfoTable::default()));
        let spec = &array.maps[0].spec;
        assert_eq!((&spec.btf, spec.btf_value_type_id, array.maps[0].frozen), (&None, 0, true));
        assert!(without_types(&mut request(MapType::STRUCT_OPS)).is_err());
    }
}
