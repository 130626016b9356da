// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Reading what the writer wrote: every kind, headers, split BTF, names, and bad references.

mod common;

use std::sync::Arc;

use common::{every_kind, walk};
use veristable_btf::writer::{NewMember, Writer};
use veristable_btf::{Btf, DeclTagIndex, Error, Indexes, Kind, PointerSize, TypeId};

/// Each type of the sample, as its views show it.
#[test]
fn every_kind_is_read_as_written() {
    let btf = Btf::open(every_kind().finish()).unwrap();
    btf.check().unwrap();
    let expected = [
        "Int(Int { size: 4, bits: 32, offset: 0, encoding: 1 })",
        "Int(Int { size: 8, bits: 64, offset: 0, encoding: 0 })",
        "Struct(Composite { size: 16, members: ['first' [1] @ bit 0, 'second' [2] @ bit 64] })",
        "Ptr(TypeId(3))",
        "Const(TypeId(4))",
        "Volatile(TypeId(5))",
        "Restrict(TypeId(6))",
        "TypeTag(TypeTag { target: TypeId(7), attribute: false })",
        "Typedef(TypeId(8))",
        "Array(Array { element: TypeId(3), index: TypeId(1), count: 3 })",
        "Union(Composite { size: 48, members: ['all' [10] @ bit 0, '' [3] @ bit 0] })",
        "Struct(Composite { size: 4, members: ['low' [1] @ bit 0:3, 'x' [1] @ bit 3:5] })",
        "Enum(Enum { size: 4, signed: true, values: ['MINUS' = -1, 'ONE' = 1] })",
        "Enum(Enum { size: 4, signed: false, values: ['HIGH' = 4294967295] })",
        "Enum64(Enum { size: 8, signed: false, values: ['BIG' = 1099511627776, 'ALL' = -1] })",
        "Fwd(Struct)",
        "Fwd(Union)",
        "Float { size: 8 }",
        "FuncProto(FuncProto { returns: TypeId(1), params: ['p' [9], '' [0]] })",
        "Func(Func { proto: TypeId(19), linkage: Global })",
        "Var(Var { type_id: TypeId(2), linkage: Static })",
        "Datasec(Datasec { size: 8, vars: [SectionVar { type_id: TypeId(21), offset: 0, size: 8 }] })",
        "DeclTag(DeclTag { target: TypeId(20), component: None, attribute: false })",
        "DeclTag(DeclTag { target: TypeId(20), component: Some(0), attribute: false })",
    ];
    let got: Vec<_> = btf.types().map(|ty| format!("{:?}", ty.data())).collect();
    assert_eq!(got, expected);
    let kinds: std::collections::BTreeSet<_> = btf.types().map(|ty| ty.kind()).collect();
    assert_eq!(kinds.len(), 19);
    for kind in kinds {
        assert_eq!(Kind::from_number(kind.number()), kind);
    }
}

#[test]
fn elements_are_lists_and_iterators() {
    let btf = Btf::open(every_kind().finish()).unwrap();
    let members = btf.type_by_id(TypeId(3)).unwrap().members();
    assert_eq!(members.len(), 2);
    assert_eq!(members.get(1).unwrap().name(), "second");
    assert_eq!(members.get(1).unwrap().byte_offset(), 8);
    assert!(members.get(2).is_none());
    assert!(members.get(usize::MAX).is_none());
    assert_eq!(members.iter().rev().map(|m| m.name()).collect::<Vec<_>>(), ["second", "first"]);
    assert_eq!(members.iter().nth(1).unwrap().name(), "second");
    assert!(members.iter().nth(9).is_none());
}

