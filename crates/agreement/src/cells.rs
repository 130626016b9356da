// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Facts confirmed one cell at a time: a tiny program for each of a random sample of cells of a
//! kernel's tables, and what the kernel must say about it if the cell is right.
//!
//! A cell is one helper, one kfunc or one access to the context, for one kind of program. Whatever
//! else the kernel has against such a program does not matter.

use std::collections::BTreeMap;
use veristable_btf::Kind;
use veristable_isa::Insn;
use veristable_kernel::profile::{Attachment, Variant};
use veristable_kernel::{
    AttachType, CtxAccess, CtxAnswer, Direction, HelperAnswer, HelperId, Kernel, KfuncRef, Profile,
    ProgContext, ProgType, ReturnRange,
};
use veristable_program::{Attach, Capabilities, LoadRequest, ProgFlags};

/// What a kernel says if a cell is right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// The program may call the helper or not.
    Helper {
        /// It may.
        available: bool,
    },
    /// The program may call the kfunc or not.
    Kfunc {
        /// Its name.
        name: String,
        /// It may.
        allowed: bool,
    },
    /// The program may access its context so or not.
    Context {
        /// It may.
        allowed: bool,
    },
}

/// What an answer says about a cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// The cell is right.
    Confirmed,
    /// The cell is wrong.
    Contradicted,
    /// The kernel objected to something else first.
    Undetermined,
}

/// One cell and the program that asks about it.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The cell in words.
    pub what: String,
    /// The program. Its log must be asked for.
    pub request: LoadRequest,
    /// What is expected.
    pub expected: Expected,
}

impl Expected {
    /// Judges an answer: whether the program was loaded, and the verifier's log.
    #[must_use]
    pub fn judge(&self, loaded: bool, log: &str) -> Judgement {
        let confirmed = |is: bool| if is { Judgement::Confirmed } else { Judgement::Contradicted };
        if !loaded && log.trim().is_empty() {
            return Judgement::Undetermined;
        }
        match self {
            Self::Helper { available } => {
                // Kernels before 6.10 say "unknown func".
                let refused = log.contains("program of this type cannot use helper")
                    || log.contains("unknown func bpf_");
                // The call is the first instruction: any other objection to it comes later.
                let reached = loaded || log.lines().any(|line| line.starts_with("0: ("));
                if refused || reached {
                    confirmed(*available != refused)
                } else {
                    Judgement::Undetermined
                }
            }
            Self::Kfunc { name, allowed } => {
                let refused =
                    log.contains(&format!("calling kernel function {name} is not allowed"));
                let reached = loaded || log.lines().any(|line| line.starts_with("0: ("));
                if refused || reached {
                    confirmed(*allowed != refused)
                } else {
                    Judgement::Undetermined
                }
            }
            Self::Context { allowed } => {
                if loaded {
                    return confirmed(*allowed);
                }
                if log.contains("invalid bpf_context access") {
                    return confirmed(!*allowed);
                }
                Judgement::Undetermined
            }
        }
    }
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        let end = (end as u64).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    fn pick<'t, T>(&mut self, items: &'t [T]) -> Option<&'t T> {
        items.get(self.below(items.len()))
    }
}

/// Draws cells of a profile: three of ten are helpers, three kfuncs, four accesses to the context,
/// of which half are permitted.
#[must_use]
pub fn sample(profile: &Profile, count: usize, seed: u64) -> Vec<Cell> {
    let mut random = Random(seed);
    let mut cells = Vec::with_capacity(count);
    // Some draws give no cell: a variant without that table, an unknown fact.
    for _ in 0..count.saturating_mul(50) {
        if cells.len() >= count {
            break;
        }
        let Some(variant) = random.pick(&profile.facts().variants) else { break };
        let Some(target) = Target::of(profile, variant) else { continue };
        let cell = match random.below(10) {
            0..=2 => helper(profile, &target, &mut random),
            3..=5 => kfunc(profile, &target, &mut random),
            _ => context(profile, variant, &target, &mut random),
        };
        cells.extend(cell);
    }
    cells
}

/// A kind of program, ready to be loaded.
struct Target<'p> {
    name: &'p str,
    program: ProgContext<'p>,
    attach: Attach,
}

impl<'p> Target<'p> {
    fn of(profile: &'p Profile, variant: &'p Variant) -> Option<Self> {
        let strings = &profile.facts().strings;
        let attach_name = match variant.attachment {
            Attachment::None => None,
            Attachment::Target(name) => Some(strings.get(name)),
        };
        let program = ProgContext {
            prog_type: variant.prog_type,
            expected_attach_type: variant.attach_type,
            sleepable: variant.sleepable,
            attach_name,
            struct_ops: None,
        };
        let attach = match attach_name {
            None => Attach::None,
            Some(name) => attach(profile, &program, name)?,
        };
        Some(Self { name: strings.get(variant.name), program, attach })
    }

