// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The system calls: the one place with `unsafe`.
//!
//! Layouts are those of `union bpf_attr` (`include/uapi/linux/bpf.h`, 6.18). A kernel that is older
//! accepts the longer structure as long as the part that it does not know is zero
//! (`bpf_check_uarg_tail_zero`, `kernel/bpf/syscall.c`), so one size serves every kernel, and what
//! a program asks beyond its kernel's knowledge gets that kernel's own E2BIG.
#![allow(unsafe_code)]

mod memory;
mod process;

pub(crate) use memory::{SharedMem, memory_file};
pub(crate) use process::{
    Child, Raised, die_with_parent, effective_uid, fork, inherit, lower_privileges, mount,
    power_off, unlimited_locked_memory, wait_readable,
};

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::raw::c_long;

/// Commands of the system call (`enum bpf_cmd`).
mod command {
    use std::os::raw::c_long;

    pub(super) const MAP_CREATE: c_long = 0;
    pub(super) const MAP_UPDATE_ELEM: c_long = 2;
    pub(super) const PROG_LOAD: c_long = 5;
    pub(super) const OBJ_GET_INFO_BY_FD: c_long = 15;
    pub(super) const BTF_LOAD: c_long = 18;
    pub(super) const BTF_GET_FD_BY_ID: c_long = 19;
    pub(super) const MAP_FREEZE: c_long = 22;
    pub(super) const BTF_GET_NEXT_ID: c_long = 23;
}

/// Bytes of a name with its terminating zero (`BPF_OBJ_NAME_LEN`).
const NAME_LEN: usize = 16;

/// Cuts a name to what the kernel keeps, with `_` for what it refuses in names
/// (`bpf_obj_name_cpy`, `kernel/bpf/syscall.c`): test names have blanks, and no verdict hangs on them.
pub(crate) fn object_name(name: &str) -> [u8; NAME_LEN] {
    let mut out = [0; NAME_LEN];
    for (to, from) in out.iter_mut().take(NAME_LEN - 1).zip(name.bytes()) {
        let allowed = from.is_ascii_alphanumeric() || matches!(from, b'_' | b'.');
        *to = if allowed { from } else { b'_' };
    }
    out
}

/// Attributes of `BPF_MAP_CREATE`. Holds numbers only, so it is safe to fill at will.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct MapCreate {
    pub(crate) map_type: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
    pub(crate) map_flags: u32,
    pub(crate) inner_map_fd: u32,
    pub(crate) numa_node: u32,
    pub(crate) map_name: [u8; NAME_LEN],
    pub(crate) map_ifindex: u32,
    pub(crate) btf_fd: u32,
    pub(crate) btf_key_type_id: u32,
    pub(crate) btf_value_type_id: u32,
    pub(crate) btf_vmlinux_value_type_id: u32,
    pub(crate) map_extra: u64,
    pub(crate) value_type_btf_obj_fd: i32,
    pub(crate) map_token_fd: i32,
}

#[repr(C)]
#[derive(Default)]
struct ElemAttr {
    map_fd: u32,
    _pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct BtfLoadAttr {
    btf: u64,
    log_buf: u64,
    size: u32,
    log_size: u32,
    log_level: u32,
    log_true_size: u32,
}

#[repr(C)]
#[derive(Default)]
struct IdAttr {
    start_id: u32,
    next_id: u32,
    open_flags: u32,
    token_fd: i32,
}

#[repr(C)]
#[derive(Default)]
struct InfoAttr {
    fd: u32,
    len: u32,
    info: u64,
}

#[repr(C)]
#[derive(Default)]
struct ProgLoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; NAME_LEN],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
    attach_fd: u32,
    core_relo_cnt: u32,
    fd_array: u64,
    core_relos: u64,
    core_relo_rec_size: u32,
    log_true_size: u32,
    prog_token_fd: i32,
    fd_array_cnt: u32,
}

