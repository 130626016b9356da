// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The older selftests: raw instructions, dumped by `cargo xtask corpus raw`, as load requests.
//!
//! The source is `tools/testing/selftests/bpf/verifier/*.c`; what a runner does with a test is in
//! `test_verifier.c:do_test_single`, and this module does the same up to the system call.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Deserialize, Deserializer};
use veristable_btf::{Btf, Kind};
use veristable_isa::Insn;
use veristable_kernel::{AttachType, ProgType};
use veristable_program::{
    Attach, Blob, Capabilities, Fixup, FixupKind, InfoTable, LoadRequest, MapDesc, ProgFlags,
};

use crate::raw_maps;

/// Name of the dump in the set's directory: a header line, then one test a line.
pub const FILE: &str = "tests.jsonl";

/// Version of the dump's form.
pub const FORMAT: u32 = 1;

/// `F_NEEDS_EFFICIENT_UNALIGNED_ACCESS` of `test_verifier.c`.
const NEEDS_UNALIGNED: u8 = 1;
/// `F_LOAD_WITH_STRICT_ALIGNMENT` of `test_verifier.c`.
const STRICT: u8 = 2;
/// Opcode of the 64-bit immediate load, which names maps.
const LD_IMM64: u8 = 0x18;

/// The tests of one kernel tree.
#[derive(Clone, Debug)]
pub struct RawSet {
    /// BTF of the maps that hold locks, timers or pointers.
    pub map_btf: Blob,
    /// The tests, in the order of their files.
    pub tests: Vec<RawTest>,
}

/// One test as its source gives it.
#[derive(Clone, Debug, Deserialize)]
pub struct RawTest {
    /// Source file, `calls.c`.
    pub file: String,
    /// The test's name; not unique.
    pub descr: String,
    /// The instructions come from a function of the runner. Those functions use `rand()`; the
    /// dump seeds it with 1.
    pub filled: bool,
    /// `enum bpf_prog_type`; 0 stands for a socket filter.
    pub prog_type: u32,
    /// `enum bpf_attach_type`.
    pub expected_attach_type: u32,
    /// Flags of the runner, which are partly load flags.
    pub flags: u8,
    /// What a privileged loader gets.
    pub result: Expected,
    /// What an unprivileged loader gets; undefined: the same.
    pub result_unpriv: Expected,
    /// Runs of the program after the load: 0 for one.
    pub runs: i32,
    /// What the first run returns.
    pub retval: u32,
    /// Instructions the verifier should process; 0: not said.
    pub insn_processed: u32,
    /// Expected parts of the log, separated by tabs, in order.
    #[serde(default)]
    pub errstr: Option<String>,
    /// The same for an unprivileged loader.
    #[serde(default)]
    pub errstr_unpriv: Option<String>,
    /// Function or hook that tracing and LSM programs attach to.
    #[serde(default)]
    pub attach: Option<String>,
    /// Instructions that name a map, by the map's kind (`map_hash_8b`, `prog1`, …).
    pub fixups: BTreeMap<String, Vec<u32>>,
    /// Instructions that call a kernel function.
    #[serde(default)]
    pub kfuncs: Vec<(u32, String)>,
    /// `struct bpf_func_info` records of 8 bytes.
    #[serde(default, deserialize_with = "hex")]
    pub func_info: Vec<u8>,
    /// BTF types of the program, without header.
    #[serde(default, deserialize_with = "hex")]
    pub btf_types: Vec<u8>,
    /// BTF strings of the program.
    #[serde(default, deserialize_with = "hex")]
    pub btf_strings: Vec<u8>,
    /// Instructions to find in the rewritten program (masks: `off` 0xffff, `imm` 0xffffffff;
    /// opcode 0xde ends a part).
    #[serde(default, deserialize_with = "insns")]
    pub expected_insns: Vec<Insn>,
    /// Instructions not to find in the rewritten program.
    #[serde(default, deserialize_with = "insns")]
    pub unexpected_insns: Vec<Insn>,
    /// The program, maps and functions not yet filled in.
    #[serde(deserialize_with = "insns")]
    pub insns: Vec<Insn>,
}

