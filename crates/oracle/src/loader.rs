// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The loader: turns requests into system calls. The same code runs against the live kernel and
//! inside a guest, always in a process of its own that may be killed.
//!
//! `BPF_PROG_LOAD` runs with the capabilities that the request names, and so does the creation of its maps
//! where the kernel lets it: an array remembers whether its creator had `CAP_PERFMON`
//! (`bypass_spec_v1` of `struct bpf_map`). Maps of other kinds and BTF, which an unprivileged loader
//! would be handed, are created with all privileges. Both are kept for the batch. Nothing is
//! attached or run.

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::time::Instant;

use veristable_kernel::MapType;
use veristable_program::{
    Attach, Blob, Capabilities, FdEntry, FixupKind, InfoTable, MapDesc, MapFlags, MapSpec,
};

use crate::answer::{Answer, LoadOptions, Memory, Verdict};
use crate::batch::{Batch, ProgItem, Target};
use crate::cgroup;
use crate::error::errno_name;
use crate::sys::{self, LogTarget, MapCreate, ProgLoad, SharedMem, Table};

/// Opcode of the 64-bit immediate load, and its source-register codes for maps
/// (`include/uapi/linux/bpf.h`).
const LD_IMM64: u8 = 0x18;
const PSEUDO_MAP_FD: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;

/// Longest table of records that is padded to what its count claims.
const MAX_TABLE: usize = 16 << 20;

/// What `fd_array` is padded to, as a kfunc call may name any 15-bit slot (`insn->off`).
const FD_ARRAY_SLOTS: usize = 1 << 15;

/// Memory that cached maps may hold before they are dropped.
const MAP_MEMORY: u64 = 96 << 20;

/// How often a load that the kernel interrupted (EAGAIN) is tried; libbpf does the same.
const ATTEMPTS: u32 = 5;

/// Addresses of the kernel symbols that a batch names.
pub(crate) type Symbols = HashMap<String, u64>;

/// A map of the batch, and whether its creator may do without care for misprediction: what a map
/// keeps of its creator.
type MapKey = (u32, bool);

/// Why a request did not get as far as the load.
struct NotAsked(String);

type Prepared<T> = Result<T, NotAsked>;

/// Loads the programs of one batch.
pub(crate) struct Loader<'a> {
    batch: &'a Batch,
    symbols: &'a Symbols,
    log: &'a SharedMem,
    btfs: HashMap<u32, OwnedFd>,
    loose_btfs: HashMap<Blob, OwnedFd>,
    modules: HashMap<String, OwnedFd>,
    maps: HashMap<MapKey, OwnedFd>,
    map_memory: u64,
    targets: HashMap<u32, OwnedFd>,
}

/// One pass through `BPF_PROG_LOAD`.
struct Loaded {
    result: io::Result<OwnedFd>,
    log_len: usize,
    log_true_size: u32,
    wall_ns: u64,
    memory: Memory,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(batch: &'a Batch, symbols: &'a Symbols, log: &'a SharedMem) -> Self {
        sys::unlimited_locked_memory();
        Self {
            batch,
            symbols,
            log,
            btfs: HashMap::new(),
            loose_btfs: HashMap::new(),
            modules: HashMap::new(),
            maps: HashMap::new(),
            map_memory: 0,
            targets: HashMap::new(),
        }
    }

    /// Loads one program. The log stays in the shared buffer; its length comes with the answer.
    pub(crate) fn load(&mut self, item: &ProgItem, options: &LoadOptions) -> (Answer, usize) {
        match self.ask(item, options) {
            Ok(answered) => answered,
            Err(NotAsked(reason)) => (Answer::environment(reason), 0),
        }
    }

