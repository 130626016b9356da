// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! From one line's words to a statement.

use super::error::{ErrorKind, Failure};
use super::scan::{Name, Scanner, fit, fit_either};
use crate::consts::*;
use crate::op::{
    AluOp, AtomicOp, CallKind, CmpOp, Imm64, Op, Operand, Reg, Size, Swap, SwapBits, Wide, Width,
};
use crate::table::opcode;
use crate::{Encoded, Insn, encode};

type Parsed<T> = Result<T, Failure>;

/// An instruction, as far as one line tells.
pub(super) enum Statement<'a> {
    /// Complete.
    Slots(Encoded),
    /// A jump, call or subprogram address whose distance is still zero.
    ToLabel { op: Op, label: Name<'a> },
    /// A call of a label, a helper or a kernel function, perhaps with the function's number.
    Call { name: Name<'a>, number: Option<i32> },
    /// A call of a kernel function.
    CallKfunc { name: Name<'a> },
    /// The address of a map or, with an offset, of its value.
    Map { dst: Reg, name: Name<'a>, off: Option<u32> },
    /// The address of a kernel variable or function.
    Symbol { dst: Reg, name: Name<'a> },
}

impl From<Op> for Statement<'_> {
    fn from(op: Op) -> Self {
        Self::Slots(encode(op))
    }
}

impl From<Insn> for Statement<'_> {
    fn from(insn: Insn) -> Self {
        Self::Slots(insn.into())
    }
}

/// Where a jump goes.
enum Target<'a> {
    Distance { off: i32, at: usize },
    Label(Name<'a>),
}

/// The type of a memory access.
struct MemType {
    size: Size,
    signed: bool,
}

/// The jump, call or address with another distance; `None` if it does not fit.
pub(super) fn with_distance(op: Op, distance: i32) -> Option<Op> {
    let short = i16::try_from(distance).ok();
    Some(match op {
        Op::Goto { long: true, .. } => Op::Goto { long: true, off: distance },
        Op::Goto { long: false, .. } => Op::Goto { long: false, off: i32::from(short?) },
        Op::Branch { op, width, dst, src, .. } => Op::Branch { op, width, dst, src, off: short? },
        Op::MayGoto { .. } => Op::MayGoto { off: short? },
        Op::Call(CallKind::Subprog { .. }) => Op::Call(CallKind::Subprog { off: distance }),
        Op::LoadImm64 { dst, value: Imm64::Func { .. } } => {
            Op::LoadImm64 { dst, value: Imm64::Func { off: distance } }
        }
        other => other,
    })
}

/// Reads one instruction. `code` is the opcode written in front of it, which tells a 64-bit
/// immediate load of a plain number from a move in the kernel's text.
pub(super) fn statement<'a>(s: &mut Scanner<'a>, code: Option<u8>) -> Parsed<Statement<'a>> {
    if s.eat("*") {
        return store(s);
    }
    if let Some((width, dst)) = s.register() {
        return assignment(s, code, width, dst);
    }
    let start = s.at();
    let keyword = s.name().map_or("", |n| n.text);
    match keyword {
        "if" => branch(s),
        "goto" => jump(s, Op::Goto { long: false, off: 0 }),
        "gotol" => jump(s, Op::Goto { long: true, off: 0 }),
        "may_goto" => jump(s, Op::MayGoto { off: 0 }),
        "gotox" => Ok(Op::GotoX { dst: s.expect_register()? }.into()),
        "call" => call(s),
        "exit" => Ok(Op::Exit.into()),
        "lock" => locked(s),
        "store_release" => store_release(s),
        "nospec" => {
            let is_barrier = |c: &u8| bpf_class(*c) == BPF_ST && bpf_mode(*c) == BPF_NOSPEC;
            let code = code.filter(is_barrier).unwrap_or(BPF_ST | BPF_NOSPEC);
            Ok(Insn::new(code, 0, 0, 0, 0).into())
        }
        ".raw" => raw(s),
        _ => {
            s.back_to(start);
            s.fail(ErrorKind::Expected("an instruction"))
        }
    }
}