/// Sizes of the sample's types, and of those that have none.
#[test]
fn sizes_are_resolved() {
    let mut writer = every_kind();
    let int = TypeId(1);
    let huge = writer.add_array(int, int, 1 << 30);
    let matrix = writer.add_array(huge, int, 2);
    let none = writer.add_array(TypeId(16), int, 0);
    let cycle = writer.next_id();
    writer.add_typedef("a", TypeId(cycle.0 + 1));
    writer.add_typedef("b", cycle);
    let mut deep = writer.add_typedef("t", int);
    for _ in 1..31 {
        deep = writer.add_typedef("t", deep);
    }
    let deeper = writer.add_typedef("t", deep);
    let missing = writer.add_typedef("m", TypeId(9999));
    let btf = Btf::open(writer.finish()).unwrap();
    let count = btf.type_count();
    let cases = [
        (1, Ok(4)),
        (3, Ok(16)),
        (4, Ok(8)),
        (9, Ok(8)),
        (10, Ok(48)),
        (13, Ok(4)),
        (18, Ok(8)),
        (21, Ok(8)),
        (22, Ok(8)),
        (0, Err(Error::NoSize { id: TypeId(0), kind: Kind::Void })),
        (16, Err(Error::NoSize { id: TypeId(16), kind: Kind::Fwd })),
        (20, Err(Error::NoSize { id: TypeId(20), kind: Kind::Func })),
        (huge.0, Err(Error::TooLarge { id: huge })),
        (matrix.0, Err(Error::TooLarge { id: matrix })),
        (none.0, Err(Error::NoSize { id: none, kind: Kind::Fwd })),
        (cycle.0, Err(Error::EndlessChain { id: cycle })),
        (deep.0, Ok(4)),
        (deeper.0, Err(Error::EndlessChain { id: deeper })),
        (missing.0, Err(Error::NoSuchType { id: TypeId(9999), count })),
    ];
    for (id, expected) in cases {
        assert_eq!(btf.resolve_size(TypeId(id)), expected, "type {id}");
    }
    assert_eq!(btf.skip_modifiers(TypeId(9)).unwrap().id(), TypeId(4));
    assert_eq!(btf.skip_modifiers(deeper).unwrap().id(), int);
    assert_eq!(btf.skip_modifiers(cycle).unwrap_err(), Error::EndlessChain { id: cycle });
    let mut narrow = btf.clone();
    narrow.set_pointer_size(PointerSize::Four);
    assert_eq!(narrow.resolve_size(TypeId(9)), Ok(4));
    assert_eq!(btf.guess_pointer_size(), Some(PointerSize::Eight));
}

#[test]
fn alignments_are_guessed() {
    let mut w = every_kind();
    let (int, long) = (TypeId(1), TypeId(2));
    let short = w.add_int("short", 2, 1);
    let wide = w.add_int("__int128", 16, 0);
    let nothing = w.add_int("", 0, 0);
    let empty = w.add_struct("empty", 0, &[]);
    let shorts =
        w.add_struct("shorts", 4, &[NewMember::at("a", short, 0), NewMember::at("b", short, 2)]);
    let odd = w.add_struct("odd", 7, &[NewMember::at("a", int, 0), NewMember::at("b", short, 4)]);
    let moved =
        w.add_struct("moved", 12, &[NewMember::at("a", int, 0), NewMember::at("b", long, 4)]);
    let nested =
        w.add_struct("nested", 16, &[NewMember::at("m", moved, 0), NewMember::at("s", shorts, 12)]);
    let own = w.next_id();
    w.add_struct("own", 4, &[NewMember::at("own", own, 0)]);
    let btf = Btf::open(w.finish()).unwrap();
    let endless = Err(Error::EndlessChain { id: own });
    let cases = [
        (int, Ok(4)),
        (wide, Ok(8)),
        (nothing, Err(Error::NoSize { id: nothing, kind: Kind::Int })),
        (empty, Ok(1)),
        (shorts, Ok(2)),
        (odd, Ok(1)),
        (moved, Ok(1)),
        (nested, Ok(2)),
        (own, endless),
        (TypeId(3), Ok(8)),
        (TypeId(9), Ok(8)),
        (TypeId(10), Ok(8)),
        (TypeId(11), Ok(8)),
        (TypeId(12), Ok(4)),
        (TypeId(16), Err(Error::NoSize { id: TypeId(16), kind: Kind::Fwd })),
    ];
    for (id, expected) in cases {
        assert_eq!(btf.align_of(id), expected, "type {id}");
    }
}

/// Every name is found with and without an index, the lowest id first.
#[test]
fn names_are_found() {
    let mut writer = every_kind();
    let second = writer.add_struct("pair", 1, &[]);
    let scan = Btf::open(writer.finish()).unwrap();
    let mut indexed = scan.clone();
    indexed.build_name_index();
    for btf in [&scan, &indexed] {
        assert_eq!(btf.find_by_name("pair", Kind::Struct), Some(TypeId(3)));
        assert_eq!(btf.find_by_name("pair", Kind::Union), None);
        assert_eq!(btf.find_by_name("", Kind::Ptr), None);
        assert_eq!(btf.find_by_name("nothing", Kind::Struct), None);
        assert_eq!(btf.find_by_name("run", Kind::Func), Some(TypeId(20)));
        assert_eq!(btf.find(b"run", |_| true), Some(TypeId(20)));
        let ids: Vec<_> = btf.own_types_named("pair").map(|ty| ty.id()).collect();
        assert_eq!(ids, [TypeId(3), second]);
        let mut ids: Vec<_> = btf.own_types_with_prefix(b"pair").map(|ty| ty.id()).collect();
        ids.sort();
        assert_eq!(ids, [TypeId(3), TypeId(9), second]);
    }
    let tags: Vec<_> =
        scan.decl_tags(TypeId(20)).map(|(tag, text)| (tag.component, text)).collect();
    assert_eq!(tags, [(None, "whole"), (Some(0), "arg")]);
    let index = DeclTagIndex::new(&scan);
    let again: Vec<_> =
        index.of(&scan, TypeId(20)).map(|(tag, text)| (tag.component, text)).collect();
    assert_eq!(again, tags);
    assert_eq!(index.of(&scan, TypeId(19)).count(), 0);
}

