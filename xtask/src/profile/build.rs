// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Makes a profile: decoded facts, BTF and configuration in, one packed file out.

use super::catalogue;
use super::contexts;
use super::input::{BtfPointer, Decoded, GuestLsm, Proto, TypeVariant, sha256};
use super::names::Names;
use super::needs;
use anyhow::{Context, bail, ensure};
use object::{Object, ObjectSection};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use veristable_btf::{Btf, Kind};
use veristable_kernel::profile::{
    AllowedRule, Attachment, BtfRow, CompatRow, Config, CtxTable, FACTS_VERSION, Facts,
    HelperArgRow, HelperSet, HookRule, Input, IterRule, KfuncRow, KfuncSet, LsmRow, MapTypeRow,
    NamesRow, NeedSet, ProgTypeRow, ProtoRow, Symbols, TracepointRow, TypeRow, Variant,
};
use veristable_kernel::{
    ArgBase, ArgType, AttachType, BtfKind, FactKind, HelperId, KernelId, KfuncFlags, LoaderNeeds,
    MapType, NameList, Origin, ProgType, RegBase, RegType, RetType, ReturnRange, StrId,
};
use veristable_profiles::pack::{self, Payload};

/// `BPF_F_SLEEPABLE`.
const SLEEPABLE: u32 = 1 << 4;

/// What a profile is made of.
pub(crate) struct Sources<'a> {
    pub(crate) id: KernelId,
    pub(crate) decoded: &'a Decoded,
    pub(crate) btf: &'a Btf<'a>,
    pub(crate) config: Option<Config>,
    pub(crate) symbols: Option<Symbols>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) needs: Option<needs::Table>,
}

/// `cargo xtask profile build`.
pub(crate) fn run(args: &super::BuildArgs) -> anyhow::Result<()> {
    let decoded = Decoded::read(&args.decoded)?;
    let btf_bytes = read_btf(&args.btf)?;
    let mut btf = Btf::open(&btf_bytes[..]).with_context(|| args.btf.display().to_string())?;
    btf.build_name_index();
    let mut inputs = decoded.inputs.clone();
    let from = |what: &str| match args.package.as_str() {
        "" => what.to_owned(),
        package => format!("{what} of {package}"),
    };
    inputs.push(input("vmlinux.btf", &btf_bytes, from("section .BTF of the image")));
    let text = |path: &PathBuf| -> anyhow::Result<String> {
        std::fs::read_to_string(path).with_context(|| path.display().to_string())
    };
    let config = args.config.as_ref().map(text).transpose()?;
    if let Some(config) = &config {
        inputs.push(input("config", config.as_bytes(), from("/boot/config")));
    }
    let kallsyms = args.kallsyms.as_ref().map(text).transpose()?;
    if let Some(kallsyms) = &kallsyms {
        let origin = "/proc/kallsyms of the booted guest".to_owned();
        inputs.push(input("kallsyms", kallsyms.as_bytes(), origin));
    }
    let mut sources = Sources {
        id: kernel_id(args)?,
        decoded: &decoded,
        btf: &btf,
        config: config.as_deref().and_then(Config::parse),
        symbols: kallsyms.as_deref().and_then(Symbols::parse),
        inputs,
        needs: None,
    };
    let needs = needs::Table::read(&args.version)?;
    if let Some((_, input)) = &needs {
        sources.inputs.push(input.clone());
    }
    sources.needs = needs.map(|(table, _)| table);
    let facts = facts(&sources)?;
    let payload = Payload {
        facts: pack::write_facts(&facts).map_err(anyhow::Error::msg)?,
        btf: btf_bytes.clone(),
    };
    let sizes = (payload.facts.len(), payload.btf.len());
    let payload = payload.to_bytes().map_err(anyhow::Error::msg)?;
    let packed = pack::wrap(&payload, &compress(&payload)?);
    let back = pack::open(&packed).map_err(anyhow::Error::msg)?;
    ensure!(*back.facts() == facts, "the packed facts read back differently");
    let default = || {
        let name = format!("{}-{}.profile", args.version, args.arch);
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/profiles/data").join(name)
    };
    let out = args.out.clone().unwrap_or_else(default);
    std::fs::write(&out, &packed).with_context(|| out.display().to_string())?;
    println!(
        "{}: facts {} bytes, BTF {} bytes, packed {} bytes, payload SHA-256 {}",
        args.version,
        sizes.0,
        sizes.1,
        packed.len(),
        sha256(&payload)
    );
    Ok(())
}