/// `result` of a test.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "u32")]
pub enum Expected {
    /// Not said.
    Undefined,
    /// The load succeeds.
    Accept,
    /// The load fails, with `errstr` in the log.
    Reject,
    /// The load succeeds, with `errstr` in a log of level 2.
    VerboseAccept,
}

impl TryFrom<u32> for Expected {
    type Error = String;

    fn try_from(number: u32) -> std::result::Result<Self, String> {
        match number {
            0 => Ok(Self::Undefined),
            1 => Ok(Self::Accept),
            2 => Ok(Self::Reject),
            3 => Ok(Self::VerboseAccept),
            _ => Err(format!("unknown result {number}")),
        }
    }
}

/// How a test is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Loader<'a> {
    /// With `CAP_BPF`, `CAP_PERFMON` and `CAP_NET_ADMIN`, or with none. The runner never has
    /// `CAP_SYS_ADMIN`.
    pub privileged: bool,
    /// The kernel knows `BPF_F_TEST_REG_INVARIANTS` (6.8 and later).
    pub reg_invariants: bool,
    /// BTF of the kernel, for kernel functions and attach targets.
    pub btf: Option<&'a Btf<'a>>,
}

#[derive(Deserialize)]
struct Header {
    format: u32,
    #[serde(deserialize_with = "hex")]
    map_btf_types: Vec<u8>,
    #[serde(deserialize_with = "hex")]
    map_btf_strings: Vec<u8>,
}

/// One way to load one test.
#[derive(Clone, Debug)]
pub struct RawCase {
    /// `file: name`, with ` #2` and so on for further tests of the same name, and ` @unpriv` for
    /// the unprivileged way.
    pub id: String,
    /// The load.
    pub request: LoadRequest,
    /// What the test expects.
    pub expected: Expected,
    /// Parts of the log, in order, that the test expects.
    pub log: Vec<String>,
    /// What the kernel's BTF lacks: see [`RawTest::unresolved`].
    pub unresolved: Vec<String>,
}

/// The cases of a set by its name, `raw-6.18`, for one kind of loader. For an unprivileged one,
/// only tests that run so.
///
/// # Errors
///
/// As [`RawSet::read`] and [`RawSet::request`].
pub fn load(set: &str, loader: Loader<'_>) -> Result<Vec<RawCase>> {
    RawSet::read(&crate::cache::set_dir(set)?)?.cases(loader)
}

impl RawSet {
    /// Every test as a case; see [`load`].
    ///
    /// # Errors
    ///
    /// As [`RawSet::request`].
    pub fn cases(&self, loader: Loader<'_>) -> Result<Vec<RawCase>> {
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let mut cases = Vec::with_capacity(self.tests.len());
        for test in &self.tests {
            let count = seen.entry(test.id()).and_modify(|count| *count += 1).or_insert(1);
            let number = if *count > 1 { format!(" #{count}") } else { String::new() };
            if !loader.privileged && !test.runs_unprivileged() {
                continue;
            }
            let suffix = if loader.privileged { "" } else { " @unpriv" };
            cases.push(RawCase {
                id: format!("{}{number}{suffix}", test.id()),
                request: self.request(test, loader)?,
                expected: test.expected(loader.privileged),
                log: test.expected_log(loader.privileged).into_iter().map(str::to_owned).collect(),
                unresolved: test.unresolved(loader.btf).into_iter().map(str::to_owned).collect(),
            });
        }
        Ok(cases)
    }

