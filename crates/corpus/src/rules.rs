// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Rule files: programs in our own assembly with the expectation beside the instruction that it
//! concerns. One file runs on the verifier and on every oracle.
//!
//! ```text
//! ; kernel: 6.18.15            settings before the first case hold for all cases
//! ; type: socket_filter
//!
//! ; case: jump out of the program
//!     r0 = 0
//!     goto +2     ; error: jump out of range from insn 1 to 4
//!     exit
//!
//! ; case: nothing wrong
//!     r0 = 0
//!     exit        ; accept
//! ```
//!
//! Settings, each on a line of its own:
//!
//! | setting | value | without it |
//! |---|---|---|
//! | `kernel` | names of kernels | every kernel |
//! | `type` | program type, as `BPF_PROG_TYPE_` without the prefix, any case | `socket_filter` |
//! | `attach` | expected attach type, likewise | none |
//! | `target` | name of a function or type of the kernel's BTF to attach to; `STRUCTURE.MEMBER` for struct_ops; `FUNCTION in CASE` for a function of the program of another case of the file | none |
//! | `license` | text | `GPL` |
//! | `flags` | names of load flags | none |
//! | `caps` | names of capabilities, or `none` | all |
//! | `log` | level and size of the buffer | level 2, 1 MiB |
//! | `struct`, `union`, `enum`, `enum64` | a type of the program, see `structs.rs` | |
//! | `map` | `NAME TYPE key=N value=N entries=N flags=N`; `value=NAME`: a structure, with BTF; `hex=DIGITS`: what its first value is, `frozen`: programs' loader froze it, `inner=NAME`: an earlier map as the template of what it holds | |
//! | `func` | a prototype: `NAME global|static TYPE(TYPE, …)`, see `prototypes.rs` | no BTF |
//! | `fd_array` | names of maps or `none` for each entry; `counted` first if it has a count | |
//!
//! Expectations, on an instruction's line or on a line of their own:
//!
//! | expectation | |
//! |---|---|
//! | `accept` | the program loads |
//! | `reject` | it does not, and the kernel says nothing |
//! | `error: TEXT` | it does not, and the kernel says so; in the order of the text if several; on an instruction's line, about that instruction |
//! | `errno: NAME` | with this error (else any) |
//! | `unsupported: TEXT` | our verifier does not know yet; oracles are not asked |
//! | `stats: NAME=N …` | figures of the statistics |
//! | `line: TEXT` | the log has this line (white space at both ends does not count) |
//!
//! `core: KIND ACCESS TYPE` on an instruction's line is a CO-RE relocation, see `core_relos.rs`.
//!
//! With the name of a kernel before it (`6.12.117: error: TEXT`) an expectation is that of this
//! kernel only. A case whose expectations all name other kernels is not about this one.

use std::fmt;
use std::sync::Arc;

use crate::core_relos;
use crate::prototypes::{self, Prototype};
use crate::structs::{self, Struct, Structs};
use anyhow::{Context as _, anyhow, bail};
use veristable_btf::{Btf, Kind, TypeId};
use veristable_isa::asm::{self, Resolver};
use veristable_kernel::{AttachType, HelperId, Kernel, KfuncRef, MapType, ProgContext, ProgType};
use veristable_program::{
    Attach, Capabilities, FdEntry, LoadRequest, LogRequest, MapDesc, MapFlags, MapSpec, ProgFlags,
};

/// One program and what is expected of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, unique in the file.
    pub name: String,
    /// The line of the file where it begins, from 1.
    pub line: usize,
    /// The kernels that it is about; empty for all.
    pub kernels: Vec<String>,
    /// The program.
    pub request: LoadRequest,
    /// What is expected.
    pub expect: Expect,
}

/// What is expected of a program.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Expect {
    /// The answer.
    pub verdict: Verdict,
    /// The symbol of the error number, if one is given.
    pub errno: Option<String>,
    /// What the kernel says, each with the instruction that it is about, if one is given.
    pub messages: Vec<(String, Option<u32>)>,
    /// Figures by name: `processed_insns`, `total_states`, `peak_states`, `max_states_per_insn`.
    pub stats: Vec<(String, u64)>,
    /// Lines of the log.
    pub lines: Vec<String>,
}