    fn ask(&mut self, item: &ProgItem, options: &LoadOptions) -> Prepared<(Answer, usize)> {
        self.forget_owned_maps();
        self.trim_maps(item);
        let measured = options.want_memory;
        let first = self.prog_load(item, options.log_level, options.log_size, measured)?;
        let mut answer = Answer::bare(Verdict::Loaded);
        answer.log_level = options.log_level;
        answer.wall_ns = first.wall_ns;
        answer.log_true_size = (first.log_true_size != 0).then_some(first.log_true_size);
        let overflow = options.log_level != 0
            && matches!(&first.result, Err(error) if error.raw_os_error() == Some(libc::ENOSPC))
            && (first.log_true_size > options.log_size
                || first.log_len + 1 >= options.log_size as usize);
        let load = if overflow {
            answer.log_truncated = true;
            answer.log_level = 4;
            self.prog_load(item, 4, options.log_size.max(1 << 20), measured)?
        } else {
            first
        };
        answer.memory = load.memory;
        match load.result {
            Ok(prog) => {
                // The load stands even if the kernel tells nothing more about it.
                let info = sys::prog_info(prog.as_fd(), options.want_xlated).unwrap_or_default();
                answer.verified_insns = info.verified_insns;
                answer.xlated = info.xlated.map(Blob::from);
            }
            Err(error) => {
                answer.verdict = Verdict::Refused { errno: error.raw_os_error().unwrap_or(0) };
            }
        }
        Ok((answer, load.log_len))
    }

    /// Prepares everything and calls `BPF_PROG_LOAD`, with at most two tries for want of memory.
    fn prog_load(
        &mut self,
        item: &ProgItem,
        level: u32,
        size: u32,
        measured: bool,
    ) -> Prepared<Loaded> {
        let request = &item.request;
        for map in &item.maps {
            self.ensure_map(*map, request.capabilities)?;
        }
        if let Some(btf) = item.btf {
            self.ensure_btf(btf)?;
        }
        for fixup in &request.fixups {
            if let FixupKind::ModuleBtf(name) = &fixup.kind {
                self.module(name)?;
            }
        }
        self.ensure_attach(item)?;
        let fd_array = self.fd_array(item)?;
        let insns = self.instructions(item)?;
        let license = c_string(&request.license, "license")?;
        let func_info = table(&request.func_info, "function info")?;
        let line_info = table(&request.line_info, "line info")?;
        let core_relos = table(&request.core_relos, "CO-RE relocation")?;
        let (attach_btf_id, attach) = self.attach(item);
        let load = ProgLoad {
            prog_type: request.prog_type.0,
            expected_attach_type: request.expected_attach_type.0,
            prog_flags: request.flags.bits(),
            kern_version: request.kern_version,
            name: sys::object_name(&request.name),
            insns: &insns,
            license: &license,
            btf: item.btf.and_then(|btf| self.btfs.get(&btf)).map(OwnedFd::as_fd),
            func_info: view(&request.func_info, &func_info),
            line_info: view(&request.line_info, &line_info),
            core_relos: view(&request.core_relos, &core_relos),
            attach_btf_id,
            attach,
            fd_array: &fd_array,
            fd_array_cnt: if request.fd_array_counted { request.fd_array.len() as u32 } else { 0 },
            log: (level != 0).then_some(LogTarget { level, size, buffer: self.log }),
        };
        let once = || sys::lower_privileges(request.capabilities, || timed_load(&load));
        let (outcome, memory) =
            if measured { cgroup::measure(once) } else { (once(), Memory::NotAsked) };
        let (result, log_true_size, wall_ns) =
            outcome.map_err(|error| NotAsked(format!("cannot drop capabilities: {error}")))?;
        let log_len = if level == 0 { 0 } else { self.log.text_len(size as usize) };
        Ok(Loaded { result, log_len, log_true_size, wall_ns, memory })
    }