#[test]
fn indexes_can_be_handed_in() {
    let bytes = every_kind().finish();
    let mut btf = Btf::open(&bytes[..]).unwrap();
    btf.build_name_index();
    let offsets = btf.offset_index().to_vec();
    let names = btf.name_index().unwrap().to_vec();
    let open = |offsets: &[u32], names: &[u32]| {
        let indexes =
            Indexes { offsets: Some(offsets.to_vec().into()), names: Some(names.to_vec().into()) };
        Btf::open_with(&bytes[..], None, indexes)
    };
    let again = open(&offsets, &names).unwrap();
    assert_eq!(walk(&again), walk(&btf));
    let late: Vec<_> = offsets.iter().map(|at| at + 4).collect();
    let far: Vec<_> = offsets.iter().copied().chain([1 << 20]).collect();
    let same: Vec<_> = offsets.iter().map(|_| offsets[0]).collect();
    for bad in [&late[..], &far, &same, &[]] {
        assert!(matches!(open(bad, &names), Err(Error::BadIndex { .. })), "{bad:?}");
    }
    assert!(matches!(open(&offsets, &[0]), Err(Error::BadIndex { .. })));
    assert!(matches!(open(&offsets, &[999]), Err(Error::BadIndex { .. })));
    // Wrong without being evident: wrong answers, but safe.
    let wrong: Vec<_> =
        [offsets[0], offsets[0] + 13].into_iter().chain(offsets[3..].to_vec()).collect();
    walk(&open(&wrong, &[7, 7, 3]).unwrap());
}

#[test]
fn split_btf_continues_its_base() {
    let base_writer = every_kind();
    let base = Btf::open(base_writer.finish()).unwrap();
    let mut writer = Writer::split(&base);
    let own = writer.add_struct("module", 16, &[NewMember::at("p", TypeId(3), 0)]);
    let alias = writer.add_typedef("pair", own);
    assert_eq!(own.0, base.type_count());
    let bytes = writer.finish();
    let check = |split: &Btf<'_>| {
        split.check().unwrap();
        assert_eq!(split.type_count(), base.type_count() + 2);
        assert_eq!(split.type_by_id(own).unwrap().name(), "module");
        assert_eq!(split.type_by_id(TypeId(3)).unwrap().name(), "pair");
        assert_eq!(split.find_by_name("pair", Kind::Struct), Some(TypeId(3)));
        assert_eq!(split.find_by_name("pair", Kind::Typedef), Some(alias));
        assert_eq!(split.find(b"pair", |_| true), Some(TypeId(3)));
        assert_eq!(split.find_own_by_name("pair", Kind::Struct), None);
        assert_eq!(split.types().count(), 2);
        assert_eq!(split.all_types().count() + 1, split.type_count() as usize);
        assert_eq!(split.resolve_size(alias), Ok(16));
        let edited = Writer::edit(split).finish();
        assert_eq!(edited, bytes);
        walk(split);
    };
    check(&Btf::open_split(&bytes[..], &base).unwrap());
    check(&Btf::open_split(&bytes[..], Arc::new(base.clone())).unwrap());
    let owned: Btf<'static> = Btf::open_split(&bytes[..], &base).unwrap().into_owned();
    check(&owned);
    // Without a base the first string has to be empty.
    assert!(matches!(Btf::open(&bytes[..]), Err(Error::BadStringSection { .. })));
}

