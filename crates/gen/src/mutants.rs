// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! One-instruction changes of programs, by seed.
//!
//! Programs that load prove little about a verifier; their near neighbours are mostly wrong in
//! interesting ways. The same request and seed give the same mutant, on every machine, for as long
//! as [`GENERATION`] stands.

use crate::Random;
use crate::edit::{resize, retarget, set_jump, starts};
use veristable_isa::Insn;
use veristable_isa::consts::*;
use veristable_program::LoadRequest;

/// Changes when the same seed gives other mutants than before.
pub const GENERATION: u32 = 1;

/// Programs with more slots than this are not mutated by [`of`].
pub const MAX_SLOTS: usize = 65_536;

/// Tries to find a change that [`mutate`] makes before it gives up.
const TRIES: u32 = 64;

/// What was changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Destination register.
    Dst,
    /// Source register.
    Src,
    /// Immediate; of a helper call, the helper.
    Imm,
    /// Offset of a memory access.
    Offset,
    /// Target of a jump.
    Target,
    /// Operation within the class.
    Operation,
    /// Comparison turned into its opposite.
    Flip,
    /// Source from register to immediate or back.
    Operand,
    /// Between 32 and 64 bits.
    Width,
    /// Size of a memory access.
    Size,
    /// Exchanged with the next instruction.
    Swap,
    /// Removed.
    Delete,
    /// Doubled.
    Duplicate,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Dst,
        Self::Src,
        Self::Imm,
        Self::Offset,
        Self::Target,
        Self::Operation,
        Self::Flip,
        Self::Operand,
        Self::Width,
        Self::Size,
        Self::Swap,
        Self::Delete,
        Self::Duplicate,
    ];

    /// A short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dst => "dst",
            Self::Src => "src",
            Self::Imm => "imm",
            Self::Offset => "offset",
            Self::Target => "target",
            Self::Operation => "operation",
            Self::Flip => "flip",
            Self::Operand => "operand",
            Self::Width => "width",
            Self::Size => "size",
            Self::Swap => "swap",
            Self::Delete => "delete",
            Self::Duplicate => "duplicate",
        }
    }
}

/// A changed program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mutant {
    /// Name of the original, the mutant's number, kind and slot: `a.bpf.o:prog~17:imm@4`.
    pub id: String,
    /// What was changed.
    pub kind: Kind,
    /// The slot that was changed, in the original's numbering.
    pub insn: usize,
    /// The changed program.
    pub request: LoadRequest,
}

/// `count` mutants of some programs, drawn evenly; fewer when a program resists. Programs over
/// [`MAX_SLOTS`] are left out.
pub fn of<'a>(
    programs: impl IntoIterator<Item = (&'a str, &'a LoadRequest)>,
    count: usize,
    seed: u64,
) -> Vec<Mutant> {
    let programs: Vec<_> = programs
        .into_iter()
        .filter(|(_, request)| !request.insns.is_empty() && request.insns.len() <= MAX_SLOTS)
        .collect();
    if programs.is_empty() {
        return Vec::new();
    }
    let mut seeds = Random::new(seed);
    (0..count)
        .filter_map(|number| {
            let mut random = Random::new(seeds.next());
            let (name, request) = programs.get(random.below(programs.len()))?;
            let (kind, insn, request) = change(request, &mut random)?;
            let id = format!("{name}~{number}:{}@{insn}", kind.name());
            Some(Mutant { id, kind, insn, request })
        })
        .collect()
}

/// The mutant of one program for a seed; nothing if no change was found, as for an empty program.
#[must_use]
pub fn mutate(request: &LoadRequest, seed: u64) -> Option<Mutant> {
    let (kind, insn, request) = change(request, &mut Random::new(seed))?;
    Some(Mutant {
        id: format!("{}~{seed}:{}@{insn}", request.name, kind.name()),
        kind,
        insn,
        request,
    })
}

