// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! CO-RE: one case per rule of libbpf's relo_core.c, with types made for it.

use veristable_btf::relo::{
    self, Patch, PatchError, RawInsn, RelocError, RelocKind, Relocated, Relocator, Rules, Spec,
    Work,
};
use veristable_btf::writer::{NewMember, Writer};
use veristable_btf::{Btf, CoreRelo, FwdKind, Kind, TypeId};

use RelocKind::*;

/// The types that most cases need; the first ids of every BTF here.
struct Base {
    int: TypeId,
    u32: TypeId,
    u64: TypeId,
    ptr: TypeId,
    char: TypeId,
}

fn base(w: &mut Writer) -> Base {
    let int = w.add_int("int", 4, 1);
    let u32 = w.add_int("unsigned int", 4, 0);
    let u64 = w.add_int("long unsigned int", 8, 0);
    let ptr = w.add_ptr(TypeId::VOID);
    let char = w.add_int("char", 1, 0);
    Base { int, u32, u64, ptr, char }
}

/// An answer in short.
fn show(answer: &Result<Relocated, RelocError>) -> String {
    match answer {
        Ok(answer) if answer.poison => "poison".to_owned(),
        Ok(answer) => {
            let mut text = format!("{} -> {}", answer.original as i64, answer.new as i64);
            if !answer.validate {
                text += " unchecked";
            }
            if answer.original_size != answer.new_size {
                text += &format!(", size {} -> {}", answer.original_size, answer.new_size);
            }
            if answer.fail_size_change {
                text += " fails";
            }
            text
        }
        Err(error) => format!("error {error:?}"),
    }
}

type Build<'c> = &'c dyn Fn(&mut Writer, &Base) -> TypeId;

/// Relocates accesses of one local type against one kernel, each with its expectation.
fn check(what: &str, local: Build<'_>, target: Build<'_>, cases: &[(RelocKind, &str, &str)]) {
    let mut kernel = Writer::new();
    let types = base(&mut kernel);
    target(&mut kernel, &types);
    let plain = Btf::open(kernel.finish()).unwrap();
    let mut indexed = plain.clone();
    indexed.build_name_index();
    let mut object = Writer::new();
    let types = base(&mut object);
    let type_id = local(&mut object, &types);
    let cases: Vec<_> = cases
        .iter()
        .map(|(kind, access, expected)| {
            let access_offset = object.string(access);
            let kind_number = kind.number();
            (CoreRelo { insn_offset: 0, type_id, access_offset, kind_number }, *access, *expected)
        })
        .collect();
    let object = Btf::open(object.finish()).unwrap();
    for kernel in [&plain, &indexed] {
        for (relo, access, expected) in &cases {
            // A relocator of its own, since one relocation may rule out candidates for the next.
            let answer = Relocator::new(&object, kernel).relocate(relo);
            assert_eq!(show(&answer), *expected, "{what}: {:?} {access}", relo.kind().unwrap());
        }
    }
}

#[test]
fn fields_move_and_disappear() {
    check(
        "moved fields",
        &|w, t| {
            let inner = [NewMember::at("x", t.int, 0), NewMember::at("y", t.u64, 8)];
            let inner = w.add_struct("", 16, &inner);
            let array = w.add_array(inner, t.u32, 4);
            let anonymous = w.add_union("", 8, &[NewMember::at("deep", t.u64, 0)]);
            let members = [
                NewMember::at("a", t.int, 0),
                NewMember::at("gone", t.int, 4),
                NewMember::at("list", array, 8),
                NewMember::at("", anonymous, 72),
            ];
            w.add_struct("s", 80, &members)
        },
        &|w, t| {
            let inner = [NewMember::at("y", t.u64, 0), NewMember::at("x", t.int, 8)];
            let inner = w.add_struct("", 16, &inner);
            let array = w.add_array(inner, t.u32, 3);
            let typedef = w.add_typedef("list_t", array);
            let inside = w.add_struct("", 16, &[NewMember::at("deep", t.u64, 8)]);
            let anonymous = w.add_union("", 16, &[NewMember::at("", inside, 0)]);
            let members = [
                NewMember::at("", anonymous, 16),
                NewMember::at("a", t.int, 40),
                NewMember::at("list", typedef, 48),
            ];
            w.add_struct("s", 96, &members)
        },
        &[
            (FieldByteOffset, "0", "0 -> 0, size 80 -> 96 fails"),
            (FieldByteOffset, "2", "160 -> 192, size 80 -> 96 fails"),
            (FieldByteSize, "0", "80 -> 96"),
            (FieldSigned, "0", "error ArrayAccess { kind: FieldSigned }"),
            (FieldByteOffset, "0:0", "0 -> 40"),
            (FieldByteOffset, "1:0", "80 -> 136"),
            (FieldExists, "0:0", "1 -> 1"),
            (FieldByteOffset, "0:1", "poison"),
            (FieldByteSize, "0:1", "poison"),
            (FieldExists, "0:1", "1 -> 0"),
            (FieldByteSize, "0:2", "64 -> 48"),
            (FieldByteOffset, "0:2:1", "24 -> 64"),
            (FieldByteOffset, "0:2:1:0", "24 -> 72"),
            (FieldByteOffset, "0:2:1:1", "32 -> 64"),
            (FieldByteOffset, "0:2:3:0", "poison"),
            (FieldExists, "0:2:3:0", "1 -> 0"),
            (FieldByteOffset, "0:3:0", "72 -> 24"),
            (FieldRshiftU64, "0:0", "32 -> 32"),
            (FieldLshiftU64, "0:0", "32 -> 32"),
            (FieldSigned, "0:0", "1 -> 1"),
            (FieldByteOffset, "0:4", "error BadAccess { problem: \"no such member\" }"),
            (
                FieldByteOffset,
                "0:2:4",
                "error BadAccess { problem: \"index past the end of an array\" }",
            ),
            (
                FieldByteOffset,
                "0:0:0",
                "error UnexpectedKind { id: TypeId(1), kind: Int, position: 2 }",
            ),
            (FieldByteOffset, "", "error BadAccess { problem: \"not numbers\" }"),
            (FieldByteOffset, ":0", "error BadAccess { problem: \"not numbers\" }"),
            (FieldByteOffset, "0:", "error BadAccess { problem: \"not numbers\" }"),
            (FieldByteOffset, "0:-1", "error BadAccess { problem: \"a negative index\" }"),
            (FieldByteOffset, "0:x", "error BadAccess { problem: \"not numbers\" }"),
            (
                EnumvalExists,
                "0",
                "error UnexpectedKind { id: TypeId(9), kind: Struct, position: 0 }",
            ),
        ],
    );
}