/// `.raw code dst src off imm`: one slot.
fn raw<'a>(s: &mut Scanner<'a>) -> Parsed<Statement<'a>> {
    let code = s.field("an opcode byte")?;
    let mut nibble = || {
        let at = s.at();
        let number: u8 = s.field("four bits")?;
        if number < 16 {
            Ok(number)
        } else {
            Err(Failure { at, kind: ErrorKind::Range("four bits") })
        }
    };
    let (dst, src) = (nibble()?, nibble()?);
    let off = s.field("16 signed bits")?;
    let imm = s.any_i32("32 bits")?;
    Ok(Insn::new(code, dst, src, off, imm).into())
}

/// The type in parentheses: `(u32 *)`.
fn mem_type(s: &mut Scanner<'_>) -> Parsed<MemType> {
    const WHAT: ErrorKind = ErrorKind::Expected("a type: u8, u16, u32, u64, s8, s16 or s32");
    s.expect("(")?;
    let start = s.at();
    let (size, signed) = match s.name().map_or("", |n| n.text) {
        "u8" => (Size::B, false),
        "u16" => (Size::H, false),
        "u32" => (Size::W, false),
        "u64" => (Size::DW, false),
        "s8" => (Size::B, true),
        "s16" => (Size::H, true),
        "s32" => (Size::W, true),
        _ => return Err(Failure { at: start, kind: WHAT }),
    };
    s.expect("*")?;
    s.expect(")")?;
    Ok(MemType { size, signed })
}

/// The type in parentheses, unsigned.
fn unsigned_type(s: &mut Scanner<'_>) -> Parsed<Size> {
    let at = s.at();
    match mem_type(s)? {
        MemType { size, signed: false } => Ok(size),
        _ => Err(Failure { at, kind: ErrorKind::Expected("an unsigned type") }),
    }
}

/// Base register and offset: `r1 + 4`.
fn base(s: &mut Scanner<'_>) -> Parsed<(Reg, i16)> {
    Ok((s.expect_register()?, s.offset("16 signed bits")?))
}

/// Base register and offset in parentheses.
fn address(s: &mut Scanner<'_>) -> Parsed<(Reg, i16)> {
    s.expect("(")?;
    let address = base(s)?;
    s.expect(")")?;
    Ok(address)
}

/// A register that is loaded or stored: `r`, or `w` for accesses of up to four bytes.
fn data_register(s: &mut Scanner<'_>, size: Size) -> Parsed<Reg> {
    let at = s.at();
    match s.register() {
        Some((width, reg)) => data_width(width, size, at).map(|()| reg),
        None => s.fail(ErrorKind::Expected("a register")),
    }
}

fn data_width(width: Width, size: Size, at: usize) -> Parsed<()> {
    if width.is_32() && size == Size::DW {
        return Err(Failure { at, kind: ErrorKind::RegisterWidth });
    }
    Ok(())
}

/// `*(u32 *)(r1 + 4) = ...`, after the star.
fn store<'a>(s: &mut Scanner<'a>) -> Parsed<Statement<'a>> {
    let size = unsigned_type(s)?;
    let (base, off) = address(s)?;
    s.expect("=")?;
    let at = s.at();
    let value = match s.number()? {
        Some(number) if size == Size::DW => {
            Operand::Imm(fit(number, at, "32 bits, sign-extended")?)
        }
        Some(number) => Operand::Imm(fit_either(number, at, "32 bits")?),
        None => Operand::Reg(data_register(s, size)?),
    };
    Ok(Op::Store { size, base, off, value }.into())
}

/// `lock *(u64 *)(r1 + 0) += r2`, after `lock`.
fn locked<'a>(s: &mut Scanner<'a>) -> Parsed<Statement<'a>> {
    s.expect("*")?;
    let size = unsigned_type(s)?;
    let (base, off) = address(s)?;
    let op = if s.eat("+=") {
        AtomicOp::Add
    } else if s.eat("|=") {
        AtomicOp::Or
    } else if s.eat("&=") {
        AtomicOp::And
    } else if s.eat("^=") {
        AtomicOp::Xor
    } else {
        return s.fail(ErrorKind::Expected("+=, |=, &= or ^="));
    };
    let src = data_register(s, size)?;
    Ok(Op::Atomic { op, size, base, off, src }.into())
}

/// `store_release((u64 *)(r1 + 0), r2)`, after the name.
fn store_release<'a>(s: &mut Scanner<'a>) -> Parsed<Statement<'a>> {
    s.expect("(")?;
    let size = unsigned_type(s)?;
    let (base, off) = address(s)?;
    s.expect(",")?;
    let src = data_register(s, size)?;
    s.expect(")")?;
    Ok(Op::StoreRelease { size, base, off, src }.into())
}