fn input(name: &str, bytes: &[u8], origin: String) -> Input {
    Input { name: name.to_owned(), sha256: sha256(bytes), origin }
}

fn kernel_id(args: &super::BuildArgs) -> anyhow::Result<KernelId> {
    let from_config = || {
        let name = args.config.as_ref()?.file_name()?.to_str()?;
        Some(name.strip_prefix("config-")?.to_owned())
    };
    let release = args.release.clone().or_else(from_config);
    let version = args.version_code.as_ref().unwrap_or(&args.version);
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let mut number = || numbers.next().and_then(Result::ok);
    let (Some(major), Some(minor), Some(patch)) = (number(), number(), number()) else {
        bail!("{version} is not MAJOR.MINOR.PATCH: give --version-code");
    };
    Ok(KernelId {
        name: args.version.clone(),
        release: release.unwrap_or_else(|| args.version.clone()),
        arch: args.arch.clone(),
        version_code: major << 16 | minor << 8 | patch.min(255),
    })
}

/// Raw BTF, or the section `.BTF` of an ELF file.
pub(crate) fn read_btf(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    if !bytes.starts_with(b"\x7fELF") {
        return Ok(bytes);
    }
    let elf = object::File::parse(&bytes[..]).with_context(|| path.display().to_string())?;
    let section = elf.section_by_name(".BTF").context("no section .BTF")?;
    Ok(section.data()?.to_vec())
}

/// Compresses with the `zstd` command: maintenance needs it, the product does not.
fn compress(payload: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut child = Command::new("zstd")
        .args(["--ultra", "-22", "--long=27", "-c", "-q", "--no-check"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("the command zstd")?;
    let mut stdin = child.stdin.take().context("no pipe to zstd")?;
    let payload = payload.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&payload));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| anyhow::anyhow!("writing to zstd"))??;
    ensure!(output.status.success(), "zstd failed");
    Ok(output.stdout)
}

/// Tables under construction.
pub(crate) struct Builder<'a> {
    pub(crate) names: &'a Names,
    pub(crate) decoded: &'a Decoded,
    btf: &'a Btf<'a>,
    config: Option<&'a Config>,
    needs: Option<&'a needs::Table>,
    helper_ids: BTreeMap<&'a str, HelperId>,
    protos: BTreeMap<&'a str, u16>,
    helper_sets: Vec<HelperSet>,
    need_sets: Vec<NeedSet>,
    kfunc_sets: Vec<KfuncSet>,
    contexts: Vec<CtxTable>,
}

/// Makes the facts.
pub(crate) fn facts(sources: &Sources<'_>) -> anyhow::Result<Facts> {
    let collect = Names::collect();
    build(sources, &collect)?;
    let names = collect.number()?;
    let mut facts = build(sources, &names)?;
    facts.strings = names.into_strings();
    Ok(facts)
}

