// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The function `syscall`, in the place of libc's: once switched on, `bpf()` never reaches the
//! kernel. Every descriptor that is handed out is a file in memory, which can be mapped and
//! duplicated like that of a map; it is known again by its inode.
#![allow(unsafe_code)]

use super::live::Files;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

/// Whether `bpf()` is answered here.
static ACTIVE: AtomicBool = AtomicBool::new(false);
/// The kernel that libbpf is to see.
static FILES: OnceLock<Files> = OnceLock::new();
static RECORD: Mutex<Option<Record>> = Mutex::new(None);

/// `__NR_uprobe` on x86-64: only kernel-made trampolines may call it.
const SYS_UPROBE: c_long = 336;
/// `BPF_TRACE_UPROBE_MULTI`
const TRACE_UPROBE_MULTI: u32 = 48;

/// What a descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    Map(usize),
    Btf(usize),
    Program(usize),
    /// A module's BTF.
    Module(usize),
}

/// A map as libbpf created it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map {
    pub(crate) map_type: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) flags: u32,
    pub(crate) inner: Option<usize>,
    pub(crate) numa_node: u32,
    pub(crate) name: String,
    pub(crate) btf: Option<usize>,
    pub(crate) btf_key_type_id: u32,
    pub(crate) btf_value_type_id: u32,
    pub(crate) btf_vmlinux_value_type_id: u32,
    pub(crate) map_extra: u64,
    /// The value of key 0, or for arrays of instructions all values.
    pub(crate) contents: Option<Vec<u8>>,
    pub(crate) frozen: bool,
}

/// A program as libbpf loaded it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    pub(crate) prog_type: u32,
    pub(crate) name: String,
    pub(crate) license: String,
    pub(crate) kern_version: u32,
    pub(crate) flags: u32,
    pub(crate) expected_attach_type: u32,
    pub(crate) attach_btf_id: u32,
    pub(crate) insns: Vec<[u8; 8]>,
    /// For each instruction that names the BTF of a module, the module.
    pub(crate) modules: HashMap<usize, usize>,
    /// The module whose BTF has the attach target.
    pub(crate) attach_module: Option<usize>,
    /// `fd_array`, as far as instructions name its places: modules by place.
    pub(crate) fd_array: HashMap<i16, usize>,
    /// For each instruction that names a map, the map.
    pub(crate) maps: HashMap<usize, usize>,
    pub(crate) btf: Option<usize>,
    pub(crate) func_info: (u32, Vec<u8>),
    pub(crate) line_info: (u32, Vec<u8>),
}

/// Everything that libbpf asked of the kernel.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) maps: Vec<Map>,
    pub(crate) btfs: Vec<Vec<u8>>,
    pub(crate) loads: Vec<Load>,
    by_inode: HashMap<u64, Object>,
    uprobe_links: u32,
    /// Commands that are not answered.
    pub(crate) unexpected: Vec<u32>,
}

impl Record {
    /// What a descriptor stands for.
    pub(crate) fn object(&self, fd: i32) -> Option<Object> {
        self.by_inode.get(&inode(fd)?).copied()
    }

    fn map(&self, fd: u32) -> Option<usize> {
        match self.object(i32::try_from(fd).ok()?)? {
            Object::Map(index) => Some(index),
            _ => None,
        }
    }

    fn module(&self, fd: u32) -> Option<usize> {
        match self.object(i32::try_from(fd).ok()?)? {
            Object::Module(index) => Some(index),
            _ => None,
        }
    }

    fn btf(&self, fd: u32) -> Option<usize> {
        match self.object(i32::try_from(fd).ok()?)? {
            Object::Btf(index) => Some(index),
            _ => None,
        }
    }
}

/// Switches the answering on, for the rest of the process.
pub(crate) fn activate(files: &Files) {
    let _ = FILES.set(files.clone());
    *RECORD.lock().expect("no thread panics here") = Some(Record::default());
    ACTIVE.store(true, Ordering::SeqCst);
}