/// A label or a distance: `out`, `pc+3`, `-3`.
fn target<'a>(s: &mut Scanner<'a>) -> Parsed<Target<'a>> {
    let at = s.at();
    if s.eat_word("pc") || s.eat("+") || s.eat("-") {
        s.back_to(at);
        s.eat_word("pc");
        let at = s.at();
        let off = s.field("the distance of a jump")?;
        return Ok(Target::Distance { off, at });
    }
    match s.name() {
        Some(label) => Ok(Target::Label(label)),
        None => s.fail(ErrorKind::Expected("a label or a distance like +3")),
    }
}

/// The rest of a jump: its target.
fn jump<'a>(s: &mut Scanner<'a>, op: Op) -> Parsed<Statement<'a>> {
    match target(s)? {
        Target::Label(label) => Ok(Statement::ToLabel { op, label }),
        Target::Distance { off, at } => with_distance(op, off)
            .map(Statement::from)
            .ok_or(Failure { at, kind: ErrorKind::Range("the distance of this jump") }),
    }
}

/// The second operand of arithmetic or a comparison. `unsigned` numbers may use all 32 bits.
fn operand(s: &mut Scanner<'_>, width: Width, unsigned: bool) -> Parsed<Operand> {
    let at = s.at();
    if let Some((other, reg)) = s.register() {
        if other != width {
            return Err(Failure { at, kind: ErrorKind::RegisterWidth });
        }
        return Ok(Operand::Reg(reg));
    }
    match s.number()? {
        Some(number) if unsigned || width.is_32() => {
            fit_either(number, at, "32 bits").map(Operand::Imm)
        }
        Some(number) => fit(number, at, "32 bits, sign-extended").map(Operand::Imm),
        None => s.fail(ErrorKind::Expected("a register or a number")),
    }
}

/// `if r1 > 5 goto out`, after `if`.
fn branch<'a>(s: &mut Scanner<'a>) -> Parsed<Statement<'a>> {
    let Some((width, dst)) = s.register() else {
        return s.fail(ErrorKind::Expected("a register"));
    };
    // Longer symbols first: `>` begins `>=`.
    let by_length = [3, 2, 1]
        .into_iter()
        .flat_map(|length| CmpOp::ALL.into_iter().filter(move |op| op.symbol().len() == length));
    let mut found = None;
    for op in by_length {
        if s.eat(op.symbol()) {
            found = Some(op);
            break;
        }
    }
    let Some(op) = found else { return s.fail(ErrorKind::Expected("a comparison")) };
    // The kernel prints immediates of jumps as unsigned hexadecimal numbers.
    let src = operand(s, width, true)?;
    s.expect_word("goto")?;
    jump(s, Op::Branch { op, width, dst, src, off: 0 })
}

/// What follows `call`.
fn call<'a>(s: &mut Scanner<'a>) -> Parsed<Statement<'a>> {
    let start = s.at();
    if s.eat_word("pc") {
        s.back_to(start);
        return jump(s, Op::Call(CallKind::Subprog { off: 0 }));
    }
    if s.eat("+") {
        s.back_to(start);
        return s.fail(ErrorKind::Expected("`pc+3` for a subprogram or `3` for a helper"));
    }
    if let Some(number) = s.number()? {
        let id = fit(number, start, "32 signed bits")?;
        return Ok(Op::Call(CallKind::Helper { id }).into());
    }
    // The kernel's text of a kernel function without a name; its `off` field is not in the text.
    if s.eat("kernel-function#") {
        let btf_id = s.field("32 signed bits")?;
        return Ok(Op::Call(CallKind::Kfunc { btf_id, fd_idx: 0 }).into());
    }
    if s.eat_word("kfunc") && !s.at_end() {
        return call_kfunc(s);
    }
    s.back_to(start);
    let Some(name) = s.name() else {
        return s.fail(ErrorKind::Expected("a function's name or number"));
    };
    let number = if s.eat("#") { Some(s.field("32 signed bits")?) } else { None };
    Ok(match (name.text, number) {
        ("unknown", Some(id)) => Op::Call(CallKind::Helper { id }).into(),
        _ => Statement::Call { name, number },
    })
}