#[test]
fn access_strings_have_at_most_64_indexes() {
    let long = vec!["0"; 65].join(":");
    check(
        "length",
        &|w, t| {
            let mut inner = t.int;
            for _ in 0..70 {
                inner = w.add_struct("s", 4, &[NewMember::at("m", inner, 0)]);
            }
            inner
        },
        &|w, t| w.add_struct("s", 4, &[NewMember::at("m", t.int, 0)]),
        &[
            (FieldByteOffset, &long, "error BadAccess { problem: \"more than 64 indexes\" }"),
            (FieldExists, &long[..127], "1 -> 0"),
        ],
    );
}

#[test]
fn flexible_arrays() {
    let build = |count: u32, last: bool| {
        move |w: &mut Writer, t: &Base| {
            let array = w.add_array(t.u32, t.u32, count);
            let mut members = vec![NewMember::at("n", t.int, 0), NewMember::at("data", array, 4)];
            if !last {
                members.push(NewMember::at("end", t.int, 4));
            }
            w.add_struct("f", 8, &members)
        }
    };
    let past = "error BadAccess { problem: \"index past the end of an array\" }";
    let beyond = &[(FieldByteOffset, "0:1:9", "40 -> 40")];
    check("both flexible", &build(0, true), &build(0, true), beyond);
    check("fixed here", &build(0, true), &build(10, true), beyond);
    check("too short here", &build(0, true), &build(9, true), &[(FieldExists, "0:1:9", "1 -> 0")]);
    check("not last here", &build(0, true), &build(0, false), &[(FieldExists, "0:1:9", "1 -> 0")]);
    check("not last there", &build(0, false), &build(0, true), &[(FieldExists, "0:1:9", past)]);
    check("size", &build(0, true), &build(3, true), &[(FieldByteSize, "0:1", "0 -> 12")]);
}

/// Bit-fields are loaded by their type; their values are not checked.
#[test]
fn bit_fields() {
    check(
        "bit-fields",
        &|w, t| {
            let members = [
                NewMember::bits("a", t.int, 0, 3),
                NewMember::bits("b", t.u32, 3, 5),
                NewMember::bits("plain", t.u64, 64, 0),
            ];
            w.add_struct("b", 16, &members)
        },
        &|w, t| {
            let members = [
                NewMember::bits("a", t.int, 33, 4),
                NewMember::bits("b", t.u32, 28, 8),
                NewMember::bits("plain", t.u64, 64, 7),
            ];
            w.add_struct("b", 16, &members)
        },
        &[
            (FieldByteOffset, "0:0", "0 -> 4 unchecked"),
            (FieldByteSize, "0:0", "4 -> 4 unchecked"),
            (FieldLshiftU64, "0:0", "61 -> 59 unchecked"),
            (FieldRshiftU64, "0:0", "61 -> 60"),
            (FieldSigned, "0:0", "1 -> 1"),
            (FieldByteOffset, "0:1", "0 -> 0 unchecked"),
            // Crosses the border of four bytes: eight have to be loaded.
            (FieldByteSize, "0:1", "4 -> 8 unchecked"),
            (FieldLshiftU64, "0:1", "56 -> 28 unchecked"),
            (FieldRshiftU64, "0:1", "59 -> 56"),
            (FieldSigned, "0:1", "0 -> 0"),
            (FieldByteOffset, "0:2", "8 -> 8, size 8 -> 0 fails"),
            (FieldByteSize, "0:2", "8 -> 8"),
            (FieldRshiftU64, "0:2", "0 -> 57"),
        ],
    );
    check(
        "a bit-field across eight bytes",
        &|w, t| w.add_struct("b", 16, &[NewMember::bits("a", t.u64, 0, 8)]),
        &|w, t| w.add_struct("b", 16, &[NewMember::bits("a", t.u64, 60, 8)]),
        &[(FieldByteSize, "0:0", "error UnloadableBitField"), (FieldExists, "0:0", "1 -> 1")],
    );
}