#[test]
fn longer_headers_and_layout_tables() {
    for len in [24, 28, 32, 36, 64] {
        let mut writer = every_kind();
        writer.set_header_len(len);
        let bytes = writer.finish();
        assert_eq!(walk(&Btf::open(&bytes[..]).unwrap()), 2 + walk_size(), "header of {len}");
    }
    let with_kind = |layout: Option<&[(u8, u8)]>| {
        let mut writer = Writer::new();
        writer.add_int("before", 4, 0);
        writer.add("new", Kind::Unknown(20), false, 2, 7, [1, 2, 3, 4, 5]);
        writer.add_int("after", 8, 0);
        if let Some(layout) = layout {
            writer.set_layout(layout);
        }
        writer.finish()
    };
    let mut layout = vec![(0, 0); 20];
    let unknown = Error::UnknownKind { id: TypeId(2), kind: 20, offset: 40 };
    assert_eq!(Btf::open(with_kind(None)).unwrap_err(), unknown);
    let unknown = Error::UnknownKind { id: TypeId(2), kind: 20, offset: 48 };
    assert_eq!(Btf::open(with_kind(Some(&layout))).unwrap_err(), unknown);
    layout.push((3, 8));
    assert_eq!(Btf::open(with_kind(Some(&layout))).unwrap_err(), unknown);
    layout[20] = (4, 8);
    let btf = Btf::open(with_kind(Some(&layout))).unwrap();
    assert_eq!(btf.type_by_id(TypeId(2)).unwrap().tail().len(), 20);
    assert_eq!(btf.find_by_name("after", Kind::Int), Some(TypeId(3)));
    assert!(btf.check().is_err());
    walk(&btf);
    // A split BTF may rely on the layout table of its base.
    let mut split = Writer::split(&btf);
    split.add("newer", Kind::Unknown(20), false, 0, 0, [9]);
    let split = Btf::open_split(split.finish(), &btf).unwrap();
    assert_eq!(split.types().next().unwrap().tail(), [9, 0, 0, 0]);
}

/// What `walk` finds in the sample, but for the two lists of it that depend on nothing else.
fn walk_size() -> usize {
    walk(&Btf::open(every_kind().finish()).unwrap()) - 2
}

/// Headers that contradict themselves.
#[test]
fn bad_headers_are_refused() {
    let good = every_kind().finish();
    let patched = |at: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        Btf::open(bytes).unwrap_err()
    };
    let types = u32::from_le_bytes(good[12..16].try_into().unwrap());
    assert_eq!(patched(0, 0x0001_9feb), Error::BigEndian);
    assert_eq!(patched(0, 0x0001_1234), Error::BadMagic { found: 0x1234 });
    assert_eq!(patched(0, 0x0002_eb9f), Error::UnsupportedVersion { found: 2 });
    assert_eq!(patched(0, 0x0101_eb9f), Error::UnsupportedFlags { found: 1 });
    for (at, value) in [
        (4, 0),
        (4, 23),
        (4, u32::MAX),
        (4, 1 << 20),
        (8, 1),
        (8, 4),
        (8, u32::MAX),
        (12, types + 1),
        (12, types - 1),
        (12, u32::MAX),
        (16, 0),
        (16, types - 4),
        (16, u32::MAX),
        (20, 0),
        (20, 2),
        (20, u32::MAX),
    ] {
        let error = patched(at, value);
        assert!(!error.to_string().is_empty(), "{at}: {value}");
    }
}

/// References and names that lead nowhere are safe, and found by the check.
#[test]
fn bad_references_are_found_by_the_check() {
    let check = |what: &str, build: &dyn Fn(&mut Writer)| {
        let mut writer = every_kind();
        build(&mut writer);
        let btf = Btf::open(writer.finish()).unwrap();
        assert!(btf.check().is_err(), "{what}");
        walk(&btf);
    };
    let bad = TypeId(500);
    check("pointer", &|w| _ = w.add_ptr(bad));
    check("array element", &|w| _ = w.add_array(bad, TypeId(1), 1));
    check("array index", &|w| _ = w.add_array(TypeId(1), bad, 1));
    check("member", &|w| _ = w.add_struct("s", 1, &[NewMember::at("m", bad, 0)]));
    check("parameter", &|w| _ = w.add_func_proto(TypeId(1), &[("p", bad)]));
    check("returned", &|w| _ = w.add_func_proto(bad, &[]));
    check("function", &|w| _ = w.add_func("f", bad, veristable_btf::Linkage::Static));
    check("function of no prototype", &|w| {
        _ = w.add_func("f", TypeId(1), veristable_btf::Linkage::Static);
    });
    check("variable", &|w| _ = w.add_var("v", bad, veristable_btf::Linkage::Static));
    check("name", &|w| w.set_word(TypeId(1), 0, 1 << 24).unwrap());
    check("member name", &|w| w.set_word(TypeId(3), 3, 1 << 24).unwrap());
    check("text", &|w| {
        let text = w.string_bytes(b"\xff\xfe");
        w.set_word(TypeId(1), 0, text).unwrap();
    });
}
