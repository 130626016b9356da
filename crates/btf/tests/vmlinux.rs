// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The running kernel's own BTF, where there is one.

use std::time::Instant;

use veristable_btf::{Btf, Indexes, Kind, TypeId};

const PATH: &str = "/sys/kernel/btf/vmlinux";

/// The kernel's BTF, or `None` with the reason printed.
fn vmlinux() -> Option<Vec<u8>> {
    std::fs::read(PATH).map_err(|error| println!("skipped: {PATH}: {error}")).ok()
}

#[test]
fn reads_the_running_kernel() {
    let Some(bytes) = vmlinux() else { return };
    let start = Instant::now();
    let mut btf = Btf::open(&bytes[..]).unwrap();
    println!("open with offset index: {:?}, {} types", start.elapsed(), btf.type_count());

    let start = Instant::now();
    let by_scan = btf.find_by_name("task_struct", Kind::Struct).unwrap();
    println!("find task_struct by scan: {:?}", start.elapsed());
    let start = Instant::now();
    btf.build_name_index();
    println!("build name index: {:?}", start.elapsed());
    let start = Instant::now();
    let id = btf.find_by_name("task_struct", Kind::Struct).unwrap();
    println!("find task_struct by index: {:?}", start.elapsed());
    assert_eq!(id, by_scan);

    let indexes = Indexes {
        offsets: Some(btf.offset_index().into()),
        names: Some(btf.name_index().unwrap().into()),
    };
    let start = Instant::now();
    let again = Btf::open_with(&bytes[..], None, indexes).unwrap();
    println!("open with both indexes handed in: {:?}", start.elapsed());
    assert_eq!(again.find_by_name("task_struct", Kind::Struct), Some(id));

    let task = btf.type_by_id(id).unwrap();
    let size = btf.resolve_size(id).unwrap();
    assert_eq!(task.size(), Some(size));
    assert!(size > 1000);
    assert!(task.members().any(|member| member.name() == "pid"));
    assert_eq!(btf.resolve_size(TypeId(1)).ok(), btf.type_by_id(TypeId(1)).unwrap().size());

    let start = Instant::now();
    btf.check().unwrap();
    println!("check: {:?}", start.elapsed());
    let start = Instant::now();
    let mut composites = 0;
    for ty in btf.types().filter(|ty| ty.kind().is_composite()) {
        assert_eq!(btf.resolve_size(ty.id()).ok(), ty.size(), "{ty:?}");
        composites += 1;
    }
    println!("sizes of {composites} structs and unions: {:?}", start.elapsed());
}

/// Every named type is found, and at the id that a plain scan gives.
#[test]
fn the_name_index_agrees_with_a_scan() {
    let Some(bytes) = vmlinux() else { return };
    let scan = Btf::open(&bytes[..]).unwrap();
    let mut indexed = scan.clone();
    indexed.build_name_index();
    let mut first = std::collections::HashMap::new();
    for ty in scan.types().filter(|ty| !ty.name().is_empty()) {
        first.entry((ty.name(), ty.kind())).or_insert(ty.id());
    }
    let start = Instant::now();
    for ((name, kind), id) in &first {
        assert_eq!(indexed.find_by_name(name, *kind), Some(*id), "{kind} {name}");
    }
    println!("{} names found by index in {:?}", first.len(), start.elapsed());
}