/// The expected answer.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Verdict {
    /// The case does not say; that is an error of the file.
    #[default]
    Missing,
    /// It loads.
    Accept,
    /// It does not.
    Reject,
    /// Our verifier does not know yet.
    Unsupported(String),
}

/// What a verifier or an oracle answered.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Observed {
    /// It loads, it does not, or our verifier does not know.
    pub verdict: Verdict,
    /// The symbol of the error number.
    pub errno: Option<String>,
    /// What was said at the end.
    pub messages: Vec<String>,
    /// The instruction that it was about, where that is known.
    pub insn: Option<u32>,
    /// The figures.
    pub stats: Vec<(String, u64)>,
    /// The log.
    pub log: String,
}

impl Case {
    /// Compares an answer with the expectation; `None` if it is as expected, else what differs.
    #[must_use]
    pub fn differs(&self, seen: &Observed) -> Option<String> {
        let expect = &self.expect;
        let verdict = match (&expect.verdict, &seen.verdict) {
            (Verdict::Unsupported(want), Verdict::Unsupported(got)) => got.contains(want.as_str()),
            (want, got) => want == got,
        };
        if !verdict {
            let said = seen.messages.join(" / ");
            return Some(format!("expected {:?}, got {:?}: {said}", expect.verdict, seen.verdict));
        }
        if expect.errno.is_some() && expect.errno != seen.errno {
            return Some(format!("expected {:?}, got {:?}", expect.errno, seen.errno));
        }
        let wanted = expect.messages.iter().map(|(text, _)| text.as_str());
        if expect.verdict == Verdict::Reject && !wanted.eq(seen.messages.iter().map(|m| m.trim())) {
            return Some(format!("expected {:?}, said {:?}", expect.messages, seen.messages));
        }
        let place = expect.messages.iter().find_map(|(_, insn)| *insn);
        if place.is_some() && seen.insn.is_some() && place != seen.insn {
            return Some(format!("expected at {place:?}, said at {:?}", seen.insn));
        }
        for wanted in &expect.stats {
            if !seen.stats.contains(wanted) {
                return Some(format!("expected {wanted:?} of {:?}", seen.stats));
            }
        }
        let missing = |wanted: &&String| !seen.log.lines().any(|line| line.trim() == *wanted);
        let missing = expect.lines.iter().find(missing)?;
        Some(format!("no line {missing:?} in the log:\n{}", seen.log))
    }

    /// Whether the case is about a kernel of this name.
    #[must_use]
    pub fn is_for(&self, kernel: &str) -> bool {
        self.kernels.is_empty() || self.kernels.iter().any(|name| name == kernel)
    }
}

/// Reads a file. Names in it mean what they mean to `kernel`.
///
/// # Errors
///
/// The first thing that is wrong, with its line.
pub fn parse(text: &str, kernel: &dyn Kernel) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    let all: Vec<&str> = text.lines().collect();
    let is_start = |line: &&str| comment(line).is_some_and(|c| c.starts_with("case:"));
    let mut starts: Vec<usize> =
        all.iter().enumerate().filter(|(_, line)| is_start(line)).map(|(at, _)| at).collect();
    let header = all.get(..starts.first().copied().unwrap_or(0)).unwrap_or_default();
    if starts.is_empty() {
        starts.push(0);
    }
    starts.push(all.len());
    for range in starts.windows(2) {
        let &[from, to] = range else { continue };
        let lines = &all[from..to];
        let file = File { lines: &all, kernel };
        let Some(case) = read_case(file, header, lines, from)? else { continue };
        if cases.iter().any(|other: &Case| other.name == case.name) {
            bail!("line {}: a second case {:?}", case.line, case.name);
        }
        cases.push(case);
    }
    Ok(cases)
}

/// The program of one case, whatever kernel its expectations are about; `None` if there is no such
/// case.
///
/// # Errors
///
/// The first thing that is wrong with it, such as a name that the kernel does not have.
pub fn program(text: &str, case: &str, kernel: &dyn Kernel) -> Option<anyhow::Result<LoadRequest>> {
    let lines: Vec<&str> = text.lines().collect();
    let found = File { lines: &lines, kernel }.request(case, 0)?;
    Some(found)
}

