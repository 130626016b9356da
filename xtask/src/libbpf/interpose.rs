// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The function `syscall`, in the place of libc's: once switched on, `bpf()` never reaches the
//! kernel. Every descriptor that is handed out is a file in memory, which can be mapped and
//! duplicated like that of a map; it is known again by its inode.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_long};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether `bpf()` is answered here.
static ACTIVE: AtomicBool = AtomicBool::new(false);
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

    fn btf(&self, fd: u32) -> Option<usize> {
        match self.object(i32::try_from(fd).ok()?)? {
            Object::Btf(index) => Some(index),
            _ => None,
        }
    }
}

/// Switches the answering on, for the rest of the process.
pub(crate) fn activate() {
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
pub unsafe extern "C" fn syscall(
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
    }
    // SAFETY: the caller's.
    let result = unsafe { raw(n, [a1, a2, a3, a4, a5, a6]) };
    match i32::try_from(-result) {
        Ok(errno @ 1..=4095) => fail(errno),
        _ => result,
    }
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

    fn text(&self, at: usize) -> String {
        let pointer = self.u64(at) as *const c_char;
        if pointer.is_null() {
            return String::new();
        }
        // SAFETY: libbpf hands in a string.
        unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
    }
}

/// Makes a descriptor for something new: a file in memory of this size.
fn new_fd(record: &mut Record, object: Object, size: u64) -> Result<i32, i32> {
    // SAFETY: plain calls with valid arguments; the name is a C string.
    let fd = unsafe { libc::memfd_create(c"answer".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(libc::EMFILE);
    }
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
        // BPF_OBJ_GET, BPF_BTF_GET_FD_BY_ID, BPF_BTF_GET_NEXT_ID, BPF_TOKEN_CREATE: there is none.
        7 | 19 | 23 | 36 => Err(libc::ENOENT),
        // BPF_OBJ_PIN, BPF_OBJ_GET_INFO_BY_FD, BPF_PROG_BIND_MAP
        6 | 15 | 35 => Ok(0),
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
        insns,
    };
    for (at, insn) in load.insns.iter().enumerate() {
        let is_map = insn[0] == 0x18 && matches!(insn[1] >> 4, 1 | 2);
        let fd = u32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]]);
        if let Some(map) = is_map.then(|| record.map(fd)).flatten() {
            load.maps.insert(at, map);
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