/// `call kfunc name`, `call kfunc 5` or `call kfunc 5 off 1`, after `kfunc`.
fn call_kfunc<'a>(s: &mut Scanner<'a>) -> Parsed<Statement<'a>> {
    if let Some(name) = s.name() {
        return Ok(Statement::CallKfunc { name });
    }
    let btf_id = s.field("32 signed bits")?;
    let fd_idx = if s.eat_word("off") { s.field("16 signed bits")? } else { 0 };
    Ok(Op::Call(CallKind::Kfunc { btf_id, fd_idx }).into())
}

/// `r1 += ...`, after the register.
fn assignment<'a>(
    s: &mut Scanner<'a>,
    code: Option<u8>,
    width: Width,
    dst: Reg,
) -> Parsed<Statement<'a>> {
    for op in AluOp::ALL {
        if s.eat(op.symbol()) {
            if op == AluOp::Mov {
                return value(s, code, width, dst);
            }
            let src = operand(s, width, false)?;
            return Ok(Op::Alu { op, width, dst, src }.into());
        }
    }
    s.fail(ErrorKind::Expected("an assignment"))
}

/// `r1 = ...`, after the equals sign.
fn value<'a>(
    s: &mut Scanner<'a>,
    code: Option<u8>,
    width: Width,
    dst: Reg,
) -> Parsed<Statement<'a>> {
    let start = s.at();
    if s.eat("*") {
        return load(s, width, dst);
    }
    if s.eat("&") {
        return percpu_address(s, width, dst);
    }
    if s.eat("(") {
        return sign_extension(s, width, dst);
    }
    if s.eat("-") {
        if let Some(operand) = s.register() {
            same_register(operand == (width, dst), start)?;
            return Ok(Op::Neg { width, dst }.into());
        }
        s.back_to(start);
    }
    if let Some(number) = s.number()? {
        // Without `ll`, only the opcode of the kernel's text tells.
        if s.eat_word("ll") || code == Some(opcode::LD_IMM_DW) {
            only_64(width, start)?;
            let value = match u64::try_from(number) {
                Ok(number) => number,
                Err(_) => fit::<i64>(number, start, "64 bits")?.cast_unsigned(),
            };
            return Ok(Op::LoadImm64 { dst, value: Imm64::Value(Wide::new(value)) }.into());
        }
        s.back_to(start);
    } else if s.register().is_none() {
        return call_like(s, width, dst);
    }
    s.back_to(start);
    let src = operand(s, width, false)?;
    Ok(Op::Alu { op: AluOp::Mov, width, dst, src }.into())
}

fn same_register(same: bool, at: usize) -> Parsed<()> {
    if same { Ok(()) } else { Err(Failure { at, kind: ErrorKind::SameRegister }) }
}

fn only_64(width: Width, at: usize) -> Parsed<()> {
    if width.is_32() {
        return Err(Failure { at, kind: ErrorKind::RegisterWidth });
    }
    Ok(())
}

/// `*(u32 *)(r1 + 4)` or `*(u32 *)skb[4]`, after the star.
fn load<'a>(s: &mut Scanner<'a>, width: Width, dst: Reg) -> Parsed<Statement<'a>> {
    let at = s.at();
    let MemType { size, signed } = mem_type(s)?;
    if s.eat_word("skb") {
        let kind = match (width, dst, signed, size) {
            (Width::W64, Reg::R0, false, Size::B | Size::H | Size::W) => return packet(s, size),
            (_, _, false, Size::B | Size::H | Size::W) => ErrorKind::Expected("r0 as the result"),
            _ => ErrorKind::Expected("type u8, u16 or u32"),
        };
        return Err(Failure { at, kind });
    }
    let (base, off) = address(s)?;
    data_width(width, if signed { Size::DW } else { size }, at)?;
    Ok(Op::Load { size, sign_extend: signed, dst, base, off }.into())
}

/// `[4]` or `[r3 + 4]` after `skb`.
fn packet<'a>(s: &mut Scanner<'a>, size: Size) -> Parsed<Statement<'a>> {
    s.expect("[")?;
    let op = match s.register() {
        Some((Width::W64, src)) => Op::LoadInd { size, src, off: s.offset("32 signed bits")? },
        Some((Width::W32, _)) => return s.fail(ErrorKind::RegisterWidth),
        None => Op::LoadAbs { size, off: s.any_i32("32 bits")? },
    };
    s.expect("]")?;
    Ok(op.into())
}

