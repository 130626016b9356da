// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Registers and states in the kernel's words (`print_reg_state`, `print_verifier_state` in
//! `kernel/bpf/log.c`).

use crate::analysis::maps::{MapBtf, UsedBtf, UsedMap, btf_of};
use crate::domain::{Interval, Quad, Tnum};
use crate::mem::{Budget, Text};
use crate::state::{
    BtfRef, DynptrKind, FrameFlags, FrameMarks, IterState, Kind, MapRef, RegState, Slot, SlotType,
    State, Store,
};
use crate::trace::StateText;
use core::fmt::{self, Write};
use veristable_btf::{Btf, TypeId};
use veristable_kernel::{Kernel, RegBase, TypeFlags};
use veristable_program::{LoadRequest, MapSpec};

/// Registers and slots that were touched since they were last printed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Touched {
    /// One bit per register.
    pub regs: u16,
    /// One bit per slot.
    pub slots: u64,
}

impl Touched {
    /// Everything (`mark_verifier_state_scratched`).
    pub const ALL: Self = Self { regs: u16::MAX, slots: u64::MAX };

    /// Whether there is anything to print.
    #[must_use]
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// What the log shows of a frame's liveness behind its registers and slots, one bit each: `_rwD`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Suffixes {
    /// Registers that were read from here on.
    pub read_regs: u16,
    /// Registers that were written since the checkpoint before.
    pub written_regs: u16,
    /// Slots that were read from here on.
    pub read_slots: u64,
    /// Slots that were written since the checkpoint before.
    pub written_slots: u64,
    /// All that is known is final, but for the frame pointer.
    pub done: bool,
}

impl Suffixes {
    fn of_reg(&self, reg: usize) -> Suffix {
        let has = |mask: u16| mask.checked_shr(reg as u32).unwrap_or(0) & 1 != 0;
        let done = self.done && reg < 10;
        Suffix { read: has(self.read_regs), written: has(self.written_regs), done }
    }

    fn of_slot(&self, slot: usize) -> Suffix {
        let has = |mask: u64| mask.checked_shr(slot as u32).unwrap_or(0) & 1 != 0;
        Suffix { read: has(self.read_slots), written: has(self.written_slots), done: self.done }
    }
}

/// As the log writes it (`print_liveness`).
#[derive(Clone, Copy)]
struct Suffix {
    read: bool,
    written: bool,
    done: bool,
}

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, written, done } = *self;
        let letters = [(read || written || done, '_'), (read, 'r'), (written, 'w'), (done, 'D')];
        letters.into_iter().filter(|(shown, _)| *shown).try_for_each(|(_, c)| f.write_char(c))
    }
}

/// Where names in a state's text come from.
#[derive(Clone, Copy)]
pub struct StateNames<'v> {
    /// The request, for its maps.
    pub request: &'v LoadRequest,
    /// The maps in use.
    pub used_maps: &'v [UsedMap],
    /// The kernel, for its types.
    pub kernel: &'v dyn Kernel,
    /// The program's types.
    pub program: Option<&'v Btf<'v>>,
    /// The types of maps that another loader made.
    pub map_btfs: &'v [MapBtf<'v>],
    /// The BTFs in use besides.
    pub used_btfs: &'v [UsedBtf<'v>],
}

impl<'v> StateNames<'v> {
    /// The name of a type; empty if there is none.
    fn type_name(&self, which: BtfRef, id: TypeId) -> &'v str {
        let btf = btf_of(which, self.kernel, self.program, self.map_btfs, self.used_btfs);
        btf.ok().flatten().and_then(|btf| btf.type_by_id(id).ok()).map_or("", |ty| ty.name())
    }

    fn map(self, map: MapRef) -> Option<&'v MapSpec> {
        let used = self.used_maps.get(map.index.0 as usize)?;
        let desc = self.request.maps.get(used.request as usize)?;
        if map.inner { desc.inner.as_deref() } else { Some(&desc.spec) }
    }
}

