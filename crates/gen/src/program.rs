// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Generated programs.

use veristable_kernel::{Kernel, ProgType};
use veristable_program::{Capabilities, InfoTable, LoadRequest, ProgFlags};

use crate::build::{Builder, Plan};
use crate::choices::Choices;
use crate::graft::Seed;
use crate::kinds::{Kind, kinds};
use crate::loader::{Loader, mixed};
use crate::pool::Pool;
use crate::twist::twist;
use crate::{Random, mutants};

/// Changes when the same seed gives other programs than before.
pub const GENERATION: u32 = 2;

/// Programs made from seeds, of a hundred, if there are any.
const GRAFTS: u32 = 35;

/// What is wanted of generated programs.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Programs that get at least one chance of a mistake, of a hundred.
    pub mistaken: u32,
    /// What the loader may do; without, all of it in most programs, less or nothing in the others.
    pub capabilities: Option<Capabilities>,
}

impl Default for Options {
    fn default() -> Self {
        Self { mistaken: 55, capabilities: None }
    }
}

/// Makes programs for one kernel.
pub struct Generator<'k> {
    pub(crate) kernel: &'k dyn Kernel,
    pub(crate) kinds: Vec<Kind<'k>>,
    pub(crate) pool: Pool,
    options: Options,
    pub(crate) seeds: Vec<Seed>,
}

impl<'k> Generator<'k> {
    /// Looks up what the kernel has.
    #[must_use]
    pub fn new(kernel: &'k dyn Kernel, options: Options) -> Self {
        let kinds = kinds(kernel);
        let mut contexts: Vec<&str> = kinds.iter().filter_map(|kind| kind.context).collect();
        contexts.sort_unstable();
        contexts.dedup();
        let pool = Pool::new(&contexts);
        Self { kernel, kinds, pool, options, seeds: Vec::new() }
    }

    /// Gives it programs, with their names, that some of the generated ones are made from.
    #[must_use]
    pub fn with_seeds<'s>(
        mut self,
        seeds: impl IntoIterator<Item = (&'s str, LoadRequest)>,
    ) -> Self {
        self.seeds = seeds.into_iter().filter_map(|(name, seed)| Seed::new(name, seed)).collect();
        self
    }

    /// Program number `index` of a seed: always the same one.
    #[must_use]
    pub fn program(&self, seed: u64, index: u64) -> LoadRequest {
        let mut request = self.build(Choices::seeded(seed, index));
        request.name = format!("g{index}");
        request
    }

    /// The program that some bytes stand for.
    #[must_use]
    pub fn program_of(&self, bytes: &[u8]) -> LoadRequest {
        self.build(Choices::from_bytes(bytes))
    }

    fn build(&self, mut choices: Choices<'_>) -> LoadRequest {
        if choices.percent(if self.seeds.is_empty() { 0 } else { GRAFTS })
            && let Some(request) = self.graft(choices.clone())
        {
            return request;
        }
        let mistaken = choices.percent(self.options.mistaken);
        let capabilities = self.options.capabilities.unwrap_or_else(|| mixed(&mut choices));
        let loader = Loader::of(capabilities);
        let Some(kind) = self.kind(&mut choices, loader, mistaken) else {
            return LoadRequest::default();
        };
        // Either rules are broken while the program is built, or it is changed afterwards.
        let changed = mistaken && choices.percent(20);
        let slips = match mistaken && !changed {
            true => choices.pick([4, 8, 15, 15, 30, 60]),
            false => 0,
        };
        let budget = choices.pick([16, 24, 40, 40, 60, 60, 90, 120]);
        let flags = flags(&mut choices, kind, mistaken);
        // Loading BTF takes CAP_BPF.
        let typed = choices.percent(70) && loader.bpf;
        let plan = Plan {
            typed,
            loader,
            sleepable: flags.contains(ProgFlags::SLEEPABLE),
            strict: flags.contains(ProgFlags::STRICT_ALIGNMENT),
            budget,
            slips,
        };
        let change = changed.then(|| choices.any());
        let twisted = (mistaken && choices.percent(7)).then(|| Choices::seeded(choices.any(), 0));
        let with_lines = typed && choices.percent(30);
        let license = if mistaken && choices.percent(2) { "proprietary" } else { "GPL" };
        let mut builder = Builder::new(&self.pool, self.kernel, kind, choices, plan);
        builder.program();
        let starts = builder.starts.clone();
        let mut request = LoadRequest { flags, ..request(builder, capabilities) };
        request.license = license.to_owned();
        if with_lines {
            request.line_info = self.line_info(&request, &starts);
        }
        if let Some(mut choices) = twisted {
            twist(&mut choices, &mut request);
        }
        match change {
            Some(seed) => mutants::mutate(&request, Random::new(seed).next())
                .map_or(request, |mutant| mutant.request),
            None => request,
        }
    }

