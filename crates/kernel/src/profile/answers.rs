// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The questions of [`Kernel`] answered from data.

use super::{AllowedRule, HelperSet, KfuncRow, LsmRow, MemberRow, Profile, ProtoRow, StructOpsRow};
use crate::facts::MapOps;
use crate::{
    Allowed, Answer, ArgBase, AttachType, Behaviour, Behaviours, CompatibleRegisters, ContextTypes,
    CtxAccess, CtxAnswer, DesignId, Fact, FactKind, Helper, HelperAnswer, HelperArg, HelperId,
    IterTarget, JitFeature, Kernel, KernelId, Kfunc, KfuncRef, Limits, LoaderNeeds, LsmHook,
    MapType, MapTypeFacts, NameList, Origin, ProgContext, ProgType, ProgTypeFacts, RegBase,
    ReturnRange, Sleepable, StrId, StructOps, StructOpsMember, Tracepoint, TypeRef,
};
use alloc::string::String;
use alloc::vec::Vec;
use veristable_btf::{Btf, Kind, TypeId};

/// The row of a table that is sorted by `key`.
fn row<'t, T, K: Ord>(table: &'t [T], wanted: &K, key: impl Fn(&T) -> K) -> Option<&'t T> {
    table.binary_search_by(|row| key(row).cmp(wanted)).ok().and_then(|at| table.get(at))
}

impl Kernel for Profile {
    fn id(&self) -> &KernelId {
        &self.facts.id
    }

    fn origin(&self, kind: FactKind) -> Origin {
        let found = self.facts.origins.iter().find(|(k, _)| *k == kind);
        found.map_or(Origin::Unknown, |(_, origin)| *origin)
    }

    fn design(&self) -> DesignId {
        self.facts.design
    }

    fn behaviours(&self) -> &Behaviours {
        &self.behaviours
    }

    fn limits(&self) -> &Limits {
        &self.facts.limits
    }