/// `&(void __percpu *)(r1)`, after the ampersand: only the kernel itself makes this instruction.
fn percpu_address<'a>(s: &mut Scanner<'a>, width: Width, dst: Reg) -> Parsed<Statement<'a>> {
    let at = s.at();
    only_64(width, at)?;
    s.expect("(")?;
    s.expect_word("void")?;
    s.expect_word("__percpu")?;
    s.expect("*")?;
    s.expect(")")?;
    s.expect("(")?;
    let src = s.expect_register()?;
    s.expect(")")?;
    let code = opcode::ALU64_MOV_X;
    Ok(Insn::new(code, dst.number(), src.number(), BPF_ADDR_PERCPU, 0).into())
}

/// `(s8)r1`, after the parenthesis.
fn sign_extension<'a>(s: &mut Scanner<'a>, width: Width, dst: Reg) -> Parsed<Statement<'a>> {
    let at = s.at();
    let from = match (s.name().map_or("", |n| n.text), width) {
        ("s8", _) => Size::B,
        ("s16", _) => Size::H,
        ("s32", Width::W64) => Size::W,
        _ => return Err(Failure { at, kind: ErrorKind::Expected("s8, s16 or, for r, s32") }),
    };
    s.expect(")")?;
    let at = s.at();
    match s.register() {
        Some((other, src)) if other == width => Ok(Op::MovSx { width, from, dst, src }.into()),
        Some(_) => Err(Failure { at, kind: ErrorKind::RegisterWidth }),
        None => s.fail(ErrorKind::Expected("a register")),
    }
}

/// What follows an equals sign and begins with a name.
fn call_like<'a>(s: &mut Scanner<'a>, width: Width, dst: Reg) -> Parsed<Statement<'a>> {
    let start = s.at();
    let name = s.name().map_or("", |n| n.text);
    if let Some((kind, bits)) = swap(name) {
        only_64(width, start)?;
        let at = s.at();
        same_register(s.register() == Some((width, dst)), at)?;
        return Ok(Op::Swap { kind, bits, dst }.into());
    }
    match name {
        "addr_space_cast" => {
            only_64(width, start)?;
            s.expect("(")?;
            let src = s.expect_register()?;
            s.expect(",")?;
            let to = s.field("an address space")?;
            s.expect(",")?;
            let from = s.field("an address space")?;
            s.expect(")")?;
            Ok(Op::AddrSpaceCast { dst, src, to, from }.into())
        }
        "load_acquire" => {
            s.expect("(")?;
            let size = unsigned_type(s)?;
            data_width(width, size, start)?;
            let (base, off) = address(s)?;
            s.expect(")")?;
            Ok(Op::LoadAcquire { size, dst, base, off }.into())
        }
        "map" | "btf" | "func" => {
            only_64(width, start)?;
            s.expect("[")?;
            match name {
                "map" => map(s, dst),
                "btf" => symbol(s, dst),
                _ => subprogram(s, dst),
            }
        }
        _ => match AtomicName::parse(name) {
            Some(atomic) => fetching(s, atomic, width, dst, start),
            None => Err(Failure { at: start, kind: ErrorKind::Expected("a value") }),
        },
    }
}

/// `be16` and the like.
fn swap(name: &str) -> Option<(Swap, SwapBits)> {
    let kinds = [("be", Swap::ToBe), ("le", Swap::ToLe), ("bswap", Swap::Bswap)];
    kinds.into_iter().find_map(|(prefix, kind)| {
        let bits = match name.strip_prefix(prefix)? {
            "16" => SwapBits::B16,
            "32" => SwapBits::B32,
            "64" => SwapBits::B64,
            _ => return None,
        };
        Some((kind, bits))
    })
}

/// The name of an atomic operation that has a result.
struct AtomicName {
    op: AtomicOp,
    /// Certainly 8 bytes.
    wide: bool,
    /// LLVM's text, which has no type: `xchg_64(r1 + 0, r2)`.
    untyped: bool,
}

impl AtomicName {
    fn parse(name: &str) -> Option<Self> {
        let untyped = |op, wide| Some(Self { op, wide, untyped: true });
        match name {
            "xchg_64" => return untyped(AtomicOp::Xchg, true),
            "xchg32_32" => return untyped(AtomicOp::Xchg, false),
            "cmpxchg_64" => return untyped(AtomicOp::Cmpxchg, true),
            "cmpxchg32_32" => return untyped(AtomicOp::Cmpxchg, false),
            _ => {}
        }
        let rest = name.strip_prefix("atomic")?;
        let (rest, wide) = match rest.strip_prefix("64") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let op = match rest {
            "_fetch_add" => AtomicOp::FetchAdd,
            "_fetch_or" => AtomicOp::FetchOr,
            "_fetch_and" => AtomicOp::FetchAnd,
            "_fetch_xor" => AtomicOp::FetchXor,
            "_xchg" => AtomicOp::Xchg,
            "_cmpxchg" => AtomicOp::Cmpxchg,
            _ => return None,
        };
        Some(Self { op, wide, untyped: false })
    }
}

