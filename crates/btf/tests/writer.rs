// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Changing BTF as a loader does before it loads an object.

mod common;

use common::every_kind;
use veristable_btf::writer::{NewMember, Writer};
use veristable_btf::{Btf, Error, Kind, Linkage, SectionVar, TypeId};

#[test]
fn a_copy_can_be_changed() {
    let original = Btf::open(every_kind().finish()).unwrap();
    let mut writer = Writer::edit(&original);
    assert_eq!(writer.finish(), original.bytes());

    let (func, var, section) = (TypeId(20), TypeId(21), TypeId(22));
    writer.set_func_linkage(func, Linkage::Static).unwrap();
    writer.set_var_linkage(var, Linkage::Extern).unwrap();
    writer.set_name(var, "renamed").unwrap();
    writer.set_target(var, TypeId(1)).unwrap();
    writer.set_size(section, 100).unwrap();
    let new = writer.add_var("second", TypeId(1), Linkage::Global);
    let vars = [SectionVar { type_id: new, offset: 40, size: 4 }];
    writer.set_section_vars(section, &vars).unwrap();
    assert_eq!(writer.section_vars(section).unwrap(), vars);
    // Known strings are not stored again.
    let len = writer.finish().len();
    assert_eq!(writer.string("pair"), original.type_by_id(TypeId(3)).unwrap().name_offset());
    writer.string("renamed");
    writer.string("");
    assert_eq!(writer.finish().len(), len);
    // A kind of the same length in place of another.
    writer.set_info(TypeId(9), Kind::Const, false, 0).unwrap();
    writer.set_name(TypeId(9), "").unwrap();

    let changed = Btf::open(writer.finish()).unwrap();
    changed.check().unwrap();
    let data = |id: TypeId| format!("{:?}", changed.type_by_id(id).unwrap().data());
    assert_eq!(data(func), "Func(Func { proto: TypeId(19), linkage: Static })");
    assert_eq!(data(var), "Var(Var { type_id: TypeId(1), linkage: Extern })");
    assert_eq!(data(TypeId(9)), "Const(TypeId(8))");
    let section = changed.type_by_id(section).unwrap().as_datasec().unwrap();
    assert_eq!((section.size, section.vars.get(0).unwrap()), (100, vars[0]));
    assert_eq!(changed.find_by_name("renamed", Kind::Var), Some(var));
    for ty in original.types().filter(|ty| ![9, 20, 21, 22].contains(&ty.id().0)) {
        assert_eq!(format!("{:?}", ty.data()), data(ty.id()));
    }
}

#[test]
fn wrong_changes_are_errors() {
    let base = Btf::open(every_kind().finish()).unwrap();
    let mut writer = Writer::edit(&base);
    for id in [0, 25, u32::MAX] {
        let id = TypeId(id);
        let error = Err(Error::NoSuchType { id, count: 25 });
        assert_eq!(writer.set_size(id, 1), error);
        assert_eq!(writer.set_name(id, "x"), error);
        assert_eq!(writer.set_var_linkage(id, Linkage::Static), error);
        assert_eq!(writer.word(id, 0).map(drop), error);
    }
    assert!(writer.set_func_linkage(TypeId(21), Linkage::Static).is_err());
    assert!(writer.set_var_linkage(TypeId(20), Linkage::Static).is_err());
    assert!(writer.section_vars(TypeId(1)).is_err());
    assert!(writer.set_word(TypeId(1), 4, 0).is_err());
    assert!(writer.set_word(TypeId(1), u32::MAX, 0).is_err());
    // Split BTF does not change its base.
    let mut split = Writer::split(&base);
    let own = split.add_struct("own", 4, &[NewMember::at("x", TypeId(1), 0)]);
    assert!(split.set_size(TypeId(1), 8).is_err());
    split.set_size(own, 8).unwrap();
    let split = Btf::open_split(split.finish(), &base).unwrap();
    assert_eq!(split.resolve_size(own), Ok(8));
}