fn change(request: &LoadRequest, random: &mut Random) -> Option<(Kind, usize, LoadRequest)> {
    let starts = starts(&request.insns);
    for _ in 0..TRIES {
        let at = *starts.get(random.below(starts.len()))?;
        let kind = random.pick(Kind::ALL);
        if let Some(changed) = apply(request, &starts, at, kind, random) {
            return Some((kind, at, changed));
        }
    }
    None
}

fn apply(
    request: &LoadRequest,
    starts: &[usize],
    at: usize,
    kind: Kind,
    random: &mut Random,
) -> Option<LoadRequest> {
    match kind {
        Kind::Swap => return swap(request, at),
        Kind::Delete => return resize(request, at, false),
        Kind::Duplicate => return resize(request, at, true),
        _ => {}
    }
    let insn = *request.insns.get(at)?;
    let changed = match kind {
        Kind::Target => target(insn, at, starts, random),
        _ => field(insn, kind, random),
    }?;
    if changed == insn {
        return None;
    }
    let mut out = request.clone();
    *out.insns.get_mut(at)? = changed;
    Some(out)
}

/// Changes that need only the instruction itself.
fn field(insn: Insn, kind: Kind, random: &mut Random) -> Option<Insn> {
    match kind {
        Kind::Dst => (!is_plain_jump(insn)).then(|| with_dst(insn, random.below(11) as u8)),
        Kind::Src => uses_src(insn).then(|| with_src(insn, random.below(11) as u8)),
        Kind::Imm => immediate(insn, random),
        Kind::Offset => offset(insn, random),
        Kind::Operation => operation(insn, random),
        Kind::Flip => flip(insn),
        Kind::Operand => operand(insn, random),
        Kind::Width => width(insn),
        Kind::Size => size(insn, random),
        Kind::Target | Kind::Swap | Kind::Delete | Kind::Duplicate => None,
    }
}

fn with_dst(mut insn: Insn, dst: u8) -> Insn {
    insn.regs = (insn.regs & 0xf0) | dst;
    insn
}

fn with_src(mut insn: Insn, src: u8) -> Insn {
    insn.regs = (insn.regs & 0x0f) | src << 4;
    insn
}

/// Jumps that look at no register: `goto`, call, exit.
fn is_plain_jump(insn: Insn) -> bool {
    insn.is_jump_class() && matches!(bpf_op(insn.code), BPF_JA | BPF_CALL | BPF_EXIT)
}

fn is_alu(insn: Insn) -> bool {
    matches!(insn.class(), BPF_ALU | BPF_ALU64)
}

fn is_compare(insn: Insn) -> bool {
    insn.is_jump_class() && !is_plain_jump(insn) && bpf_op(insn.code) != BPF_JCOND
}

fn is_memory(insn: Insn) -> bool {
    matches!(insn.class(), BPF_LDX | BPF_ST | BPF_STX)
}

fn uses_src(insn: Insn) -> bool {
    match insn.class() {
        BPF_LDX | BPF_STX => true,
        BPF_ALU | BPF_ALU64 | BPF_JMP | BPF_JMP32 => {
            bpf_src(insn.code) == BPF_X && !is_plain_jump(insn)
        }
        _ => false,
    }
}

fn immediate(mut insn: Insn, random: &mut Random) -> Option<Insn> {
    let names_something =
        insn.is_ldimm64() && insn.src() != 0 || insn.is_pseudo_call() || insn.is_kfunc_call();
    let has_imm = match insn.class() {
        BPF_LD | BPF_ST => true,
        BPF_ALU | BPF_ALU64 => bpf_src(insn.code) == BPF_K,
        BPF_JMP | BPF_JMP32 if insn.is_helper_call() => true,
        BPF_JMP | BPF_JMP32 => is_compare(insn) && bpf_src(insn.code) == BPF_K,
        _ => insn.class() == BPF_STX && bpf_mode(insn.code) == BPF_ATOMIC,
    };
    if names_something || !has_imm {
        return None;
    }
    let old = insn.imm;
    insn.imm = match random.below(10) {
        0 => 0,
        1 => 1,
        2 => -1,
        3 => i32::MIN,
        4 => i32::MAX,
        5 => old.wrapping_add(1),
        6 => old.wrapping_sub(1),
        7 => old.wrapping_neg(),
        8 => old ^ (1 << random.below(32)),
        _ => random.next() as i32,
    };
    Some(insn)
}