/// The operands of an atomic operation that has a result, after its name.
fn fetching<'a>(
    s: &mut Scanner<'a>,
    atomic: AtomicName,
    width: Width,
    dst: Reg,
    start: usize,
) -> Parsed<Statement<'a>> {
    s.expect("(")?;
    let at = s.at();
    let (size, (base, off)) = if atomic.untyped {
        (if atomic.wide { Size::DW } else { Size::W }, base(s)?)
    } else {
        (unsigned_type(s)?, address(s)?)
    };
    // LLVM leaves the 64 out, the kernel does not.
    if atomic.wide && size != Size::DW {
        return Err(Failure { at, kind: ErrorKind::Expected("type u64 with `atomic64`") });
    }
    data_width(width, size, start)?;
    if atomic.op == AtomicOp::Cmpxchg {
        s.expect(",")?;
        let at = s.at();
        same_register(data_register(s, size)? == Reg::R0 && dst == Reg::R0, at)?;
    }
    s.expect(",")?;
    let at = s.at();
    let src = data_register(s, size)?;
    same_register(atomic.op == AtomicOp::Cmpxchg || src == dst, at)?;
    s.expect(")")?;
    Ok(Op::Atomic { op: atomic.op, size, base, off, src }.into())
}

/// `[16]` after something else in brackets.
fn index<T: TryFrom<i128>>(s: &mut Scanner<'_>, what: &'static str) -> Parsed<Option<T>> {
    if !s.eat("[") {
        return Ok(None);
    }
    let index = s.field(what)?;
    s.expect("]")?;
    Ok(Some(index))
}

/// `name]`, `fd:5]` or `idx:5]` and perhaps `[16]`, after `map[`.
fn map<'a>(s: &mut Scanner<'a>, dst: Reg) -> Parsed<Statement<'a>> {
    let Some(name) = s.name() else { return s.fail(ErrorKind::Expected("a map's name")) };
    let number = if s.eat(":") { Some(s.any_i32("32 bits")?) } else { None };
    s.expect("]")?;
    let off: Option<u32> = index(s, "32 unsigned bits")?;
    let value = match (name.text, number, off) {
        (_, None, off) => return Ok(Statement::Map { dst, name, off }),
        ("fd", Some(fd), None) => Imm64::MapFd { fd },
        ("fd", Some(fd), Some(off)) => Imm64::MapValue { fd, off },
        ("idx", Some(idx), None) => Imm64::MapIdx { idx },
        ("idx", Some(idx), Some(off)) => Imm64::MapIdxValue { idx, off },
        _ => return Err(name.fail(ErrorKind::Expected("`fd` or `idx`"))),
    };
    Ok(Op::LoadImm64 { dst, value }.into())
}

/// `name]`, `id:5]` or `id:5][7]`, after `btf[`.
fn symbol<'a>(s: &mut Scanner<'a>, dst: Reg) -> Parsed<Statement<'a>> {
    let Some(name) = s.name() else { return s.fail(ErrorKind::Expected("a symbol's name")) };
    if !s.eat(":") {
        s.expect("]")?;
        return Ok(Statement::Symbol { dst, name });
    }
    if name.text != "id" {
        return Err(name.fail(ErrorKind::Expected("`id`")));
    }
    let id = s.field("32 unsigned bits")?;
    s.expect("]")?;
    let btf_fd = index(s, "32 signed bits")?.unwrap_or(0);
    Ok(Op::LoadImm64 { dst, value: Imm64::BtfId { id, btf_fd } }.into())
}

/// `label]` or `pc+5]`, after `func[`.
fn subprogram<'a>(s: &mut Scanner<'a>, dst: Reg) -> Parsed<Statement<'a>> {
    let address = jump(s, Op::LoadImm64 { dst, value: Imm64::Func { off: 0 } })?;
    s.expect("]")?;
    Ok(address)
}
