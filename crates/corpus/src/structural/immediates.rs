// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Kinds of 64-bit loads, maps and the table of descriptors: `resolve_pseudo_ldimm64`,
//! `process_fd_array`, `check_pseudo_btf_id` (`kernel/bpf/verifier.c`).

use std::sync::Arc;

use veristable_btf::{Btf, Kind};
use veristable_isa::Insn;
use veristable_kernel::MapType;
use veristable_program::{FdEntry, LoadRequest, MapDesc};

use super::code::{EXIT, Types, ZERO, jeq, join, map, op, wide};
use super::{Cases, filter};

/// `BPF_PSEUDO_MAP_FD`
const MAP_FD: u8 = 1;
/// `BPF_PSEUDO_MAP_VALUE`
const MAP_VALUE: u8 = 2;
/// `BPF_PSEUDO_BTF_ID`
const BTF_ID: u8 = 3;
/// `BPF_PSEUDO_MAP_IDX`
const MAP_IDX: u8 = 5;
/// `BPF_PSEUDO_MAP_IDX_VALUE`
const MAP_IDX_VALUE: u8 = 6;

pub(super) fn add(cases: &mut Cases) {
    kinds(cases);
    values(cases);
    tables(cases);
    many_maps(cases);
}

/// Ids of the kernel's types in 64-bit loads.
pub(super) fn add_linked(cases: &mut Cases, btf: &Btf<'_>) {
    for (name, kind) in [
        ("bpf_prog_active", Kind::Var),
        ("runqueues", Kind::Var),
        ("init_task", Kind::Var),
        ("vfs_read", Kind::Func),
        ("task_struct", Kind::Struct),
        ("int", Kind::Int),
        (".data..percpu", Kind::Datasec),
    ] {
        let Some(id) = btf.find_by_name(name, kind) else { continue };
        let id = i32::try_from(id.0).unwrap_or(i32::MAX);
        cases.filter(format!("immediates/kernel's {name}"), load(wide(1, BTF_ID, id, 0)));
        let open = wide(1, BTF_ID, id, 12345);
        cases.filter(format!("immediates/kernel's {name} of no module"), load(open));
    }
}

/// A program that loads this.
fn load(pair: [Insn; 2]) -> Vec<Insn> {
    join(&[&pair, &[ZERO, EXIT]])
}

/// A program that loads this where no path leads.
fn dead(pair: [Insn; 2]) -> Vec<Insn> {
    join(&[&[ZERO, jeq(0, 0, 2)], &pair, &[ZERO, EXIT]])
}

fn kinds(cases: &mut Cases) {
    for kind in 0..16 {
        cases.filter(format!("immediates/kind {kind}"), load(wide(1, kind, 0, 0)));
        cases.filter(format!("immediates/kind {kind}, dead"), dead(wide(1, kind, 0, 0)));
        let mut request = filter(load(wide(1, kind, 0, 0)));
        request.maps = vec![map(MapType::ARRAY, 1)];
        request.fd_array = vec![FdEntry::Map(0)];
        cases.add(format!("immediates/kind {kind} with a map"), request.clone());
        request.insns = load(wide(1, kind, 0, 1));
        cases.add(format!("immediates/kind {kind} with a map, second immediate 1"), request);
        let second = [op(0x18, 1, kind, 0, 0), op(0, 0, 0, 1, 0)];
        cases.filter(format!("immediates/kind {kind}, second slot's off"), load(second));
    }
    for id in [-1, 1 << 20, 0x7fff_ffff] {
        cases.filter(format!("immediates/type {id:#x}"), load(wide(1, BTF_ID, id, 0)));
    }
    cases.filter("immediates/last slot", [ZERO, EXIT, op(0x18, 1, 0, 0, 0)]);
    cases.filter("immediates/nothing else", [op(0x18, 0, 0, 0, 0)]);
}