/// Loads follow the size of pointers and unsigned integers, of nothing else.
#[test]
fn sizes_change() {
    let field = |select: fn(&Base) -> TypeId| {
        move |w: &mut Writer, t: &Base| {
            let field = select(t);
            let array = w.add_array(field, t.u32, 2);
            let members = [NewMember::at("f", field, 0), NewMember::at("l", array, 8)];
            w.add_struct("s", 24, &members)
        }
    };
    let one = |expected| [(FieldByteOffset, "0:0", expected)];
    check("u32 to u64", &field(|t| t.u32), &field(|t| t.u64), &one("0 -> 0, size 4 -> 8"));
    check("u64 to char", &field(|t| t.u64), &field(|t| t.char), &one("0 -> 0, size 8 -> 1"));
    check("int to u64", &field(|t| t.int), &field(|t| t.u64), &one("0 -> 0, size 4 -> 8 fails"));
    check("u64 to int", &field(|t| t.u64), &field(|t| t.int), &one("0 -> 0, size 8 -> 4 fails"));
    check("int to u32", &field(|t| t.int), &field(|t| t.u32), &one("0 -> 0"));
    check("int to pointer", &field(|t| t.int), &field(|t| t.ptr), &one("poison"));
    check(
        "elements",
        &field(|t| t.u32),
        &field(|t| t.u64),
        &[
            // The size that counts is that of the elements, but the type is still the array.
            (FieldByteOffset, "0:1", "8 -> 8, size 4 -> 8 fails"),
            (FieldByteOffset, "0:1:1", "12 -> 16, size 4 -> 8"),
        ],
    );
}

/// Which types of fields are taken for the same.
#[test]
fn field_types() {
    let make = |w: &mut Writer, t: &Base, what: &str| match what {
        "int" => t.int,
        "bits" => w.add("odd", Kind::Int, false, 0, 4, [0x0004_0008]),
        "ptr" => t.ptr,
        "struct" => w.add_struct("inner", 4, &[]),
        "union" => w.add_union("other", 4, &[]),
        "enum" => w.add_enum("e", 4, false, &[]),
        "enum flavour" => w.add_enum("e___new", 4, false, &[]),
        "enum64" => w.add_enum64("e", 8, false, &[]),
        "anonymous enum" => w.add_enum("", 4, false, &[]),
        "other enum" => w.add_enum("f", 4, false, &[]),
        "float" => w.add_float("float", 4),
        "double" => w.add_float("double", 8),
        "fwd" => w.add_fwd("fwd", FwdKind::Struct),
        "fwd union" => w.add_fwd("fwd", FwdKind::Union),
        "const int" => w.add_reference(Kind::Const, "", t.int),
        "ints" => w.add_array(t.int, t.int, 2),
        "more ints" => w.add_array(t.int, t.int, 3),
        "pointers" => w.add_array(t.ptr, t.int, 2),
        "function" => w.add_func_proto(t.int, &[]),
        other => panic!("{other}"),
    };
    for (local, target, compatible) in [
        ("int", "int", true),
        ("int", "const int", true),
        ("const int", "int", true),
        ("int", "ptr", false),
        ("int", "float", false),
        ("int", "enum", false),
        ("int", "bits", false),
        ("bits", "bits", false),
        ("ptr", "ptr", true),
        ("struct", "union", true),
        ("union", "struct", true),
        ("struct", "ptr", false),
        ("enum", "enum", true),
        ("enum", "enum flavour", true),
        ("enum", "enum64", true),
        ("enum64", "enum", true),
        ("enum", "anonymous enum", true),
        ("anonymous enum", "enum", true),
        ("enum", "other enum", false),
        ("float", "double", true),
        ("fwd", "fwd union", true),
        ("ints", "more ints", true),
        ("ints", "pointers", false),
        ("ints", "int", false),
        ("function", "function", false),
    ] {
        let build = |what: &'static str| {
            move |w: &mut Writer, t: &Base| {
                let field = make(w, t, what);
                w.add_struct("s", 16, &[NewMember::at("f", field, 0)])
            }
        };
        let expected = if compatible { "1 -> 1" } else { "1 -> 0" };
        let name = format!("{local} from {target}");
        check(&name, &build(local), &build(target), &[(FieldExists, "0:0", expected)]);
    }
}

