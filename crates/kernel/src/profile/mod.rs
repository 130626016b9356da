// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A kernel as plain data.
//!
//! [`Facts`] is what is stored: tables of numbers over one table of strings. [`Profile`] adds the
//! kernel's BTF and answers the questions of [`crate::Kernel`]. Tables that many programs share
//! (which helpers, which kfuncs, which accesses) are stored once and named by index.
//!
//! Data that was damaged or made up may give wrong answers, never a panic.

mod answers;
mod context;
mod convert;
mod named;
mod needs;
mod select;

pub use context::{CtxResult, CtxRun, CtxTable, Window};
pub use named::{Config, Symbols};
pub use select::{Attachment, Variant};

use crate::{
    Answer, ArgBase, AttachType, BtfKind, DesignId, Fact, FactKind, HelperBtf, HelperId,
    JitFeature, KernelId, KfuncFlags, Limits, LoaderNeeds, MapType, NameList, Origin, ProgType,
    RegBase, RegType, RetType, ReturnRange, StrId, Strings, TypeRef, TypedArg,
};
use crate::{ArgType, Behaviours};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use veristable_btf::Btf;

/// Version of the layout of [`Facts`]. Stored data of another version is not read.
pub const FACTS_VERSION: u32 = 3;

/// A type of the kernel's BTF. Id 0: to be looked up by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TypeRow {
    /// Kind.
    pub kind: BtfKind,
    /// Name.
    pub name: StrId,
    /// Id, or 0.
    pub id: u32,
}

/// The kernel type of an argument or a return value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum BtfRow {
    /// None.
    None,
    /// This one.
    Type(TypeRow),
    /// `BPF_PTR_POISON`.
    FromArguments,
    /// In a variable of this name that the kernel fills when it boots.
    Runtime(StrId),
}

/// One argument of a helper.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HelperArgRow {
    /// Type.
    pub ty: ArgType,
    /// Kernel type.
    pub btf: BtfRow,
    /// `arg_size`.
    pub size: u32,
}

/// The known `bpf_func_proto.allowed` callbacks, by what they ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AllowedRule {
    /// No callback.
    Always,
    /// `bpf_d_path_allowed` (`kernel/trace/bpf_trace.c`): iterators, sleepable LSM hooks, and
    /// otherwise the functions of [`NameList::DPathCallers`].
    DPath,
    /// `bpf_ima_inode_hash_allowed` (`kernel/bpf/bpf_lsm.c`): sleepable LSM hooks.
    SleepableLsmHook,
    /// `bpf_sk_storage_tracing_allowed` (`net/core/bpf_sk_storage.c`): iterators, raw tracepoints,
    /// and of fentry and fexit those whose function is not named `bpf_sk_storage…`.
    NotSkStorage,
    /// A callback that is not known, by its symbol.
    Other(StrId),
}

/// A helper prototype.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProtoRow {
    /// Symbol of the prototype.
    pub symbol: StrId,
    /// Symbol of the function; the empty string for a poisoned pointer.
    pub func: StrId,
    /// `gpl_only`, `pkt_access`, `might_sleep`, `allow_fastcall`.
    pub flags: [bool; 4],
    /// Return type.
    pub ret: RetType,
    /// Kernel type of the return value.
    pub ret_btf: BtfRow,
    /// Arguments.
    pub args: [HelperArgRow; 5],
    /// The callback.
    pub allowed: AllowedRule,
}

/// A kfunc.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KfuncRow {
    /// Name. The table is sorted by it.
    pub name: StrId,
    /// Id of its `BTF_KIND_FUNC`, or 0.
    pub btf_id: u32,
    /// Flags.
    pub flags: KfuncFlags,
}

/// Which helpers a program may call: sorted by id, with the index of the prototype.
pub type HelperSet = Vec<(HelperId, u16)>;

/// What the helpers that a program may call need of its loader, as far as that was found out: sorted
/// by id.
pub type NeedSet = Vec<(HelperId, LoaderNeeds)>;

/// Which kfuncs a program may call: sorted indexes of the kfunc table.
pub type KfuncSet = Vec<u16>;

/// Helpers whose prototype depends on the LSM hook.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HookRule {
    /// Only for this attach type of LSM programs.
    pub attach: AttachType,
    /// The helper.
    pub helper: HelperId,
    /// For hooks in the list this prototype, the first that fits; otherwise none.
    pub cases: Vec<(NameList, u16)>,
}

/// A helper that only programs for one target of iterators have (`bpf_iter_get_func_proto`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IterRule {
    /// Name of the target, without `bpf_iter_`.
    pub target: StrId,
    /// The helper.
    pub helper: HelperId,
    /// Its prototype.
    pub proto: u16,
}