/// A file, in which cases name others.
#[derive(Clone, Copy)]
struct File<'f> {
    lines: &'f [&'f str],
    kernel: &'f dyn Kernel,
}

impl File<'_> {
    /// The program of a case; `depth` cases led to it.
    fn request(self, case: &str, depth: usize) -> Option<anyhow::Result<LoadRequest>> {
        fn name<'t>(line: &&'t str) -> Option<&'t str> {
            comment(line)?.strip_prefix("case:").map(str::trim)
        }
        let lines = self.lines;
        let header = lines.iter().position(|line| name(line).is_some())?;
        let from = lines.iter().position(|line| name(line) == Some(case))?;
        let rest = lines.get(from + 1..)?;
        let len = rest.iter().position(|line| name(line).is_some()).unwrap_or(rest.len());
        let (header, lines) = (lines.get(..header)?, lines.get(from..=from + len)?);
        Some(read_program(self, header, lines, from, depth).map(|case| case.request))
    }

    /// A function of another case's program; a number stands for an id that need not be one.
    fn target(self, func: &str, case: &str, depth: usize) -> anyhow::Result<Attach> {
        /// More than any kernel takes.
        const MAX_DEPTH: usize = 6;
        if depth > MAX_DEPTH {
            bail!("{case:?}: too many targets");
        }
        let request = self.request(case, depth + 1).ok_or_else(|| anyhow!("no case {case:?}"))?;
        let request = request?;
        let btf_id = match func.parse() {
            Ok(id) => id,
            Err(_) => {
                let btf = request.btf.as_deref().map(Btf::open).transpose()?;
                let id = btf.and_then(|btf| btf.find_by_name(func, Kind::Func));
                id.ok_or_else(|| anyhow!("{case:?} has no function {func:?}"))?.0
            }
        };
        let target = request.to_bytes()?.into();
        Ok(Attach::Program { target, func: func.to_owned(), btf_id })
    }
}

/// The comment of a line that has nothing else.
fn comment<'t>(line: &&'t str) -> Option<&'t str> {
    line.trim().strip_prefix(';').map(str::trim)
}

fn read_case(
    file: File<'_>,
    header: &[&str],
    lines: &[&str],
    first: usize,
) -> anyhow::Result<Option<Case>> {
    // What other kernels lack cannot be read for them.
    if !is_about(header, lines, &file.kernel.id().name) {
        return Ok(None);
    }
    let case = read_program(file, header, lines, first, 0)?;
    if case.expect.verdict == Verdict::Missing {
        bail!("case {:?}, from line {}: nothing is expected", case.name, first + 1);
    }
    Ok(Some(case))
}

/// Reads a case whose expectations may be about other kernels.
fn read_program(
    file: File<'_>,
    header: &[&str],
    lines: &[&str],
    first: usize,
    depth: usize,
) -> anyhow::Result<Case> {
    let kernel = file.kernel;
    let mut settings = Settings::default();
    for (at, line) in header.iter().enumerate() {
        if let Some(comment) = comment(line) {
            settings.read(comment, kernel).with_context(|| format!("line {}", at + 1))?;
        }
    }
    let mut name = String::new();
    let mut expect = Reader::new(kernel);
    for (at, line) in lines.iter().enumerate() {
        let Some(comment) = comment(line) else { continue };
        let place = || format!("line {}", first + at + 1);
        if let Some(text) = comment.strip_prefix("case:") {
            text.trim().clone_into(&mut name);
        } else if !settings.read(comment, kernel).with_context(place)? {
            expect.read(comment, None).with_context(place)?;
        }
    }
    let in_case = || format!("case {name:?}, from line {}", first + 1);
    if let Some((func, case)) = settings.program_target.take() {
        settings.request.attach = file.target(&func, &case, depth).with_context(in_case)?;
    }
    let mut structs = Structs::new(&settings.structs).with_context(in_case)?;
    structs::apply(&mut structs, &mut settings.request.maps, &settings.value_types)
        .with_context(in_case)?;
    let text = structs::replace_ids(&structs, &lines.join("\n")).with_context(in_case)?;
    let names = Names { settings: &settings, kernel };
    let program = asm::assemble(&text, &names)
        .map_err(|error| anyhow!("case {name:?}, from line {}: {error}", first + 1))?;
    let mut relos = Vec::new();
    for line in &program.lines {
        let Some(comment) = line.comment else { continue };
        let place = || format!("line {}", first + line.line);
        let slot = u32::try_from(line.slot)?;
        match comment.trim().strip_prefix("core:") {
            Some(relo) => relos.push((slot, relo.trim().to_owned())),
            None => expect.read(comment, Some(slot)).with_context(place)?,
        }
    }
    let expect = expect.expect;
    core_relos::apply(&mut settings.request, &mut structs, &relos).with_context(in_case)?;
    prototypes::apply(&mut settings.request, &mut structs, &settings.prototypes, &program.labels)
        .with_context(in_case)?;
    structs::finish(&structs, &mut settings.request.maps);
    settings.request.insns = program.insns;
    settings.request.section.clone_from(&name);
    let Settings { kernels, request, .. } = settings;
    Ok(Case { name, line: first + 1, kernels, request, expect })
}