    /// Reads a set's dump.
    ///
    /// # Errors
    ///
    /// The file is missing, of another format, or a line is malformed.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let text = fs::read_to_string(&path).with_context(|| {
            format!("{}: no such set yet, see `cargo xtask corpus --help`", path.display())
        })?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Parses a dump.
    ///
    /// # Errors
    ///
    /// As [`RawSet::read`], with the line's number.
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines().enumerate();
        let (_, first) = lines.next().ok_or_else(|| anyhow!("empty"))?;
        let header: Header = serde_json::from_str(first).context("line 1")?;
        if header.format != FORMAT {
            bail!("format {}, this program reads {FORMAT}; make the set again", header.format);
        }
        let tests = lines
            .map(|(index, line)| {
                serde_json::from_str(line).with_context(|| format!("line {}", index + 1))
            })
            .collect::<Result<Vec<RawTest>>>()?;
        let map_btf = raw_btf(&header.map_btf_types, &header.map_btf_strings);
        Ok(Self { map_btf, tests })
    }

    /// Number of source files that have tests.
    #[must_use]
    pub fn file_count(&self) -> usize {
        self.tests.iter().map(|test| &test.file).collect::<BTreeSet<_>>().len()
    }

    /// A test as a load request. The log is not asked for; the runner uses level 4, and 2 for
    /// [`Expected::VerboseAccept`].
    ///
    /// # Errors
    ///
    /// The test names a kind of map that this crate does not know, or an instruction that it does
    /// not have.
    pub fn request(&self, test: &RawTest, loader: Loader<'_>) -> Result<LoadRequest> {
        let mut insns = test.insns.clone();
        let maps = self.place_maps(test, &mut insns)?;
        let fixups = place_kfuncs(test, &mut insns, loader.btf)?;
        let prog_type = test.prog_type();
        let func_info = InfoTable {
            rec_size: if test.func_info.is_empty() { 0 } else { 8 },
            count: (test.func_info.len() / 8) as u32,
            bytes: test.func_info.clone().into(),
        };
        Ok(LoadRequest {
            section: format!("{}: {}", test.file, test.descr),
            prog_type,
            expected_attach_type: AttachType(test.expected_attach_type),
            attach: test.attach_target(loader.btf),
            license: "GPL".to_owned(),
            flags: test.load_flags(loader.reg_invariants),
            capabilities: if loader.privileged {
                Capabilities::BPF | Capabilities::PERFMON | Capabilities::NET_ADMIN
            } else {
                Capabilities::empty()
            },
            insns,
            maps,
            btf: test.program_btf(),
            func_info,
            fixups,
            ..LoadRequest::default()
        })
    }

    /// Puts each map into the table and its index into the instructions that name it.
    fn place_maps(
        &self,
        test: &RawTest,
        insns: &mut [Insn],
    ) -> Result<Vec<std::sync::Arc<MapDesc>>> {
        let mut maps = Vec::new();
        let mut placed = BTreeSet::new();
        for (kind, places) in &test.fixups {
            let map = raw_maps::map(kind, &self.map_btf)
                .ok_or_else(|| anyhow!("{}: unknown kind of map {kind}", test.id()))?;
            for &place in places {
                let insn = at(insns, place, test)?;
                insn.imm = maps.len() as i32;
                placed.insert(place as usize);
            }
            maps.push(std::sync::Arc::new(map));
        }
        // What no fix-up fills stays a descriptor that is not open, whatever the table holds.
        let mut second_slot = false;
        for (index, insn) in insns.iter_mut().enumerate() {
            let is_load = insn.code == LD_IMM64 && !std::mem::take(&mut second_slot);
            second_slot = is_load;
            let names_map = is_load && matches!(insn.src(), 1 | 2);
            let in_table = usize::try_from(insn.imm).is_ok_and(|imm| imm < maps.len());
            if names_map && in_table && !placed.contains(&index) {
                insn.imm = -1;
            }
        }
        Ok(maps)
    }
}

