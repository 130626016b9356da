// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What several tests need. Each test file uses a part of it.
#![allow(dead_code)]

use veristable_btf::relo::Relocator;
use veristable_btf::writer::{ExtWriter, NewMember, Writer};
use veristable_btf::{
    Btf, BtfExt, CoreRelo, DeclTag, DeclTagIndex, FuncInfo, FwdKind, Kind, LineInfo, Linkage,
    SectionVar, TypeId,
};

/// BTF with every kind of type.
pub(crate) fn every_kind() -> Writer {
    let mut w = Writer::new();
    let int = w.add_int("int", 4, 1);
    let long = w.add_int("long unsigned int", 8, 0);
    let pair = w.add_struct(
        "pair",
        16,
        &[NewMember::at("first", int, 0), NewMember::at("second", long, 8)],
    );
    let ptr = w.add_ptr(pair);
    let constant = w.add_reference(Kind::Const, "", ptr);
    let volatile = w.add_reference(Kind::Volatile, "", constant);
    let restrict = w.add_reference(Kind::Restrict, "", volatile);
    let tagged = w.add_type_tag("rcu", restrict);
    let name = w.add_typedef("pair_t", tagged);
    let array = w.add_array(pair, int, 3);
    w.add_union("either", 48, &[NewMember::at("all", array, 0), NewMember::at("", pair, 0)]);
    w.add_struct("flags", 4, &[NewMember::bits("low", int, 0, 3), NewMember::bits("x", int, 3, 5)]);
    w.add_enum("small", 4, true, &[("MINUS", -1), ("ONE", 1)]);
    w.add_enum("unsigned_small", 4, false, &[("HIGH", 0xffff_ffff)]);
    w.add_enum64("large", 8, false, &[("BIG", 1 << 40), ("ALL", -1)]);
    w.add_fwd("later", FwdKind::Struct);
    w.add_fwd("other", FwdKind::Union);
    w.add_float("double", 8);
    let proto = w.add_func_proto(int, &[("p", name), ("", TypeId::VOID)]);
    let func = w.add_func("run", proto, Linkage::Global);
    let var = w.add_var("counter", long, Linkage::Static);
    w.add_datasec(".bss", 8, &[SectionVar { type_id: var, offset: 0, size: 8 }]);
    w.add_decl_tag("whole", DeclTag { target: func, component: None, attribute: false });
    w.add_decl_tag("arg", DeclTag { target: func, component: Some(0), attribute: false });
    w
}

/// `.BTF.ext` that goes with [`every_kind`], whose strings it extends.
pub(crate) fn some_ext(w: &mut Writer) -> ExtWriter {
    let mut ext = ExtWriter::new();
    let text = w.string("tc");
    let other = w.string("xdp");
    let (file, line) = (w.string("prog.c"), w.string("  return p->first;"));
    ext.add_func_info(text, FuncInfo { insn_offset: 0, type_id: TypeId(20) });
    ext.add_func_info(text, FuncInfo { insn_offset: 64, type_id: TypeId(20) });
    ext.add_func_info(other, FuncInfo { insn_offset: 0, type_id: TypeId(20) });
    ext.add_line_info(
        text,
        LineInfo {
            insn_offset: 8,
            file_name_offset: file,
            line_offset: line,
            line_column: (12 << 10) | 3,
        },
    );
    for (number, access) in [(0, "0:0"), (1, "0:1"), (2, "0:2"), (8, "0"), (12, "0"), (7, "0")] {
        let access_offset = w.string(access);
        let relo =
            CoreRelo { insn_offset: 8, type_id: TypeId(3), access_offset, kind_number: number };
        ext.add_core_relo(text, relo);
    }
    for type_id in [13, 14, 15] {
        let access_offset = w.string("0");
        for kind_number in [10, 11] {
            let type_id = TypeId(type_id);
            let relo = CoreRelo { insn_offset: 8, type_id, access_offset, kind_number };
            ext.add_core_relo(other, relo);
        }
    }
    ext
}

/// Asks of BTF all that can be asked; nothing of that may panic or take long.
pub(crate) fn walk(btf: &Btf<'_>) -> usize {
    let mut seen = 0;
    let tags = DeclTagIndex::new(btf);
    for ty in btf.all_types() {
        seen += format!("{ty:?} {:?} {:?}", ty.data(), ty.members()).len();
        seen += usize::from(btf.resolve_size(ty.id()).is_ok());
        seen += usize::from(btf.align_of(ty.id()).is_ok());
        seen += usize::from(btf.skip_modifiers(ty.id()).is_ok());
        seen += tags.of(btf, ty.id()).count();
        seen += usize::from(btf.find_by_name(ty.name(), ty.kind()).is_some());
        for member in ty.members() {
            seen += usize::from(btf.resolve_size(member.type_id).is_ok());
        }
    }
    seen += usize::from(btf.check().is_ok()) + usize::from(btf.guess_pointer_size().is_some());
    seen + usize::from(btf.type_by_id(TypeId(u32::MAX)).is_ok())
}

/// Asks of BTF.ext all that can be asked.
pub(crate) fn walk_ext(ext: &BtfExt<'_>, btf: &Btf<'_>) -> usize {
    let mut seen = 0;
    for group in ext.func_info() {
        seen += group.records.count();
    }
    for group in ext.line_info() {
        for line in group.records {
            seen += line.file(btf).len() + line.text(btf).len() + line.line() as usize;
        }
    }
    let mut relocator = Relocator::new(btf, btf);
    for group in ext.core_relos() {
        for relo in group.records {
            seen += usize::from(relocator.relocate(&relo).is_ok());
            seen += usize::from(Relocator::describe(btf, &relo).is_ok());
        }
    }
    seen
}