    /// The instructions with descriptors and addresses in place.
    fn instructions(&self, item: &ProgItem) -> Prepared<Vec<[u8; 8]>> {
        let capabilities = item.request.capabilities;
        let mut insns = item.request.insns.clone();
        let mut second = false;
        for insn in &mut insns {
            if std::mem::take(&mut second) {
                continue;
            }
            if insn.code != LD_IMM64 {
                continue;
            }
            second = true;
            if matches!(insn.src(), PSEUDO_MAP_FD | PSEUDO_MAP_VALUE) {
                let map = usize::try_from(insn.imm).ok().and_then(|index| item.maps.get(index));
                let fd = map.and_then(|map| self.maps.get(&map_key(*map, capabilities)));
                insn.imm = fd.map_or(-1, |fd| fd.as_raw_fd());
            }
        }
        for fixup in &item.request.fixups {
            match &fixup.kind {
                FixupKind::SymbolAddress(name) => {
                    let Some(&address) = self.symbols.get(name) else { continue };
                    let at = fixup.insn as usize;
                    if let Some([low, high]) = insns.get_mut(at..).and_then(<[_]>::first_chunk_mut)
                    {
                        low.imm = (address as u32).cast_signed();
                        high.imm = ((address >> 32) as u32).cast_signed();
                    }
                }
                FixupKind::Kfunc(_) | FixupKind::KernelType(_) => {}
                FixupKind::ModuleBtf(name) => {
                    let fd = self.modules.get(name).map_or(-1, |fd| fd.as_raw_fd());
                    if let Some(high) = insns.get_mut(fixup.insn as usize + 1) {
                        high.imm = fd;
                    }
                }
                FixupKind::Program(name) => {
                    return Err(NotAsked(format!(
                        "instruction {} wants the descriptor of program `{name}`, which this \
                         loader does not pass",
                        fixup.insn
                    )));
                }
            }
        }
        Ok(insns.iter().map(|insn| insn.to_bytes()).collect())
    }

    fn fd_array(&mut self, item: &ProgItem) -> Prepared<Vec<RawFd>> {
        let entries = &item.request.fd_array;
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let mut fds = Vec::with_capacity(FD_ARRAY_SLOTS.max(entries.len()));
        for entry in entries {
            fds.push(match entry {
                FdEntry::Empty => 0,
                FdEntry::Map(index) => item
                    .maps
                    .get(*index as usize)
                    .and_then(|map| self.maps.get(&map_key(*map, item.request.capabilities)))
                    .map_or(-1, |fd| fd.as_raw_fd()),
                FdEntry::ModuleBtf(name) => self.module(name)?.as_raw_fd(),
                FdEntry::Btf(btf) => self.loose_btf(btf)?.as_raw_fd(),
            });
        }
        if !item.request.fd_array_counted {
            // Slots past the table must not be whatever lies behind it in memory.
            fds.resize(FD_ARRAY_SLOTS.max(entries.len()), 0);
        }
        Ok(fds)
    }

    fn attach(&self, item: &ProgItem) -> (u32, Option<BorrowedFd<'_>>) {
        match (&item.request.attach, &item.target) {
            (Attach::Kernel { btf_id, module, .. }, _) => {
                let module = module.as_ref().and_then(|name| self.modules.get(name));
                (*btf_id, module.map(OwnedFd::as_fd))
            }
            (Attach::Program { btf_id, .. }, Target::Program(number)) => {
                (*btf_id, self.targets.get(number).map(OwnedFd::as_fd))
            }
            _ => (0, None),
        }
    }

    fn ensure_attach(&mut self, item: &ProgItem) -> Prepared<()> {
        match (&item.request.attach, &item.target) {
            (Attach::Kernel { module: Some(module), .. }, _) => self.module(module).map(drop),
            (Attach::Program { .. }, Target::Program(number)) => self.ensure_target(*number),
            (Attach::Program { .. }, Target::Bad(why)) => {
                Err(NotAsked(format!("the target program cannot be read: {why}")))
            }
            _ => Ok(()),
        }
    }

