// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The maps and BTFs that a program uses (`process_fd_array`, `__add_used_map`,
//! `check_map_prog_compatibility`).

use super::btf_info::used_btf;
use super::record::{self, FieldKinds};
use crate::env::{Env, MapIndex};
use crate::errno::Errno;
use crate::mem::{Budget, List};
use crate::messages::Structure;
use crate::outcome::{Abort, Step};
use crate::state::BtfRef;
use crate::trace::Observer;
use veristable_btf::Btf;
use veristable_kernel::{Answer, Behaviour, JitFeature, Kernel, MapType, ProgType};
use veristable_program::{Blob, FdEntry, FixupKind, LoadRequest, MapDesc};

/// A map in use; [`Env::map`] gives its description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UsedMap {
    /// Its index in [`veristable_program::LoadRequest::maps`].
    pub request: u32,
}

/// A BTF in use: the kernel's, a module's by name, or the entry of `fd_array`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UsedBtf<'a> {
    /// The kernel's own.
    Kernel,
    /// A module's.
    Module(&'a str),
    /// One that the loader loaded, by its place in `fd_array`.
    Loaded(u32),
}

/// BTF of maps that is not the program's own, with its bytes.
pub type MapBtf<'a> = (&'a Blob, Btf<'a>);

/// Opens the BTFs of the request's maps that are not the program's: those of maps that another
/// loader made. What cannot be opened is left out.
///
/// # Errors
///
/// If memory does not suffice.
pub fn open_btfs<'a>(request: &'a LoadRequest, budget: &Budget) -> Result<List<MapBtf<'a>>, Abort> {
    let mut opened: List<MapBtf<'a>> = List::new();
    let specs = request.maps.iter().flat_map(|map| [Some(&map.spec), map.inner.as_deref()]);
    for spec in specs.flatten().filter(|spec| spec.btf_value_type_id != 0) {
        let Some(bytes) = &spec.btf else { continue };
        let is_known =
            used_btf(request) == Some(bytes) || opened.iter().any(|(known, _)| *known == bytes);
        if !is_known && let Ok(btf) = Btf::open(&**bytes) {
            opened.push(budget, (bytes, btf))?;
        }
    }
    Ok(opened)
}

/// The BTF that a register's type counts in, if it is at hand.
///
/// # Errors
/// If the kernel's facts do not say.
pub fn btf_of<'a>(
    which: BtfRef,
    kernel: &'a dyn Kernel,
    program: Option<&'a Btf<'a>>,
    of_maps: &'a [MapBtf<'a>],
    used: &[UsedBtf<'a>],
) -> Answer<&'a Btf<'a>> {
    match which {
        BtfRef::Program => Ok(program),
        BtfRef::Kernel => kernel.btf(None),
        BtfRef::Maps(index) => Ok(of_maps.get(index as usize).map(|(_, btf)| btf)),
        BtfRef::Module(index) => match used.get(index as usize) {
            Some(UsedBtf::Kernel) => kernel.btf(None),
            Some(UsedBtf::Module(name)) => kernel.btf(Some(name)),
            Some(UsedBtf::Loaded(_)) | None => Ok(None),
        },
    }
}

/// Binds the maps and BTFs of a counted `fd_array` (`process_fd_array`).
///
/// # Errors
///
/// The rejection.
pub fn bind_fd_array<O: Observer>(env: &mut Env<'_, O>) -> Step {
    if !env.request.fd_array_counted {
        return Ok(());
    }
    let request = env.request;
    for (index, entry) in (0u32..).zip(&request.fd_array) {
        match entry {
            FdEntry::Map(map) => {
                if request.maps.get(*map as usize).is_none() {
                    return env.reject(Structure::NotAMapOrBtf { fd: -1 });
                }
                add(env, *map)?;
            }
            FdEntry::ModuleBtf(module) => add_btf(env, UsedBtf::Module(module))?,
            FdEntry::Btf(_) => add_btf(env, UsedBtf::Loaded(index))?,
            // Descriptor 0 is open in any usual process, and no map.
            FdEntry::Empty => {
                return env.reject_with(Errno::EINVAL, Structure::NotAMapOrBtf { fd: 0 });
            }
        }
    }
    Ok(())
}

/// Adds a BTF (`__add_used_btf`).
///
/// # Errors
///
/// The rejection.
pub fn add_btf<'a, O: Observer>(env: &mut Env<'a, O>, btf: UsedBtf<'a>) -> Step {
    if env.used_btfs.contains(&btf) {
        return Ok(());
    }
    let limit = env.kernel.limits().used_btfs;
    if env.used_btfs.len() >= limit as usize {
        return env.reject(Structure::TooManyBtfs { limit });
    }
    env.used_btfs.push(&env.budget, btf)?;
    Ok(())
}

