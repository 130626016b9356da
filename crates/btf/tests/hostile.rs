// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Data that is cut short, lies or goes around in circles: errors, never a panic or a hang.

mod common;

use common::{every_kind, some_ext, walk, walk_ext};
use proptest::prelude::*;
use veristable_btf::relo::{RelocError, Relocator};
use veristable_btf::writer::{NewMember, Writer};
use veristable_btf::{Btf, BtfExt, CoreRelo, Kind, TypeId};

#[test]
fn truncated_at_every_byte() {
    let mut writer = every_kind();
    let ext = some_ext(&mut writer).finish();
    let btf = writer.finish();
    for len in 0..btf.len() {
        assert!(Btf::open(&btf[..len]).is_err(), "{len} bytes");
    }
    for len in 0..ext.len() {
        assert!(BtfExt::open(&ext[..len]).is_err(), "{len} bytes");
    }
}

/// Every word of the data replaced by values that are often wrong.
#[test]
fn lying_words() {
    let mut writer = every_kind();
    let ext = some_ext(&mut writer).finish();
    let btf = writer.finish();
    let good = Btf::open(&btf[..]).unwrap();
    for value in [0, 1, 0xff, 0xffff, 0x00ff_ffff, 0x7fff_ffff, u32::MAX, 0x0400_ffff, 0x8400_0003]
    {
        for at in (0..btf.len() - 4).step_by(4) {
            let mut bytes = btf.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            if let Ok(btf) = Btf::open(bytes) {
                walk(&btf);
                walk_ext(&BtfExt::open(&ext[..]).unwrap(), &btf);
            }
        }
        for at in (0..ext.len() - 4).step_by(4) {
            let mut bytes = ext.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            if let Ok(ext) = BtfExt::open(bytes) {
                walk_ext(&ext, &good);
            }
        }
    }
}

/// A relocation of every kind for one type.
fn every_relo(writer: &mut Writer, type_id: TypeId, access: &[&str]) -> Vec<CoreRelo> {
    let mut relos = Vec::new();
    for access in access {
        let access_offset = writer.string(access);
        relos.extend((0..14).map(|kind_number| CoreRelo {
            insn_offset: 0,
            type_id,
            access_offset,
            kind_number,
        }));
    }
    relos
}

/// Types that contain themselves, directly or by modifiers, pointers, arrays and prototypes.
#[test]
fn circular_types() {
    let mut writer = Writer::new();
    let int = writer.add_int("int", 4, 1);
    let first = writer.next_id().0;
    // A struct that has itself as an unnamed member, many times over.
    let own = TypeId(first);
    let members =
        [NewMember::at("", own, 0), NewMember::at("", own, 0), NewMember::at("x", int, 0)];
    writer.add_struct("own", 4, &members);
    // A chain of structs, each with two of the next: 2^40 paths.
    let mut ids = vec![own];
    for level in 0..40 {
        let next = TypeId(writer.next_id().0 + 1);
        let members = [NewMember::at("", next, 0), NewMember::at("", next, 0)];
        let id = writer.add_struct(if level == 0 { "chain" } else { "" }, 4, &members);
        ids.push(id);
    }
    writer.add_struct("", 4, &[NewMember::at("y", int, 0)]);
    // An array of itself, a pointer to itself, a prototype that takes itself.
    let array = writer.next_id();
    ids.push(writer.add("array", Kind::Array, false, 0, 0, [array.0, 1, 1]));
    let pointer = writer.next_id();
    ids.push(writer.add_reference(Kind::Ptr, "pointer", pointer));
    let proto = writer.next_id();
    writer.add_func_proto(proto, &[("a", proto), ("b", proto)]);
    ids.push(writer.add_typedef("proto", proto));
    ids.push(writer.add_struct(
        "holder",
        4,
        &[NewMember::at("x", proto, 0), NewMember::at("y", array, 0)],
    ));
    let typedef = writer.next_id();
    ids.push(writer.add_typedef("typedef", typedef));
    let relos: Vec<_> = ids
        .iter()
        .flat_map(|id| every_relo(&mut writer, *id, &["0", "0:0", "0:1", "0:2", "0:0:0:0", "5:1"]))
        .collect();
    let btf = Btf::open(writer.finish()).unwrap();
    walk(&btf);
    let mut relocator = Relocator::new(&btf, &btf);
    for relo in &relos {
        _ = relocator.relocate(relo);
        _ = Relocator::describe(&btf, relo);
    }
    // A search for a member that is not there ends although there are 2^40 ways.
    let mut local = Writer::new();
    let int = local.add_int("int", 4, 1);
    let chain = local.add_struct("chain", 4, &[NewMember::at("absent", int, 0)]);
    let access_offset = local.string("0:0");
    let relo = CoreRelo { insn_offset: 0, type_id: chain, access_offset, kind_number: 0 };
    let local = Btf::open(local.finish()).unwrap();
    let result = Relocator::new(&local, &btf).relocate(&relo);
    assert_eq!(result, Err(RelocError::TooMuchWork));
}