fn build(sources: &Sources<'_>, names: &Names) -> anyhow::Result<Facts> {
    let decoded = sources.decoded;
    ensure!(decoded.helpers.undecoded.is_empty(), "helpers.json has undecoded types");
    let protos = decoded.helpers.protos.keys().enumerate();
    let mut builder = Builder {
        names,
        decoded,
        btf: sources.btf,
        config: sources.config.as_ref(),
        needs: sources.needs.as_ref(),
        helper_ids: decoded
            .helpers
            .func_ids
            .iter()
            .map(|(id, name)| (name.as_str(), HelperId(*id)))
            .collect(),
        protos: protos
            .map(|(at, name)| Ok((name.as_str(), u16::try_from(at)?)))
            .collect::<anyhow::Result<_>>()?,
        helper_sets: Vec::new(),
        need_sets: Vec::new(),
        kfunc_sets: Vec::new(),
        contexts: Vec::new(),
    };
    let protos =
        decoded.helpers.protos.iter().map(|(name, proto)| {
            builder.proto(proto).with_context(|| format!("helpers.json: {name}"))
        });
    let protos = protos.collect::<anyhow::Result<Vec<_>>>()?;
    let variants = builder.variants()?;
    let struct_ops = builder.struct_ops()?;
    let entry = catalogue::entry(
        &sources.id.name,
        sources.id.version_code,
        &sources.id.arch,
        sources.config.as_ref(),
    );
    Ok(Facts {
        version: FACTS_VERSION,
        id: sources.id.clone(),
        design: entry.design,
        behaviours: entry.behaviours.iter().map(|b| b.id().to_owned()).collect(),
        limits: entry.limits.clone(),
        origins: origins(sources, &entry, struct_ops.is_some()),
        inputs: sources.inputs.clone(),
        strings: Default::default(),
        config: sources.config.clone(),
        // All symbols would double a profile; what has a type and no symbol is a short list.
        symbols: None,
        without_symbol: builder.without_symbol(sources.symbols.as_ref()),
        helper_names: builder.helper_names()?,
        protos,
        hook_rules: builder.hook_rules(),
        iter_rules: builder.iter_rules(),
        kfuncs: builder.kfuncs()?,
        variants,
        prog_types: builder.prog_types()?,
        map_types: builder.map_types(),
        lsm: builder.lsm(),
        tracepoints: builder.tracepoints()?,
        struct_ops,
        names: builder.name_lists(),
        dtors: builder.dtors(),
        compatible: builder.compatible()?,
        register_btf: builder.register_btf()?,
        jit: entry.jit,
        helper_sets: builder.helper_sets,
        need_sets: builder.need_sets,
        kfunc_sets: builder.kfunc_sets,
        contexts: builder.contexts,
    })
}

fn origins(
    sources: &Sources<'_>,
    entry: &catalogue::Entry,
    struct_ops: bool,
) -> Vec<(FactKind, Origin)> {
    let seen = |is: bool| if is { Origin::Observed } else { Origin::Unknown };
    let origin = |kind: FactKind| match kind {
        FactKind::Config => seen(sources.config.is_some()),
        FactKind::Symbols => seen(sources.symbols.is_some()),
        FactKind::StructOps => seen(struct_ops),
        FactKind::Limits | FactKind::Behaviours => entry.origin,
        FactKind::Jit if entry.jit.is_empty() => Origin::Unknown,
        FactKind::Jit => entry.origin,
        _ => Origin::Observed,
    };
    FactKind::ALL.iter().map(|kind| (*kind, origin(*kind))).collect()
}

/// Names of types as a later kernel has them. What 6.2 and later call `MEM_RINGBUF` was named
/// `MEM_ALLOC` before there was a `MEM_ALLOC` of another meaning.
fn modern(decoded: &Decoded, text: &str) -> String {
    let flags = &decoded.helpers.enum_bpf_type_flag;
    if flags.contains_key("MEM_RINGBUF") {
        return text.to_owned();
    }
    let name = |name| if name == "MEM_ALLOC" { "MEM_RINGBUF" } else { name };
    text.split('|').map(name).collect::<Vec<_>>().join("|")
}