    /// Loads a program that others attach to. Nesting was bounded when the batch was built.
    fn ensure_target(&mut self, number: u32) -> Prepared<()> {
        if self.targets.contains_key(&number) {
            return Ok(());
        }
        let Some(item) = self.batch.targets.get(number as usize) else {
            return Err(NotAsked("the target program is not in the batch".into()));
        };
        let load = self.prog_load(item, 4, 1 << 20, false)?;
        let fd = load.result.map_err(|error| {
            let log = self.log.copy(0, load.log_len);
            let log = String::from_utf8_lossy(&log);
            NotAsked(format!(
                "the target program `{}` does not load: {}: {}",
                item.request.name,
                reason(&error),
                crate::log::message(&log).join(" / ")
            ))
        })?;
        self.targets.insert(number, fd);
        Ok(())
    }

    fn module(&mut self, name: &str) -> Prepared<BorrowedFd<'_>> {
        if !self.modules.contains_key(name) {
            let fd = match sys::module_btf(name) {
                Ok(Some(fd)) => fd,
                Ok(None) => return Err(NotAsked(format!("module `{name}` is not loaded"))),
                Err(error) => {
                    return Err(NotAsked(format!("BTF of module `{name}`: {}", reason(&error))));
                }
            };
            self.modules.insert(name.to_owned(), fd);
        }
        self.modules
            .get(name)
            .map(OwnedFd::as_fd)
            .ok_or_else(|| NotAsked(format!("module `{name}` is not loaded")))
    }

    fn ensure_btf(&mut self, number: u32) -> Prepared<()> {
        if self.btfs.contains_key(&number) {
            return Ok(());
        }
        let btf = self.batch.btfs.get(number as usize);
        let btf = btf.ok_or_else(|| NotAsked("the BTF is not in the batch".into()))?;
        let fd = load_btf(btf)?;
        self.btfs.insert(number, fd);
        Ok(())
    }

    fn loose_btf(&mut self, btf: &Blob) -> Prepared<BorrowedFd<'_>> {
        if !self.loose_btfs.contains_key(btf) {
            let fd = load_btf(btf)?;
            self.loose_btfs.insert(btf.clone(), fd);
        }
        self.loose_btfs
            .get(btf)
            .map(OwnedFd::as_fd)
            .ok_or_else(|| NotAsked("the BTF is not loaded".into()))
    }

    /// Drops cached maps that belong to the first program that used them: a program of another
    /// kind would be refused for its predecessor's sake.
    fn forget_owned_maps(&mut self) {
        let batch = self.batch;
        let before = self.maps.len();
        self.maps.retain(|(number, _), _| {
            let map = batch.maps.get(*number as usize);
            map.is_none_or(|map| !map.desc.spec.map_type.belongs_to_programs())
        });
        if self.maps.len() != before {
            self.weigh_maps();
        }
    }

    /// Drops cached maps that the next program does not need when they hold much memory.
    fn trim_maps(&mut self, next: &ProgItem) {
        if self.map_memory > MAP_MEMORY {
            let capabilities = next.request.capabilities;
            let needed: Vec<MapKey> =
                next.maps.iter().map(|map| map_key(*map, capabilities)).collect();
            self.drop_maps(&needed);
        }
    }

    fn drop_maps(&mut self, needed: &[MapKey]) {
        self.maps.retain(|key, _| needed.contains(key));
        self.weigh_maps();
    }

    fn weigh_maps(&mut self) {
        let weigh = |number: u32| self.batch.maps.get(number as usize).map(|m| weight(&m.desc));
        self.map_memory = self.maps.keys().filter_map(|(number, _)| weigh(*number)).sum();
    }

    fn ensure_map(&mut self, number: u32, creator: Capabilities) -> Prepared<()> {
        let key = map_key(number, creator);
        if self.maps.contains_key(&key) {
            return Ok(());
        }
        let fd = match self.create_map(number, creator) {
            Err((_, error)) if error.raw_os_error() == Some(libc::ENOMEM) => {
                self.drop_maps(&[]);
                self.create_map(number, creator)
            }
            other => other,
        };
        let item = self.batch.maps.get(number as usize);
        let fd = fd.map_err(|(what, error)| {
            let name = item.map_or("?", |item| item.desc.spec.name.as_str());
            NotAsked(format!("{what} `{name}`: {}", reason(&error)))
        })?;
        self.map_memory += item.map_or(0, |item| weight(&item.desc));
        self.maps.insert(key, fd);
        Ok(())
    }

    fn create_map(
        &mut self,
        number: u32,
        creator: Capabilities,
    ) -> Result<OwnedFd, (String, io::Error)> {
        let Some(item) = self.batch.maps.get(number as usize) else {
            return Err(("no such map".into(), io::Error::from_raw_os_error(libc::ENOENT)));
        };
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| (what, error)
        };
        for btf in [item.btf, item.inner_btf].into_iter().flatten() {
            self.ensure_btf(btf)
                .map_err(|NotAsked(why)| (why, io::Error::from_raw_os_error(libc::EINVAL)))?;
        }
        let btf = |btf: Option<u32>| btf.and_then(|btf| self.btfs.get(&btf)).map(OwnedFd::as_fd);
        let inner = match &item.desc.inner {
            None => None,
            Some(inner) => Some(
                create_as(creator, inner, None, btf(item.inner_btf))
                    .map_err(failed("cannot create the inner map of"))?,
            ),
        };
        let inner = inner.as_ref().map(OwnedFd::as_fd);
        let map = create_as(creator, &item.desc.spec, inner, btf(item.btf))
            .map_err(failed("cannot create map"))?;
        fill(&item.desc, map.as_fd()).map_err(failed("cannot fill map"))?;
        give_address(&item.desc.spec, map.as_fd()).map_err(failed("cannot map the arena"))?;
        if item.desc.frozen {
            sys::map_freeze(map.as_fd()).map_err(failed("cannot freeze map"))?;
        }
        Ok(map)
    }
}

