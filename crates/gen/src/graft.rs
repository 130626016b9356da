// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Programs that others wrote, behind generated code and with instructions changed.
//!
//! Each of them says one thing; behind a prologue that fills registers and stack, loops and
//! branches, and with a twist or three, they say it of states that nobody thought of.

use veristable_isa::Insn;
use veristable_kernel::ProgType;
use veristable_program::{Capabilities, InfoTable, LoadRequest, LogRequest, ProgFlags};

use crate::build::{Builder, Plan};
use crate::choices::Choices;
use crate::loader::Loader;
use crate::program::Generator;
use crate::{Random, mutants};

/// A program to graft, by a number of its name, so that others before it in a list do not matter.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    number: u64,
    request: LoadRequest,
}

impl Seed {
    /// Nothing for programs that a change might turn into what guests die of.
    pub(crate) fn new(name: &str, request: LoadRequest) -> Option<Self> {
        // FNV-1a.
        let number = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let small = (1..2000).contains(&request.insns.len());
        (small && !is_dangerous(&request)).then_some(Self { number, request })
    }
}

/// 6.18.15 dies of a store of a number other than 0 into a member marked `__kptr_untrusted`
/// (`map_kptr_match_type`), and of struct_ops programs that end with a pointer of `bpf_dynptr_data`
/// in R0 (`check_return_code`).
fn is_dangerous(request: &LoadRequest) -> bool {
    const MARK: &[u8] = b"kptr_untrusted";
    let marked = |btf: &veristable_program::Blob| btf.windows(MARK.len()).any(|part| part == MARK);
    request.prog_type == ProgType::STRUCT_OPS
        || request.btf.as_ref().is_some_and(marked)
        || request.maps.iter().any(|map| map.spec.btf.as_ref().is_some_and(marked))
}

impl Generator<'_> {
    /// One of the seeds, behind generated code or changed, or both.
    pub(crate) fn graft(&self, mut choices: Choices<'_>) -> Option<LoadRequest> {
        let key = choices.any();
        // The seed that draws the highest number: one more seed changes few programs.
        let seed = self.seeds.iter().max_by_key(|seed| Random::new(seed.number ^ key).next())?;
        let mut request = LoadRequest { log: LogRequest::default(), ..seed.request.clone() };
        let changes = choices.pick([0, 0, 1, 1, 1, 2, 3]);
        let draws = [choices.any(), choices.any(), choices.any()];
        for (flag, percent) in [
            (ProgFlags::TEST_STATE_FREQ, 10),
            (ProgFlags::TEST_REG_INVARIANTS, 10),
            (ProgFlags::STRICT_ALIGNMENT, 2),
        ] {
            if choices.percent(percent) {
                request.flags |= flag;
            }
        }
        if choices.percent(4) {
            use Capabilities as C;
            let fewer = [C::empty(), C::BPF, C::BPF | C::NET_ADMIN, C::BPF | C::PERFMON];
            request.capabilities = choices.pick(fewer);
        }
        for draw in draws.into_iter().take(changes) {
            if let Some(mutant) = mutants::mutate(&request, draw) {
                request = mutant.request;
            }
        }
        if choices.percent(if changes == 0 { 100 } else { 55 })
            && let Some(code) = self.prologue(choices, &request)
        {
            prepend(&mut request, &code);
        }
        Some(request)
    }

    /// Code that may stand before a program: R1 is the context at its end too.
    fn prologue(&self, choices: Choices<'_>, request: &LoadRequest) -> Option<Vec<Insn>> {
        let fits = |kind: &&crate::kinds::Kind<'_>| {
            kind.row.prog_type == request.prog_type
                && kind.expected_attach_type == request.expected_attach_type
        };
        let kind = self.kinds.iter().find(fits)?;
        let plan = Plan {
            typed: request.btf.is_some(),
            loader: Loader::of(request.capabilities),
            sleepable: request.flags.contains(ProgFlags::SLEEPABLE),
            strict: request.flags.contains(ProgFlags::STRICT_ALIGNMENT),
            budget: 28,
            slips: 0,
        };
        let mut builder = Builder::new(&self.pool, self.kernel, kind, choices, plan);
        builder.calm_prologue().then(|| builder.code.finish())
    }
}

/// Puts code before a program; what names a slot behind the first follows.
fn prepend(request: &mut LoadRequest, code: &[Insn]) {
    let by = code.len() as u32;
    request.insns.splice(0..0, code.iter().copied());
    shift(&mut request.func_info, by);
    shift(&mut request.line_info, by);
    for fixup in &mut request.fixups {
        fixup.insn = fixup.insn.saturating_add(by);
    }
    if request.core_relos.count > 0 {
        shift_all(&mut request.core_relos, by.saturating_mul(Insn::SIZE as u32));
    }
}

/// Records of the first slot stay: the function begins with the new code.
fn shift(table: &mut InfoTable, by: u32) {
    map_offsets(table, |offset| if offset == 0 { 0 } else { offset.saturating_add(by) });
}

fn shift_all(table: &mut InfoTable, by: u32) {
    map_offsets(table, |offset| offset.saturating_add(by));
}

fn map_offsets(table: &mut InfoTable, moved: impl Fn(u32) -> u32) {
    let size = table.rec_size as usize;
    if size < 4 {
        return;
    }
    let mut bytes = table.bytes.to_vec();
    for record in bytes.chunks_mut(size) {
        if let Some(offset) = record.first_chunk_mut::<4>() {
            *offset = moved(u32::from_le_bytes(*offset)).to_le_bytes();
        }
    }
    table.bytes = bytes.into();
}