impl RawTest {
    /// `file: name`, for people.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}: {}", self.file, self.descr)
    }

    /// The program type; tests that name none are socket filters.
    #[must_use]
    pub fn prog_type(&self) -> ProgType {
        match ProgType(self.prog_type) {
            ProgType::UNSPEC => ProgType::SOCKET_FILTER,
            other => other,
        }
    }

    /// Whether the runner also loads it without capabilities (`test_as_unpriv`).
    #[must_use]
    pub fn runs_unprivileged(&self) -> bool {
        matches!(self.prog_type(), ProgType::SOCKET_FILTER | ProgType::CGROUP_SKB)
    }

    /// What a loader gets.
    #[must_use]
    pub fn expected(&self, privileged: bool) -> Expected {
        if !privileged && self.result_unpriv != Expected::Undefined {
            return self.result_unpriv;
        }
        self.result
    }

    /// Parts of the log, in order, that a loader gets.
    #[must_use]
    pub fn expected_log(&self, privileged: bool) -> Vec<&str> {
        let unprivileged = self.errstr_unpriv.as_deref().filter(|_| !privileged);
        let text = unprivileged.or(self.errstr.as_deref()).unwrap_or("");
        text.split('\t').filter(|part| !part.is_empty()).collect()
    }

    /// Kernel functions and the attach target that the kernel's BTF lacks, usually because they
    /// belong to the test module: expectations do not hold then.
    #[must_use]
    pub fn unresolved(&self, btf: Option<&Btf<'_>>) -> Vec<&str> {
        let missing = |name: &str| kfunc_id(btf, name).is_none();
        let mut names: Vec<&str> = self
            .kfuncs
            .iter()
            .map(|(_, name)| name.as_str())
            .filter(|name| missing(name))
            .collect();
        if let (Attach::Kernel { btf_id: 0, .. }, Some(name)) =
            (self.attach_target(btf), self.attach.as_deref())
        {
            names.push(name);
        }
        names
    }

    fn attach_target(&self, btf: Option<&Btf<'_>>) -> Attach {
        let attaches = matches!(self.prog_type(), ProgType::TRACING | ProgType::LSM);
        let Some(name) = self.attach.as_ref().filter(|_| attaches) else { return Attach::None };
        // Prefixes and kinds: `libbpf_find_vmlinux_btf_id`.
        let (prefix, kind) = match AttachType(self.expected_attach_type) {
            AttachType::TRACE_RAW_TP => ("btf_trace_", Kind::Typedef),
            AttachType::LSM_MAC | AttachType::LSM_CGROUP => ("bpf_lsm_", Kind::Func),
            AttachType::TRACE_ITER => ("bpf_iter_", Kind::Func),
            _ => ("", Kind::Func),
        };
        let id = btf.and_then(|btf| btf.find_by_name(&format!("{prefix}{name}"), kind));
        Attach::Kernel {
            name: name.clone(),
            btf_id: id.map_or(0, |id| id.0),
            module: None,
            member: None,
        }
    }

    fn load_flags(&self, reg_invariants: bool) -> ProgFlags {
        let mut flags = crate::annotation::test_flags(reg_invariants);
        if self.flags & STRICT != 0 {
            flags |= ProgFlags::STRICT_ALIGNMENT;
        }
        if self.flags & NEEDS_UNALIGNED != 0 {
            flags |= ProgFlags::ANY_ALIGNMENT;
        }
        if self.flags & !(STRICT | NEEDS_UNALIGNED) != 0 {
            flags |= ProgFlags::from_bits_retain(self.flags.into());
        }
        flags
    }

    fn program_btf(&self) -> Option<Blob> {
        (!self.btf_types.is_empty()).then(|| raw_btf(&self.btf_types, &self.btf_strings))
    }
}

fn place_kfuncs(test: &RawTest, insns: &mut [Insn], btf: Option<&Btf<'_>>) -> Result<Vec<Fixup>> {
    let mut fixups = Vec::new();
    for (place, name) in &test.kfuncs {
        // The runner writes 0 for a function that it does not find.
        at(insns, *place, test)?.imm = kfunc_id(btf, name).unwrap_or(0) as i32;
        fixups.push(Fixup { insn: *place, kind: FixupKind::Kfunc(name.clone()) });
    }
    Ok(fixups)
}

fn kfunc_id(btf: Option<&Btf<'_>>, name: &str) -> Option<u32> {
    btf?.find_by_name(name, Kind::Func).map(|id| id.0)
}

fn at<'a>(insns: &'a mut [Insn], place: u32, test: &RawTest) -> Result<&'a mut Insn> {
    insns
        .get_mut(place as usize)
        .ok_or_else(|| anyhow!("{}: fix-up of instruction {place}, which is not there", test.id()))
}