/// Candidates have the same kind and the same name but for flavours.
#[test]
fn candidates() {
    let at = |name: &'static str, offset: u32| {
        move |w: &mut Writer, t: &Base| w.add_struct(name, 64, &[NewMember::at("x", t.int, offset)])
    };
    let one = |expected| [(FieldByteOffset, "0:0", expected)];
    check("flavour in the object", &at("s___old", 0), &at("s", 8), &one("0 -> 8"));
    check("flavour in the kernel", &at("s", 0), &at("s___new", 8), &one("0 -> 8"));
    check("other name", &at("s", 0), &at("ss", 8), &one("poison"));
    check("prefix only", &at("s__a", 0), &at("s", 8), &one("poison"));
    check("nested flavours", &at("s___a", 0), &at("s___a___b", 8), &one("poison"));
    check("nested flavours, the same", &at("s___a___c", 0), &at("s___a___b", 8), &one("0 -> 8"));
    check("leading underscores", &at("___s", 0), &at("___s", 8), &one("0 -> 8"));
    check("leading underscores, another", &at("___s", 0), &at("___t", 8), &one("poison"));
    check(
        "other kind",
        &at("s", 0),
        &|w, t| w.add_union("s", 64, &[NewMember::at("x", t.int, 0)]),
        &one("poison"),
    );
    check(
        "a typedef of the name",
        &at("s", 0),
        &|w, t| {
            let inner = w.add_struct("", 64, &[NewMember::at("x", t.int, 8)]);
            w.add_typedef("s", inner)
        },
        &one("poison"),
    );
    check("no name", &at("", 0), &at("", 0), &one("error Anonymous { id: TypeId(6) }"));
    let two = |first: u32, second: u32| {
        move |w: &mut Writer, t: &Base| {
            at("s", first)(w, t);
            w.add_struct("s", 8, &[NewMember::at("y", t.int, 4)]);
            at("s___two", second)(w, t)
        }
    };
    check("two that agree", &at("s", 0), &two(8, 8), &one("0 -> 8"));
    check(
        "two that disagree",
        &at("s", 0),
        &two(8, 16),
        &one("error OffsetAmbiguity { first: 64, other: 128 }"),
    );
    check(
        "types that disagree",
        &at("s", 0),
        &two(8, 8),
        &[
            (TypeIdTarget, "0", "error DecisionAmbiguity { first: Some(6), other: Some(7) }"),
            (TypeSize, "0", "error DecisionAmbiguity { first: Some(64), other: Some(8) }"),
            (TypeExists, "0", "1 -> 1"),
            (FieldExists, "0:0", "1 -> 1"),
        ],
    );
}

/// A relocation rules out candidates for those after it, as in libbpf.
#[test]
fn earlier_relocations_rule_out_candidates() {
    let mut kernel = Writer::new();
    let t = base(&mut kernel);
    kernel.add_struct("s", 64, &[NewMember::at("a", t.int, 0), NewMember::at("b", t.int, 4)]);
    kernel.add_struct("s", 32, &[NewMember::at("b", t.int, 8)]);
    let kernel = Btf::open(kernel.finish()).unwrap();
    let mut object = Writer::new();
    let t = base(&mut object);
    let type_id =
        object.add_struct("s", 8, &[NewMember::at("a", t.int, 0), NewMember::at("b", t.int, 4)]);
    let mut relo = |access| CoreRelo {
        insn_offset: 0,
        type_id,
        access_offset: object.string(access),
        kind_number: 0,
    };
    let (a, b) = (relo("0:0"), relo("0:1"));
    let object = Btf::open(object.finish()).unwrap();
    let mut relocator = Relocator::new(&object, &kernel);
    assert!(relocator.relocate(&b).is_err());
    assert_eq!(relocator.relocate(&a).unwrap().new, 0);
    assert_eq!(relocator.relocate(&b).unwrap().new, 4);
    let text = Relocator::describe(&object, &b).unwrap();
    assert_eq!(text, "<byte_off> [6] struct s.b (0:1 @ offset 4)");
}