fn offset(mut insn: Insn, random: &mut Random) -> Option<Insn> {
    if !is_memory(insn) {
        return None;
    }
    let old = insn.off;
    insn.off = match random.below(8) {
        0 => old.wrapping_neg(),
        1 => 0,
        2 => old.wrapping_add(random.pick([1, 2, 4, 8])),
        3 => old.wrapping_sub(random.pick([1, 2, 4, 8])),
        4 => old.wrapping_add(random.pick([16, 64, 256, 512])),
        5 => old.wrapping_sub(random.pick([16, 64, 256, 512])),
        6 => random.pick([i16::MIN, i16::MAX, -512, -520]),
        _ => random.next() as i16,
    };
    Some(insn)
}

fn operation(mut insn: Insn, random: &mut Random) -> Option<Insn> {
    let op = if is_alu(insn) {
        random.pick([
            BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_LSH, BPF_RSH, BPF_NEG,
            BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH,
        ])
    } else if is_compare(insn) {
        random.pick([
            BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE, BPF_JSGT, BPF_JSGE, BPF_JLT, BPF_JLE,
            BPF_JSLT, BPF_JSLE,
        ])
    } else if insn.class() == BPF_STX && bpf_mode(insn.code) == BPF_ATOMIC {
        let (add, or) = (i32::from(BPF_ADD), i32::from(BPF_OR));
        insn.imm = random.pick([
            add,
            or,
            add | BPF_FETCH,
            or | BPF_FETCH,
            BPF_XCHG,
            BPF_CMPXCHG,
            BPF_LOAD_ACQ,
            BPF_STORE_REL,
        ]);
        return Some(insn);
    } else if is_memory(insn) {
        // Between plain, sign-extending and atomic accesses.
        insn.code =
            (insn.code & !BPF_MODE_MASK) | random.pick([BPF_MEM, BPF_MEMSX, BPF_ATOMIC, BPF_ABS]);
        return Some(insn);
    } else {
        return None;
    };
    insn.code = (insn.code & !BPF_OP_MASK) | op;
    Some(insn)
}

fn flip(mut insn: Insn) -> Option<Insn> {
    if !is_compare(insn) {
        return None;
    }
    let op = match bpf_op(insn.code) {
        BPF_JEQ => BPF_JNE,
        BPF_JNE => BPF_JEQ,
        BPF_JGT => BPF_JLE,
        BPF_JLE => BPF_JGT,
        BPF_JGE => BPF_JLT,
        BPF_JLT => BPF_JGE,
        BPF_JSGT => BPF_JSLE,
        BPF_JSLE => BPF_JSGT,
        BPF_JSGE => BPF_JSLT,
        BPF_JSLT => BPF_JSGE,
        _ => return None,
    };
    insn.code = (insn.code & !BPF_OP_MASK) | op;
    Some(insn)
}

/// A register that becomes an immediate takes its number with it, and the other way round, so that
/// no reserved field is set.
fn operand(mut insn: Insn, random: &mut Random) -> Option<Insn> {
    if !is_alu(insn) && !is_compare(insn) {
        return None;
    }
    if bpf_src(insn.code) == BPF_X {
        insn.imm = insn.src().into();
        insn = with_src(insn, 0);
    } else {
        insn.imm = 0;
        insn = with_src(insn, random.below(11) as u8);
    }
    insn.code ^= BPF_X;
    Some(insn)
}