/// A program type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProgTypeRow {
    /// Number. The table is sorted by it.
    pub prog_type: ProgType,
    /// Symbol of the `struct bpf_verifier_ops`.
    pub ops: StrId,
    /// Members that are set: name and symbol, sorted by name.
    pub members: Vec<(StrId, StrId)>,
    /// Name of the context's structure, or the empty string.
    pub context_struct: StrId,
}

/// A map type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MapTypeRow {
    /// Number. The table is sorted by it.
    pub map_type: MapType,
    /// Symbol of the `struct bpf_map_ops`.
    pub ops: StrId,
    /// Members that are set: name and symbol, sorted by name.
    pub members: Vec<(StrId, StrId)>,
    /// The kernel structure.
    pub btf: Option<TypeRow>,
}

/// An LSM hook.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LsmRow {
    /// Name without `bpf_lsm_`. The table is sorted by it.
    pub name: StrId,
    /// Attachable, sleepable, by cgroup, untrusted arguments, inode locked.
    pub flags: [bool; 5],
    /// What a program may return.
    pub ret: Option<ReturnRange>,
}

/// A tracepoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TracepointRow {
    /// Name without `btf_trace_`. The table is sorted by it.
    pub name: StrId,
    /// Raw programs may attach.
    pub raw: bool,
    /// Number of arguments.
    pub num_args: u8,
    /// Writable bytes.
    pub writable_size: u16,
    /// `raw_tp_null_args`.
    pub null_args: u64,
}

/// One argument that a program may load from its context.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ArgRow {
    /// Offset in the context.
    pub offset: u16,
    /// Register type.
    pub ty: RegType,
    /// Kernel type.
    pub btf: Option<TypeRow>,
}

/// A member of a structure of functions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemberRow {
    /// Name.
    pub name: StrId,
    /// Programs may implement it.
    pub implementable: bool,
    /// Index among the members, if decoded.
    pub index: Option<u16>,
    /// Arguments.
    pub args: Vec<ArgRow>,
    /// Index of the helper set, if decoded.
    pub helpers: Option<u16>,
    /// Index of the kfunc set, if decoded.
    pub kfuncs: Option<u16>,
}

/// A structure of functions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StructOpsRow {
    /// Name.
    pub name: StrId,
    /// Name of the map's value type.
    pub value_type: StrId,
    /// Symbol of the `struct bpf_verifier_ops`.
    pub verifier_ops: StrId,
    /// Symbol of `check_member`, or the empty string.
    pub check_member: StrId,
    /// Members, in the structure's order.
    pub members: Vec<MemberRow>,
}

/// A list of names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NamesRow {
    /// Which.
    pub list: NameList,
    /// `None`: the kernel has no such list.
    pub names: Option<Vec<StrId>>,
}

/// Register types for an argument type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CompatRow {
    /// The argument type.
    pub arg: ArgBase,
    /// Register types.
    pub types: Vec<RegType>,
    /// The structure that a BTF pointer must point to.
    pub btf: Option<TypeRow>,
}

/// One input of a profile.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Input {
    /// What it is: a file's name.
    pub name: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Where it came from and how it was made.
    pub origin: String,
}

/// Everything that is stored about a kernel, without its BTF.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// [`FACTS_VERSION`].
    pub version: u32,
    /// Which kernel.
    pub id: KernelId,
    /// Parts of the verifier.
    pub design: DesignId,
    /// Behaviours by identifier, so that the table may grow.
    pub behaviours: Vec<String>,
    /// Limits.
    pub limits: Limits,
    /// How facts are known; a kind that is missing is unknown.
    pub origins: Vec<(FactKind, Origin)>,
    /// What the profile was made of.
    pub inputs: Vec<Input>,
    /// All strings of the tables below.
    pub strings: Strings,
    /// Configuration, if known.
    pub config: Option<Config>,
    /// Symbols, if known.
    pub symbols: Option<Symbols>,
    /// Where [`Facts::symbols`] are not stored: functions and variables of the kernel's BTF that
    /// have no symbol, ascending. The compiler left nothing of them but their type.
    pub without_symbol: Option<Vec<StrId>>,
    /// Helper names by number.
    pub helper_names: Vec<StrId>,
    /// Helper prototypes.
    pub protos: Vec<ProtoRow>,
    /// Sets of helpers.
    pub helper_sets: Vec<HelperSet>,
    /// What helpers need of the loader.
    pub need_sets: Vec<NeedSet>,
    /// Helpers that depend on the LSM hook.
    pub hook_rules: Vec<HookRule>,
    /// Helpers of targets of iterators.
    pub iter_rules: Vec<IterRule>,
    /// Kfuncs.
    pub kfuncs: Vec<KfuncRow>,
    /// Sets of kfuncs.
    pub kfunc_sets: Vec<KfuncSet>,
    /// Context tables.
    pub contexts: Vec<CtxTable>,
    /// Kinds of programs that were looked at.
    pub variants: Vec<Variant>,
    /// Program types.
    pub prog_types: Vec<ProgTypeRow>,
    /// Map types.
    pub map_types: Vec<MapTypeRow>,
    /// LSM hooks.
    pub lsm: Vec<LsmRow>,
    /// Tracepoints.
    pub tracepoints: Vec<TracepointRow>,
    /// Structures of functions; `None` if not known.
    pub struct_ops: Option<Vec<StructOpsRow>>,
    /// Lists of names. A list that is missing is not known.
    pub names: Vec<NamesRow>,
    /// Destructor kfuncs: structure and function, sorted.
    pub dtors: Option<Vec<(StrId, StrId)>>,
    /// Register types for argument types.
    pub compatible: Vec<CompatRow>,
    /// Structures for register types.
    pub register_btf: Option<Vec<(RegBase, TypeRow)>>,
    /// JIT and architecture. A feature that is missing is not known.
    pub jit: Vec<(JitFeature, bool)>,
}