fn timed_load(load: &ProgLoad<'_>) -> (io::Result<OwnedFd>, u32, u64) {
    let mut attempt = 1;
    loop {
        let start = Instant::now();
        let (result, true_size) = sys::prog_load(load);
        let wall = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let again = matches!(&result, Err(error) if error.raw_os_error() == Some(libc::EAGAIN));
        if !again || attempt == ATTEMPTS {
            return (result, true_size, wall);
        }
        attempt += 1;
    }
}

fn reason(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), errno_name)
}

fn load_btf(btf: &[u8]) -> Prepared<OwnedFd> {
    sys::btf_load(btf).map_err(|(error, log)| {
        let log = String::from_utf8_lossy(&log);
        let last = log.lines().next_back().unwrap_or_default();
        NotAsked(format!("BTF refused: {}: {last}", reason(&error)))
    })
}

fn map_key(number: u32, creator: Capabilities) -> MapKey {
    (number, creator.allows(Capabilities::PERFMON))
}

/// Creates one map with the creator's capabilities, or with all where these do not suffice.
fn create_as(
    creator: Capabilities,
    spec: &MapSpec,
    inner: Option<BorrowedFd<'_>>,
    btf: Option<BorrowedFd<'_>>,
) -> io::Result<OwnedFd> {
    if !creator.allows(Capabilities::PERFMON) {
        let own = sys::lower_privileges(creator, || create(spec, inner, btf))?;
        if !matches!(&own, Err(error) if error.raw_os_error() == Some(libc::EPERM)) {
            return own;
        }
    }
    create(spec, inner, btf)
}