    fn btf(&self, module: Option<&str>) -> Answer<&Btf<'_>> {
        match (module, &self.btf) {
            (None, Some(btf)) => Ok(Some(btf)),
            (None, None) if self.is_unknown(FactKind::Btf) => Err(self.unknown("BTF")),
            (None, None) => Ok(None),
            (Some(module), _) => match &self.modules {
                Some(modules) => Ok(modules.get(module)),
                None => Err(self.unknown(format_args!("BTF of the module {module}"))),
            },
        }
    }

    fn config(&self, name: &str) -> Answer<&str> {
        let Some(config) = &self.facts.config else { return Err(self.unknown("configuration")) };
        let name = name.strip_prefix("CONFIG_").unwrap_or(name);
        Ok(config.get(name))
    }

    fn symbol(&self, name: &str) -> Answer<u64> {
        let Some(symbols) = &self.facts.symbols else {
            let unknown = || Err(self.unknown(format_args!("the symbol {name}")));
            let (Some(btf), Some(without)) = (&self.btf, &self.facts.without_symbol) else {
                return unknown();
            };
            let has_type = |kind| btf.find_by_name(name, kind).is_some();
            if !has_type(Kind::Func) && !has_type(Kind::Var) {
                return unknown();
            }
            let id = self.facts.strings.find(name);
            let absent = id.is_some_and(|id| without.binary_search(&id).is_ok());
            return Ok((!absent).then_some(0));
        };
        Ok(symbols.get(name))
    }

    fn helper_name(&self, id: HelperId) -> Option<&str> {
        let at = usize::try_from(id.0).ok()?;
        let known = &self.facts.helper_names;
        let more = || self.more_helpers.get(at.checked_sub(known.len())?).map(String::as_str);
        known.get(at).map(|name| self.facts.str(*name)).or_else(more)
    }

    fn helper(&self, id: HelperId, program: &ProgContext<'_>) -> Result<HelperAnswer<'_>, Fact> {
        self.need(FactKind::Helpers)?;
        // `enum bpf_func_id` begins with BPF_FUNC_unspec, which no program may call.
        let Some(name) = self.helper_name(id) else { return Ok(HelperAnswer::NoSuchHelper) };
        if usize::try_from(id.0).is_ok_and(|at| at >= self.facts.helper_names.len()) {
            return Err(self.unknown(format_args!("helper bpf_{name}")));
        }
        if let Some(proto) = self.hook_rule(id, program) {
            return Ok(self.helper_answer(proto, program));
        }
        if let Some(proto) = self.iter_rule(id, program) {
            return Ok(self.helper_answer(Some(proto), program));
        }
        let in_set = |set: u16| {
            let set: Option<&HelperSet> = self.facts.helper_sets.get(usize::from(set));
            set.and_then(|set| row(set, &id, |(id, _)| *id)).map(|(_, proto)| *proto)
        };
        let proto = if program.prog_type == ProgType::STRUCT_OPS {
            let member = self.member_of(program)?;
            let set = member.and_then(|(_, member)| member.helpers);
            in_set(set.ok_or_else(|| self.unknown(format_args!("helper {name} for this member")))?)
        } else {
            self.decide(program, &format_args!("helper bpf_{name}"), |variant| {
                variant.helpers.map(in_set)
            })?
        };
        Ok(self.helper_answer(proto, program))
    }

    fn helper_needs(&self, id: HelperId, program: &ProgContext<'_>) -> Result<LoaderNeeds, Fact> {
        self.need(FactKind::Helpers)?;
        self.needs_of_helper(id, program)
    }

    fn kfunc(&self, kfunc: KfuncRef<'_>, program: &ProgContext<'_>) -> Answer<Kfunc<'_>> {
        let found = self.find_kfunc(kfunc);
        let what = || match kfunc {
            KfuncRef::Name(name) => alloc::format!("kfunc {name}"),
            KfuncRef::BtfId(id) => alloc::format!("kfunc of BTF id {id}"),
        };
        let in_btf = |btf: &Btf<'_>| match kfunc {
            KfuncRef::Name(name) => btf.find_by_name(name, Kind::Func).is_some(),
            KfuncRef::BtfId(id) => {
                btf.type_by_id(TypeId(id)).is_ok_and(|ty| ty.kind() == Kind::Func)
            }
        };
        let found = self.reconcile(FactKind::Kfuncs, found, what(), in_btf)?;
        let Some((at, row)) = found else { return Ok(None) };
        let name = self.facts.str(row.name);
        let in_set = |set: u16| {
            let set = self.facts.kfunc_sets.get(usize::from(set));
            set.is_some_and(|set| set.binary_search(&at).is_ok())
        };
        let allowed = if program.prog_type == ProgType::STRUCT_OPS {
            let set = self.member_of(program)?.and_then(|(_, member)| member.kfuncs);
            in_set(set.ok_or_else(|| self.unknown(format_args!("kfunc {name} for this member")))?)
        } else if let Some(allowed) = self.session_rule(name, program) {
            allowed
        } else {
            self.decide(program, &format_args!("kfunc {name}"), |variant| {
                variant.kfuncs.map(in_set)
            })?
        };
        let btf_id = if row.btf_id == 0 { None } else { Some(row.btf_id) };
        Ok(Some(Kfunc { name, btf_id, flags: row.flags, allowed }))
    }

    fn context(&self, access: CtxAccess, program: &ProgContext<'_>) -> Result<CtxAnswer<'_>, Fact> {
        self.need(FactKind::Contexts)?;
        self.context_answer(access, program)
    }

    fn prog_type(&self, program: &ProgContext<'_>) -> Answer<ProgTypeFacts<'_>> {
        self.need(FactKind::ProgTypes)?;
        let found = row(&self.facts.prog_types, &program.prog_type, |row| row.prog_type);
        Ok(found.map(|row| {
            // A few names are compared sooner than one is found among all strings.
            let member = |wanted: &str| {
                let found = row.members.iter().find(|(name, _)| self.facts.str(*name) == wanted);
                found.map(|(_, symbol)| self.facts.str(*symbol))
            };
            let context = self.facts.str(row.context_struct);
            ProgTypeFacts {
                verifier_ops: self.facts.str(row.ops),
                context_struct: if context.is_empty() { None } else { Some(context) },
                has_helpers: member("get_func_proto").is_some(),
                has_context_access: member("is_valid_access").is_some(),
                has_gen_ld_abs: member("gen_ld_abs").is_some(),
                has_prologue: member("gen_prologue").is_some(),
                btf_struct_access: member("btf_struct_access"),
            }
        }))
    }

    fn context_types(&self, prog_type: ProgType) -> Answer<ContextTypes> {
        self.btf(None)?;
        Ok(self.context_types.of_type(prog_type))
    }

    fn return_range(&self, program: &ProgContext<'_>) -> Result<ReturnRange, Fact> {
        self.need(FactKind::ProgTypes)?;
        if program.prog_type == ProgType::LSM
            && program.expected_attach_type != AttachType::LSM_CGROUP
            && let Some(name) = program.attach_name
        {
            let hook = self.lsm_row(name).and_then(|row| row.ret);
            return hook.ok_or_else(|| self.not_measured(program, &"return value"));
        }
        self.decide(program, &"return value", |variant| variant.ret)
    }

    fn sleepable(&self, program: &ProgContext<'_>) -> Result<Sleepable<'_>, Fact> {
        self.need(FactKind::ProgTypes)?;
        let plain = ProgContext { sleepable: false, ..*program };
        let measured = self.exact(&plain, |v| v.sleepable_ok);
        let measured = measured.or_else(|| {
            self.exact(&ProgContext { sleepable: true, ..*program }, |v| v.sleepable_ok)
        });
        let answer = |text: StrId| match self.facts.str(text) {
            "" => Sleepable::Yes,
            message => Sleepable::No(message),
        };
        if let Some(text) = measured {
            return Ok(answer(text));
        }
        let what = "sleepable support";
        match (program.prog_type, program.expected_attach_type) {
            // The hook decides, for the attach types that can be sleepable at all.
            (ProgType::LSM, _) => {
                let by_type = self.decide(&plain, &what, |v| v.sleepable_ok).map(answer)?;
                let hook = program.attach_name.and_then(|name| self.lsm_row(name));
                let row = hook.ok_or_else(|| self.not_measured(program, &what))?;
                let [_, sleepable, ..] = row.flags;
                Ok(if sleepable { by_type } else { Sleepable::No("") })
            }
            // The function decides, and few were tried.
            (
                ProgType::TRACING,
                AttachType::TRACE_FENTRY | AttachType::TRACE_FEXIT | AttachType::MODIFY_RETURN,
            ) => Err(self.not_measured(program, &what)),
            _ => self.decide(&plain, &what, |variant| variant.sleepable_ok).map(answer),
        }
    }

    fn map_type(&self, map_type: MapType) -> Answer<MapTypeFacts<'_>> {
        self.need(FactKind::MapTypes)?;
        let found = row(&self.facts.map_types, &map_type, |row| row.map_type);
        Ok(found.map(|row| MapTypeFacts {
            ops: self.facts.str(row.ops),
            implemented: MapOps { strings: &self.facts.strings, ops: &row.members },
            btf: row.btf.as_ref().map(|ty| self.facts.type_ref(ty)),
        }))
    }

    fn lsm_hook(&self, name: &str) -> Answer<LsmHook> {
        let hook = self.lsm_row(name).map(|row| {
            let [attachable, sleepable, cgroup, untrusted_args, inode_locked] = row.flags;
            LsmHook { attachable, sleepable, cgroup, untrusted_args, inode_locked, ret: row.ret }
        });
        let what = format_args!("LSM hook {name}");
        self.reconcile(FactKind::LsmHooks, hook, what, |btf| {
            btf.find_by_name(&alloc::format!("bpf_lsm_{name}"), Kind::Func).is_some()
        })
    }

    fn tracepoint(&self, name: &str) -> Answer<Tracepoint> {
        let id = self.facts.strings.find(name);
        let found = id.and_then(|id| row(&self.facts.tracepoints, &id, |row| row.name));
        let tracepoint = found.map(|row| Tracepoint {
            raw: row.raw,
            num_args: u32::from(row.num_args),
            writable_size: u32::from(row.writable_size),
            null_args: row.null_args,
        });
        let what = format_args!("tracepoint {name}");
        self.reconcile(FactKind::Tracepoints, tracepoint, what, |btf| {
            btf.find_by_name(&alloc::format!("btf_trace_{name}"), Kind::Typedef).is_some()
        })
    }

    fn iter_target(&self, name: &str) -> Answer<IterTarget<'_>> {
        self.need(FactKind::Iterators)?;
        let Some(btf) = &self.btf else { return Err(self.unknown("BTF")) };
        // Kfuncs are named so too; only targets have a structure for the context
        // (`DEFINE_BPF_ITER_FUNC` and `struct bpf_iter__*`).
        let context = alloc::format!("bpf_iter__{name}");
        let is_target = btf.find_by_name(&context, Kind::Struct).is_some();
        let func = alloc::format!("bpf_iter_{name}");
        let id = btf.find_by_name(&func, Kind::Func).filter(|_| is_target);
        let name = id.and_then(|id| btf.type_by_id(id).ok()).map(|ty| ty.name());
        Ok(name.map(|func| IterTarget { func }))
    }

    fn struct_ops(&self, name: &str) -> Answer<StructOps<'_>> {
        Ok(self.struct_ops_row(name)?.map(|row| {
            let check = self.facts.str(row.check_member);
            StructOps {
                name: self.facts.str(row.name),
                value_type: self.facts.str(row.value_type),
                verifier_ops: self.facts.str(row.verifier_ops),
                check_member: if check.is_empty() { None } else { Some(check) },
            }
        }))
    }

    fn struct_ops_member(&self, name: &str, member: &str) -> Answer<StructOpsMember<'_>> {
        Ok(self.find_member(name, member)?.map(|(_, row)| StructOpsMember {
            implementable: row.implementable,
            index: row.index.map(u32::from),
            args: &row.args,
            profile: &self.facts,
        }))
    }

    fn names(&self, list: NameList) -> Answer<Vec<&str>> {
        let row = self.facts.names.iter().find(|row| row.list == list);
        let row = row.ok_or_else(|| self.unknown(format_args!("the list {list}")))?;
        let names = row.names.as_ref();
        Ok(names.map(|names| names.iter().map(|name| self.facts.str(*name)).collect()))
    }

    fn dtor(&self, structure: &str) -> Answer<&str> {
        let dtors = self.facts.dtors.as_ref().ok_or_else(|| self.unknown("destructors"))?;
        let id = self.facts.strings.find(structure);
        let found = id.and_then(|id| row(dtors, &id, |(name, _)| *name));
        Ok(found.map(|(_, dtor)| self.facts.str(*dtor)))
    }

    fn compatible_registers(&self, arg: ArgBase) -> Answer<CompatibleRegisters<'_>> {
        if self.facts.compatible.is_empty() {
            return Err(self.unknown("compatible_reg_types"));
        }
        let found = self.facts.compatible.iter().find(|row| row.arg == arg);
        Ok(found.map(|row| CompatibleRegisters {
            types: &row.types,
            btf: row.btf.as_ref().map(|ty| self.facts.type_ref(ty)),
        }))
    }

    fn register_btf(&self, register: RegBase) -> Answer<TypeRef<'_>> {
        let rows = self.facts.register_btf.as_ref().ok_or_else(|| self.unknown("reg2btf_ids"))?;
        let found = rows.iter().find(|(base, _)| *base == register);
        Ok(found.map(|(_, ty)| self.facts.type_ref(ty)))
    }

    fn jit(&self, feature: JitFeature) -> Result<bool, Fact> {
        let found = self.facts.jit.iter().find(|(f, _)| *f == feature).map(|(_, on)| *on);
        found.ok_or_else(|| self.unknown(format_args!("JIT feature {feature}")))
    }
}