/// Types that the kernel proper does not have are looked for in its modules.
#[test]
fn modules() {
    let mut kernel = Writer::new();
    let t = base(&mut kernel);
    kernel.add_struct("common", 64, &[NewMember::at("a", t.int, 8)]);
    let kernel = Btf::open(kernel.finish()).unwrap();
    let module = |offset: u32| {
        let mut module = Writer::split(&kernel);
        module.add_struct("common", 64, &[NewMember::at("a", t.int, 32)]);
        module.add_struct("own", 64, &[NewMember::at("a", t.int, offset)]);
        Btf::open_split(module.finish(), &kernel).unwrap()
    };
    let (first, mut second) = (module(16), module(16));
    second.build_name_index();
    let third = module(24);
    let mut object = Writer::new();
    let t = base(&mut object);
    let mut relo = |name| {
        let type_id = object.add_struct(name, 8, &[NewMember::at("a", t.int, 0)]);
        CoreRelo { insn_offset: 0, type_id, access_offset: object.string("0:0"), kind_number: 0 }
    };
    let (common, own) = (relo("common"), relo("own"));
    let object = Btf::open(object.finish()).unwrap();
    let answers = |modules: &[&Btf<'_>]| {
        // A lifetime of its own for each call.
        let mut relocator = Relocator::new(&object, &kernel).with_modules(modules.iter().copied());
        (show(&relocator.relocate(&common)), show(&relocator.relocate(&own)))
    };
    let strings = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(answers(&[]), strings("0 -> 8", "poison"));
    assert_eq!(answers(&[&first]), strings("0 -> 8", "0 -> 16"));
    assert_eq!(answers(&[&first, &second]), strings("0 -> 8", "0 -> 16"));
    let ambiguous = "error OffsetAmbiguity { first: 128, other: 192 }";
    assert_eq!(answers(&[&first, &third]), strings("0 -> 8", ambiguous));
}

#[test]
fn whole_types() {
    let one = |size: u32| {
        move |w: &mut Writer, t: &Base| w.add_struct("s", size, &[NewMember::at("a", t.int, 0)])
    };
    check(
        "the same",
        &one(8),
        &one(16),
        &[
            (TypeIdLocal, "0", "6 -> 6 unchecked"),
            (TypeIdTarget, "0", "6 -> 6 unchecked"),
            (TypeExists, "0", "1 -> 1"),
            (TypeMatches, "0", "1 -> 1"),
            (TypeSize, "0", "8 -> 16"),
            (TypeSize, "0:0", "error BadAccess { problem: \"not \\\"0\\\"\" }"),
        ],
    );
    check(
        "absent",
        &one(8),
        &|_, t| t.int,
        &[
            (TypeIdLocal, "0", "6 -> 6 unchecked"),
            (TypeIdTarget, "0", "6 -> 0 unchecked"),
            (TypeExists, "0", "1 -> 0"),
            (TypeMatches, "0", "1 -> 0"),
            (TypeSize, "0", "8 -> 0"),
        ],
    );
    let function = |params: usize, pointer: bool| {
        move |w: &mut Writer, t: &Base| {
            let param = if pointer { t.ptr } else { t.int };
            let proto = w.add_func_proto(t.int, &vec![("x", param); params]);
            let pointer = w.add_ptr(proto);
            w.add_typedef("fn", pointer)
        }
    };
    let exists = |expected| [(TypeExists, "0", expected), (TypeMatches, "0", expected)];
    check("a function", &function(2, true), &function(2, true), &exists("1 -> 1"));
    check("fewer parameters", &function(2, true), &function(1, true), &exists("1 -> 0"));
    check("other parameters", &function(2, true), &function(2, false), &exists("1 -> 0"));
}