/// Adds the map that a descriptor stands for (`add_used_map`): an index into the request's maps.
///
/// # Errors
///
/// The rejection.
pub fn add_by_fd<O: Observer>(env: &mut Env<'_, O>, fd: i32) -> Step<MapIndex> {
    match u32::try_from(fd) {
        Ok(map) if (map as usize) < env.request.maps.len() => add(env, map),
        // An index outside stands for a descriptor that is not open; oracles pass -1.
        _ => env.reject(Structure::NotAMap { fd: -1 }),
    }
}

/// Whether an index is behind the entries of an `fd_array` that is not counted: a request stands for
/// an array that goes on with zeros, as far as the offset of a kfunc call can count.
pub(crate) fn has_zero_behind(request: &LoadRequest, index: i32) -> bool {
    !request.fd_array_counted && (0..=i32::from(i16::MAX)).contains(&index)
}

/// Adds the map of an `fd_array` entry.
///
/// # Errors
///
/// The rejection.
pub fn add_by_index<O: Observer>(env: &mut Env<'_, O>, index: i32) -> Step<MapIndex> {
    let request = env.request;
    if request.fd_array.is_empty() {
        return env.reject(Structure::FdIdxWithoutArray);
    }
    let entry = usize::try_from(index).ok().and_then(|index| request.fd_array.get(index));
    match entry {
        Some(FdEntry::Map(map)) => add_by_fd(env, map.cast_signed()),
        Some(FdEntry::Empty) => env.reject_with(Errno::EINVAL, Structure::NotAMap { fd: 0 }),
        // Behind an array that is not counted stand more zeros, as far as kfuncs can count.
        None if has_zero_behind(request, index) => {
            env.reject_with(Errno::EINVAL, Structure::NotAMap { fd: 0 })
        }
        // The number that the descriptor would have is not known.
        Some(_) => env.reject_with(Errno::EINVAL, Structure::NotAMap { fd: index }),
        // The kernel takes what stands there in the loader's memory, before or behind the array
        // (`copy_from_bpfptr_offset`): any descriptor, or EFAULT. A request does not say.
        None => env.unsupported("fd_array index outside of the array", ""),
    }
}

/// `__add_used_map`
fn add<O: Observer>(env: &mut Env<'_, O>, map: u32) -> Step<MapIndex> {
    let used = |index: usize| MapIndex(u32::try_from(index).unwrap_or(u32::MAX));
    if let Some(index) = env.used_maps.iter().position(|used| used.request == map) {
        return Ok(used(index));
    }
    let limit = env.kernel.limits().used_maps;
    if env.used_maps.len() >= limit as usize {
        return env.reject(Structure::TooManyMaps { limit });
    }
    let Some(desc) = env.request.maps.get(map as usize) else {
        return env.reject(Structure::NotAMap { fd: map.cast_signed() });
    };
    check_compatibility(env, map, desc)?;
    env.used_maps.push(&env.budget, UsedMap { request: map })?;
    let index = env.used_maps.len() - 1;
    if env.has(Behaviour::MapRulesFirst) {
        assign(env, index)?;
    }
    Ok(used(index))
}

/// `is_tracing_prog_type`
const fn is_tracing(prog_type: ProgType) -> bool {
    matches!(
        prog_type,
        ProgType::KPROBE
            | ProgType::TRACEPOINT
            | ProgType::PERF_EVENT
            | ProgType::RAW_TRACEPOINT
            | ProgType::RAW_TRACEPOINT_WRITABLE
    )
}

const LOCKS: FieldKinds = FieldKinds::SPIN_LOCK.union(FieldKinds::RES_SPIN_LOCK);

fn special_fields<O: Observer>(env: &mut Env<'_, O>, number: u32) -> Step<FieldKinds> {
    let Some(id) = record::of_map(env, number, false)? else { return Ok(FieldKinds::empty()) };
    Ok(env.records.get(id)?.kinds)
}

/// `check_map_prog_compatibility`
fn check_compatibility<O: Observer>(env: &mut Env<'_, O>, number: u32, map: &MapDesc) -> Step {
    let tracing = is_tracing(env.prog.rules);
    let filter = env.prog.rules == ProgType::SOCKET_FILTER;
    if tracing || filter {
        let special = special_fields(env, number)?;
        let refusals = [
            (tracing, FieldKinds::GRAPH_ROOT, Structure::GraphInTracing),
            (filter, LOCKS, Structure::LockInSocketFilter),
            (tracing, LOCKS, Structure::LockInTracing),
            (tracing, FieldKinds::TIMER, Structure::TimerInTracing),
            (tracing, FieldKinds::WORKQUEUE, Structure::WorkqueueInTracing),
        ];
        for (applies, field, message) in refusals {
            if applies && special.intersects(field) {
                return env.reject(message);
            }
        }
    }
    let map_type = map.spec.map_type;
    if map_type == MapType::STRUCT_OPS {
        return env.reject(Structure::StructOpsMap);
    }
    if env.prog.sleepable && !is_for_sleepable(map_type) {
        return env.reject(Structure::SleepableMap);
    }
    Ok(())
}