    fn request(&self, what: &str, insns: Vec<Insn>) -> LoadRequest {
        let flags = if self.program.sleepable { ProgFlags::SLEEPABLE } else { ProgFlags::empty() };
        LoadRequest {
            name: "cell".to_owned(),
            section: what.to_owned(),
            prog_type: self.program.prog_type,
            expected_attach_type: self.program.expected_attach_type,
            attach: self.attach.clone(),
            license: "GPL".to_owned(),
            flags,
            insns,
            ..LoadRequest::default()
        }
    }

    /// `r0 = VALUE; exit`, with a value that the program may return.
    fn end(&self, profile: &Profile) -> [Insn; 2] {
        let value = match profile.return_range(&self.program) {
            Ok(ReturnRange::Within(low, high)) if !(low..=high).contains(&0) => low,
            _ => 0,
        };
        [Insn::new(0xb7, 0, 0, 0, value), Insn::new(0x95, 0, 0, 0, 0)]
    }
}

/// The target by its id in the kernel's BTF.
fn attach(profile: &Profile, program: &ProgContext<'_>, name: &str) -> Option<Attach> {
    let (full, kind) = match (program.prog_type, program.expected_attach_type) {
        (ProgType::LSM, _) => (format!("bpf_lsm_{name}"), Kind::Func),
        (_, AttachType::TRACE_RAW_TP) => (format!("btf_trace_{name}"), Kind::Typedef),
        (_, AttachType::TRACE_ITER) => (format!("bpf_iter_{name}"), Kind::Func),
        _ => (name.to_owned(), Kind::Func),
    };
    let btf = profile.btf(None).ok().flatten()?;
    let btf_id = btf.find_by_name(&full, kind)?.0;
    Some(Attach::Kernel { name: name.to_owned(), btf_id, module: None, member: None })
}

/// For every helper of a kind of programs a program that calls it, loaded with these capabilities.
#[must_use]
pub fn helper_calls(
    profile: &Profile,
    variant: &Variant,
    capabilities: Capabilities,
) -> Vec<(HelperId, LoadRequest)> {
    let Some(target) = Target::of(profile, variant) else { return Vec::new() };
    let names = 1..u32::try_from(profile.facts().helper_names.len()).unwrap_or(0);
    let available = |id: &HelperId| {
        matches!(profile.helper(*id, &target.program), Ok(HelperAnswer::Available(_)))
    };
    let request = |id: HelperId| {
        let insns = helper_call(profile, &target, id)?;
        Some((id, LoadRequest { capabilities, ..target.request(target.name, insns) }))
    };
    names.map(HelperId).filter(available).filter_map(request).collect()
}

/// The same for struct_ops programs: each helper is called by a program for the first member that may.
#[must_use]
pub fn member_calls(profile: &Profile, capabilities: Capabilities) -> Vec<(HelperId, LoadRequest)> {
    let facts = profile.facts();
    let Ok(Some(btf)) = profile.btf(None) else { return Vec::new() };
    let mut calls = BTreeMap::new();
    for row in facts.struct_ops.iter().flatten() {
        let name = facts.strings.get(row.name);
        let Some(id) = btf.find_by_name(name, Kind::Struct) else { continue };
        for member in row.members.iter().filter(|member| member.implementable) {
            let set = member.helpers.and_then(|set| facts.helper_sets.get(usize::from(set)));
            let (Some(set), Some(index)) = (set, member.index) else { continue };
            let target = Target {
                name,
                program: ProgContext {
                    prog_type: ProgType::STRUCT_OPS,
                    expected_attach_type: AttachType(index.into()),
                    sleepable: false,
                    attach_name: None,
                    struct_ops: Some((name, facts.strings.get(member.name))),
                },
                attach: Attach::Kernel {
                    name: name.to_owned(),
                    btf_id: id.0,
                    module: None,
                    member: Some(facts.strings.get(member.name).to_owned()),
                },
            };
            for (helper, _) in set {
                let Some(insns) = helper_call(profile, &target, *helper) else { continue };
                let request = LoadRequest { capabilities, ..target.request(name, insns) };
                calls.entry(helper.0).or_insert((*helper, request));
            }
        }
    }
    calls.into_values().collect()
}

fn helper_call(profile: &Profile, target: &Target<'_>, id: HelperId) -> Option<Vec<Insn>> {
    let mut insns = vec![Insn::new(0x85, 0, 0, 0, i32::try_from(id.0).ok()?)];
    insns.extend(target.end(profile));
    Some(insns)
}