/// `TypeMatches` looks at names and contents, where `TypeExists` is content with the form.
#[test]
fn types_match() {
    type Make = fn(&mut Writer, &Base) -> TypeId;
    let cases: &[(&str, Make, Make, bool, bool)] = &[
        (
            "a member less here",
            |w, t| w.add_struct("s", 8, &[NewMember::at("a", t.int, 0)]),
            |w, t| {
                w.add_struct("s", 8, &[NewMember::at("b", t.int, 0), NewMember::at("a", t.int, 4)])
            },
            true,
            true,
        ),
        (
            "another type of a member",
            |w, t| w.add_struct("s", 8, &[NewMember::at("a", t.int, 0)]),
            |w, t| w.add_struct("s", 8, &[NewMember::at("a", t.u32, 0)]),
            true,
            false,
        ),
        (
            "a member more here",
            |w, t| {
                w.add_struct("s", 8, &[NewMember::at("a", t.int, 0), NewMember::at("b", t.int, 4)])
            },
            |w, t| {
                w.add_struct("s", 8, &[NewMember::at("a", t.int, 0), NewMember::at("c", t.int, 4)])
            },
            true,
            false,
        ),
        (
            "unnamed members in another order",
            |w, t| {
                let one = w.add_struct("", 4, &[NewMember::at("a", t.int, 0)]);
                let two = w.add_struct("", 4, &[NewMember::at("b", t.u32, 0)]);
                w.add_struct("s", 8, &[NewMember::at("", one, 0), NewMember::at("", two, 4)])
            },
            |w, t| {
                let one = w.add_struct("", 4, &[NewMember::at("a", t.int, 0)]);
                let two = w.add_struct("", 4, &[NewMember::at("b", t.u32, 0)]);
                w.add_struct("s", 8, &[NewMember::at("", two, 0), NewMember::at("", one, 4)])
            },
            true,
            true,
        ),
        (
            "a pointer to a struct with other members",
            |w, t| {
                let inner = w.add_struct("inner", 4, &[NewMember::at("x", t.int, 0)]);
                let ptr = w.add_ptr(inner);
                w.add_struct("s", 8, &[NewMember::at("p", ptr, 0)])
            },
            |w, t| {
                let inner = w.add_struct("inner", 4, &[NewMember::at("y", t.u64, 0)]);
                let ptr = w.add_ptr(inner);
                w.add_struct("s", 8, &[NewMember::at("p", ptr, 0)])
            },
            true,
            true,
        ),
        (
            "a pointer to a forward declaration",
            |w, t| {
                let inner = w.add_struct("inner", 4, &[NewMember::at("x", t.int, 0)]);
                let ptr = w.add_ptr(inner);
                w.add_struct("s", 8, &[NewMember::at("p", ptr, 0)])
            },
            |w, _| {
                let inner = w.add_fwd("inner", FwdKind::Struct);
                let ptr = w.add_ptr(inner);
                w.add_struct("s", 8, &[NewMember::at("p", ptr, 0)])
            },
            true,
            true,
        ),
        (
            "a pointer to a forward declaration of a union",
            |w, _| {
                let inner = w.add_fwd("inner", FwdKind::Union);
                let ptr = w.add_ptr(inner);
                w.add_struct("s", 8, &[NewMember::at("p", ptr, 0)])
            },
            |w, _| {
                let inner = w.add_struct("inner", 4, &[]);
                let ptr = w.add_ptr(inner);
                w.add_struct("s", 8, &[NewMember::at("p", ptr, 0)])
            },
            true,
            false,
        ),
        (
            "the values of an enum",
            |w, _| w.add_enum("e", 4, false, &[("A", 1), ("B___old", 2)]),
            |w, _| w.add_enum("e", 4, true, &[("B", 9), ("A", 8), ("C", 7)]),
            true,
            true,
        ),
        (
            "a value less in the kernel",
            |w, _| w.add_enum("e", 4, false, &[("A", 1), ("B", 2)]),
            |w, _| w.add_enum("e", 4, false, &[("A", 1), ("C", 2)]),
            true,
            false,
        ),
        (
            "an enum of another size",
            |w, _| w.add_enum("e", 4, false, &[("A", 1)]),
            |w, _| w.add_enum64("e", 8, false, &[("A", 1)]),
            true,
            false,
        ),
        (
            "an enum of the same size and another kind",
            |w, _| w.add_enum("e", 8, false, &[("A", 1)]),
            |w, _| w.add_enum64("e", 8, false, &[("A", 1)]),
            true,
            true,
        ),
        (
            "arrays of other lengths",
            |w, t| {
                let array = w.add_array(t.int, t.int, 2);
                w.add_struct("s", 8, &[NewMember::at("l", array, 0)])
            },
            |w, t| {
                let array = w.add_array(t.int, t.int, 3);
                w.add_struct("s", 12, &[NewMember::at("l", array, 0)])
            },
            true,
            false,
        ),
        (
            "a typedef of another integer",
            |w, t| w.add_typedef("number", t.int),
            |w, _| {
                let int = w.add_int("s32", 4, 1);
                w.add_typedef("number", int)
            },
            true,
            false,
        ),
    ];
    for (name, local, target, exists, matches) in cases {
        let text = |yes: bool| if yes { "1 -> 1" } else { "1 -> 0" };
        check(
            name,
            local,
            target,
            &[(TypeExists, "0", text(*exists)), (TypeMatches, "0", text(*matches))],
        );
    }
}

#[test]
fn enum_values() {
    check(
        "an enum",
        &|w, _| {
            w.add_enum(
                "e___old",
                4,
                false,
                &[("A", 1), ("GONE", 2), ("C___x", 3), ("D", 0xffff_ffff)],
            )
        },
        &|w, _| w.add_enum64("e", 8, false, &[("C", 1 << 40), ("A", 7), ("D", -2)]),
        &[
            (EnumvalValue, "0", "1 -> 7"),
            (EnumvalExists, "0", "1 -> 1"),
            (EnumvalValue, "1", "poison"),
            (EnumvalExists, "1", "1 -> 0"),
            (EnumvalValue, "2", "3 -> 1099511627776"),
            // libbpf extends the sign of 32-bit values even of unsigned enums.
            (EnumvalValue, "3", "-1 -> -2"),
            (EnumvalValue, "4", "error BadAccess { problem: \"no such enum value\" }"),
            (
                EnumvalValue,
                "0:0",
                "error BadAccess { problem: \"more than one index for an enum value\" }",
            ),
        ],
    );
    check(
        "a typedef of an enum",
        &|w, _| {
            let values = w.add_enum("", 4, true, &[("A", -1)]);
            w.add_typedef("e", values)
        },
        &|w, _| {
            let values = w.add_enum("", 4, true, &[("Z", 0), ("A", -5)]);
            w.add_typedef("e", values)
        },
        &[(EnumvalValue, "0", "-1 -> -5")],
    );
    check(
        "no enum in the kernel",
        &|w, _| {
            let values = w.add_enum("", 4, true, &[("A", -1)]);
            w.add_typedef("e", values)
        },
        &|w, t| w.add_typedef("e", t.int),
        &[(EnumvalExists, "0", "1 -> 0"), (EnumvalValue, "0", "poison")],
    );
}