/// Whether a case is about a kernel: by the setting, and because something is expected of it.
fn is_about(header: &[&str], lines: &[&str], kernel: &str) -> bool {
    let setting = |line| comment(line)?.strip_prefix("kernel:");
    let named = lines.iter().filter_map(setting).next_back();
    let named = named.or_else(|| header.iter().filter_map(setting).next_back());
    if named.is_some_and(|names| !names.split_whitespace().any(|name| name == kernel)) {
        return false;
    }
    lines.iter().any(|line| expects(line, kernel))
        || !lines.iter().any(|line| names_other(line, kernel))
}

/// The kernel that an expectation is about, if it names one, and the expectation.
fn for_kernel(comment: &str) -> (Option<&str>, &str) {
    let is_name = |name: &str| {
        name.contains('.') && name.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-'))
    };
    match comment.split_once(':') {
        Some((name, rest)) if is_name(name.trim()) => (Some(name.trim()), rest.trim()),
        _ => (None, comment),
    }
}

/// Whether a line of a file expects an answer of a kernel.
fn expects(line: &str, kernel: &str) -> bool {
    let Some((_, comment)) = line.split_once(';') else { return false };
    let (name, rest) = for_kernel(comment.trim());
    let key = rest.split(':').next().unwrap_or("").trim();
    name.is_none_or(|name| name == kernel)
        && matches!(key, "accept" | "reject" | "error" | "unsupported")
}

/// Whether a line expects something of another kernel.
fn names_other(line: &str, kernel: &str) -> bool {
    let comment = line.split_once(';').map_or("", |(_, comment)| comment.trim());
    for_kernel(comment).0.is_some_and(|name| name != kernel)
}

/// Collects what is expected of one kernel.
struct Reader {
    kernel: String,
    expect: Expect,
}

impl Reader {
    fn new(kernel: &dyn Kernel) -> Self {
        Self { kernel: kernel.id().name.clone(), expect: Expect::default() }
    }

    fn read(&mut self, comment: &str, slot: Option<u32>) -> anyhow::Result<()> {
        match for_kernel(comment) {
            (Some(name), _) if name != self.kernel => Ok(()),
            (_, expectation) => self.expect.read(expectation, slot),
        }
    }
}