impl Builder<'_> {
    /// Reads the names of a register type.
    pub(crate) fn register_type(&self, text: &str) -> anyhow::Result<RegType> {
        RegType::from_kernel_names(&modern(self.decoded, text))
            .map_err(|name| anyhow::anyhow!("register type {name} is not known"))
    }

    /// A structure by name, with its id in the kernel's BTF.
    pub(crate) fn structure(&self, name: &str) -> TypeRow {
        let find = |kind| self.btf.find_by_name(name, kind).map(|id| id.0);
        let (kind, id) = match (find(Kind::Struct), find(Kind::Union)) {
            (None, Some(id)) => (BtfKind::Union, id),
            (id, _) => (BtfKind::Struct, id.unwrap_or(0)),
        };
        TypeRow { kind, name: self.names.id(name), id }
    }

    /// A type given as `KIND NAME`.
    fn typed(&self, text: &str, id: u32) -> anyhow::Result<TypeRow> {
        let (kind, name) = text.split_once(' ').with_context(|| format!("the type {text}"))?;
        let kind = BtfKind::from_name(kind).with_context(|| format!("the kind of {text}"))?;
        let id = match id {
            0 => self.btf.find_by_name(name, kind.into()).map_or(0, |id| id.0),
            id => {
                let found = self.btf.type_by_id(veristable_btf::TypeId(id));
                let named = found.is_ok_and(|ty| ty.name() == name);
                ensure!(named, "type {id} of the BTF is not {text}: another kernel's BTF?");
                id
            }
        };
        Ok(TypeRow { kind, name: self.names.id(name), id })
    }

    fn helper_names(&self) -> anyhow::Result<Vec<veristable_kernel::StrId>> {
        let ids = &self.decoded.helpers.func_ids;
        let dense = ids.keys().copied().eq(0..u32::try_from(ids.len())?);
        ensure!(dense, "helpers.json: func_ids has gaps");
        Ok(ids.values().map(|name| self.names.id(name)).collect())
    }

    fn btf_pointer(&self, pointer: Option<&BtfPointer>) -> anyhow::Result<BtfRow> {
        Ok(match pointer {
            None => BtfRow::None,
            Some(BtfPointer::Poison(_)) => BtfRow::FromArguments,
            Some(BtfPointer::Id { btf_id: Some(id), r#type: Some(text), .. }) if *id != 0 => {
                BtfRow::Type(self.typed(text, *id)?)
            }
            Some(BtfPointer::Id { id_symbol, .. }) => BtfRow::Runtime(self.names.id(id_symbol)),
        })
    }

    fn proto(&self, proto: &Proto) -> anyhow::Result<ProtoRow> {
        let bad = |name: &str| anyhow::anyhow!("type {name} is not known");
        let mut args = Vec::new();
        for (number, text) in (1u8..).zip(&proto.args) {
            args.push(HelperArgRow {
                ty: ArgType::from_kernel_names(&modern(self.decoded, text)).map_err(bad)?,
                btf: self.btf_pointer(proto.arg_btf.get(&number))?,
                size: proto.arg_size.get(&number).copied().unwrap_or(0),
            });
        }
        let func = proto.func.as_deref().filter(|func| *func != "BPF_PTR_POISON");
        Ok(ProtoRow {
            symbol: self.names.id(&proto.symbol),
            func: self.names.id(func.unwrap_or("")),
            flags: [proto.gpl_only, proto.pkt_access, proto.might_sleep, proto.allow_fastcall],
            ret: RetType::from_kernel_names(&modern(self.decoded, &proto.ret_type)).map_err(bad)?,
            ret_btf: self.btf_pointer(proto.ret_btf.as_ref())?,
            args: args.try_into().map_err(|_| anyhow::anyhow!("not five arguments"))?,
            allowed: match proto.allowed.as_deref() {
                None => AllowedRule::Always,
                Some("bpf_d_path_allowed") => AllowedRule::DPath,
                Some("bpf_ima_inode_hash_allowed") => AllowedRule::SleepableLsmHook,
                Some("bpf_sk_storage_tracing_allowed") => AllowedRule::NotSkStorage,
                Some(other) => AllowedRule::Other(self.names.id(other)),
            },
        })
    }

    /// The index of a set of helpers: name to prototype.
    pub(crate) fn helper_set(&mut self, set: &BTreeMap<String, String>) -> anyhow::Result<u16> {
        let mut rows = HelperSet::new();
        for (name, proto) in set {
            let id = self.helper_ids.get(name.as_str());
            let proto = self.protos.get(proto.as_str());
            let (Some(id), Some(proto)) = (id, proto) else {
                bail!("helper {name} or its prototype is not in helpers.json");
            };
            rows.push((*id, *proto));
        }
        rows.sort_unstable();
        index_of(&mut self.helper_sets, rows)
    }

    /// The index of what a variant's helpers need of the loader, if that was measured.
    fn need_set(&mut self, variant: &str) -> anyhow::Result<Option<u16>> {
        let Some(cells) = self.needs.and_then(|table| table.of(variant)) else { return Ok(None) };
        let row = |(name, needs): (&str, LoaderNeeds)| {
            let id = self.helper_ids.get(name);
            Ok((*id.with_context(|| format!("helper {name} is not in helpers.json"))?, needs))
        };
        let mut rows = cells.into_iter().map(row).collect::<anyhow::Result<NeedSet>>()?;
        rows.sort_unstable();
        index_of(&mut self.need_sets, rows).map(Some)
    }

    /// The index of a set of kfuncs.
    pub(crate) fn kfunc_set(&mut self, has: impl Fn(&String) -> bool) -> anyhow::Result<u16> {
        let kfuncs = self.decoded.kfuncs.kfuncs.keys().enumerate();
        let set = kfuncs.filter(|(_, name)| has(name)).map(|(at, _)| Ok(u16::try_from(at)?));
        let set = set.collect::<anyhow::Result<KfuncSet>>()?;
        index_of(&mut self.kfunc_sets, set)
    }

    fn kfuncs(&self) -> anyhow::Result<Vec<KfuncRow>> {
        let row = |(name, entry): (&String, &super::input::KfuncEntry)| {
            let mut flags = KfuncFlags::empty();
            for flag in &entry.flags {
                let known = KfuncFlags::from_kernel_name(flag);
                flags |= known.with_context(|| format!("kfuncs.json: {name}: {flag}"))?;
            }
            Ok(KfuncRow { name: self.names.id(name), btf_id: entry.btf_id.unwrap_or(0), flags })
        };
        self.decoded.kfuncs.kfuncs.iter().map(row).collect()
    }

    fn variants(&mut self) -> anyhow::Result<Vec<Variant>> {
        let decoded = self.decoded;
        let mut variants = Vec::new();
        for (name, variant) in &decoded.typehelpers.variants {
            let (Some(prog_type), Some(attach)) = (variant.prog_type, variant.expected_attach_type)
            else {
                continue;
            };
            let prog_type = ProgType(prog_type);
            // Struct_ops programs are described member by member.
            if prog_type == ProgType::STRUCT_OPS {
                continue;
            }
            let row = self.variant(name, variant, prog_type, AttachType(attach));
            variants.push(row.with_context(|| format!("variant {name}"))?);
        }
        variants.extend(self.members_needs()?);
        Ok(variants)
    }

    /// What the helpers of struct_ops programs need of the loader, as a variant without any other table.
    fn members_needs(&mut self) -> anyhow::Result<Option<Variant>> {
        let needs = self.need_set(needs::STRUCT_OPS)?;
        Ok(needs.map(|needs| Variant {
            name: self.names.id(needs::STRUCT_OPS),
            prog_type: ProgType::STRUCT_OPS,
            attach_type: AttachType(0),
            sleepable: false,
            attachment: Attachment::None,
            helpers: None,
            needs: Some(needs),
            kfuncs: None,
            context: None,
            ret: None,
            sleepable_ok: None,
        }))
    }

    fn variant(
        &mut self,
        name: &str,
        variant: &TypeVariant,
        prog_type: ProgType,
        attach_type: AttachType,
    ) -> anyhow::Result<Variant> {
        let decoded = self.decoded;
        ensure!(variant.failed.is_empty(), "helpers without an answer: {:?}", variant.failed);
        let target = attach_name(variant.attach_func.as_deref().unwrap_or(""));
        let context = match (decoded.ctx_offline.variants.get(name), decoded.ctx.variants.get(name))
        {
            (Some(offline), Some(guest)) => {
                contexts::table(self, prog_type, offline, guest).context("context")?
            }
            _ => None,
        };
        let ret = decoded.guest.r#return.get(name);
        let sleepable_ok = decoded.guest.sleepable.get(name);
        Ok(Variant {
            name: self.names.id(name),
            prog_type,
            attach_type,
            sleepable: variant.prog_flags.unwrap_or(0) & SLEEPABLE != 0,
            attachment: if target.is_empty() {
                Attachment::None
            } else {
                Attachment::Target(self.names.id(target))
            },
            helpers: variant.helpers.as_ref().map(|set| self.helper_set(set)).transpose()?,
            needs: self.need_set(name)?,
            kfuncs: self.variant_kfuncs(name, prog_type)?,
            context: context.map(|table| index_of(&mut self.contexts, table)).transpose()?,
            ret: ret.and_then(|text| return_range(text)),
            sleepable_ok: sleepable_ok.and_then(|answer| match answer {
                super::input::YesOr::Flag(true) => Some(self.names.id("")),
                super::input::YesOr::Flag(false) => None,
                // The guest could not attach: that says nothing.
                super::input::YesOr::Message(text) if text == "(no message)" => None,
                super::input::YesOr::Message(text) => Some(self.names.id(text)),
            }),
        })
    }

    /// `allowed_types` has the answers for the first variant of each type, and
    /// `allowed_variants_differ` the variants where it is the opposite. Variants that were only
    /// run for helpers have none.
    fn variant_kfuncs(&mut self, name: &str, prog_type: ProgType) -> anyhow::Result<Option<u16>> {
        let decoded = self.decoded;
        let looked_at = decoded.ctx_offline.variants.contains_key(name);
        let type_name = prog_type.name();
        if !looked_at || type_name.is_none() {
            return Ok(None);
        }
        let allowed = |kfunc: &String| {
            decoded.kfuncs.kfuncs.get(kfunc).is_some_and(|entry| {
                let by_type = entry.allowed_types.iter().any(|ty| Some(ty.as_str()) == type_name);
                by_type != entry.allowed_variants_differ.iter().any(|variant| variant == name)
            })
        };
        self.kfunc_set(allowed).map(Some)
    }

    fn hook_rules(&self) -> Vec<HookRule> {
        // bpf_lsm_func_proto of kernel/bpf/bpf_lsm.c.
        let rule = |helper: &str, locked: &str, unlocked: &str| {
            Some(HookRule {
                attach: AttachType::LSM_CGROUP,
                helper: *self.helper_ids.get(helper)?,
                cases: vec![
                    (NameList::LockedSockoptHooks, *self.protos.get(locked)?),
                    (NameList::UnlockedSockoptHooks, *self.protos.get(unlocked)?),
                ],
            })
        };
        if !self.decoded.kfuncs.btf_id_sets.contains_key("bpf_lsm_locked_sockopt_hooks") {
            return Vec::new();
        }
        [
            rule("setsockopt", "bpf_sk_setsockopt_proto", "bpf_unlocked_sk_setsockopt_proto"),
            rule("getsockopt", "bpf_sk_getsockopt_proto", "bpf_unlocked_sk_getsockopt_proto"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// bpf_iter_tcp_get_func_proto of net/ipv4/tcp_ipv4.c and bpf_iter_unix_get_func_proto of
    /// net/unix/af_unix.c, which came together with the prototypes.
    fn iter_rules(&self) -> Vec<IterRule> {
        let pairs = ["tcp", "unix"].into_iter().flat_map(|target| {
            [("setsockopt", "bpf_sk_setsockopt_proto"), ("getsockopt", "bpf_sk_getsockopt_proto")]
                .map(|(helper, proto)| (target, helper, proto))
        });
        let rule = |(target, helper, proto): (&str, &str, &str)| {
            Some(IterRule {
                target: self.names.id(target),
                helper: *self.helper_ids.get(helper)?,
                proto: *self.protos.get(proto)?,
            })
        };
        pairs.filter_map(rule).collect()
    }

    /// Functions and variables with a type in BTF and no symbol.
    fn without_symbol(&self, symbols: Option<&Symbols>) -> Option<Vec<StrId>> {
        let symbols = symbols?;
        let named = self.btf.types().filter(|ty| matches!(ty.kind(), Kind::Func | Kind::Var));
        let names = named.map(|ty| ty.name()).filter(|name| symbols.get(name).is_none());
        let names: BTreeSet<&str> = names.collect();
        let mut ids: Vec<StrId> = names.into_iter().map(|name| self.names.id(name)).collect();
        ids.sort_unstable();
        Some(ids)
    }

    fn prog_types(&self) -> anyhow::Result<Vec<ProgTypeRow>> {
        let decoded = self.decoded;
        let mut rows = Vec::new();
        for (name, ops) in &decoded.typehelpers.verifier_ops {
            let prog_type = ProgType::from_name(name);
            let prog_type = prog_type.with_context(|| format!("program type {name}"))?;
            let number = Some(prog_type.0);
            let variants = decoded.typehelpers.variants.iter();
            let context = variants
                .filter(|(_, variant)| variant.prog_type == number)
                .find_map(|(name, _)| decoded.ctx.variants.get(name)?.ctx.as_deref());
            let members = ops.iter().filter(|(member, _)| member.as_str() != "ops");
            rows.push(ProgTypeRow {
                prog_type,
                ops: self.names.id(ops.get("ops").and_then(Option::as_deref).unwrap_or("")),
                members: members
                    .filter_map(|(member, symbol)| {
                        Some((self.names.id(member), self.names.id(symbol.as_deref()?)))
                    })
                    .collect(),
                context_struct: self.names.id(context.unwrap_or("")),
            });
        }
        rows.sort_unstable_by_key(|row| row.prog_type);
        Ok(rows)
    }

    fn map_types(&self) -> Vec<MapTypeRow> {
        let lists = &self.decoded.kfuncs.btf_id_lists;
        let structure = |symbol: &String| {
            let text = lists.get(symbol)?.first()?.as_deref()?;
            self.typed(text, 0).ok()
        };
        let row = |entry: &super::input::MapTypeEntry| MapTypeRow {
            map_type: MapType(entry.value),
            ops: self.names.id(&entry.ops_symbol),
            members: entry
                .ops
                .iter()
                .map(|(op, symbol)| {
                    (self.names.id(op), self.names.id(symbol.as_deref().unwrap_or("")))
                })
                .collect(),
            btf: entry.ops.get("map_btf_id").and_then(|symbol| structure(symbol.as_ref()?)),
        };
        let mut rows: Vec<_> = self.decoded.tables.map_types.iter().map(row).collect();
        rows.sort_unstable_by_key(|row| row.map_type);
        rows
    }

    fn lsm(&self) -> Vec<LsmRow> {
        let row = |(name, hook): (&String, &GuestLsm)| {
            let table = self.decoded.tables.lsm.get(name);
            LsmRow {
                name: self.names.id(attach_name(name)),
                flags: [
                    hook.attach.is_yes(),
                    hook.sleepable,
                    hook.lsm_cgroup.is_yes(),
                    table.is_some_and(|table| table.untrusted),
                    table.is_some_and(|table| table.d_inode_locked),
                ],
                ret: return_range(&hook.ret),
            }
        };
        let mut rows: Vec<_> = self.decoded.guest.lsm.iter().map(row).collect();
        rows.sort_unstable_by_key(|row| row.name);
        rows
    }

    fn tracepoints(&self) -> anyhow::Result<Vec<TracepointRow>> {
        let tables = &self.decoded.tables;
        let names: BTreeSet<_> =
            tables.raw_tp.keys().chain(tables.tracepoints_btf.keys()).collect();
        let row = |name: &String| {
            let raw = tables.raw_tp.get(name);
            let params = tables.tracepoints_btf.get(name).map_or(0, Vec::len);
            let mask = tables.raw_tp_null_args.get(name).map_or("0x0", String::as_str);
            let mask = mask.strip_prefix("0x").unwrap_or(mask);
            Ok(TracepointRow {
                name: self.names.id(name),
                raw: raw.is_some(),
                num_args: raw.map_or(u8::try_from(params)?, |raw| raw.num_args),
                writable_size: raw.map_or(0, |raw| raw.writable_size),
                null_args: u64::from_str_radix(mask, 16)?,
            })
        };
        names.into_iter().map(row).collect()
    }

    fn name_lists(&self) -> Vec<NamesRow> {
        let sets = &self.decoded.kfuncs.btf_id_sets;
        let lists = &self.decoded.kfuncs.btf_id_lists;
        let tables = &self.decoded.tables;
        let ids = |names: &mut dyn Iterator<Item = &String>| {
            // `?0`: a name that the kernel's own BTF lacks.
            let plain = names.filter(|name| !name.starts_with('?'));
            plain.map(|name| self.names.id(last_word(name))).collect::<Vec<_>>()
        };
        let named = |list: NameList| {
            let set = sets.get(list.name()).map(|set| ids(&mut set.iter()));
            let of_list = || lists.get(list.name()).map(|list| ids(&mut list.iter().flatten()));
            set.or_else(of_list)
        };
        let row = |list: NameList| {
            let names = match list {
                // `within_error_injection_list` (include/linux/error-injection.h) is always false
                // in a kernel without the option; with it, the list would have to be decoded.
                NameList::ErrorInjection => match self.config {
                    Some(config) if config.get("FUNCTION_ERROR_INJECTION").is_none() => {
                        Some(Vec::new())
                    }
                    _ => return None,
                },
                NameList::PacketChangingHelpers => return None,
                NameList::ModifyReturnKfuncs => Some(ids(&mut tables.fmodret_kfunc_set.iter())),
                NameList::SecurityFunctions => Some(ids(&mut tables.security_functions.iter())),
                list => named(list),
            };
            Some(NamesRow { list, names })
        };
        NameList::ALL.iter().copied().filter_map(row).collect()
    }

    fn dtors(&self) -> Option<Vec<(veristable_kernel::StrId, veristable_kernel::StrId)>> {
        let dtors = &self.decoded.kfuncs.dtors;
        let mut rows: Vec<_> = dtors
            .iter()
            .map(|(structure, dtor)| (self.names.id(last_word(structure)), self.names.id(dtor)))
            .collect();
        rows.sort_unstable();
        Some(rows)
    }

    fn compatible(&self) -> anyhow::Result<Vec<CompatRow>> {
        let bad = |name: &str| anyhow::anyhow!("compatible_reg_types: {name} is not known");
        let mut rows = Vec::new();
        for (arg, compat) in &self.decoded.tables.compatible_reg_types {
            let (base, flags) = ArgBase::from_kernel_name(arg).ok_or_else(|| bad(arg))?;
            // 5.10 lists an argument type with its variant that takes NULL.
            if !flags.is_empty() && rows.iter().any(|row: &CompatRow| row.arg == base) {
                continue;
            }
            let types = compat.types.iter();
            rows.push(CompatRow {
                arg: base,
                types: types.map(|ty| self.register_type(ty)).collect::<anyhow::Result<_>>()?,
                btf: compat.btf.as_deref().map(|text| self.typed(text, 0)).transpose()?,
            });
        }
        Ok(rows)
    }

    fn register_btf(&self) -> anyhow::Result<Option<Vec<(RegBase, TypeRow)>>> {
        let Some(table) = &self.decoded.tables.reg2btf_ids else { return Ok(None) };
        let row = |(register, text): (&String, &Option<String>)| {
            let base = RegBase::from_kernel_name(register);
            let (base, _) = base.with_context(|| format!("reg2btf_ids: {register}"))?;
            text.as_deref().map(|text| Ok((base, self.typed(text, 0)?))).transpose()
        };
        let rows = table.iter().map(row).collect::<anyhow::Result<Vec<Option<_>>>>()?;
        Ok(Some(rows.into_iter().flatten().collect()))
    }
}

/// The index of a value in a table without duplicates.
fn index_of<T: PartialEq>(table: &mut Vec<T>, value: T) -> anyhow::Result<u16> {
    let at = table.iter().position(|known| *known == value).unwrap_or_else(|| {
        table.push(value);
        table.len() - 1
    });
    Ok(u16::try_from(at)?)
}

/// An attach target without kind and prefixes: `typedef:btf_trace_sys_enter` is `sys_enter`.
pub(crate) fn attach_name(text: &str) -> &str {
    let name = text.split_once(':').map_or(text, |(_, name)| name);
    let prefixes = ["btf_trace_", "bpf_lsm_", "bpf_iter_"];
    prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

fn last_word(text: &str) -> &str {
    text.rsplit(' ').next().unwrap_or(text)
}

/// `any`, `[0, 1]`, or as kernels before 6.8 say it `(0x0; 0x1)`: value and mask.
pub(crate) fn return_range(text: &str) -> Option<ReturnRange> {
    if text == "any" {
        return Some(ReturnRange::Any);
    }
    if let Some(range) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let (low, high) = range.split_once(", ")?;
        return Some(ReturnRange::Within(low.parse().ok()?, high.parse().ok()?));
    }
    let tnum = text.strip_prefix('(')?.strip_suffix(')')?;
    let (value, mask) = tnum.split_once("; ")?;
    let number = |text: &str| i32::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    let (value, mask) = (number(value)?, number(mask)?);
    // Only masks of low bits are ranges.
    (mask & mask.wrapping_add(1) == 0 && value & mask == 0)
        .then_some(ReturnRange::Within(value, value | mask))
}
