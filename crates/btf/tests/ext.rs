// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `.BTF.ext`: records of every length, headers of every length, and bad data.

mod common;

use common::{every_kind, some_ext, walk_ext};
use veristable_btf::relo::RelocKind;
use veristable_btf::{Btf, BtfExt, Error, TypeId};

#[test]
fn records_are_read_as_written() {
    for (header_len, extra) in [(32, 0), (32, 1), (32, 5), (40, 0), (64, 2)] {
        let mut writer = every_kind();
        let mut ext = some_ext(&mut writer);
        ext.set_header_len(header_len);
        ext.set_extra_words(extra);
        let btf = Btf::open(writer.finish()).unwrap();
        let ext = BtfExt::open(ext.finish()).unwrap();
        let groups: Vec<_> = ext.func_info().collect();
        let names: Vec<_> =
            groups.iter().map(|group| btf.utf8(group.section_name_offset).unwrap()).collect();
        assert_eq!(names, ["tc", "xdp"]);
        assert_eq!(groups[0].records.len(), 2);
        assert_eq!(groups[0].records.get(1).unwrap().insn_offset, 64);
        assert!(groups[0].records.get(2).is_none());
        assert_eq!(groups[1].records.clone().next().unwrap().type_id, TypeId(20));
        assert_eq!(ext.func_info().record_size(), 8 + 4 * extra);

        let line = ext.line_info().next().unwrap().records.next().unwrap();
        assert_eq!((line.line(), line.column()), (12, 3));
        assert_eq!(line.file(&btf), "prog.c");
        assert_eq!(line.text(&btf), "  return p->first;");

        let relos: Vec<_> = ext.core_relos().flat_map(|group| group.records).collect();
        assert_eq!(relos.len(), 12);
        assert_eq!(relos[0].kind(), Some(RelocKind::FieldByteOffset));
        assert_eq!(btf.utf8(relos[1].access_offset), Ok("0:1"));
        assert_eq!(ext.clone().into_owned().bytes(), ext.bytes());
        walk_ext(&ext, &btf);
    }
}

#[test]
fn a_header_without_relocations() {
    let mut writer = every_kind();
    let mut ext = some_ext(&mut writer);
    for header_len in [24, 28] {
        ext.set_header_len(header_len);
        let ext = BtfExt::open(ext.finish()).unwrap();
        assert_eq!(ext.func_info().count(), 2);
        assert_eq!(ext.core_relos().count(), 0);
        assert_eq!(ext.core_relos().record_size(), 0);
    }
}

#[test]
fn bad_data_is_refused() {
    let good = some_ext(&mut every_kind()).finish();
    let patched = |at: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        BtfExt::open(bytes).unwrap_err()
    };
    assert_eq!(patched(0, 0x0001_9feb), Error::BigEndian);
    // Header fields; then the size of func_info records and the count of the first group.
    for (at, value) in [
        (4, 16),
        (4, u32::MAX),
        (8, 2),
        (8, u32::MAX),
        (12, 1),
        (12, 4),
        (12, 8),
        (12, u32::MAX),
        (32, 4),
        (32, 9),
        (32, u32::MAX),
        (40, 0),
        (40, 5),
        (40, u32::MAX),
    ] {
        let error = patched(at, value);
        assert!(!error.to_string().is_empty(), "{at}: {value}");
    }
    assert!(matches!(BtfExt::open(&good[..32]), Err(Error::NoRecords { .. })));
}
