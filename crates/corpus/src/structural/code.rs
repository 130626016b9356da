// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Instructions and types that the groups are made of.

use std::sync::Arc;

use veristable_btf::writer::{NewMember, Writer};
use veristable_btf::{Kind, Linkage, TypeId};
use veristable_isa::Insn;
use veristable_kernel::MapType;
use veristable_program::{InfoTable, MapDesc, MapSpec};

/// `bpf_ktime_get_ns`: takes nothing, and every program type has it.
pub(super) const KTIME_GET_NS: i32 = 5;
/// `bpf_trace_printk`: for GPL programs only.
pub(super) const TRACE_PRINTK: i32 = 6;
/// `bpf_tail_call`.
pub(super) const TAIL_CALL: i32 = 12;
/// `bpf_loop`.
pub(super) const LOOP: i32 = 181;

/// Any five fields.
pub(super) const fn op(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn::new(code, dst, src, off, imm)
}

/// `dst = imm`
pub(super) const fn mov(dst: u8, imm: i32) -> Insn {
    op(0xb7, dst, 0, 0, imm)
}

/// `dst = src`
pub(super) const fn copy(dst: u8, src: u8) -> Insn {
    op(0xbf, dst, src, 0, 0)
}

/// `r0 = 0`
pub(super) const ZERO: Insn = mov(0, 0);

/// `exit`
pub(super) const EXIT: Insn = op(0x95, 0, 0, 0, 0);

/// `goto off`
pub(super) const fn ja(off: i16) -> Insn {
    op(0x05, 0, 0, off, 0)
}

/// `gotol imm`
pub(super) const fn gotol(imm: i32) -> Insn {
    op(0x06, 0, 0, 0, imm)
}

/// `if dst == imm goto off`
pub(super) const fn jeq(dst: u8, imm: i32, off: i16) -> Insn {
    op(0x15, dst, 0, off, imm)
}

/// `may_goto off`
pub(super) const fn may_goto(off: i16) -> Insn {
    op(0xe5, 0, 0, off, 0)
}

/// Call of a helper.
pub(super) const fn helper(id: i32) -> Insn {
    op(0x85, 0, 0, 0, id)
}

/// Call of a subprogram, as far from the next instruction as `imm` says.
pub(super) const fn call(imm: i32) -> Insn {
    op(0x85, 0, 1, 0, imm)
}

/// Call of a kernel function.
pub(super) const fn kfunc(id: i32, off: i16) -> Insn {
    op(0x85, 0, 2, off, id)
}

/// 64-bit load: of the kind that the source field names, with both immediates.
pub(super) const fn wide(dst: u8, kind: u8, low: i32, high: i32) -> [Insn; 2] {
    [op(0x18, dst, kind, 0, low), op(0, 0, 0, 0, high)]
}

/// Parts one after the other.
pub(super) fn join(parts: &[&[Insn]]) -> Vec<Insn> {
    parts.concat()
}

/// `*(u32 *)(r1 + 0)` of a packet context into the register: a value that is not known.
pub(super) const fn unknown(dst: u8) -> Insn {
    op(0x61, dst, 1, 0, 0)
}

/// A table of records made of words.
pub(super) fn table(rec_size: u32, count: u32, words: &[u32]) -> InfoTable {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    InfoTable { rec_size, count, bytes: bytes.into() }
}

/// Function records of eight bytes: instruction and type.
pub(super) fn functions(records: &[(u32, TypeId)]) -> InfoTable {
    let words: Vec<u32> = records.iter().flat_map(|(insn, id)| [*insn, id.0]).collect();
    table(8, u32::try_from(records.len()).unwrap_or(u32::MAX), &words)
}

/// A map with 4-byte keys and 8-byte values.
pub(super) fn map(map_type: MapType, max_entries: u32) -> Arc<MapDesc> {
    let spec = MapSpec {
        name: "map".into(),
        map_type,
        key_size: 4,
        value_size: if map_type == MapType::PROG_ARRAY { 4 } else { 8 },
        max_entries,
        ..MapSpec::default()
    };
    Arc::new(MapDesc { spec, ..MapDesc::default() })
}

/// Types that the groups use, by what they are.
pub(super) struct Types {
    pub(super) writer: Writer,
    /// `int`
    pub(super) int: TypeId,
    /// `int (void *ctx)`
    pub(super) main_proto: TypeId,
    /// `int ()`
    pub(super) sub_proto: TypeId,
    /// `int main(void *ctx)`, global
    pub(super) main: TypeId,
    /// `static int sub()`
    pub(super) sub: TypeId,
    /// `int global_sub()`, global
    pub(super) global_sub: TypeId,
    /// `struct s { int member; }`
    pub(super) structure: TypeId,
    /// `static RETURN NAME()`, by what is returned.
    pub(super) returning: Vec<(&'static str, TypeId)>,
    /// Offset of the string `a line`.
    pub(super) text: u32,
}

impl Types {
    pub(super) fn new() -> Self {
        let mut writer = Writer::new();
        let int = writer.add_int("int", 4, 1);
        let pointer = writer.add_ptr(TypeId(0));
        let main_proto = writer.add_func_proto(int, &[("ctx", pointer)]);
        let sub_proto = writer.add_func_proto(int, &[]);
        let main = writer.add_func("main", main_proto, Linkage::Global);
        let sub = writer.add_func("sub", sub_proto, Linkage::Static);
        let global_sub = writer.add_func("global_sub", sub_proto, Linkage::Global);
        let structure = writer.add_struct("s", 4, &[NewMember::at("member", int, 0)]);
        let long = writer.add_int("long", 8, 1);
        let wide = writer.add_int("__int128", 16, 1);
        let enumeration = writer.add_enum("e", 4, false, &[("E", 1)]);
        let enumeration64 = writer.add_enum64("e64", 8, false, &[("E64", 1)]);
        let alias = writer.add_typedef("alias", int);
        let constant = writer.add_reference(Kind::Const, "", int);
        let returning = [
            ("void", TypeId(0)),
            ("pointer", pointer),
            ("struct", structure),
            ("long", long),
            ("int128", wide),
            ("enum", enumeration),
            ("enum64", enumeration64),
            ("typedef", alias),
            ("const", constant),
        ]
        .map(|(name, returned)| {
            let proto = writer.add_func_proto(returned, &[]);
            (name, writer.add_func(&format!("sub_{name}"), proto, Linkage::Static))
        });
        let text = writer.string("a line");
        Self {
            writer,
            int,
            main_proto,
            sub_proto,
            main,
            sub,
            global_sub,
            structure,
            returning: returning.to_vec(),
            text,
        }
    }

    /// The bytes for `BPF_BTF_LOAD`.
    pub(super) fn finish(&self) -> veristable_program::Blob {
        self.writer.finish().into()
    }
}