    /// A kind of program that the loader may load, or now and then one that it may not.
    fn kind(&self, choices: &mut Choices<'_>, loader: Loader, mistaken: bool) -> Option<&Kind<'k>> {
        let any = mistaken && choices.percent(1);
        let weigh = |kind: &Kind<'_>| match any || loader.may_load(kind.row.prog_type) {
            true => kind.row.weight,
            false => 0,
        };
        let weights: Vec<_> =
            self.kinds.iter().enumerate().map(|(at, kind)| (weigh(kind), at)).collect();
        choices.weighted(&weights).and_then(|at| self.kinds.get(at))
    }

    /// A line for the beginning of each function and for some instructions in between.
    fn line_info(&self, request: &LoadRequest, starts: &[(usize, u32)]) -> InfoTable {
        let mut bytes = Vec::new();
        let mut count = 0;
        let lines = self.pool.lines.len().max(1);
        for at in crate::edit::starts(&request.insns) {
            let is_start = starts.iter().any(|(start, _)| *start == at);
            if !is_start && at % 3 != 0 {
                continue;
            }
            let line = self.pool.lines.get(at / 3 % lines).copied().unwrap_or(self.pool.file);
            let number = (10 + at as u32) << 10 | 1;
            for word in [at as u32, self.pool.file, line, number] {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
            count += 1;
        }
        InfoTable { rec_size: 16, count, bytes: bytes.into() }
    }
}

/// The request for what was built.
pub(crate) fn request(builder: Builder<'_, '_>, capabilities: Capabilities) -> LoadRequest {
    let Builder { code, maps, starts, pool, kind, typed, .. } = builder;
    let maps = maps.iter().filter_map(|map| Some(pool.maps.get(*map)?.desc.clone()));
    LoadRequest {
        name: "generated".to_owned(),
        section: "generated".to_owned(),
        prog_type: kind.row.prog_type,
        expected_attach_type: kind.expected_attach_type,
        attach: kind.attach.clone(),
        license: "GPL".to_owned(),
        flags: kind.row.flags,
        capabilities,
        insns: code.finish(),
        maps: maps.collect(),
        btf: typed.then(|| pool.btf.clone()),
        func_info: if typed { func_info(&starts) } else { InfoTable::default() },
        ..LoadRequest::default()
    }
}

fn func_info(starts: &[(usize, u32)]) -> InfoTable {
    let mut bytes = Vec::new();
    for (slot, id) in starts {
        bytes.extend_from_slice(&(*slot as u32).to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    InfoTable { rec_size: 8, count: starts.len() as u32, bytes: bytes.into() }
}

fn flags(choices: &mut Choices<'_>, kind: &Kind<'_>, mistaken: bool) -> ProgFlags {
    let mut flags = kind.row.flags;
    for (percent, flag) in [
        (8, ProgFlags::TEST_STATE_FREQ),
        (4, ProgFlags::STRICT_ALIGNMENT),
        (3, ProgFlags::ANY_ALIGNMENT),
        (3, ProgFlags::TEST_RND_HI32),
        (15, ProgFlags::TEST_REG_INVARIANTS),
    ] {
        if choices.percent(percent) {
            flags |= flag;
        }
    }
    if kind.row.prog_type == ProgType::XDP && choices.percent(20) {
        flags |= ProgFlags::XDP_HAS_FRAGS;
    }
    if mistaken && choices.percent(1) {
        flags |= ProgFlags::SLEEPABLE;
    }
    flags
}