/// What becomes of instructions, by operation code.
#[test]
fn patches() {
    const ADD: u8 = 0x07;
    const MOV32: u8 = 0xb4;
    const ADD_REGISTER: u8 = 0x0f;
    const LDX_WORD: u8 = 0x61;
    const STX_DOUBLE: u8 = 0x7b;
    const ST_BYTE: u8 = 0x72;
    const LDIMM64: u8 = 0x18;
    const JUMP: u8 = 0x15;
    let plain = Relocated {
        original: 8,
        new: 16,
        poison: false,
        validate: true,
        fail_size_change: false,
        original_size: 0,
        new_size: 0,
    };
    let sized = |original_size, new_size| Relocated { original_size, new_size, ..plain };
    let insn =
        |code, value: i16| RawInsn { code, dst: 1, src: 0, offset: value, imm: value.into() };
    let constant = |imm| RawInsn { code: LDIMM64, dst: 1, src: 0, offset: 0, imm };
    let half = RawInsn { imm: 1, ..RawInsn::default() };
    let unexpected = |found| Err(PatchError::UnexpectedValue { found, expected: 8, new: 16 });
    let to = |new| Relocated { new, ..plain };
    let cases = [
        (plain, insn(ADD, 8), Ok(Patch::Imm(16))),
        (plain, insn(MOV32, 8), Ok(Patch::Imm(16))),
        (plain, insn(MOV32, 9), unexpected(9)),
        (plain, insn(MOV32, -8), unexpected(-8_i64 as u64)),
        (Relocated { validate: false, ..plain }, insn(MOV32, 9), Ok(Patch::Imm(16))),
        (to(1 << 33 | 5), insn(MOV32, 8), Ok(Patch::Imm(5))),
        (plain, insn(ADD_REGISTER, 8), Err(PatchError::NoImmediate { code: ADD_REGISTER })),
        (plain, insn(JUMP, 8), Err(PatchError::Unrecognized { code: JUMP })),
        (Relocated { poison: true, ..plain }, insn(JUMP, 8), Ok(Patch::Poison)),
        (plain, insn(LDX_WORD, 8), Ok(Patch::Memory { offset: 16, code: LDX_WORD })),
        (plain, insn(LDX_WORD, 7), unexpected(7)),
        (to(32767), insn(ST_BYTE, 8), Ok(Patch::Memory { offset: 32767, code: ST_BYTE })),
        (to(32768), insn(ST_BYTE, 8), Err(PatchError::OffsetTooLarge { new: 32768 })),
        (sized(4, 8), insn(LDX_WORD, 8), Ok(Patch::Memory { offset: 16, code: 0x79 })),
        (sized(8, 1), insn(STX_DOUBLE, 8), Ok(Patch::Memory { offset: 16, code: 0x73 })),
        (sized(1, 2), insn(ST_BYTE, 8), Ok(Patch::Memory { offset: 16, code: 0x6a })),
        (sized(8, 4), insn(LDX_WORD, 8), Err(PatchError::UnexpectedSize { found: 4, expected: 8 })),
        (sized(4, 3), insn(LDX_WORD, 8), Err(PatchError::InvalidSize { new: 3 })),
        (Relocated { fail_size_change: true, ..sized(4, 8) }, insn(LDX_WORD, 8), Ok(Patch::Poison)),
        (Relocated { fail_size_change: true, ..sized(4, 8) }, insn(ADD, 8), Ok(Patch::Imm(16))),
        (
            Relocated { original: 1 << 32 | 8, new: 3 << 32 | 9, ..plain },
            constant(8),
            Ok(Patch::Imm64 { low: 9, high: 3 }),
        ),
        (plain, constant(8), unexpected(1 << 32 | 8)),
        (plain, RawInsn { src: 1, ..constant(8) }, Err(PatchError::UnexpectedForm)),
        (plain, RawInsn { code: 0x30, ..constant(8) }, Err(PatchError::UnexpectedForm)),
    ];
    for (answer, insn, expected) in cases {
        assert_eq!(answer.patch(insn, Some(half), Rules::LIBBPF), expected, "{insn:?} {answer:?}");
    }
    assert_eq!(plain.patch(constant(8), None, Rules::LIBBPF), Err(PatchError::UnexpectedForm));
    assert_eq!(
        plain.patch(constant(8), Some(insn(ADD, 0)), Rules::LIBBPF),
        Err(PatchError::UnexpectedForm)
    );
}