/// Creates one map, and once more without BTF types if the kernel refuses them, as libbpf does
/// (`bpf_object__create_map`): several map types take none. A creator without `CAP_BPF` may not
/// have special fields; that is another's refusal (`map_check_btf`).
fn create(
    spec: &MapSpec,
    inner: Option<BorrowedFd<'_>>,
    btf: Option<BorrowedFd<'_>>,
) -> io::Result<OwnedFd> {
    let number = |fd: Option<BorrowedFd<'_>>| fd.map_or(0, |fd| fd.as_raw_fd().cast_unsigned());
    let mut flags = spec.flags;
    flags.set(MapFlags::NUMA_NODE, spec.numa_node.is_some() || flags.contains(MapFlags::NUMA_NODE));
    let mut attr = MapCreate {
        map_type: spec.map_type.0,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        map_flags: flags.bits(),
        inner_map_fd: number(inner),
        numa_node: spec.numa_node.unwrap_or(0),
        map_name: sys::object_name(&spec.name),
        btf_fd: number(btf),
        btf_key_type_id: spec.btf_key_type_id,
        btf_value_type_id: spec.btf_value_type_id,
        btf_vmlinux_value_type_id: spec.struct_ops.as_ref().map_or(0, |ops| ops.value_type_id),
        map_extra: spec.map_extra,
        ..MapCreate::default()
    };
    match sys::map_create(&attr) {
        Err(error)
            if !matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EPERM))
                && spec.btf_key_type_id | spec.btf_value_type_id != 0 =>
        {
            attr.btf_fd = 0;
            attr.btf_key_type_id = 0;
            attr.btf_value_type_id = 0;
            sys::map_create(&attr).map_err(|_| error)
        }
        other => other,
    }
}

/// Writes what the loader wrote before the load: the one value of `.data` and its like.
///
/// An arena has no element to write; its pages are user memory, which no verdict depends on. The
/// value of a struct_ops map is written when it is registered, which never happens here.
fn fill(desc: &MapDesc, map: BorrowedFd<'_>) -> io::Result<()> {
    let Some(contents) = &desc.contents else { return Ok(()) };
    if matches!(desc.spec.map_type, MapType::ARENA | MapType::STRUCT_OPS) {
        return Ok(());
    }
    if desc.spec.key_size != 4 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // The kernel reads whole values.
    let mut value = contents.to_vec();
    value.resize((desc.spec.value_size as usize).max(value.len()), 0);
    sys::map_update_first(map, &value)
}

/// Loaders map an arena before they load a program: the verifier asks for its user address, which
/// stays when the mapping is gone (`arena_map_mmap`, `kernel/bpf/arena.c`). With `map_extra` the
/// kernel has it from the beginning.
fn give_address(spec: &MapSpec, map: BorrowedFd<'_>) -> io::Result<()> {
    const PAGE: usize = 4096;
    if spec.map_type == MapType::ARENA && spec.map_extra == 0 {
        let pages = usize::try_from(spec.max_entries).unwrap_or(usize::MAX);
        SharedMem::of_file(map, pages.saturating_mul(PAGE))?;
    }
    Ok(())
}

/// About how much kernel memory a map holds.
fn weight(desc: &MapDesc) -> u64 {
    let spec = &desc.spec;
    let entries = u64::from(spec.max_entries);
    match spec.map_type {
        MapType::RINGBUF | MapType::USER_RINGBUF => entries,
        MapType::ARENA => 1 << 16,
        _ if spec.flags.contains(MapFlags::NO_PREALLOC) => entries * 8,
        _ => entries.saturating_mul(u64::from(spec.key_size) + u64::from(spec.value_size) + 64),
    }
}

fn c_string(text: &str, what: &str) -> Prepared<CString> {
    CString::new(text).map_err(|_| NotAsked(format!("the {what} contains a zero byte")))
}

/// The records, padded with zeroes to what the counts claim.
fn table(table: &InfoTable, what: &str) -> Prepared<Vec<u8>> {
    let claimed = (table.rec_size as usize).saturating_mul(table.count as usize);
    if claimed > MAX_TABLE {
        return Err(NotAsked(format!("the {what} table claims {claimed} bytes")));
    }
    let mut bytes = table.bytes.to_vec();
    bytes.resize(claimed.max(bytes.len()), 0);
    Ok(bytes)
}

fn view<'a>(table: &InfoTable, bytes: &'a [u8]) -> Table<'a> {
    Table { rec_size: table.rec_size, count: table.count, bytes }
}