/// One frame of a state, to be written.
#[derive(Clone, Copy)]
pub struct StateView<'v> {
    /// Where the frames are.
    pub store: &'v Store,
    /// The state.
    pub state: &'v State,
    /// The frame.
    pub frame: u8,
    /// What is known of a checkpoint's frame beside the state.
    pub marks: FrameMarks,
    /// What the log shows of its liveness.
    pub suffixes: Suffixes,
    /// Every number is precise: the program may not do without (no `CAP_BPF`).
    pub all_precise: bool,
    /// What to write unless all of it.
    pub touched: Touched,
    /// Names.
    pub names: StateNames<'v>,
}

impl StateText for StateView<'_> {
    fn write(&self, all: bool, out: &mut dyn Write) -> fmt::Result {
        // A state without its frames cannot be printed and does not exist.
        let Ok(id) = self.state.frame(self.frame) else { return Ok(()) };
        let Ok(frame) = self.store.frame(id) else { return Ok(()) };
        if frame.number != 0 {
            write!(out, " frame{}:", frame.number)?;
        }
        for (number, reg) in frame.regs.iter().enumerate() {
            let shown = all || self.touched.regs & 1 << number != 0;
            if matches!(reg.kind, Kind::NotInit) || self.marks.is_dead_reg(number) || !shown {
                continue;
            }
            let precise = self.all_precise || self.marks.is_precise_reg(number);
            write!(out, " R{number}{}=", self.suffixes.of_reg(number))?;
            write_reg(out, self.names, frame.number, reg, precise)?;
        }
        self.write_stack(all, frame.number, self.store.slots(id).unwrap_or(&[]), out)?;
        self.write_references(self.frame, out)?;
        if frame.flags.contains(FrameFlags::IN_CALLBACK) {
            out.write_str(" cb")?;
        }
        if frame.flags.contains(FrameFlags::IN_ASYNC_CALLBACK) {
            out.write_str(" async_cb")?;
        }
        Ok(())
    }
}

impl StateView<'_> {
    fn write_references(&self, frame: u8, out: &mut dyn Write) -> fmt::Result {
        let Some(refs) = self.state.refs_of(frame).filter(|refs| !refs.is_empty()) else {
            return Ok(());
        };
        let budget = Budget::new(usize::MAX);
        let held = self.store.refs.oldest_first(&budget, refs).map_err(|_| fmt::Error)?;
        let mut ids = held.iter().map(|reference| reference.id);
        let Some(first) = ids.next().filter(|id| *id != 0) else { return Ok(()) };
        write!(out, " refs={first}")?;
        ids.filter(|id| *id != 0).try_for_each(|id| write!(out, ",{id}"))
    }

    fn write_stack(
        &self,
        all: bool,
        frame: u8,
        slots: &[Slot],
        out: &mut dyn Write,
    ) -> fmt::Result {
        let mut slots = slots.iter().enumerate();
        while let Some((number, slot)) = slots.next() {
            let shown = all || number > 63 || self.touched.slots & 1 << number != 0;
            let valid = slot.types.iter().any(|ty| *ty != SlotType::Invalid);
            if !shown || !valid || self.marks.is_dead_slot(number) {
                continue;
            }
            let suffix = self.suffixes.of_slot(number);
            match slot.main_type() {
                SlotType::Spill => {
                    write!(out, " fp{}{suffix}=", offset_of(number))?;
                    let above = slot.types.iter().take_while(|ty| **ty != SlotType::Spill);
                    above.into_iter().try_for_each(|ty| out.write_char(ty.letter()))?;
                    let precise = self.all_precise || self.marks.is_precise_slot(number);
                    write_reg(out, self.names, frame, &slot.reg, precise)?;
                }
                SlotType::Dynptr => {
                    // The slot below, which comes next, is the first in memory and says what it is.
                    if let Some((number, slot)) = slots.next() {
                        let suffix = self.suffixes.of_slot(number);
                        write_dynptr(out, number, suffix, &slot.reg)?;
                    }
                }
                SlotType::Iter => write_iter(out, self.names, number, suffix, &slot.reg)?,
                _ => {
                    write!(out, " fp{}{suffix}=", offset_of(number))?;
                    slot.types.iter().try_for_each(|ty| out.write_char(ty.letter()))?;
                }
            }
        }
        Ok(())
    }
}