fn helper(profile: &Profile, target: &Target<'_>, random: &mut Random) -> Option<Cell> {
    let number = 1 + random.below(profile.facts().helper_names.len().checked_sub(1)?);
    let id = HelperId(u32::try_from(number).ok()?);
    let available = match profile.helper(id, &target.program).ok()? {
        HelperAnswer::Available(_) => true,
        HelperAnswer::NotForProgram => false,
        HelperAnswer::NoSuchHelper => return None,
    };
    let what = format!("{}: bpf_{}", target.name, profile.helper_name(id)?);
    let request = target.request(&what, helper_call(profile, target, id)?);
    Some(Cell { what, request, expected: Expected::Helper { available } })
}

fn kfunc(profile: &Profile, target: &Target<'_>, random: &mut Random) -> Option<Cell> {
    let row = random.pick(&profile.facts().kfuncs)?;
    let name = profile.facts().strings.get(row.name);
    let kfunc = profile.kfunc(KfuncRef::Name(name), &target.program).ok()??;
    let id = i32::try_from(kfunc.btf_id?).ok()?;
    let what = format!("{}: {name}", target.name);
    let mut insns = vec![Insn::new(0x85, 0, 2, 0, id)];
    insns.extend(target.end(profile));
    let request = target.request(&what, insns);
    let expected = Expected::Kfunc { name: name.to_owned(), allowed: kfunc.allowed };
    Some(Cell { what, request, expected })
}

fn context(
    profile: &Profile,
    variant: &Variant,
    target: &Target<'_>,
    random: &mut Random,
) -> Option<Cell> {
    let table = profile.facts().contexts.get(usize::from(variant.context?))?;
    let permitted = random.below(2) == 0;
    let (offset, size, write) = if permitted {
        let run = random.pick(&table.runs)?;
        let step = u32::from(run.step) * u32::try_from(random.below(run.count.into())).ok()?;
        (run.start.checked_add(step)?, run.size, run.write)
    } else {
        let window = random.pick(&table.windows)?;
        let span = usize::try_from(window.end.checked_sub(window.start)?).ok()?;
        let offset = window.start.checked_add(u32::try_from(random.below(span)).ok()?)?;
        (offset, *random.pick(&[1, 2, 4, 8])?, random.below(2) == 0)
    };
    let access = CtxAccess {
        offset: i32::try_from(offset).ok()?,
        size: u32::from(size),
        direction: if write { Direction::Write } else { Direction::Read },
        sign_extend: false,
    };
    let allowed = match profile.context(access, &target.program).ok()? {
        CtxAnswer::Allowed(field) => !field.conversion_fails,
        CtxAnswer::Refused => false,
        CtxAnswer::ByBtf => return None,
    };
    // BPF_B, BPF_H, BPF_W, BPF_DW.
    let width = match size {
        1 => 0x10,
        2 => 0x08,
        4 => 0x00,
        _ => 0x18,
    };
    let off = i16::try_from(offset).ok()?;
    let mut insns = if write {
        vec![Insn::new(0xb7, 2, 0, 0, 0), Insn::new(0x63 | width, 1, 2, off, 0)]
    } else {
        vec![Insn::new(0x61 | width, 2, 1, off, 0)]
    };
    insns.extend(target.end(profile));
    let direction = if write { "write" } else { "read" };
    let what = format!("{}: {direction} of {size} bytes at {offset}", target.name);
    let request = target.request(&what, insns);
    Some(Cell { what, request, expected: Expected::Context { allowed } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_by_what_the_cell_is_about() {
        let check = |expected: &Expected, loaded, log: &str, want| {
            assert_eq!(expected.judge(loaded, log), want, "{expected:?} {log}");
        };
        let helper = Expected::Helper { available: false };
        let refusal =
            "0: (85) call bpf_bind#64\nprogram of this type cannot use helper bpf_bind#64\n";
        check(&helper, false, refusal, Judgement::Confirmed);
        check(&helper, false, "0: (85) call bpf_bind#64\nR1 !read_ok\n", Judgement::Contradicted);
        check(&helper, false, "", Judgement::Undetermined);
        let kfunc = Expected::Kfunc { name: "f".to_owned(), allowed: true };
        let refusal = "0: (85) call f#7\ncalling kernel function f is not allowed\n";
        check(&kfunc, false, refusal, Judgement::Contradicted);
        check(
            &kfunc,
            false,
            "metadata kfuncs require device-bound program\n",
            Judgement::Undetermined,
        );
        let context = Expected::Context { allowed: true };
        check(&context, true, "", Judgement::Confirmed);
        check(
            &context,
            false,
            "invalid bpf_context access off=1 size=4\n",
            Judgement::Contradicted,
        );
        check(&context, false, "At program exit\n", Judgement::Undetermined);
    }
}