impl Expect {
    /// Reads an expectation; other comments are for people.
    fn read(&mut self, comment: &str, slot: Option<u32>) -> anyhow::Result<()> {
        let (key, value) = comment.split_once(':').unwrap_or((comment, ""));
        let value = value.trim();
        let mut set = |verdict: Verdict| {
            if self.verdict != Verdict::Missing && self.verdict != verdict {
                bail!("two different answers are expected");
            }
            self.verdict = verdict;
            Ok(())
        };
        match key.trim() {
            "accept" => set(Verdict::Accept)?,
            "reject" => set(Verdict::Reject)?,
            "error" => {
                set(Verdict::Reject)?;
                self.messages.push((value.to_owned(), slot));
            }
            "unsupported" => set(Verdict::Unsupported(value.to_owned()))?,
            "errno" => self.errno = Some(value.to_owned()),
            "line" => self.lines.push(value.to_owned()),
            "stats" => {
                for figure in value.split_whitespace() {
                    let (name, number) =
                        figure.split_once('=').ok_or_else(|| anyhow!("{figure:?}: no number"))?;
                    self.stats.push((name.to_owned(), number.parse()?));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The settings of a case.
#[derive(Clone)]
struct Settings {
    kernels: Vec<String>,
    request: LoadRequest,
    prototypes: Vec<Prototype>,
    structs: Vec<Struct>,
    /// Names of maps and of the structures that are their values.
    value_types: Vec<(String, String)>,
    /// A function and the case whose program has it, if that is the target.
    program_target: Option<(String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        let request = LoadRequest {
            name: "rule".to_owned(),
            prog_type: ProgType::SOCKET_FILTER,
            license: "GPL".to_owned(),
            log: LogRequest { level: 2, size: 1 << 20 },
            ..LoadRequest::default()
        };
        Self {
            kernels: Vec::new(),
            request,
            prototypes: Vec::new(),
            structs: Vec::new(),
            value_types: Vec::new(),
            program_target: None,
        }
    }
}

impl Settings {
    /// Reads a setting; `false` if it is none.
    fn read(&mut self, comment: &str, kernel: &dyn Kernel) -> anyhow::Result<bool> {
        let Some((key, value)) = comment.split_once(':') else { return Ok(false) };
        let (value, request) = (value.trim(), &mut self.request);
        let upper = value.to_ascii_uppercase();
        match key.trim() {
            "kernel" => self.kernels = value.split_whitespace().map(str::to_owned).collect(),
            "type" => {
                request.prog_type = ProgType::from_name(&upper)
                    .or_else(|| value.parse().ok().map(ProgType))
                    .ok_or_else(|| anyhow!("no program type {value:?}"))?;
            }
            "attach" => {
                request.expected_attach_type = AttachType::from_name(&upper)
                    .or_else(|| value.parse().ok().map(AttachType))
                    .ok_or_else(|| anyhow!("no attach type {value:?}"))?;
            }
            "target" if value.contains(" in ") => {
                let (func, case) = value.split_once(" in ").unwrap_or_default();
                self.program_target = Some((func.trim().to_owned(), case.trim().to_owned()));
            }
            "target" => {
                request.attach = target(value, kernel)?;
                if let Some(index) = member_index(value, kernel)? {
                    request.expected_attach_type = AttachType(index);
                }
            }
            "license" => value.clone_into(&mut request.license),
            "name" => value.clone_into(&mut request.name),
            "flags" => request.flags = flags(&upper)?,
            "caps" => request.capabilities = capabilities(&upper)?,
            "log" => {
                let (level, size) = value.split_once(' ').unwrap_or((value, "0"));
                request.log = LogRequest { level: level.parse()?, size: size.trim().parse()? };
            }
            "map" => {
                let (made, value_type) = map(value, &request.maps)?;
                let name = made.spec.name.clone();
                self.value_types.extend(value_type.map(|value_type| (name, value_type)));
                request.maps.push(Arc::new(made));
            }
            "struct" => self.structs.push(structs::parse(value)?),
            "union" => self.structs.push(structs::parse_union(value)?),
            "enum" => self.structs.push(structs::parse_enum(value, false)?),
            "enum64" => self.structs.push(structs::parse_enum(value, true)?),
            "func" => self.prototypes.push(prototypes::parse(value)?),
            "fd_array" => self.read_fd_array(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn read_fd_array(&mut self, value: &str) -> anyhow::Result<()> {
        for word in value.split_whitespace() {
            let entry = match word {
                "counted" => {
                    self.request.fd_array_counted = true;
                    continue;
                }
                "none" => FdEntry::Empty,
                name => FdEntry::Map(self.map(name).ok_or_else(|| anyhow!("no map {name:?}"))?),
            };
            self.request.fd_array.push(entry);
        }
        Ok(())
    }

    fn map(&self, name: &str) -> Option<u32> {
        let at = self.request.maps.iter().position(|map| map.spec.name == name)?;
        u32::try_from(at).ok()
    }
}

/// A function or type of the kernel's BTF. A number stands for an id that need not exist.
fn target(value: &str, kernel: &dyn Kernel) -> anyhow::Result<Attach> {
    let made = |name: &str, btf_id: u32, member: Option<&str>| Attach::Kernel {
        name: name.to_owned(),
        btf_id,
        module: None,
        member: member.map(str::to_owned),
    };
    if let Ok(id) = value.parse() {
        let btf = kernel_btf(kernel)?;
        let name = btf.type_by_id(TypeId(id)).map_or("", |ty| ty.name());
        return Ok(made(name, id, None));
    }
    let (name, member) = match value.split_once('.') {
        Some((name, member)) => (name, Some(member)),
        None => (value, None),
    };
    let btf = kernel_btf(kernel)?;
    let kinds = [Kind::Func, Kind::Typedef, Kind::Struct];
    let id = kinds.iter().find_map(|kind| btf.find_by_name(name, *kind));
    let id = id.ok_or_else(|| anyhow!("{name:?} is not in the kernel's BTF"))?;
    let plain = ["bpf_lsm_", "btf_trace_", "bpf_iter_"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    Ok(made(plain, id.0, member))
}

/// The place of the member that `STRUCTURE.MEMBER` names, which struct_ops programs have for their
/// attach type.
fn member_index(value: &str, kernel: &dyn Kernel) -> anyhow::Result<Option<u32>> {
    let Some((name, member)) = value.split_once('.') else { return Ok(None) };
    let btf = kernel_btf(kernel)?;
    let id = btf.find_by_name(name, Kind::Struct);
    let mut members = btf.type_by_id(id.unwrap_or_default())?.members();
    let index = members.position(|found| found.name() == member);
    let index = index.ok_or_else(|| anyhow!("{name:?} has no member {member:?}"))?;
    Ok(Some(u32::try_from(index)?))
}

fn kernel_btf(kernel: &dyn Kernel) -> anyhow::Result<&Btf<'_>> {
    let btf = kernel.btf(None).map_err(|fact| anyhow!("not known: {fact}"))?;
    btf.ok_or_else(|| anyhow!("the kernel has no BTF"))
}

fn flags(names: &str) -> anyhow::Result<ProgFlags> {
    names.split_whitespace().try_fold(ProgFlags::empty(), |flags, name| {
        let flag = ProgFlags::from_name(name).or_else(|| {
            let bits = name.strip_prefix("0X")?;
            Some(ProgFlags::from_bits_retain(u32::from_str_radix(bits, 16).ok()?))
        });
        Ok(flags | flag.ok_or_else(|| anyhow!("no load flag {name:?}"))?)
    })
}

fn capabilities(names: &str) -> anyhow::Result<Capabilities> {
    let names = names.split_whitespace().filter(|name| *name != "NONE");
    names.into_iter().try_fold(Capabilities::empty(), |caps, name| {
        let cap = Capabilities::from_name(name);
        Ok(caps | cap.ok_or_else(|| anyhow!("no capability {name:?}"))?)
    })
}

/// A map, and the structure that its values are if it is given by name.
fn map(value: &str, earlier: &[Arc<MapDesc>]) -> anyhow::Result<(MapDesc, Option<String>)> {
    let mut words = value.split_whitespace();
    let name = words.next().ok_or_else(|| anyhow!("a map without a name"))?;
    let kind = words.next().unwrap_or("").to_ascii_uppercase();
    let map_type = MapType::from_name(&kind).ok_or_else(|| anyhow!("no map type {kind:?}"))?;
    let spec = MapSpec { name: name.to_owned(), map_type, ..MapSpec::default() };
    let mut made = MapDesc { spec, ..MapDesc::default() };
    let mut value_type = None;
    for word in words {
        if word == "frozen" {
            made.frozen = true;
            continue;
        }
        let (key, number) = word.split_once('=').ok_or_else(|| anyhow!("{word:?}: no number"))?;
        if key == "hex" {
            made.contents = Some(bytes(number)?.into());
            continue;
        }
        if key == "inner" {
            let inner = earlier.iter().find(|map| map.spec.name == number);
            let inner = inner.ok_or_else(|| anyhow!("no map {number:?}"))?;
            made.inner = Some(Arc::new(inner.spec.clone()));
            continue;
        }
        if key == "value" && number.starts_with(|first: char| first.is_ascii_alphabetic()) {
            value_type = Some(number.to_owned());
            continue;
        }
        let number: u32 = number.parse()?;
        let spec = &mut made.spec;
        match key {
            "key" => spec.key_size = number,
            "value" => spec.value_size = number,
            "entries" => spec.max_entries = number,
            "flags" => spec.flags = MapFlags::from_bits_retain(number),
            _ => bail!("no property {key:?} of a map"),
        }
    }
    Ok((made, value_type))
}

/// Bytes written as hexadecimal digits.
fn bytes(digits: &str) -> anyhow::Result<Vec<u8>> {
    let pairs = (0..digits.len()).step_by(2).map(|at| digits.get(at..at + 2));
    pairs
        .map(|pair| {
            let pair = pair.ok_or_else(|| anyhow!("{digits:?}: an odd number of digits"))?;
            Ok(u8::from_str_radix(pair, 16)?)
        })
        .collect()
}

/// What names in the assembly mean.
struct Names<'s> {
    settings: &'s Settings,
    kernel: &'s dyn Kernel,
}

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

impl Resolver for Names<'_> {
    fn helper(&self, name: &str) -> Option<i32> {
        let name = name.strip_prefix("bpf_")?;
        let mut numbers = (0..).map_while(|id| Some((id, self.kernel.helper_name(HelperId(id))?)));
        numbers.find(|(_, known)| *known == name).and_then(|(id, _)| i32::try_from(id).ok())
    }

    fn kfunc(&self, name: &str) -> Option<(i32, i16)> {
        let context = ProgContext::of(self.settings.request.prog_type);
        let known = self.kernel.kfunc(KfuncRef::Name(name), &context).ok().flatten();
        let by_name = || Some(kernel_btf(self.kernel).ok()?.find_by_name(name, Kind::Func)?.0);
        let id = known.and_then(|kfunc| kfunc.btf_id).or_else(by_name)?;
        Some((id.cast_signed(), 0))
    }

    fn map(&self, name: &str) -> Option<i32> {
        self.settings.map(name).map(u32::cast_signed)
    }

    fn symbol(&self, name: &str) -> Option<(u32, i32)> {
        let btf = kernel_btf(self.kernel).ok()?;
        let kinds = [Kind::Var, Kind::Func];
        Some((kinds.iter().find_map(|kind| btf.find_by_name(name, *kind))?.0, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(expect: Expect) -> Case {
        let Settings { kernels, request, .. } = Settings::default();
        Case { name: "c".to_owned(), line: 1, kernels, request, expect }
    }

    #[test]
    fn expectations_are_read_and_compared() {
        let mut expect = Expect::default();
        for (comment, slot) in [
            ("error: jump out of range from insn 1 to 4", Some(1)),
            ("errno: EINVAL", None),
            ("stats: processed_insns=0", None),
            ("a remark", None),
        ] {
            expect.read(comment, slot).unwrap();
        }
        let seen = Observed {
            verdict: Verdict::Reject,
            errno: Some("EINVAL".to_owned()),
            messages: vec!["jump out of range from insn 1 to 4".to_owned()],
            insn: Some(1),
            stats: vec![("processed_insns".to_owned(), 0)],
            log: String::new(),
        };
        let case = case(expect);
        assert_eq!(case.differs(&seen), None);
        assert!(case.differs(&Observed { insn: Some(2), ..seen.clone() }).is_some());
        assert!(case.differs(&Observed { messages: Vec::new(), ..seen.clone() }).is_some());
        assert!(case.differs(&Observed { verdict: Verdict::Accept, ..seen }).is_some());
    }

    #[test]
    fn kernels_may_have_expectations_of_their_own() {
        assert_eq!(
            for_kernel("6.12.117: error: no: never"),
            (Some("6.12.117"), "error: no: never")
        );
        assert_eq!(for_kernel("error: 5: no"), (None, "error: 5: no"));
        assert!(expects("exit ; 6.18.15: accept", "6.18.15"));
        assert!(!expects("exit ; 6.18.15: accept", "6.12.117"));
        assert!(expects("exit ; accept", "6.12.117"));
        assert!(names_other("exit ; 6.18.15: accept", "6.12.117"));
    }

    #[test]
    fn answers_must_agree() {
        let mut expect = Expect::default();
        expect.read("accept", None).unwrap();
        assert!(expect.read("error: no", None).is_err());
    }
}
