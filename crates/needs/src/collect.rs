// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! From objects and load requests to what they need.

use crate::{Has, InsnClass, Item, TargetKind, has};
use std::collections::BTreeMap;
use veristable_isa::{CallKind, Insn, Op, decode};
use veristable_kernel::{AttachType, HelperId, Kernel, ProgContext, ProgType};
use veristable_object::{ExternUse, Object, ProgramUses};
use veristable_program::{Attach, FixupKind, LoadRequest, ProgFlags};

/// A program, as far as a kernel's answers depend on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its type; unspecified where the section does not say.
    pub prog_type: ProgType,
    /// Its attach type.
    pub attach_type: AttachType,
    /// It may sleep.
    pub sleepable: bool,
    /// What it attaches to by BTF.
    pub target: Option<String>,
    /// Structure and member that it stands in.
    pub struct_ops: Option<(String, String)>,
}

impl Program {
    /// As kernels are asked.
    #[must_use]
    pub fn context(&self) -> ProgContext<'_> {
        ProgContext {
            prog_type: self.prog_type,
            expected_attach_type: self.attach_type,
            sleepable: self.sleepable,
            attach_name: self.target.as_deref(),
            struct_ops: self.struct_ops.as_ref().map(|(s, m)| (s.as_str(), m.as_str())),
        }
    }
}

/// One thing that is needed, and by whom.
#[derive(Clone, Debug)]
pub struct Need {
    /// What.
    pub item: Item,
    /// The programs that do without if it is missing: they ask first, or it is declared weak.
    pub optional: Vec<usize>,
    /// The programs that do not, as indexes into [`Needs::programs`].
    pub required: Vec<usize>,
}

impl Need {
    /// All programs that use it.
    pub fn programs(&self) -> impl Iterator<Item = usize> + '_ {
        let mut all: Vec<usize> = self.required.iter().chain(&self.optional).copied().collect();
        all.sort_unstable();
        all.into_iter()
    }
}

/// What the programs of one file need.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// The programs.
    pub programs: Vec<Program>,
    /// What they need, by kind and name.
    pub needs: Vec<Need>,
}

impl Needs {
    /// What the programs of an object need. `only` chooses programs by name; empty for all.
    #[must_use]
    pub fn of_object(object: &Object, only: &[String]) -> Self {
        let uses = object.uses();
        let wanted = uses.iter().filter(|uses| only.is_empty() || only.contains(&uses.info.name));
        Self::collect(wanted.map(|uses| (program_of(uses), items_of(uses))))
    }

    /// What load requests need. Names that only the kernel for which they were linked could tell
    /// are left as numbers.
    #[must_use]
    pub fn of_requests(requests: &[LoadRequest]) -> Self {
        Self::collect(requests.iter().map(|request| {
            let context = request.context();
            let program = Program {
                name: request.name.clone(),
                prog_type: request.prog_type,
                attach_type: match request.prog_type {
                    ProgType::STRUCT_OPS => AttachType(0),
                    _ => request.expected_attach_type,
                },
                sleepable: request.flags.contains(ProgFlags::SLEEPABLE),
                target: context.attach_name.map(str::to_owned),
                struct_ops: context.struct_ops.map(|(s, m)| (s.to_owned(), m.to_owned())),
            };
            (program, items_of_request(request))
        }))
    }

    fn collect(programs: impl Iterator<Item = (Program, BTreeMap<Item, bool>)>) -> Self {
        let mut needs = Self::default();
        let mut by_item: BTreeMap<Item, Need> = BTreeMap::new();
        for (index, (program, items)) in programs.enumerate() {
            let own = items_of_program(&program).into_iter().map(|item| (item, false));
            for (item, optional) in own.chain(items) {
                let need = by_item.entry(item.clone()).or_insert_with(|| Need {
                    item,
                    optional: Vec::new(),
                    required: Vec::new(),
                });
                let list = if optional { &mut need.optional } else { &mut need.required };
                list.push(index);
            }
            needs.programs.push(program);
        }
        needs.needs = by_item.into_values().collect();
        needs.needs.sort_by_key(|need| need.item.kind());
        needs
    }