/// Hands out what was written down, and begins anew.
pub(crate) fn take() -> Record {
    RECORD.lock().expect("no thread panics here").replace(Record::default()).unwrap_or_default()
}

fn inode(fd: i32) -> Option<u64> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat fills the structure if it returns 0.
    unsafe { (libc::fstat(fd, stat.as_mut_ptr()) == 0).then(|| stat.assume_init().st_ino) }
}

/// The system call proper.
///
/// # Safety
/// As for the system call.
unsafe fn raw(n: c_long, a: [c_long; 6]) -> c_long {
    let result: c_long;
    // SAFETY: the x86-64 convention for system calls; the caller answers for the arguments.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") n => result,
            in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
            in("r10") a[3], in("r8") a[4], in("r9") a[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

fn fail(errno: i32) -> c_long {
    // SAFETY: the pointer is to this thread's errno.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// libc's `syscall`: `bpf()` is answered here, all others go to the kernel.
///
/// # Safety
/// As for libc's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    n: c_long,
    a1: c_long,
    a2: c_long,
    a3: c_long,
    a4: c_long,
    a5: c_long,
    a6: c_long,
) -> c_long {
    if ACTIVE.load(Ordering::Relaxed) {
        if n == libc::SYS_bpf {
            let command = u32::try_from(a1).unwrap_or(u32::MAX);
            let size = usize::try_from(a3).unwrap_or(0);
            // SAFETY: libbpf hands in a union of this size.
            let attr = unsafe { std::slice::from_raw_parts(a2 as *const u8, size) };
            return match answer(command, &Attr(attr)) {
                Ok(value) => c_long::from(value),
                Err(errno) => fail(errno),
            };
        }
        if n == SYS_UPROBE {
            return fail(libc::ENXIO);
        }
        if n == libc::SYS_perf_event_open {
            // libbpf places a kprobe to see how system calls are named; nothing is to be attached.
            return match new_fd_of_nothing() {
                Ok(fd) => c_long::from(fd),
                Err(errno) => fail(errno),
            };
        }
    }
    // SAFETY: the caller's.
    let result = unsafe { raw(n, [a1, a2, a3, a4, a5, a6]) };
    match i32::try_from(-result) {
        Ok(errno @ 1..=4095) => fail(errno),
        _ => result,
    }
}

/// The file that stands in for one of the running kernel's.
fn stand_in(path: *const c_char) -> Option<CString> {
    let files = FILES.get()?;
    if path.is_null() {
        return None;
    }
    // SAFETY: callers of these functions hand in strings.
    let path = Path::new(std::ffi::OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()));
    let path = files.stand_in(path)?;
    CString::new(path.as_os_str().as_bytes()).ok()
}

// libbpf is built for 64-bit file offsets, so it uses the other names of these functions.
unsafe extern "C" {
    fn fopen(path: *const c_char, mode: *const c_char) -> *mut c_void;
    fn gzopen(path: *const c_char, mode: *const c_char) -> *mut c_void;
}

/// libc's `open64`, with files of another kernel.
///
/// # Safety
/// As for libc's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    let other = stand_in(path);
    let path = other.as_ref().map_or(path, |path| path.as_ptr());
    // SAFETY: the caller's.
    unsafe { libc::openat64(libc::AT_FDCWD, path, flags, mode) }
}

/// libc's `fopen64`, with files of another kernel.
///
/// # Safety
/// As for libc's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn fopen64(path: *const c_char, mode: *const c_char) -> *mut c_void {
    let other = stand_in(path);
    let path = other.as_ref().map_or(path, |path| path.as_ptr());
    // SAFETY: the caller's.
    unsafe { fopen(path, mode) }
}

/// zlib's `gzopen64`, with files of another kernel.
///
/// # Safety
/// As for zlib's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn gzopen64(path: *const c_char, mode: *const c_char) -> *mut c_void {
    let other = stand_in(path);
    let path = other.as_ref().map_or(path, |path| path.as_ptr());
    // SAFETY: the caller's.
    unsafe { gzopen(path, mode) }
}

