// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The questions that the linker and the verifier ask of a kernel.

use crate::{
    ArgBase, AttachType, Behaviours, ContextTypes, CtxAccess, CtxAnswer, DesignId, FactKind,
    HelperAnswer, HelperId, IterTarget, JitFeature, Kfunc, KfuncRef, Limits, LoaderNeeds, LsmHook,
    MapType, MapTypeFacts, NameList, Origin, ProgType, ProgTypeFacts, RegBase, RegType,
    ReturnRange, Sleepable, StructOps, StructOpsMember, Tracepoint, TypeRef,
};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};
use veristable_btf::Btf;

/// Which kernel: package version and architecture, as stable kernels differ below `major.minor`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct KernelId {
    /// Short name as given on the command line, e.g. `6.18.15`.
    pub name: String,
    /// Kernel release as `uname -r` prints it, e.g. `6.18.15+deb13-cloud-amd64`.
    pub release: String,
    /// Architecture in the distribution's spelling, e.g. `amd64`.
    pub arch: String,
    /// `LINUX_VERSION_CODE`: major << 16 | minor << 8 | patch (patch at most 255).
    pub version_code: u32,
}

/// A fact that a verdict needs and that this description of a kernel does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact(pub String);

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Fact {}

/// `Ok(Some)`: the kernel has it. `Ok(None)`: the kernel certainly lacks it. `Err`: not known.
pub type Answer<T> = Result<Option<T>, Fact>;

/// The part of a load request that a kernel's answers depend on.
///
/// The answers hold for a loader with `CAP_BPF` and `CAP_PERFMON`. `bpf_base_func_proto`
/// (`kernel/bpf/helpers.c`) offers fewer helpers without them, which the tables do not show: who
/// verifies for such a loader must treat every helper that is answered as available as unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProgContext<'a> {
    /// Program type; for `EXT` programs that of the target.
    pub prog_type: ProgType,
    /// Expected attach type.
    pub expected_attach_type: AttachType,
    /// Loaded with `BPF_F_SLEEPABLE`.
    pub sleepable: bool,
    /// Name of the kernel function, tracepoint or hook that the program attaches to, without
    /// the prefixes that the kernel adds (`bpf_lsm_`, `btf_trace_`, `bpf_iter_`).
    pub attach_name: Option<&'a str>,
    /// For struct_ops programs: the structure's name and the member's.
    pub struct_ops: Option<(&'a str, &'a str)>,
}

impl ProgContext<'_> {
    /// A program of this type without attach type, attach target and flags.
    #[must_use]
    pub const fn of(prog_type: ProgType) -> Self {
        Self {
            prog_type,
            expected_attach_type: AttachType(0),
            sleepable: false,
            attach_name: None,
            struct_ops: None,
        }
    }
}

/// What may be asked of a kernel. Asked while facts are resolved, never in the hot loop.
///
/// Every question is about one thing, so that a wrapper can record what a verdict depended on.
/// Modules are not part of the answers: a kernel is described as it is without any loaded, except
/// where [`Kernel::btf`] is asked for one by name.
pub trait Kernel {
    /// Which kernel this is.
    fn id(&self) -> &KernelId;

    /// How facts of one kind are known.
    fn origin(&self, kind: FactKind) -> Origin;

    /// The parts that its verifier is made of.
    fn design(&self) -> DesignId;

    /// What its verifier does where verifiers differ in detail.
    fn behaviours(&self) -> &Behaviours;

    /// The numbers that bound its verifier.
    fn limits(&self) -> &Limits;

    /// BTF of the kernel (`None`) or of a module. `Ok(None)`: there is none.
    ///
    /// # Errors
    /// If it is not known.
    fn btf(&self, module: Option<&str>) -> Answer<&Btf<'_>>;

    /// The value of a configuration option as `.config` writes it (`y`, `m`, `"text"`, `250`);
    /// `name` includes `CONFIG_`. `Ok(None)`: not set.
    ///
    /// # Errors
    /// If the configuration is not known.
    fn config(&self, name: &str) -> Answer<&str>;

    /// Address of a kernel symbol. `Ok(None)`: no such symbol. The address is 0 where the symbol
    /// is known to exist but its address is not.
    ///
    /// # Errors
    /// If it is not known.
    fn symbol(&self, name: &str) -> Answer<u64>;

    /// Name of a helper without `bpf_`, e.g. `map_lookup_elem` (`enum bpf_func_id`). `None` for a
    /// number outside the range.
    fn helper_name(&self, id: HelperId) -> Option<&str>;