/// BTF as it is loaded: header of 24 bytes (`include/uapi/linux/btf.h:btf_header`), types, strings.
fn raw_btf(types: &[u8], strings: &[u8]) -> Blob {
    let (types_len, strings_len) = (types.len() as u32, strings.len() as u32);
    let mut bytes = Vec::with_capacity(24 + types.len() + strings.len());
    bytes.extend_from_slice(&0xeb9f_u16.to_le_bytes());
    bytes.extend_from_slice(&[1, 0]);
    for word in [24, 0, types_len, types_len, strings_len] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(types);
    bytes.extend_from_slice(strings);
    bytes.into()
}

fn hex<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    text.as_bytes()
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(|| serde::de::Error::custom("not pairs of hexadecimal digits"))
}

fn insns<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<Insn>, D::Error> {
    let bytes = hex(deserializer)?;
    let (slots, []) = bytes.as_chunks::<8>() else {
        return Err(serde::de::Error::custom("not a multiple of 8 bytes"));
    };
    Ok(slots.iter().map(|slot| Insn::from_bytes(*slot)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use veristable_kernel::MapType;

    const HEADER: &str = r#"{"format":1,"map_btf_types":"","map_btf_strings":"00"}"#;

    fn parse(fields: &str, insns: &str) -> Result<RawSet> {
        let test = format!(
            r#"{{"filled":false,"file":"a.c","descr":"d","prog_type":0,"expected_attach_type":0,
            "flags":2,"result":2,"result_unpriv":0,"runs":0,"retval":0,"insn_processed":0,
            "errstr":"one\ttwo",{fields}"insns":"{insns}"}}"#
        );
        RawSet::parse(&format!("{HEADER}\n{}", test.replace('\n', "")))
    }

    const PRIVILEGED: Loader<'static> =
        Loader { privileged: true, reg_invariants: true, btf: None };

    #[test]
    fn maps_get_an_index_and_others_stay_closed() {
        let insns =
            "18110000000000000000000000000000181200000000000000000000000000009500000000000000";
        let set = parse(r#""fixups":{"map_hash_8b":[2]},"#, insns).unwrap();
        let test = &set.tests[0];
        let request = set.request(test, PRIVILEGED).unwrap();
        assert_eq!((request.insns[0].imm, request.insns[2].imm), (-1, 0));
        assert_eq!(request.maps[0].spec.map_type, MapType::HASH);
        assert_eq!(request.prog_type, ProgType::SOCKET_FILTER);
        assert_eq!(test.expected(false), Expected::Reject);
        assert_eq!(test.expected_log(true), ["one", "two"]);
        assert!(request.flags.contains(ProgFlags::STRICT_ALIGNMENT | ProgFlags::TEST_RND_HI32));
        assert!(!request.capabilities.allows(Capabilities::SYS_ADMIN));
    }

    #[test]
    fn functions_that_the_kernel_lacks_are_named() {
        let set = parse(
            r#""fixups":{},"kfuncs":[[0,"bpf_kfunc_call_test"]],"#,
            "85200000000000009500000000000000",
        )
        .unwrap();
        assert_eq!(set.tests[0].unresolved(None), ["bpf_kfunc_call_test"]);
        let request = set.request(&set.tests[0], PRIVILEGED).unwrap();
        assert_eq!(request.insns[0].imm, 0);
        assert_eq!(request.fixups.len(), 1);
    }

    #[test]
    fn bad_dumps_are_refused() {
        let check = |result: Result<RawSet>, text: &str| {
            let error = format!("{:#}", result.unwrap_err());
            assert!(error.contains(text), "{error}");
        };
        check(RawSet::parse(""), "empty");
        check(RawSet::parse(&HEADER.replace(":1,", ":2,")), "format 2");
        check(parse(r#""fixups":{},"#, "95"), "multiple of 8");
        check(parse(r#""fixups":{},"#, "9x"), "hexadecimal");
        let set = parse(r#""fixups":{"map_new":[0]},"#, "9500000000000000").unwrap();
        assert!(set.request(&set.tests[0], PRIVILEGED).is_err());
        let set = parse(r#""fixups":{"map_hash_8b":[7]},"#, "9500000000000000").unwrap();
        assert!(set.request(&set.tests[0], PRIVILEGED).is_err());
    }
}