/// Addresses inside maps.
fn values(cases: &mut Cases) {
    let kinds = [
        ("array", map(MapType::ARRAY, 1)),
        ("array of two", map(MapType::ARRAY, 2)),
        ("hash", map(MapType::HASH, 1)),
        ("array per CPU", map(MapType::PERCPU_ARRAY, 1)),
        ("prog array", map(MapType::PROG_ARRAY, 1)),
    ];
    for (name, map) in kinds {
        for off in [0, 7, 8, 9, 16, (1 << 29) - 1, 1 << 29, -1] {
            let mut request = filter(load(wide(1, MAP_VALUE, 0, off)));
            request.maps = vec![Arc::clone(&map)];
            cases.add(format!("immediates/value of {name} at {off}"), request);
        }
        let mut request = filter(load(wide(1, MAP_FD, 0, 0)));
        request.maps = vec![map];
        cases.add(format!("immediates/map, {name}"), request);
    }
    for kind in [MAP_FD, MAP_VALUE] {
        let request = filter(load(wide(1, kind, 7, 0)));
        cases.add(format!("immediates/kind {kind}, not open"), request);
        cases.filter(format!("immediates/kind {kind}, not open, dead"), dead(wide(1, kind, 7, 0)));
    }
}

/// The table of descriptors.
fn tables(cases: &mut Cases) {
    let types = Types::new().finish();
    let with = |insns: Vec<Insn>, table: &[FdEntry], counted: bool| LoadRequest {
        maps: vec![map(MapType::ARRAY, 1)],
        fd_array: table.to_vec(),
        fd_array_counted: counted,
        ..filter(insns)
    };
    let entries = [
        ("map", FdEntry::Map(0)),
        ("nothing", FdEntry::Empty),
        ("not open", FdEntry::Map(9)),
        ("types", FdEntry::Btf(types)),
    ];
    for (name, entry) in &entries {
        let table = [FdEntry::Map(0), entry.clone()];
        for counted in [false, true] {
            let how = if counted { "counted table" } else { "table" };
            let unused = with(vec![ZERO, EXIT], &table, counted);
            cases.add(format!("immediates/{how} with {name}, unused"), unused);
            for kind in [MAP_IDX, MAP_IDX_VALUE] {
                let request = with(load(wide(1, kind, 1, 0)), &table, counted);
                cases.add(format!("immediates/{how} with {name}, kind {kind}"), request);
            }
        }
    }
    let one = [FdEntry::Map(0)];
    for index in [-1, 1, 1000, i32::MIN] {
        let request = with(load(wide(1, MAP_IDX, index, 0)), &one, false);
        cases.add(format!("immediates/slot {index} of a table of one"), request);
    }
    for off in [8, 1 << 29] {
        let request = with(load(wide(1, MAP_IDX_VALUE, 0, off)), &one, false);
        cases.add(format!("immediates/value through the table at {off}"), request);
    }
    let empty = LoadRequest { fd_array_counted: true, ..filter([ZERO, EXIT]) };
    cases.add("immediates/counted table of none", empty);
}

/// How many maps a program may use (`MAX_USED_MAPS`).
fn many_maps(cases: &mut Cases) {
    for count in [63usize, 64, 65] {
        // Each under its own name, so that nobody takes two for one.
        let numbered = |number: usize| {
            let mut map = map(MapType::ARRAY, 1);
            Arc::make_mut(&mut map).spec.name = format!("map{number}");
            map
        };
        let maps: Vec<Arc<MapDesc>> = (0..count).map(numbered).collect();
        let numbers = 0..i32::try_from(count).unwrap_or(0);
        let mut insns: Vec<Insn> = numbers.flat_map(|number| wide(1, MAP_FD, number, 0)).collect();
        insns.extend([ZERO, EXIT]);
        let named = LoadRequest { maps: maps.clone(), ..filter(insns) };
        cases.add(format!("immediates/{count} maps"), named);
        let slots = 0..u32::try_from(count).unwrap_or(0);
        let bound = LoadRequest {
            maps,
            fd_array: slots.map(FdEntry::Map).collect(),
            fd_array_counted: true,
            ..filter([ZERO, EXIT])
        };
        cases.add(format!("immediates/{count} maps in the counted table"), bound);
    }
}