impl Profile {
    /// Kfuncs for the sessions of kprobes depend on the attach type only
    /// (`bpf_kprobe_multi_filter` of `kernel/trace/bpf_trace.c`).
    fn session_rule(&self, name: &str, program: &ProgContext<'_>) -> Option<bool> {
        let is_session = matches!(name, "bpf_session_is_return" | "bpf_session_cookie");
        if !is_session || program.prog_type != ProgType::KPROBE {
            return None;
        }
        Some(match program.expected_attach_type {
            AttachType::TRACE_KPROBE_SESSION => true,
            AttachType::TRACE_UPROBE_SESSION => {
                self.behaviours().has(Behaviour::UprobeSessionReturns)
            }
            _ => false,
        })
    }

    /// For helpers that depend on the LSM hook: their prototype, or none.
    fn hook_rule(&self, id: HelperId, program: &ProgContext<'_>) -> Option<Option<u16>> {
        if program.prog_type != ProgType::LSM {
            return None;
        }
        let applies = |rule: &&super::HookRule| {
            rule.helper == id && rule.attach == program.expected_attach_type
        };
        let rule = self.facts.hook_rules.iter().find(applies)?;
        let hook = program.attach_name?;
        let case = rule.cases.iter().find(|(list, _)| self.is_in(*list, hook));
        Some(case.map(|(_, proto)| *proto))
    }