/// Start of `struct bpf_prog_info`, up to `verified_insns`.
#[repr(C)]
#[derive(Default)]
struct ProgInfo {
    prog_type: u32,
    id: u32,
    tag: [u8; 8],
    jited_prog_len: u32,
    xlated_prog_len: u32,
    jited_prog_insns: u64,
    xlated_prog_insns: u64,
    load_time: u64,
    created_by_uid: u32,
    nr_map_ids: u32,
    map_ids: u64,
    name: [u8; NAME_LEN],
    ifindex: u32,
    gpl_compatible: u32,
    netns_dev: u64,
    netns_ino: u64,
    nr_jited_ksyms: u32,
    nr_jited_func_lens: u32,
    jited_ksyms: u64,
    jited_func_lens: u64,
    btf_id: u32,
    func_info_rec_size: u32,
    func_info: u64,
    nr_func_info: u32,
    nr_line_info: u32,
    line_info: u64,
    jited_line_info: u64,
    nr_jited_line_info: u32,
    line_info_rec_size: u32,
    jited_line_info_rec_size: u32,
    nr_prog_tags: u32,
    prog_tags: u64,
    run_time_ns: u64,
    run_cnt: u64,
    recursion_misses: u64,
    verified_insns: u32,
    attach_btf_obj_id: u32,
}

/// `struct bpf_btf_info`.
#[repr(C)]
#[derive(Default)]
struct BtfInfo {
    btf: u64,
    btf_size: u32,
    id: u32,
    name: u64,
    name_len: u32,
    kernel_btf: u32,
}

/// One table of records, `count * rec_size` bytes of which the kernel may read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Table<'a> {
    pub(crate) rec_size: u32,
    pub(crate) count: u32,
    pub(crate) bytes: &'a [u8],
}

/// Where the verifier's log goes: memory that outlives the loading process.
#[derive(Clone, Copy)]
pub(crate) struct LogTarget<'a> {
    pub(crate) level: u32,
    pub(crate) size: u32,
    pub(crate) buffer: &'a SharedMem,
}

/// Arguments of `BPF_PROG_LOAD`.
pub(crate) struct ProgLoad<'a> {
    pub(crate) prog_type: u32,
    pub(crate) expected_attach_type: u32,
    pub(crate) prog_flags: u32,
    pub(crate) kern_version: u32,
    pub(crate) name: [u8; NAME_LEN],
    /// Instructions in their byte form; whole slots.
    pub(crate) insns: &'a [[u8; 8]],
    pub(crate) license: &'a CStr,
    pub(crate) btf: Option<BorrowedFd<'a>>,
    pub(crate) func_info: Table<'a>,
    pub(crate) line_info: Table<'a>,
    pub(crate) core_relos: Table<'a>,
    pub(crate) attach_btf_id: u32,
    pub(crate) attach: Option<BorrowedFd<'a>>,
    pub(crate) fd_array: &'a [RawFd],
    /// `fd_array_cnt`, 0 if the table is not counted.
    pub(crate) fd_array_cnt: u32,
    pub(crate) log: Option<LogTarget<'a>>,
}

fn number(fd: Option<BorrowedFd<'_>>) -> u32 {
    fd.map_or(0, |fd| fd.as_raw_fd().cast_unsigned())
}

/// Null for an empty slice: the kernel tells "none" by the pointer in some places.
fn address<T>(slice: &[T]) -> u64 {
    if slice.is_empty() { 0 } else { slice.as_ptr() as u64 }
}

/// # Safety
/// Every address in `attr` must be null or point to memory of the size that the command's fields
/// promise, writable where the command writes, and alive for the duration of the call.
unsafe fn bpf<T>(command: c_long, attr: &mut T) -> io::Result<RawFd> {
    // SAFETY: the caller vouches for the addresses inside; `attr` itself is a live, exclusive
    // reference of the size given.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>() as c_long)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as RawFd) }
}