    /// Whether a kernel has what is needed for every program that needs it; the first answer that
    /// is no, else the first that is not known.
    #[must_use]
    pub fn has(&self, need: &Need, kernel: &dyn Kernel) -> Has {
        let mut unknown = None;
        for program in need.programs().filter_map(|at| self.programs.get(at)) {
            match has(&need.item, &program.context(), kernel) {
                Has::Yes => {}
                no @ Has::No(_) => return no,
                other @ Has::Unknown(_) => unknown = unknown.or(Some(other)),
            }
        }
        unknown.unwrap_or(Has::Yes)
    }
}

/// What follows from type and attachment.
fn items_of_program(program: &Program) -> Vec<Item> {
    let ty = program.prog_type;
    if ty == ProgType::UNSPEC {
        return Vec::new();
    }
    let mut items = vec![Item::ProgramType(ty)];
    if program.attach_type != AttachType(0) {
        items.push(Item::AttachType(ty, program.attach_type));
    }
    if let Some(target) = &program.target {
        items.push(Item::Target(TargetKind::of(ty, program.attach_type), target.clone()));
    }
    if let Some((structure, member)) = program.struct_ops.clone() {
        items.push(Item::StructOps { structure, member });
    }
    items
}

fn program_of(uses: &ProgramUses) -> Program {
    Program {
        name: uses.info.name.clone(),
        prog_type: uses.def.map_or(ProgType::UNSPEC, |def| def.prog_type),
        attach_type: uses.def.map_or(AttachType(0), |def| def.attach_type),
        sleepable: uses.def.is_some_and(|def| def.flags.sleepable),
        target: uses.target.clone(),
        struct_ops: uses.struct_ops.first().cloned(),
    }
}

fn items_of(uses: &ProgramUses) -> BTreeMap<Item, bool> {
    let mut items = BTreeMap::new();
    add_insns(&uses.insns, &mut items);
    for ((kind, name), weak) in &uses.externs {
        let name = name.clone();
        let item = match kind {
            ExternUse::Function => Item::Kfunc(name),
            ExternUse::Variable => Item::Variable(name),
            ExternUse::Symbol => Item::Symbol(name),
            ExternUse::Config => Item::Config(name),
        };
        items.insert(item, *weak);
    }
    items.extend(uses.maps.iter().map(|map| (Item::MapType(map.map_type), false)));
    for ((kind, name), optional) in &uses.core {
        items.insert(Item::Core(*kind, name.clone()), *optional);
    }
    items
}

fn items_of_request(request: &LoadRequest) -> BTreeMap<Item, bool> {
    let mut items = BTreeMap::new();
    add_insns(&request.insns, &mut items);
    let mut named = Vec::new();
    for fixup in &request.fixups {
        match &fixup.kind {
            FixupKind::Kfunc(name) => {
                named.push(fixup.insn);
                items.insert(Item::Kfunc(name.clone()), false);
            }
            FixupKind::KernelType(name) => {
                items.insert(Item::Variable(name.clone()), false);
            }
            FixupKind::SymbolAddress(name) => {
                items.insert(Item::Symbol(name.clone()), false);
            }
            FixupKind::Program(_) | FixupKind::ModuleBtf(_) => {}
        }
    }
    for (at, op) in ops(&request.insns) {
        if let Op::Call(CallKind::Kfunc { btf_id, .. }) = op
            && !u32::try_from(at).is_ok_and(|at| named.contains(&at))
        {
            items.insert(Item::KfuncId(btf_id.cast_unsigned()), false);
        }
    }
    items.extend(request.maps.iter().map(|map| (Item::MapType(map.spec.map_type), false)));
    if let Attach::Program { func, .. } = &request.attach {
        items.insert(Item::Target(TargetKind::Program, func.clone()), false);
    }
    items
}

/// Instructions that can be read, with their first slots.
fn ops(insns: &[Insn]) -> impl Iterator<Item = (usize, Op)> + '_ {
    let mut at = 0;
    core::iter::from_fn(move || {
        while at < insns.len() {
            let here = at;
            match decode(insns, here) {
                Ok(op) => {
                    at += op.slots();
                    return Some((here, op));
                }
                Err(_) => at += 1,
            }
        }
        None
    })
}

fn add_insns(insns: &[Insn], items: &mut BTreeMap<Item, bool>) {
    for (at, op) in ops(insns) {
        if let Op::Call(CallKind::Helper { id }) = op
            && id > 0
        {
            items.insert(Item::Helper(HelperId(id.cast_unsigned())), false);
        }
        if let Some(class) = InsnClass::of(insns, at) {
            items.insert(Item::Instruction(class), false);
        }
    }
}