proptest! {
    /// Bytes of good data changed at random.
    #[test]
    fn changed_bytes(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut writer = every_kind();
        let ext = some_ext(&mut writer).finish();
        let mut bytes = writer.finish();
        for (at, value) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        if let Ok(mut btf) = Btf::open(bytes) {
            let seen = walk(&btf);
            walk_ext(&BtfExt::open(&ext[..]).unwrap(), &btf);
            btf.build_name_index();
            prop_assert_eq!(walk(&btf), seen);
        }
    }

    /// Random bytes after a good header.
    #[test]
    fn random_types(types in prop::collection::vec(any::<u32>(), 0..64), kinds in any::<u64>()) {
        let mut bytes = Writer::new().finish();
        bytes.truncate(24);
        for (index, word) in types.iter().enumerate() {
            // Every third word is likely to be the info word of a type: make it a good one.
            let good = (word & 0x8000_0007) | ((((kinds >> (index % 60)) % 20) as u32) << 24);
            let word = if index % 3 == 1 { good } else { *word % 97 };
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        let len = (types.len() * 4) as u32;
        bytes[12..16].copy_from_slice(&len.to_le_bytes());
        bytes[16..20].copy_from_slice(&len.to_le_bytes());
        bytes[20..24].copy_from_slice(&8_u32.to_le_bytes());
        bytes.extend_from_slice(b"\0a\0bc\0d\0");
        if let Ok(btf) = Btf::open(bytes) {
            walk(&btf);
        }
    }

    /// What was written is read, and an edited copy without changes is the same.
    #[test]
    fn round_trip(
        structs in prop::collection::vec(
            ("[a-z]{1,6}", prop::collection::vec(("[a-z]{0,3}", any::<u32>(), 0_u8..40), 0..6)),
            1..8,
        ),
        values in prop::collection::vec(("[A-Z]{1,4}", any::<i64>()), 0..5),
    ) {
        let mut writer = Writer::new();
        for (name, members) in &structs {
            let members: Vec<_> = members
                .iter()
                .map(|(name, offset, bits)| NewMember {
                    name,
                    type_id: TypeId(0),
                    bit_offset: offset & 0xff_ffff,
                    bitfield_size: *bits,
                })
                .collect();
            writer.add_struct(name, 4, &members);
        }
        let values: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let large = writer.add_enum64("e", 8, true, &values);
        let bytes = writer.finish();
        let btf = Btf::open(&bytes[..]).unwrap();
        btf.check().unwrap();
        for (ty, (name, members)) in btf.types().zip(&structs) {
            prop_assert_eq!(ty.name(), name);
            let got: Vec<_> = ty
                .members()
                .map(|m| (m.name().to_owned(), m.bit_offset, m.bitfield_size))
                .collect();
            let expected: Vec<_> =
                members.iter().map(|(n, o, b)| (n.clone(), o & 0xff_ffff, *b)).collect();
            prop_assert_eq!(got, expected);
        }
        let got = btf.type_by_id(large).unwrap().as_enum().unwrap().values;
        let got: Vec<_> = got.map(|value| (value.name(), value.value)).collect();
        prop_assert_eq!(got, values);
        prop_assert_eq!(Writer::edit(&btf).finish(), bytes);
    }
}