/// libc's `uname`, with the release of another kernel.
///
/// # Safety
/// As for libc's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn uname(name: *mut libc::utsname) -> c_int {
    // SAFETY: the caller's.
    let result = unsafe { raw(libc::SYS_uname, [name as c_long, 0, 0, 0, 0, 0]) };
    if result != 0 {
        return -1;
    }
    if let Some(release) = FILES.get().and_then(|files| files.release.as_ref()) {
        // SAFETY: the kernel filled the structure.
        let field = unsafe { &mut (*name).release };
        field.fill(0);
        for (to, from) in field.iter_mut().zip(release.bytes().take(64)) {
            *to = from.cast_signed();
        }
    }
    0
}

/// The argument of `bpf()`.
struct Attr<'a>(&'a [u8]);

impl Attr<'_> {
    fn u32(&self, at: usize) -> u32 {
        let raw = self.0.get(at..).and_then(|rest| rest.first_chunk());
        raw.map_or(0, |raw| u32::from_le_bytes(*raw))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from(self.u32(at)) | u64::from(self.u32(at + 4)) << 32
    }

    /// A name of 16 bytes.
    fn name(&self, at: usize) -> String {
        let raw = self.0.get(at..at + 16).unwrap_or(&[]);
        let len = raw.iter().position(|byte| *byte == 0).unwrap_or(raw.len());
        String::from_utf8_lossy(&raw[..len]).into_owned()
    }

    /// The bytes that a field points to.
    fn bytes(&self, at: usize, len: usize) -> Vec<u8> {
        let pointer = self.u64(at) as *const u8;
        if pointer.is_null() || len == 0 {
            return Vec::new();
        }
        // SAFETY: libbpf hands in as many bytes as it says.
        unsafe { std::slice::from_raw_parts(pointer, len) }.to_vec()
    }

    /// Writes into the argument itself.
    fn write(&self, at: usize, bytes: &[u8]) {
        if at + bytes.len() <= self.0.len() {
            write(self.0.as_ptr() as u64 + at as u64, bytes);
        }
    }

    fn text(&self, at: usize) -> String {
        let pointer = self.u64(at) as *const c_char;
        if pointer.is_null() {
            return String::new();
        }
        // SAFETY: libbpf hands in a string.
        unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
    }
}