    /// The prototype that a target of iterators adds (`bpf_iter_get_func_proto` of
    /// `kernel/bpf/bpf_iter.c`).
    fn iter_rule(&self, id: HelperId, program: &ProgContext<'_>) -> Option<u16> {
        if (program.prog_type, program.expected_attach_type)
            != (ProgType::TRACING, AttachType::TRACE_ITER)
        {
            return None;
        }
        let target = program.attach_name?;
        let rules = self.facts.iter_rules.iter();
        let mut rules = rules.filter(|rule| self.facts.str(rule.target) == target);
        rules.find(|rule| rule.helper == id).map(|rule| rule.proto)
    }

    /// Whether a name, with or without `bpf_lsm_`, is in a list.
    fn is_in(&self, list: NameList, name: &str) -> bool {
        let row = self.facts.names.iter().find(|row| row.list == list);
        let names = row.and_then(|row| row.names.as_ref());
        names.into_iter().flatten().any(|id| {
            let listed = self.facts.str(*id);
            listed == name || listed.strip_prefix("bpf_lsm_") == Some(name)
        })
    }

    fn helper_answer(&self, proto: Option<u16>, program: &ProgContext<'_>) -> HelperAnswer<'_> {
        let proto = proto.and_then(|proto| self.facts.protos.get(usize::from(proto)));
        proto.map_or(HelperAnswer::NotForProgram, |proto| {
            HelperAnswer::Available(self.helper_view(proto, program))
        })
    }

    fn helper_view(&self, row: &ProtoRow, program: &ProgContext<'_>) -> Helper<'_> {
        let func = self.facts.str(row.func);
        let [gpl_only, pkt_access, might_sleep, allow_fastcall] = row.flags;
        Helper {
            proto: self.facts.str(row.symbol),
            func: if func.is_empty() { None } else { Some(func) },
            gpl_only,
            pkt_access,
            might_sleep,
            allow_fastcall,
            ret: row.ret,
            ret_btf: self.facts.helper_btf(&row.ret_btf),
            args: row.args.each_ref().map(|arg| HelperArg {
                ty: arg.ty,
                btf: self.facts.helper_btf(&arg.btf),
                size: arg.size,
            }),
            allowed: self.allowed(row.allowed, program),
        }
    }

    fn allowed(&self, rule: AllowedRule, program: &ProgContext<'_>) -> Allowed {
        let answer = |yes: bool| if yes { Allowed::Yes } else { Allowed::No };
        let target = program.attach_name;
        let sleepable_hook = || match target.map(|name| self.lsm_row(name)) {
            Some(Some(row)) => answer(row.flags[1]),
            Some(None) => Allowed::No,
            None => Allowed::Unknown(self.unknown("the LSM hook is not named")),
        };
        match rule {
            AllowedRule::Always => Allowed::Yes,
            AllowedRule::SleepableLsmHook => sleepable_hook(),
            AllowedRule::DPath => match program.prog_type {
                ProgType::TRACING if program.expected_attach_type == AttachType::TRACE_ITER => {
                    Allowed::Yes
                }
                ProgType::LSM => sleepable_hook(),
                _ => match target {
                    Some(name) => answer(self.is_in(NameList::DPathCallers, name)),
                    None => Allowed::Unknown(self.unknown("the attach target is not named")),
                },
            },
            AllowedRule::NotSkStorage => match (program.expected_attach_type, target) {
                (AttachType::TRACE_RAW_TP | AttachType::TRACE_ITER, _) => Allowed::Yes,
                (AttachType::TRACE_FENTRY | AttachType::TRACE_FEXIT, Some(name)) => {
                    answer(!name.starts_with("bpf_sk_storage"))
                }
                (AttachType::TRACE_FENTRY | AttachType::TRACE_FEXIT, None) => {
                    Allowed::Unknown(self.unknown("the attach target is not named"))
                }
                _ => Allowed::No,
            },
            AllowedRule::Other(symbol) => {
                let symbol = self.facts.str(symbol);
                Allowed::Unknown(self.unknown(format_args!("the answer of {symbol}()")))
            }
        }
    }

    fn find_kfunc(&self, kfunc: KfuncRef<'_>) -> Option<(u16, &KfuncRow)> {
        let rows = &self.facts.kfuncs;
        let at = match kfunc {
            KfuncRef::Name(name) => {
                let id = self.facts.strings.find(name)?;
                rows.binary_search_by_key(&id, |row| row.name).ok()?
            }
            KfuncRef::BtfId(0) => return None,
            KfuncRef::BtfId(id) => rows.iter().position(|row| row.btf_id == id)?,
        };
        Some((u16::try_from(at).ok()?, rows.get(at)?))
    }

    fn lsm_row(&self, name: &str) -> Option<&LsmRow> {
        let name = name.strip_prefix("bpf_lsm_").unwrap_or(name);
        let id = self.facts.strings.find(name)?;
        row(&self.facts.lsm, &id, |row| row.name)
    }

    fn struct_ops_row(&self, name: &str) -> Answer<&StructOpsRow> {
        let rows = self.facts.struct_ops.as_ref().ok_or_else(|| self.unknown("struct_ops"))?;
        let found = rows.iter().find(|row| self.facts.str(row.name) == name);
        let what = format_args!("struct_ops {name}");
        self.reconcile(FactKind::StructOps, found, what, |btf| {
            btf.find_by_name(&alloc::format!("bpf_struct_ops_{name}"), Kind::Struct).is_some()
        })
    }

    fn find_member(&self, name: &str, member: &str) -> Answer<(&StructOpsRow, &MemberRow)> {
        let Some(row) = self.struct_ops_row(name)? else { return Ok(None) };
        let found = row.members.iter().find(|m| self.facts.str(m.name) == member);
        Ok(found.map(|member| (row, member)))
    }

    fn member_of(&self, program: &ProgContext<'_>) -> Answer<(&StructOpsRow, &MemberRow)> {
        let named = program.struct_ops;
        let (name, member) = named.ok_or_else(|| self.unknown("the struct_ops member"))?;
        self.find_member(name, member)
    }

    /// Types that the tables name.
    #[must_use]
    pub fn kernel_type(&self, ty: &TypeRef<'_>) -> Option<u32> {
        ty.id.or_else(|| Some(self.btf.as_ref()?.find_by_name(ty.name, ty.kind.into())?.0))
    }
}
