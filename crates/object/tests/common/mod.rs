// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A kernel of which only that is known which linking asks for.

use std::collections::HashMap;
use veristable_btf::Btf;
use veristable_kernel::{
    Answer, ArgBase, Behaviours, CompatibleRegisters, ContextTypes, CtxAccess, CtxAnswer, DesignId,
    Fact, FactKind, HelperAnswer, HelperId, IterTarget, JitFeature, Kernel, KernelId, Kfunc,
    KfuncRef, Limits, LoaderNeeds, LsmHook, MapType, MapTypeFacts, NameList, Origin, ProgContext,
    ProgType, ProgTypeFacts, RegBase, ReturnRange, Sleepable, StructOps, StructOpsMember,
    Tracepoint, TypeRef,
};

/// BTF, configuration and symbols of a kernel.
pub(crate) struct LinkKernel {
    /// Which kernel.
    pub(crate) id: KernelId,
    /// Its BTF.
    pub(crate) btf: Option<Btf<'static>>,
    /// BTF of modules.
    pub(crate) modules: HashMap<String, Btf<'static>>,
    /// Configuration options with `CONFIG_`.
    pub(crate) config: HashMap<String, String>,
    /// Addresses of symbols.
    pub(crate) symbols: HashMap<String, u64>,
    /// No behaviour.
    pub(crate) behaviours: Behaviours,
}

fn unknown<T>() -> Result<T, Fact> {
    Err(Fact("linking does not ask for it".into()))
}

impl Kernel for LinkKernel {
    fn id(&self) -> &KernelId {
        &self.id
    }
    fn origin(&self, _: FactKind) -> Origin {
        Origin::Unknown
    }
    fn design(&self) -> DesignId {
        DesignId::V6_18
    }
    fn behaviours(&self) -> &Behaviours {
        &self.behaviours
    }
    fn limits(&self) -> &Limits {
        unreachable!("linking asks for no limits")
    }
    fn btf(&self, module: Option<&str>) -> Answer<&Btf<'_>> {
        Ok(match module {
            None => self.btf.as_ref(),
            Some(name) => self.modules.get(name),
        })
    }
    fn config(&self, name: &str) -> Answer<&str> {
        Ok(self.config.get(name).map(String::as_str))
    }
    fn symbol(&self, name: &str) -> Answer<u64> {
        Ok(self.symbols.get(name).copied())
    }
    fn helper_name(&self, _: HelperId) -> Option<&str> {
        None
    }
    fn helper(&self, _: HelperId, _: &ProgContext<'_>) -> Result<HelperAnswer<'_>, Fact> {
        unknown()
    }
    fn helper_needs(&self, _: HelperId, _: &ProgContext<'_>) -> Result<LoaderNeeds, Fact> {
        unknown()
    }
    fn kfunc(&self, _: KfuncRef<'_>, _: &ProgContext<'_>) -> Answer<Kfunc<'_>> {
        unknown()
    }
    fn context(&self, _: CtxAccess, _: &ProgContext<'_>) -> Result<CtxAnswer<'_>, Fact> {
        unknown()
    }
    fn prog_type(&self, _: &ProgContext<'_>) -> Answer<ProgTypeFacts<'_>> {
        unknown()
    }
    fn context_types(&self, _: ProgType) -> Answer<ContextTypes> {
        unknown()
    }
    fn return_range(&self, _: &ProgContext<'_>) -> Result<ReturnRange, Fact> {
        unknown()
    }
    fn sleepable(&self, _: &ProgContext<'_>) -> Result<Sleepable<'_>, Fact> {
        unknown()
    }
    fn map_type(&self, _: MapType) -> Answer<MapTypeFacts<'_>> {
        unknown()
    }
    fn lsm_hook(&self, _: &str) -> Answer<LsmHook> {
        unknown()
    }
    fn tracepoint(&self, _: &str) -> Answer<Tracepoint> {
        unknown()
    }
    fn iter_target(&self, _: &str) -> Answer<IterTarget<'_>> {
        unknown()
    }
    fn struct_ops(&self, _: &str) -> Answer<StructOps<'_>> {
        unknown()
    }
    fn struct_ops_member(&self, _: &str, _: &str) -> Answer<StructOpsMember<'_>> {
        unknown()
    }
    fn names(&self, _: NameList) -> Answer<Vec<&str>> {
        unknown()
    }
    fn dtor(&self, _: &str) -> Answer<&str> {
        unknown()
    }
    fn compatible_registers(&self, _: ArgBase) -> Answer<CompatibleRegisters<'_>> {
        unknown()
    }
    fn register_btf(&self, _: RegBase) -> Answer<TypeRef<'_>> {
        unknown()
    }
    fn jit(&self, _: JitFeature) -> Result<bool, Fact> {
        unknown()
    }
}