/// A poisoned 64-bit constant loses both halves, another instruction only itself.
#[test]
fn poison() {
    let poisoned = RawInsn { code: 0x85, dst: 0, src: 0, offset: 0, imm: 0x0bad_2310 };
    let next = RawInsn { code: 0xb7, dst: 1, src: 0, offset: 0, imm: 5 };
    let apply = |code, patch: Patch| {
        let (mut one, mut two) = (RawInsn { code, ..next }, next);
        patch.apply(&mut one, Some(&mut two));
        (one, two)
    };
    assert_eq!(apply(0x18, Patch::Poison), (poisoned, poisoned));
    assert_eq!(apply(0x61, Patch::Poison), (poisoned, next));
    let (one, two) = apply(0x18, Patch::Imm64 { low: -1, high: 7 });
    assert_eq!((one.imm, two.imm), (-1, 7));
    let (one, two) = apply(0xb7, Patch::Imm(9));
    assert_eq!((one.imm, two.imm), (9, 5));
    let (one, two) = apply(0x61, Patch::Memory { offset: 4, code: 0x79 });
    assert_eq!((one.offset, one.code, two), (4, 0x79, next));
}

/// What a kernel makes of an access to a type of its own; `None` if the relocation is refused.
fn in_kernel(
    rules: Rules,
    build: &dyn Fn(&mut Writer, &Base) -> TypeId,
    kind: RelocKind,
    access: &str,
) -> Result<Relocated, RelocError> {
    let mut writer = Writer::new();
    let types = base(&mut writer);
    let type_id = build(&mut writer, &types);
    let access_offset = writer.string(access);
    let btf = Btf::open(writer.finish()).unwrap();
    let relo = CoreRelo { insn_offset: 0, type_id, access_offset, kind_number: kind.number() };
    let local = Spec::parse(&btf, &relo, rules)?;
    let ty = btf.type_by_id(type_id).unwrap();
    let candidates = relo::candidates(ty.name_bytes(), |kind| kind == ty.kind(), &btf);
    relo::choose(&local, candidates.into_iter(), &mut Work::default(), &mut |_| {})
}

#[test]
fn kernels_have_rules_of_their_own() {
    let kernel = Rules { levels: 2, negative_indexes: true, kernel: true, ..Rules::LIBBPF };
    let strict = Rules { negative_indexes: false, ..kernel };
    let refused = |rules, build: &dyn Fn(&mut Writer, &Base) -> TypeId, kind, access: &str| {
        show(&in_kernel(rules, build, kind, access))
    };
    let function = |w: &mut Writer, t: &Base| {
        let proto = w.add_func_proto(t.int, &[]);
        w.add_func("f", proto, veristable_btf::Linkage::Global)
    };
    let breaks = "error Undecided { reason: \"CO-RE comparison that breaks the kernel\" }";
    for kind in [TypeExists, TypeMatches, TypeSize] {
        assert_eq!(refused(kernel, &function, kind, "0"), breaks);
        let float = |w: &mut Writer, _: &Base| w.add_float("f", 4);
        assert_eq!(refused(kernel, &float, kind, "0"), breaks);
    }
    let large = |w: &mut Writer, _: &Base| w.add_struct("s", 1 << 31, &[]);
    assert!(refused(kernel, &large, TypeSize, "0").contains("2 GiB"));
    let plain = |w: &mut Writer, t: &Base| {
        let inner = w.add_struct("inner", 4, &[NewMember::at("x", t.int, 0)]);
        w.add_struct("s", 8, &[NewMember::at("a", t.int, 0), NewMember::at("in", inner, 4)])
    };
    assert!(refused(kernel, &plain, FieldExists, "0:-1").contains("before the first"));
    assert!(refused(strict, &plain, FieldExists, "0:-1").contains("a negative index"));
    assert_eq!(refused(kernel, &plain, FieldByteOffset, "-1:1"), "536870908 -> 536870908");
    assert_eq!(refused(kernel, &plain, FieldByteOffset, " 0 1"), "4 -> 4");
    assert_eq!(refused(kernel, &plain, FieldByteOffset, "0:4294967297"), "4 -> 4");
    // Members of members are too deep for a kernel.
    assert_eq!(refused(kernel, &plain, TypeMatches, "0"), "error TooManyLevels");
    assert_eq!(refused(Rules::LIBBPF, &plain, TypeMatches, "0"), "1 -> 1");
}