/// What a program can have only one of becomes the map at `index` of those in use
/// (`bpf_cgroup_storage_assign` and the rules of arenas).
///
/// # Errors
///
/// The rejection.
pub fn assign<O: Observer>(env: &mut Env<'_, O>, index: usize) -> Step {
    let type_of =
        |used: &UsedMap| env.request.maps.get(used.request as usize).map(|map| map.spec.map_type);
    let Some(map_type) = env.used_maps.get(index).and_then(type_of) else { return Ok(()) };
    let is_second = env.used_maps.iter().take(index).any(|used| type_of(used) == Some(map_type));
    match map_type {
        MapType::CGROUP_STORAGE | MapType::PERCPU_CGROUP_STORAGE if is_second => {
            env.reject(Structure::SecondCgroupStorage)
        }
        MapType::ARENA if is_second => env.reject(Structure::SecondArena),
        MapType::ARENA => check_arena(env),
        _ => Ok(()),
    }
}

/// Loaders map an arena before they load the program, so its address is set.
fn check_arena<O: Observer>(env: &mut Env<'_, O>) -> Step {
    if !env.privileges.allow_ptr_leaks || !env.privileges.bpf_capable {
        return env.reject(Structure::ArenaNeedsCapabilities);
    }
    if !env.machine.jit {
        return env.reject(Structure::ArenaNeedsJit);
    }
    if !env.kernel.jit(JitFeature::Arena)? {
        return env.reject(Structure::JitLacksArena);
    }
    Ok(())
}

const fn is_for_sleepable(map_type: MapType) -> bool {
    matches!(
        map_type,
        MapType::HASH
            | MapType::LRU_HASH
            | MapType::ARRAY
            | MapType::PERCPU_HASH
            | MapType::PERCPU_ARRAY
            | MapType::LRU_PERCPU_HASH
            | MapType::ARRAY_OF_MAPS
            | MapType::HASH_OF_MAPS
            | MapType::RINGBUF
            | MapType::USER_RINGBUF
            | MapType::INODE_STORAGE
            | MapType::SK_STORAGE
            | MapType::TASK_STORAGE
            | MapType::CGRP_STORAGE
            | MapType::QUEUE
            | MapType::STACK
            | MapType::ARENA
    )
}

/// Tests that the map's value may be addressed directly at an offset
/// (`map_direct_value_addr` of the map's operations).
///
/// # Errors
///
/// The rejection.
pub fn check_direct_value<O: Observer>(env: &mut Env<'_, O>, map: MapIndex, offset: u32) -> Step {
    if offset >= env.kernel.limits().var_off {
        return env.reject(Structure::ValueOffsetTooLarge { offset });
    }
    let spec = &env.map(map)?.spec;
    let Some(facts) = env.kernel.map_type(spec.map_type)? else {
        // No such map could have been made.
        return env.unsupported("map of a type that the kernel lacks", "");
    };
    let errno = match facts.op("map_direct_value_addr") {
        None => return env.reject(Structure::NoDirectValue),
        Some("array_map_direct_value_addr") => {
            if spec.max_entries != 1 {
                Some(Errno::ENOTSUPP)
            } else if offset >= spec.value_size {
                Some(Errno::EINVAL)
            } else {
                None
            }
        }
        Some("arena_map_direct_value_addr") => {
            /// Bytes of a page, of which `max_entries` counts the arena's.
            const PAGE: u64 = 4096;
            let size = u64::from(spec.max_entries).saturating_mul(PAGE);
            (u64::from(offset) > size).then_some(Errno::ERANGE)
        }
        // Arrays of instructions, which kernels after 6.18 have.
        Some(other) => return env.unsupported("direct value of a map", other),
    };
    match errno {
        None => Ok(()),
        Some(errno) => {
            let value_size = spec.value_size;
            env.reject_with(errno, Structure::DirectValueOutside { value_size, offset })
        }
    }
}

/// The BTF that a kernel variable's id counts in: that of the module which the loader names for
/// the instruction, else the one behind the descriptor in the second slot.
///
/// # Errors
///
/// The rejection.
pub fn btf_of_variable<'a, O: Observer>(
    env: &mut Env<'a, O>,
    index: u32,
    fd: i32,
) -> Step<(&'a Btf<'a>, UsedBtf<'a>)> {
    let request = env.request;
    let module = request.fixups.iter().find_map(|fixup| match &fixup.kind {
        FixupKind::ModuleBtf(module) if fixup.insn == index => Some(&**module),
        _ => None,
    });
    if let Some(module) = module {
        return match env.kernel.btf(Some(module))? {
            Some(btf) => Ok((btf, UsedBtf::Module(module))),
            // No built-in kernel has modules.
            None => env.unsupported("BTF of a module that the kernel does not have", module),
        };
    }
    if fd != 0 {
        // The number is passed as it stands, and stands for no BTF that the loader opened.
        return env.reject(Structure::InvalidBtfObject);
    }
    match env.kernel.btf(None)? {
        Some(btf) => Ok((btf, UsedBtf::Kernel)),
        None => env.reject(Structure::KernelLacksBtf),
    }
}