fn offset_of(slot: usize) -> i64 {
    i64::try_from(slot).map_or(0, |slot| -8 * (slot + 1))
}

fn write_dynptr(out: &mut dyn Write, number: usize, suffix: Suffix, reg: &RegState) -> fmt::Result {
    let Kind::Dynptr { kind, first_slot } = reg.kind else { return Ok(()) };
    write!(out, " fp{}{suffix}=dynptr_{}(", offset_of(number), dynptr_name(kind))?;
    let mut sep = "";
    // The kernel keeps the mark of the first slot where slices have the id of their dynptr.
    let first = u32::from(first_slot);
    for (name, id) in [("id", reg.id.0), ("ref_id", reg.ref_id), ("dynptr_id", first)] {
        if id != 0 {
            write!(out, "{sep}{name}={id}")?;
            sep = ",";
        }
    }
    out.write_str(")")
}

fn write_iter(
    out: &mut dyn Write,
    names: StateNames<'_>,
    number: usize,
    suffix: Suffix,
    reg: &RegState,
) -> fmt::Result {
    let Kind::Iter { btf, id: ty, state, depth } = reg.kind else { return Ok(()) };
    // Only the main slot has the reference.
    if reg.ref_id == 0 {
        return Ok(());
    }
    let state = match state {
        IterState::Invalid => "<invalid>",
        IterState::Active => "active",
        IterState::Drained => "drained",
    };
    let (offset, id) = (offset_of(number), reg.ref_id);
    let name = names.type_name(btf, ty);
    let name = name.strip_prefix("bpf_iter_").unwrap_or(name);
    write!(out, " fp{offset}{suffix}=iter_{name}(ref_id={id},state={state},depth={depth})")
}

/// The name of a kind of dynptr (`dynptr_type_str`).
pub(crate) const fn dynptr_name(kind: DynptrKind) -> &'static str {
    match kind {
        DynptrKind::Local => "local",
        DynptrKind::Ringbuf => "ringbuf",
        DynptrKind::Skb => "skb",
        DynptrKind::Xdp => "xdp",
        DynptrKind::SkbMeta => "skb_meta",
    }
}

/// Separates what is in parentheses.
struct Fields<'o> {
    out: &'o mut dyn Write,
    sep: &'static str,
}

impl Fields<'_> {
    fn put(&mut self, field: fmt::Arguments<'_>) -> fmt::Result {
        self.out.write_str(self.sep)?;
        self.sep = ",";
        self.out.write_fmt(field)
    }
}

/// Writes a register as a state shows it. `frame` is the frame that is printed.
fn write_reg(
    out: &mut dyn Write,
    names: StateNames<'_>,
    frame: u8,
    reg: &RegState,
    precise: bool,
) -> fmt::Result {
    let value = &reg.value;
    let is_scalar = reg.is_scalar();
    if is_scalar && precise {
        out.write_str("P")?;
    }
    if let (true, Some(number)) = (is_scalar, value.as_const()) {
        return write!(out, "{}", Signed(number as i64));
    }
    write!(out, "{}", TypeName(reg.kind.base(), reg.flags))?;
    match reg.kind {
        Kind::Arena => return Ok(()),
        Kind::Stack => {
            if reg.frame != frame {
                write!(out, "[{}]", reg.frame)?;
            }
            if let Some(offset) = value.as_const() {
                let offset = (offset as i64).wrapping_add(i64::from(reg.off));
                return write!(out, "{}", Signed(offset));
            }
        }
        Kind::BtfId { btf, id } => out.write_str(names.type_name(btf, id))?,
        _ => {}
    }
    out.write_str("(")?;
    let mut fields = Fields { out, sep: "" };
    write_head(&mut fields, names, reg)?;
    match value.as_const() {
        Some(0) => {}
        Some(offset) => fields.put(format_args!("imm={}", Signed(offset as i64)))?,
        None => {
            write_ranges(&mut fields, value)?;
            if !value.bits.is_unknown() {
                fields.put(format_args!("var_off={}", TnumText(value.bits)))?;
            }
        }
    }
    fields.out.write_str(")")
}