impl Facts {
    fn str(&self, id: StrId) -> &str {
        self.strings.get(id)
    }

    fn type_ref(&self, row: &TypeRow) -> TypeRef<'_> {
        TypeRef {
            kind: row.kind,
            name: self.str(row.name),
            id: if row.id == 0 { None } else { Some(row.id) },
        }
    }

    fn helper_btf(&self, row: &BtfRow) -> HelperBtf<'_> {
        match row {
            BtfRow::None => HelperBtf::None,
            BtfRow::Type(ty) => HelperBtf::Type(self.type_ref(ty)),
            BtfRow::FromArguments => HelperBtf::FromArguments,
            BtfRow::Runtime(name) => HelperBtf::Runtime(self.str(*name)),
        }
    }

    pub(crate) fn typed_arg(&self, row: &ArgRow) -> TypedArg<'_> {
        TypedArg {
            offset: u32::from(row.offset),
            ty: row.ty,
            btf: row.btf.as_ref().map(|ty| self.type_ref(ty)),
        }
    }

    /// Every kernel type that the tables name, to be looked up again in another BTF.
    pub fn type_rows_mut(&mut self) -> impl Iterator<Item = &mut TypeRow> {
        fn of(row: &mut BtfRow) -> Option<&mut TypeRow> {
            if let BtfRow::Type(ty) = row { Some(ty) } else { None }
        }
        let protos = self.protos.iter_mut().flat_map(|proto| {
            proto.args.iter_mut().map(|arg| &mut arg.btf).chain([&mut proto.ret_btf])
        });
        let contexts = self.contexts.iter_mut().flat_map(|table| table.results.iter_mut());
        let members = self.struct_ops.iter_mut().flatten().flat_map(|ops| ops.members.iter_mut());
        protos
            .filter_map(of)
            .chain(contexts.filter_map(|result| result.btf.as_mut()))
            .chain(members.flat_map(|m| m.args.iter_mut()).filter_map(|arg| arg.btf.as_mut()))
            .chain(self.map_types.iter_mut().filter_map(|row| row.btf.as_mut()))
            .chain(self.compatible.iter_mut().filter_map(|row| row.btf.as_mut()))
            .chain(self.register_btf.iter_mut().flatten().map(|(_, ty)| ty))
    }
}

/// A kernel that is described by data.
#[derive(Clone, Debug)]
pub struct Profile {
    facts: Facts,
    behaviours: Behaviours,
    btf: Option<Arc<Btf<'static>>>,
    context_types: convert::ContextTable,
    /// BTF of modules, where that is known at all.
    modules: Option<BTreeMap<String, Btf<'static>>>,
    /// Names of helpers past those of the facts, of which nothing else is known.
    more_helpers: Vec<String>,
}

impl Profile {
    /// A profile of these facts and the kernel's BTF, if there is any.
    ///
    /// # Errors
    /// The identifier of a behaviour that this version does not know: without it the verdicts
    /// would be those of another kernel.
    pub fn new(facts: Facts, btf: Option<Btf<'static>>) -> Result<Self, Fact> {
        let unknown = |id: &String| Fact(alloc::format!("behaviour `{id}`"));
        let behaviours = facts
            .behaviours
            .iter()
            .map(|id| crate::Behaviour::from_id(id).ok_or_else(|| unknown(id)))
            .collect::<Result<Behaviours, Fact>>()?;
        let btf = btf.map(Arc::new);
        let context_types = btf.as_deref().map(convert::ContextTable::of).unwrap_or_default();
        Ok(Self { facts, behaviours, btf, context_types, modules: None, more_helpers: Vec::new() })
    }