fn new_fd_of_nothing() -> Result<i32, i32> {
    // SAFETY: a plain call with valid arguments; the name is a C string.
    let fd = unsafe { libc::memfd_create(c"answer".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 { Err(libc::EMFILE) } else { Ok(fd) }
}

/// Makes a descriptor for something new: a file in memory of this size.
fn new_fd(record: &mut Record, object: Object, size: u64) -> Result<i32, i32> {
    let fd = new_fd_of_nothing()?;
    let size = i64::try_from(size).unwrap_or(0);
    // SAFETY: as above.
    if size > 0 && unsafe { libc::ftruncate(fd, size) } != 0 {
        return Err(libc::ENOMEM);
    }
    let inode = inode(fd).ok_or(libc::EBADF)?;
    record.by_inode.insert(inode, object);
    Ok(fd)
}

/// Answers a command with a descriptor or 0, or an error number.
fn answer(command: u32, attr: &Attr<'_>) -> Result<i32, i32> {
    let mut guard = RECORD.lock().map_err(|_| libc::EIO)?;
    let record = guard.get_or_insert_default();
    match command {
        0 => map_create(record, attr),
        2 => map_update(record, attr),
        5 => prog_load(record, attr),
        // BPF_OBJ_GET, BPF_TOKEN_CREATE: there is none.
        7 | 36 => Err(libc::ENOENT),
        // BPF_OBJ_PIN, BPF_PROG_BIND_MAP
        6 | 35 => Ok(0),
        15 => object_info(record, attr),
        // BPF_BTF_GET_FD_BY_ID, BPF_BTF_GET_NEXT_ID: modules are numbered from 2 on.
        19 => {
            let module = attr.u32(0).checked_sub(2).ok_or(libc::ENOENT)? as usize;
            new_fd(record, Object::Module(module), 0)
        }
        23 => {
            let next = attr.u32(0).max(1) + 1;
            if (next - 2) as usize >= FILES.get().map_or(0, |files| files.modules.len()) {
                return Err(libc::ENOENT);
            }
            attr.write(4, &next.to_le_bytes());
            Ok(0)
        }
        18 => {
            let bytes = attr.bytes(0, attr.u32(16) as usize);
            record.btfs.push(bytes);
            let index = record.btfs.len() - 1;
            new_fd(record, Object::Btf(index), 0)
        }
        22 => {
            if let Some(index) = record.map(attr.u32(0)) {
                record.maps[index].frozen = true;
            }
            Ok(0)
        }
        // BPF_LINK_CREATE: the two probes for multi-uprobe links, then the one for perf links.
        28 if attr.u32(8) == TRACE_UPROBE_MULTI => {
            record.uprobe_links += 1;
            Err(if record.uprobe_links % 2 == 1 { libc::EBADF } else { libc::EINVAL })
        }
        28 => Err(libc::EBADF),
        other => {
            record.unexpected.push(other);
            Err(libc::EINVAL)
        }
    }
}

/// Writes where libbpf wants something written.
fn write(pointer: u64, bytes: &[u8]) {
    if pointer != 0 {
        // SAFETY: libbpf hands in room for as many bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), pointer as *mut u8, bytes.len()) };
    }
}

/// `BPF_OBJ_GET_INFO_BY_FD`: `struct bpf_btf_info` of a module, nothing of others.
fn object_info(record: &Record, attr: &Attr<'_>) -> Result<i32, i32> {
    let fd = i32::try_from(attr.u32(0)).map_err(|_| libc::EBADF)?;
    let Some(Object::Module(module)) = record.object(fd) else { return Ok(0) };
    let module_file = FILES.get().and_then(|files| files.modules.get(module));
    let (name, path) = module_file.ok_or(libc::ENOENT)?;
    let bytes = std::fs::read(path).map_err(|_| libc::EIO)?;
    let (info, len) = (attr.u64(8), attr.u32(4) as usize);
    if info == 0 || len < 32 {
        return Err(libc::EINVAL);
    }
    // SAFETY: libbpf hands in a structure of this length.
    let fields = Attr(unsafe { std::slice::from_raw_parts(info as *const u8, len) });
    let room = (fields.u32(8) as usize).min(bytes.len());
    write(fields.u64(0), &bytes[..room]);
    let size = u32::try_from(bytes.len()).map_err(|_| libc::E2BIG)?;
    let name_room = fields.u32(24) as usize;
    let mut text = name.clone().into_bytes();
    text.truncate(name_room.saturating_sub(1));
    text.push(0);
    if name_room > 0 {
        write(fields.u64(16), &text);
    }
    fields.write(8, &size.to_le_bytes());
    fields.write(24, &u32::try_from(name.len()).unwrap_or(0).to_le_bytes());
    fields.write(28, &1u32.to_le_bytes());
    Ok(0)
}

fn map_create(record: &mut Record, attr: &Attr<'_>) -> Result<i32, i32> {
    let map = Map {
        map_type: attr.u32(0),
        key_size: attr.u32(4),
        value_size: attr.u32(8),
        max_entries: attr.u32(12),
        flags: attr.u32(16),
        inner: record.map(attr.u32(20)),
        numa_node: attr.u32(24),
        name: attr.name(28),
        btf: record.btf(attr.u32(48)),
        btf_key_type_id: attr.u32(52),
        btf_value_type_id: attr.u32(56),
        btf_vmlinux_value_type_id: attr.u32(60),
        map_extra: attr.u64(64),
        contents: None,
        frozen: false,
    };
    /// `BPF_MAP_TYPE_ARENA`
    const ARENA: u32 = 33;
    let size = match map.map_type {
        ARENA => u64::from(map.max_entries) * 4096,
        _ => (u64::from(map.value_size).next_multiple_of(8) * u64::from(map.max_entries.max(1)))
            .next_multiple_of(4096),
    };
    record.maps.push(map);
    let index = record.maps.len() - 1;
    new_fd(record, Object::Map(index), size)
}

fn map_update(record: &mut Record, attr: &Attr<'_>) -> Result<i32, i32> {
    /// `BPF_MAP_TYPE_ARRAY`
    const ARRAY: u32 = 2;
    /// `BPF_MAP_TYPE_INSN_ARRAY`
    const INSN_ARRAY: u32 = 34;
    let Some(index) = record.map(attr.u32(0)) else { return Err(libc::EBADF) };
    let map = &mut record.maps[index];
    let size = map.value_size as usize;
    match map.map_type {
        ARRAY => map.contents = Some(attr.bytes(16, size)),
        INSN_ARRAY => map.contents.get_or_insert_default().extend(attr.bytes(16, size)),
        _ => {}
    }
    Ok(0)
}

fn prog_load(record: &mut Record, attr: &Attr<'_>) -> Result<i32, i32> {
    let name = attr.name(48);
    if name == "global_reloc" {
        // The probe for offsets of more than 512 MiB, which kernels before 7.0 do not take.
        return refuse_large_offset(attr);
    }
    let insns = attr.bytes(8, attr.u32(4) as usize * 8).as_chunks::<8>().0.to_vec();
    let mut load = Load {
        prog_type: attr.u32(0),
        name,
        license: attr.text(16),
        kern_version: attr.u32(40),
        flags: attr.u32(44),
        expected_attach_type: attr.u32(68),
        attach_btf_id: attr.u32(108),
        btf: record.btf(attr.u32(72)),
        func_info: (attr.u32(76), attr.bytes(80, (attr.u32(76) * attr.u32(88)) as usize)),
        line_info: (attr.u32(92), attr.bytes(96, (attr.u32(92) * attr.u32(104)) as usize)),
        maps: HashMap::new(),
        modules: HashMap::new(),
        attach_module: record.module(attr.u32(112)),
        fd_array: HashMap::new(),
        insns,
    };
    for (at, insn) in load.insns.iter().enumerate() {
        let is_map = insn[0] == 0x18 && matches!(insn[1] >> 4, 1 | 2);
        let fd = u32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]]);
        if let Some(map) = is_map.then(|| record.map(fd)).flatten() {
            load.maps.insert(at, map);
        }
        let off = i16::from_le_bytes([insn[2], insn[3]]);
        if insn[0] == 0x85 && insn[1] >> 4 == 2 && off > 0 && attr.u64(120) != 0 {
            let place = attr.u64(120) + 4 * u64::from(off.unsigned_abs());
            // SAFETY: libbpf made an array with this place.
            let fd = unsafe { (place as *const u32).read_unaligned() };
            if let Some(module) = record.module(fd) {
                load.fd_array.insert(off, module);
            }
        }
        let next = load.insns.get(at + 1).copied().unwrap_or_default();
        let high = u32::from_le_bytes([next[4], next[5], next[6], next[7]]);
        let is_type = insn[0] == 0x18 && insn[1] >> 4 == 3 && high != 0;
        if let Some(module) = is_type.then(|| record.module(high)).flatten() {
            load.modules.insert(at, module);
        }
    }
    record.loads.push(load);
    let index = record.loads.len() - 1;
    new_fd(record, Object::Program(index), 0)
}

fn refuse_large_offset(attr: &Attr<'_>) -> Result<i32, i32> {
    let message = c"direct value offset of 1073741824 is not allowed";
    let (buffer, size) = (attr.u64(32) as *mut u8, attr.u32(28) as usize);
    let bytes = message.to_bytes_with_nul();
    if !buffer.is_null() && size >= bytes.len() {
        // SAFETY: libbpf hands in a buffer of this size.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, bytes.len()) };
    }
    Err(libc::EINVAL)
}