fn write_head(fields: &mut Fields<'_>, names: StateNames<'_>, reg: &RegState) -> fmt::Result {
    if !reg.id.is_none() {
        fields.put(format_args!("id={}", reg.id.group()))?;
    }
    if reg.id.has_distance() {
        write!(fields.out, "{:+}", reg.off)?;
    }
    if reg.ref_id != 0 {
        fields.put(format_args!("ref_obj_id={}", reg.ref_id))?;
    }
    if reg.flags.contains(TypeFlags::NON_OWN_REF) {
        fields.put(format_args!("non_own_ref"))?;
    }
    if let Kind::ConstMapPtr { map: which, .. }
    | Kind::MapValue { map: which, .. }
    | Kind::MapKey { map: which, .. } = reg.kind
        && let Some(map) = names.map(which)
    {
        let name = which.name(map);
        if !name.is_empty() {
            fields.put(format_args!("map={name}"))?;
        }
        fields.put(format_args!("ks={},vs={}", map.key_size, map.value_size))?;
    }
    if !reg.is_scalar() && reg.off != 0 {
        fields.put(format_args!("off={}", Signed(i64::from(reg.off))))?;
    }
    match reg.kind {
        Kind::Packet { range } | Kind::PacketMeta { range } => {
            fields.put(format_args!("r={}", Unsigned(i64::from(range) as u64)))
        }
        Kind::Mem { size, .. } => fields.put(format_args!("sz={}", Unsigned(u64::from(size)))),
        Kind::Dynptr { kind, .. } => fields.put(format_args!("type={}", dynptr_name(kind))),
        _ => Ok(()),
    }
}

/// One end of a range in the order of printing; `None` if it says nothing.
#[derive(Clone, Copy)]
struct End {
    name: &'static str,
    signed: bool,
    value: Option<u64>,
}

impl End {
    const fn is_negative(&self) -> bool {
        matches!(self.value, Some(value) if self.signed && (value as i64) < 0)
    }
}

fn ends_of(value: &Quad) -> [End; 8] {
    // 32-bit numbers are sign-extended only if they are printed in decimal, so that equal texts
    // can share one value.
    let low = |number: i32| {
        if is_signed_decimal(i64::from(number)) {
            i64::from(number) as u64
        } else {
            u64::from(number as u32)
        }
    };
    let Quad { u64, s64, u32, s32, .. } = value;
    let full = (
        Interval::<u64>::FULL,
        Interval::<i64>::FULL,
        Interval::<u32>::FULL,
        Interval::<i32>::FULL,
    );
    let end =
        |name, signed, value, omit: bool| End { name, signed, value: (!omit).then_some(value) };
    [
        end("smin", true, s64.min as u64, s64.min == full.1.min),
        end("smax", true, s64.max as u64, s64.max == full.1.max),
        end("umin", false, u64.min, u64.min == full.0.min),
        end("umax", false, u64.max, u64.max == full.0.max),
        end("smin32", true, low(s32.min), s32.min == full.3.min),
        end("smax32", true, low(s32.max), s32.max == full.3.max),
        end("umin32", false, u64::from(u32.min), u32.min == full.2.min),
        end("umax32", false, u64::from(u32.max), u32.max == full.2.max),
    ]
}

fn write_ranges(fields: &mut Fields<'_>, value: &Quad) -> fmt::Result {
    let mut ends = ends_of(value);
    let mut rest = &mut ends[..];
    while let Some((first, later)) = rest.split_first_mut() {
        rest = later;
        let Some(number) = first.value else { continue };
        fields.put(format_args!("{}=", first.name))?;
        // The same number at the same end is named together.
        for other in rest.iter_mut().skip(1).step_by(2) {
            if other.value == Some(number) && other.is_negative() == first.is_negative() {
                other.value = None;
                write!(fields.out, "{}=", other.name)?;
            }
        }
        if first.signed {
            write!(fields.out, "{}", Signed(number as i64))?;
        } else {
            write!(fields.out, "{}", Unsigned(number))?;
        }
    }
    Ok(())
}