/// # Safety
/// As [`bpf`]; and the command returns a new descriptor on success.
unsafe fn bpf_fd<T>(command: c_long, attr: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise is handed on; the descriptor is new and nobody else's.
    unsafe { bpf(command, attr).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

/// `BPF_MAP_CREATE`.
pub(crate) fn map_create(attr: &MapCreate) -> io::Result<OwnedFd> {
    let mut attr = *attr;
    // SAFETY: the structure holds no addresses, and the command returns a new descriptor.
    unsafe { bpf_fd(command::MAP_CREATE, &mut attr) }
}

/// `BPF_MAP_UPDATE_ELEM` for key 0 of a map with four-byte keys. `value` must be as long as the
/// map's value is; the caller pads.
pub(crate) fn map_update_first(map: BorrowedFd<'_>, value: &[u8]) -> io::Result<()> {
    let key = 0_u32;
    let mut attr = ElemAttr {
        map_fd: number(Some(map)),
        key: (&raw const key) as u64,
        value: address(value),
        ..ElemAttr::default()
    };
    // SAFETY: key and value live past the call; the kernel only reads them. A value shorter than
    // the map's would make it read on into this process' memory, which copies bytes into the map
    // and touches nothing.
    unsafe { bpf(command::MAP_UPDATE_ELEM, &mut attr) }.map(drop)
}

/// `BPF_MAP_FREEZE`.
pub(crate) fn map_freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = ElemAttr { map_fd: number(Some(map)), ..ElemAttr::default() };
    // SAFETY: no addresses.
    unsafe { bpf(command::MAP_FREEZE, &mut attr) }.map(drop)
}

/// `BPF_BTF_LOAD`; on failure the log comes with the error.
pub(crate) fn btf_load(btf: &[u8]) -> Result<OwnedFd, (io::Error, Vec<u8>)> {
    let size = u32::try_from(btf.len())
        .map_err(|_| (io::Error::from_raw_os_error(libc::E2BIG), Vec::new()))?;
    let mut attr = BtfLoadAttr { btf: address(btf), size, ..BtfLoadAttr::default() };
    // SAFETY: the bytes live past the call, the size is theirs, and there is no log buffer.
    if let Ok(fd) = unsafe { bpf_fd(command::BTF_LOAD, &mut attr) } {
        return Ok(fd);
    }
    let mut log = vec![0_u8; 1 << 16];
    let mut attr = BtfLoadAttr {
        btf: address(btf),
        size,
        log_buf: log.as_mut_ptr() as u64,
        log_size: 1 << 16,
        log_level: 1,
        ..BtfLoadAttr::default()
    };
    // SAFETY: as above, and the log buffer is writable and as long as promised.
    unsafe { bpf_fd(command::BTF_LOAD, &mut attr) }.map_err(|error| {
        log.truncate(log.iter().position(|byte| *byte == 0).unwrap_or(log.len()));
        (error, log)
    })
}

/// The BTF of a loaded kernel module, by the module's name.
pub(crate) fn module_btf(module: &str) -> io::Result<Option<OwnedFd>> {
    let mut id = 0;
    loop {
        let mut attr = IdAttr { start_id: id, ..IdAttr::default() };
        // SAFETY: no addresses.
        match unsafe { bpf(command::BTF_GET_NEXT_ID, &mut attr) } {
            Ok(_) => id = attr.next_id,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut attr = IdAttr { start_id: id, ..IdAttr::default() };
        // SAFETY: no addresses, and the command returns a new descriptor.
        let Ok(fd) = (unsafe { bpf_fd(command::BTF_GET_FD_BY_ID, &mut attr) }) else {
            continue; // gone in the meantime
        };
        let mut name = [0_u8; 64];
        let mut info = BtfInfo {
            name: name.as_mut_ptr() as u64,
            name_len: name.len() as u32,
            ..BtfInfo::default()
        };
        let mut attr = InfoAttr {
            fd: fd.as_raw_fd().cast_unsigned(),
            len: size_of::<BtfInfo>() as u32,
            info: (&raw mut info) as u64,
        };
        // SAFETY: `info` and `name` are writable, as long as promised, and live past the call.
        let known = unsafe { bpf(command::OBJ_GET_INFO_BY_FD, &mut attr) }.is_ok();
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        if known && info.kernel_btf != 0 && name.get(..end) == Some(module.as_bytes()) {
            return Ok(Some(fd));
        }
    }
}

/// `BPF_PROG_LOAD`, with the log's true size (0 where the kernel does not tell).
pub(crate) fn prog_load(load: &ProgLoad<'_>) -> (io::Result<OwnedFd>, u32) {
    let Ok(insn_cnt) = u32::try_from(load.insns.len()) else {
        return (Err(io::Error::from_raw_os_error(libc::E2BIG)), 0);
    };
    let mut attr = ProgLoadAttr {
        prog_type: load.prog_type,
        insn_cnt,
        insns: load.insns.as_ptr() as u64,
        license: load.license.as_ptr() as u64,
        kern_version: load.kern_version,
        prog_flags: load.prog_flags,
        prog_name: load.name,
        expected_attach_type: load.expected_attach_type,
        prog_btf_fd: number(load.btf),
        func_info_rec_size: load.func_info.rec_size,
        func_info: address(load.func_info.bytes),
        func_info_cnt: load.func_info.count,
        line_info_rec_size: load.line_info.rec_size,
        line_info: address(load.line_info.bytes),
        line_info_cnt: load.line_info.count,
        attach_btf_id: load.attach_btf_id,
        attach_fd: number(load.attach),
        core_relo_cnt: load.core_relos.count,
        fd_array: address(load.fd_array),
        core_relos: address(load.core_relos.bytes),
        core_relo_rec_size: load.core_relos.rec_size,
        fd_array_cnt: load.fd_array_cnt,
        ..ProgLoadAttr::default()
    };
    if let Some(log) = load.log {
        log.buffer.write(0, &[0]);
        attr.log_level = log.level;
        attr.log_size = log.size.min(u32::try_from(log.buffer.len()).unwrap_or(u32::MAX));
        attr.log_buf = log.buffer.address();
    }
    // SAFETY: every address comes from a slice, string or mapping that lives past the call. The
    // kernel writes only to the log, whose size was cut to the mapping's, and to `attr`. Tables
    // shorter than their counts claim (the caller pads them) would only be read past their end.
    let result = unsafe { bpf_fd(command::PROG_LOAD, &mut attr) };
    (result, attr.log_true_size)
}

/// What the kernel tells about a loaded program.
#[derive(Default)]
pub(crate) struct LoadedInfo {
    /// Instructions processed; `None` before 5.16.
    pub(crate) verified_insns: Option<u32>,
    /// Rewritten instructions, if asked for and allowed.
    pub(crate) xlated: Option<Vec<u8>>,
}

/// `BPF_OBJ_GET_INFO_BY_FD` of a program.
pub(crate) fn prog_info(prog: BorrowedFd<'_>, want_xlated: bool) -> io::Result<LoadedInfo> {
    let mut info = ProgInfo::default();
    let mut attr = InfoAttr {
        fd: number(Some(prog)),
        len: size_of::<ProgInfo>() as u32,
        info: (&raw mut info) as u64,
    };
    // SAFETY: `info` is writable, as long as promised, and asks for no further buffers.
    unsafe { bpf(command::OBJ_GET_INFO_BY_FD, &mut attr) }?;
    let reported = attr.len as usize >= std::mem::offset_of!(ProgInfo, attach_btf_obj_id);
    let mut out =
        LoadedInfo { verified_insns: reported.then_some(info.verified_insns), xlated: None };
    if want_xlated && info.xlated_prog_len > 0 {
        let mut insns = vec![0_u8; info.xlated_prog_len as usize];
        let mut again = ProgInfo {
            xlated_prog_len: info.xlated_prog_len,
            xlated_prog_insns: insns.as_mut_ptr() as u64,
            ..ProgInfo::default()
        };
        attr.len = size_of::<ProgInfo>() as u32;
        attr.info = (&raw mut again) as u64;
        // SAFETY: both buffers are writable and as long as promised.
        unsafe { bpf(command::OBJ_GET_INFO_BY_FD, &mut attr) }?;
        // The kernel clears the address where it may not tell (bpf_dump_raw_ok).
        if again.xlated_prog_insns != 0 {
            insns.truncate(again.xlated_prog_len as usize);
            out.xlated = Some(insns);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    /// Offsets of the published ABI (`pahole union bpf_attr`, `struct bpf_prog_info`).
    #[test]
    fn layouts_are_the_published_ones() {
        let cases = [
            (offset_of!(MapCreate, map_name), 28),
            (offset_of!(MapCreate, btf_fd), 48),
            (offset_of!(MapCreate, map_extra), 64),
            (size_of::<MapCreate>(), 80),
            (offset_of!(ProgLoadAttr, prog_name), 48),
            (offset_of!(ProgLoadAttr, func_info), 80),
            (offset_of!(ProgLoadAttr, line_info), 96),
            (offset_of!(ProgLoadAttr, fd_array), 120),
            (offset_of!(ProgLoadAttr, log_true_size), 140),
            (size_of::<ProgLoadAttr>(), 152),
            (offset_of!(ProgInfo, xlated_prog_insns), 32),
            (offset_of!(ProgInfo, netns_dev), 88),
            (offset_of!(ProgInfo, verified_insns), 216),
            (size_of::<BtfInfo>(), 32),
        ];
        for (index, (got, want)) in cases.into_iter().enumerate() {
            assert_eq!(got, want, "case {index}");
        }
    }

    #[test]
    fn names_are_cut() {
        assert_eq!(&object_name("a_name_of_many_letters"), b"a_name_of_many_\0");
        assert_eq!(&object_name("a b-c")[..6], b"a_b_c\0");
        assert_eq!(&object_name("m"), b"m\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    }
}