    /// Whether and how a program may call a helper.
    ///
    /// # Errors
    /// If that was not found out for programs like this one.
    fn helper(&self, id: HelperId, program: &ProgContext<'_>) -> Result<HelperAnswer<'_>, Fact>;

    /// Which capabilities the loader needs for a helper that a program may call if loaded with all
    /// of them. Capabilities without which no such program is loaded may be among them.
    ///
    /// # Errors
    /// If that was not found out for programs like this one.
    fn helper_needs(&self, id: HelperId, program: &ProgContext<'_>) -> Result<LoaderNeeds, Fact>;

    /// Whether and how a program may call a kfunc of the kernel proper. `Ok(None)`: there is no
    /// kfunc of that name or id.
    ///
    /// # Errors
    /// If that was not found out for programs like this one.
    fn kfunc(&self, kfunc: KfuncRef<'_>, program: &ProgContext<'_>) -> Answer<Kfunc<'_>>;

    /// Whether a program may access its context so.
    ///
    /// # Errors
    /// If that was not found out for programs like this one or for that place.
    fn context(&self, access: CtxAccess, program: &ProgContext<'_>) -> Result<CtxAnswer<'_>, Fact>;

    /// What a program's type fixes. `Ok(None)`: the kernel has no programs of the type.
    ///
    /// # Errors
    /// If it is not known.
    fn prog_type(&self, program: &ProgContext<'_>) -> Answer<ProgTypeFacts<'_>>;

    /// The context of programs of a type by the kernel's BTF. `Ok(None)`: that does not say.
    ///
    /// # Errors
    /// If the BTF is not known.
    fn context_types(&self, prog_type: ProgType) -> Answer<ContextTypes>;

    /// What a program may return from its main function. For struct_ops programs the BTF of the
    /// member decides.
    ///
    /// # Errors
    /// If that was not found out for programs like this one.
    fn return_range(&self, program: &ProgContext<'_>) -> Result<ReturnRange, Fact>;

    /// Whether a program may be sleepable (`program.sleepable` does not matter).
    ///
    /// # Errors
    /// If that was not found out for programs like this one.
    fn sleepable(&self, program: &ProgContext<'_>) -> Result<Sleepable<'_>, Fact>;

    /// A map type. `Ok(None)`: the kernel has no maps of the type.
    ///
    /// # Errors
    /// If it is not known.
    fn map_type(&self, map_type: MapType) -> Answer<MapTypeFacts<'_>>;

    /// An LSM hook by its name without `bpf_lsm_`.
    ///
    /// # Errors
    /// If it is not known.
    fn lsm_hook(&self, name: &str) -> Answer<LsmHook>;

    /// A tracepoint by its name without `btf_trace_`.
    ///
    /// # Errors
    /// If it is not known.
    fn tracepoint(&self, name: &str) -> Answer<Tracepoint>;

    /// The target of an iterator by its name without `bpf_iter_`.
    ///
    /// # Errors
    /// If it is not known.
    fn iter_target(&self, name: &str) -> Answer<IterTarget<'_>>;

    /// A structure of functions by its name. `Ok(None)`: the kernel proper registers none.
    ///
    /// # Errors
    /// If it is not known.
    fn struct_ops(&self, name: &str) -> Answer<StructOps<'_>>;

    /// A member of such a structure. `Ok(None)`: no member that is a function.
    ///
    /// # Errors
    /// If it is not known.
    fn struct_ops_member(&self, name: &str, member: &str) -> Answer<StructOpsMember<'_>>;

    /// The names in a list, in the kernel's order. `Ok(None)`: the kernel has no such list.
    ///
    /// # Errors
    /// If it is not known.
    fn names(&self, list: NameList) -> Answer<Vec<&str>>;

    /// The destructor kfunc for a structure, by the structure's name (`btf_find_dtor_kfunc`).
    ///
    /// # Errors
    /// If it is not known.
    fn dtor(&self, structure: &str) -> Answer<&str>;

    /// Register types that an argument type takes (`compatible_reg_types`).
    ///
    /// # Errors
    /// If it is not known.
    fn compatible_registers(&self, arg: ArgBase) -> Answer<CompatibleRegisters<'_>>;

    /// The kernel structure that a register type stands for when a kfunc takes it
    /// (`reg2btf_ids`).
    ///
    /// # Errors
    /// If it is not known.
    fn register_btf(&self, register: RegBase) -> Answer<TypeRef<'_>>;

    /// Whether the JIT or the architecture has a feature.
    ///
    /// # Errors
    /// If it is not known.
    fn jit(&self, feature: JitFeature) -> Result<bool, Fact>;
}

/// What an argument type takes (`struct bpf_reg_types`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompatibleRegisters<'k> {
    /// The register types.
    pub types: &'k [RegType],
    /// The kernel structure that a BTF pointer must point to.
    pub btf: Option<TypeRef<'k>>,
}