    /// Adds the BTF of modules, and says by that which modules there are.
    #[must_use]
    pub fn with_modules(mut self, modules: BTreeMap<String, Btf<'static>>) -> Self {
        self.modules = Some(modules);
        self
    }

    /// Adds names of helpers past those of the facts, of which nothing else is known.
    #[must_use]
    pub fn with_more_helpers(mut self, names: Vec<String>) -> Self {
        self.more_helpers = names;
        self
    }

    /// The same kernel with or without a behaviour, as a probe of it found out.
    #[must_use]
    pub fn with_behaviour(mut self, behaviour: crate::Behaviour, has: bool) -> Self {
        self.behaviours.set(behaviour, has);
        self.facts.behaviours = self.behaviours.iter().map(|one| one.id().into()).collect();
        self
    }

    /// The same kernel with all behaviours of another description of it, and with what that says
    /// about where they are known from.
    #[must_use]
    pub fn with_behaviours_of(mut self, other: &Self) -> Self {
        self.behaviours = other.behaviours;
        self.facts.behaviours.clone_from(&other.facts.behaviours);
        let is_behaviours = |kind: &FactKind| *kind == FactKind::Behaviours;
        let origin = other.facts.origins.iter().find(|(kind, _)| is_behaviours(kind));
        for (_, known) in self.facts.origins.iter_mut().filter(|(kind, _)| is_behaviours(kind)) {
            *known = origin.map_or(Origin::Unknown, |(_, origin)| *origin);
        }
        let inputs = other.facts.inputs.iter().filter(|input| input.name == Self::PROBES);
        self.facts.inputs.extend(inputs.cloned());
        self
    }

    /// Name of the input that says which behaviours were found out by asking the kernel.
    pub const PROBES: &str = "behaviour probes";

    /// Says how behaviours are known after a kernel was asked for them.
    #[must_use]
    pub fn with_probes(mut self, origin: Origin, found: String) -> Self {
        for (kind, known) in &mut self.facts.origins {
            if *kind == FactKind::Behaviours {
                *known = origin;
            }
        }
        self.facts.inputs.retain(|input| input.name != Self::PROBES);
        let name = Self::PROBES.to_string();
        self.facts.inputs.push(Input { name, sha256: String::new(), origin: found });
        self
    }

    /// The same kernel under another name.
    #[must_use]
    pub fn named(mut self, name: String) -> Self {
        self.facts.id.name = name;
        self
    }

    /// The kernel's BTF, to share.
    #[must_use]
    pub fn shared_btf(&self) -> Option<Arc<Btf<'static>>> {
        self.btf.clone()
    }

    /// The stored facts.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The stored facts, without the BTF.
    #[must_use]
    pub fn into_facts(self) -> Facts {
        self.facts
    }

    /// What a table of another kernel says about something, seen with this kernel's BTF: what the
    /// BTF does not have is not there, what it has and the table does not is not known.
    fn reconcile<T>(
        &self,
        kind: FactKind,
        found: Option<T>,
        what: impl core::fmt::Display,
        in_btf: impl FnOnce(&Btf<'_>) -> bool,
    ) -> Answer<T> {
        self.need(kind)?;
        let assumed = self.facts.origins.contains(&(kind, Origin::Assumed));
        match &self.btf {
            Some(btf) if assumed => match (in_btf(btf), found) {
                (false, _) => Ok(None),
                (true, Some(found)) => Ok(Some(found)),
                (true, None) => Err(self.unknown(what)),
            },
            _ => Ok(found),
        }
    }

    fn unknown(&self, what: impl core::fmt::Display) -> Fact {
        Fact(alloc::format!("{what} (kernel {})", self.facts.id.name))
    }

    fn is_unknown(&self, kind: FactKind) -> bool {
        let origin = self.facts.origins.iter().find(|(k, _)| *k == kind);
        origin.is_none_or(|(_, origin)| *origin == Origin::Unknown)
    }

    fn need(&self, kind: FactKind) -> Result<(), Fact> {
        if self.is_unknown(kind) { Err(self.unknown(kind)) } else { Ok(()) }
    }
}

/// A program type for a message.
fn prog_type_text(prog_type: ProgType) -> String {
    prog_type.name().map_or_else(|| prog_type.0.to_string(), ToString::to_string)
}