fn width(mut insn: Insn) -> Option<Insn> {
    let class = match insn.class() {
        BPF_ALU => BPF_ALU64,
        BPF_ALU64 => BPF_ALU,
        BPF_JMP if is_compare(insn) => BPF_JMP32,
        BPF_JMP32 if is_compare(insn) => BPF_JMP,
        _ => return None,
    };
    insn.code = (insn.code & !BPF_CLASS_MASK) | class;
    Some(insn)
}

fn size(mut insn: Insn, random: &mut Random) -> Option<Insn> {
    if !is_memory(insn) {
        return None;
    }
    insn.code = (insn.code & !BPF_SIZE_MASK) | random.pick([BPF_B, BPF_H, BPF_W, BPF_DW]);
    Some(insn)
}

/// Another target: nine times of ten the beginning of an instruction of the program, else any.
fn target(mut insn: Insn, at: usize, starts: &[usize], random: &mut Random) -> Option<Insn> {
    insn.jump_target(at)?;
    let inside = random.below(10) != 0;
    let distance = match starts.get(random.below(starts.len())) {
        Some(&to) if inside => to as i64 - at as i64 - 1,
        _ => i64::from(random.next() as i16),
    };
    set_jump(&mut insn, distance)?;
    Some(insn)
}

/// Exchanges an instruction with the one behind it. Their slots keep their numbers only if both
/// take one slot; jumps in them keep their targets.
fn swap(request: &LoadRequest, at: usize) -> Option<LoadRequest> {
    let (first, second) = (*request.insns.get(at)?, *request.insns.get(at + 1)?);
    if first.slots() != 1 || second.slots() != 1 || first == second {
        return None;
    }
    let mut out = request.clone();
    for (from, to, insn) in [(at, at + 1, first), (at + 1, at, second)] {
        let mut moved = insn;
        retarget(&mut moved, from, to, |slot| slot)?;
        *out.insns.get_mut(to)? = moved;
    }
    for fixup in &mut out.fixups {
        fixup.insn = match fixup.insn as usize {
            slot if slot == at => fixup.insn + 1,
            slot if slot == at + 1 => fixup.insn - 1,
            _ => fixup.insn,
        };
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};
    use veristable_isa::asm;
    use veristable_program::{Blob, Fixup, FixupKind, InfoTable};

    fn request(source: &str) -> LoadRequest {
        let insns = asm::assemble(source, &()).unwrap().insns;
        LoadRequest { name: "p".to_owned(), insns, ..LoadRequest::default() }
    }

    const SOURCE: &str = "r6 = r1\nr1 = 0x1122334455 ll\nif r1 == 0 goto +2\n\
                          r0 = *(u32 *)(r6 + 4)\nr0 += 1\nr0 &= 7\nexit";

    fn table(offsets: &[u32], size: u32) -> InfoTable {
        let mut bytes = Vec::new();
        for offset in offsets {
            bytes.extend_from_slice(&offset.to_le_bytes());
            bytes.resize(bytes.len() + size as usize - 4, 0xaa);
        }
        InfoTable { rec_size: size, count: offsets.len() as u32, bytes: bytes.into() }
    }

    fn offsets(table: &InfoTable) -> Vec<u32> {
        table
            .bytes
            .chunks_exact(table.rec_size as usize)
            .map(|record| u32::from_le_bytes([record[0], record[1], record[2], record[3]]))
            .collect()
    }

    /// Pins what the generator gives: a change here needs a new [`GENERATION`].
    #[test]
    fn the_same_seed_gives_the_same_mutant_forever() {
        let original = request(SOURCE);
        let mutants = of([("p", &original)], 200, 1);
        let mut bytes = Vec::new();
        for insn in mutants.iter().flat_map(|mutant| &mutant.request.insns) {
            bytes.extend_from_slice(&insn.to_bytes());
        }
        let ids: Vec<&str> = mutants.iter().take(3).map(|mutant| mutant.id.as_str()).collect();
        let digest: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            (GENERATION, &digest[..16], &*ids),
            (1, "c5ea900caf8930c8", &["p~0:delete@6", "p~1:imm@3", "p~2:duplicate@5"][..])
        );
        assert_eq!(mutate(&original, 3), mutate(&original, 3));
    }

    #[test]
    fn every_kind_occurs_and_changes_something() {
        let original = request(SOURCE);
        let mutants = of([("p", &original)], 2000, 1);
        assert_eq!(mutants.len(), 2000);
        for kind in Kind::ALL {
            assert!(mutants.iter().any(|mutant| mutant.kind == kind), "{kind:?}");
        }
        for mutant in &mutants {
            assert_ne!(mutant.request, original, "{}", mutant.id);
        }
    }

    #[test]
    fn most_jumps_stay_inside() {
        let original = request(SOURCE);
        let mutants = of([("p", &original)], 2000, 2);
        let inside = |request: &LoadRequest| {
            let starts = starts(&request.insns);
            starts.iter().all(|&at| match request.insns[at].jump_target(at) {
                Some(target) => usize::try_from(target).is_ok_and(|to| starts.contains(&to)),
                None => true,
            })
        };
        let count = mutants.iter().filter(|mutant| inside(&mutant.request)).count();
        assert!(count * 100 / mutants.len() >= 95, "{count}");
    }

    #[test]
    fn deletion_and_doubling_move_what_is_behind() {
        let mut original = request(SOURCE);
        original.line_info = table(&[0, 1, 3, 4], 16);
        original.core_relos = table(&[32], 16);
        original.fixups =
            vec![Fixup { insn: 1, kind: FixupKind::SymbolAddress("jiffies".to_owned()) }];
        // Without the 64-bit load in slots 1 and 2.
        let deleted = resize(&original, 1, false).unwrap();
        assert_eq!(deleted.insns.len(), original.insns.len() - 2);
        assert_eq!(deleted.insns[1].off, 2);
        assert_eq!(offsets(&deleted.line_info), [0, 1, 2]);
        assert_eq!(offsets(&deleted.core_relos), [16]);
        assert!(deleted.fixups.is_empty());
        // The jump in slot 3 goes to slot 6; slot 4 is doubled.
        let doubled = resize(&original, 4, true).unwrap();
        assert_eq!((doubled.insns[3].off, doubled.insns[4]), (3, doubled.insns[5]));
        assert_eq!(offsets(&doubled.line_info), [0, 1, 3, 4]);
        assert_eq!(offsets(&doubled.core_relos), [32]);
    }

    #[test]
    fn calls_keep_their_targets() {
        let mut original = request("r1 = 0\ncall pc+1\nexit\nr0 = 0\nexit");
        original.func_info = table(&[0, 3], 8);
        let deleted = resize(&original, 0, false).unwrap();
        assert_eq!(deleted.insns[0].subprog_target(0), Some(2));
        assert_eq!(offsets(&deleted.func_info), [0, 2]);
        let swapped = swap(&original, 0).unwrap();
        assert_eq!(swapped.insns[0].subprog_target(0), Some(3));
    }

    #[test]
    fn strange_programs_are_survived() {
        assert!(mutate(&LoadRequest::default(), 1).is_none());
        // A 64-bit load cut in half, a jump to nowhere, tables that do not fit.
        let mut odd = LoadRequest {
            insns: vec![Insn::new(0x05, 0, 0, i16::MIN, 0), Insn::new(0x18, 1, 4, 0, i32::MAX)],
            ..LoadRequest::default()
        };
        odd.line_info = InfoTable { rec_size: 3, count: u32::MAX, bytes: Blob::default() };
        for seed in 0..2000 {
            let _ = mutate(&odd, seed);
        }
    }
}