fn is_signed_decimal(number: i64) -> bool {
    i16::try_from(number).is_ok()
}

/// A signed number: decimal if it fits 16 bits, else hexadecimal.
#[derive(Clone, Copy, Debug)]
pub struct Signed(pub i64);

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_signed_decimal(self.0) { write!(f, "{}", self.0) } else { write!(f, "{:#x}", self.0) }
    }
}

/// An unsigned number: decimal if it fits 16 bits, else hexadecimal.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned(pub u64);

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if u16::try_from(self.0).is_ok() {
            write!(f, "{}", self.0)
        } else {
            write!(f, "{:#x}", self.0)
        }
    }
}

/// A tnum: a number if it is one, else value and mask (`tnum_strn`).
#[derive(Clone, Copy, Debug)]
pub struct TnumText(pub Tnum);

impl TnumText {
    /// As a text of its own for a message.
    #[must_use]
    pub fn text(self) -> Text {
        Text::format(format_args!("{self}"))
    }
}

impl fmt::Display for TnumText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_const() {
            write!(f, "{}", Unsigned(self.0.value))
        } else {
            write!(f, "({:#x}; {:#x})", self.0.value, self.0.mask)
        }
    }
}

/// The name of a type with its modifiers (`reg_type_str`).
#[derive(Clone, Copy, Debug)]
pub struct TypeName(pub RegBase, pub TypeFlags);

impl TypeName {
    /// Of a register.
    #[must_use]
    pub const fn of(reg: &RegState) -> Self {
        Self(reg.kind.base(), reg.flags)
    }

    /// As a text of its own for a message.
    #[must_use]
    pub fn text(self) -> Text {
        Text::format(format_args!("{self}"))
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PREFIXES: [(TypeFlags, &str); 7] = [
            (TypeFlags::MEM_RDONLY, "rdonly_"),
            (TypeFlags::MEM_RINGBUF, "ringbuf_"),
            (TypeFlags::MEM_USER, "user_"),
            (TypeFlags::MEM_PERCPU, "percpu_"),
            (TypeFlags::MEM_RCU, "rcu_"),
            (TypeFlags::PTR_UNTRUSTED, "untrusted_"),
            (TypeFlags::PTR_TRUSTED, "trusted_"),
        ];
        for (flag, prefix) in PREFIXES {
            if self.1.contains(flag) {
                f.write_str(prefix)?;
            }
        }
        f.write_str(match self.0 {
            RegBase::NotInit => "?",
            RegBase::Scalar => "scalar",
            RegBase::Ctx => "ctx",
            RegBase::ConstMapPtr => "map_ptr",
            RegBase::MapValue => "map_value",
            RegBase::MapKey => "map_key",
            RegBase::Stack => "fp",
            RegBase::PacketMeta => "pkt_meta",
            RegBase::Packet => "pkt",
            RegBase::PacketEnd => "pkt_end",
            RegBase::FlowKeys => "flow_keys",
            RegBase::Socket => "sock",
            RegBase::SockCommon => "sock_common",
            RegBase::TcpSock => "tcp_sock",
            RegBase::TpBuffer => "tp_buffer",
            RegBase::XdpSock => "xdp_sock",
            RegBase::BtfId => "ptr_",
            RegBase::Mem => "mem",
            RegBase::Arena => "arena",
            RegBase::Buf => "buf",
            RegBase::Func => "func",
            RegBase::Dynptr => "dynptr_ptr",
            _ => "",
        })?;
        if self.1.contains(TypeFlags::PTR_MAYBE_NULL) {
            f.write_str(if self.0 == RegBase::BtfId { "or_null_" } else { "_or_null" })?;
        }
        Ok(())
    }
}
