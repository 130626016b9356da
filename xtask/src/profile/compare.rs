// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Every cell: what a profile answers through [`Kernel`] against the decoded facts it was made of.
//!
//! The comparison shares no code with the making of a profile beyond the reading of the files:
//! types are compared as the kernel's own numbers, availability cell by cell.

use super::build::{attach_name, return_range};
use super::contexts::windows;
use super::input::{Decoded, MemberArg, Proto, TypeVariant, YesOr};
use anyhow::{Context, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use veristable_kernel::{
    ArgType, AttachType, CtxAccess, CtxAnswer, Direction, Helper, HelperAnswer, HelperArg,
    HelperBtf, HelperId, Kernel, KfuncFlags, KfuncRef, MapType, Profile, ProgContext, ProgType,
    RetType, Sleepable, TypeFlags,
};

/// Cells and differences of one table.
#[derive(Default)]
struct Tally {
    rows: Vec<(&'static str, u64, u64)>,
    shown: u32,
}

impl Tally {
    fn table(&mut self, name: &'static str) {
        self.rows.push((name, 0, 0));
    }

    fn cell<T: PartialEq + std::fmt::Debug>(&mut self, what: impl Display, got: T, want: T) {
        let Some((name, cells, differences)) = self.rows.last_mut() else { return };
        *cells += 1;
        if got != want {
            *differences += 1;
            self.shown += 1;
            if self.shown <= 40 {
                println!("{name}: {what}: the profile says {got:?}, the decoded facts {want:?}");
            }
        }
    }
}

/// `cargo xtask profile compare`.
pub(crate) fn run(args: &super::CompareArgs) -> anyhow::Result<()> {
    let profile = super::open(&args.kernel)?;
    let decoded = Decoded::read(&args.decoded)?;
    let mut tally = Tally::default();
    helpers(&profile, &decoded, &mut tally);
    prototypes(&profile, &decoded, &mut tally)?;
    kfuncs(&profile, &decoded, &mut tally)?;
    contexts(&profile, &decoded, &mut tally)?;
    struct_ops(&profile, &decoded, &mut tally);
    programs(&profile, &decoded, &mut tally);
    others(&profile, &decoded, &mut tally)?;
    println!("| {} against {} | cells | differences |", profile.id().name, args.decoded.display());
    println!("|---|---|---|");
    for (name, cells, differences) in &tally.rows {
        println!("| {name} | {cells} | {differences} |");
    }
    let sum = |column: fn(&(&str, u64, u64)) -> u64| tally.rows.iter().map(column).sum::<u64>();
    println!("| all | {} | {} |", sum(|row| row.1), sum(|row| row.2));
    if sum(|row| row.2) > 0 {
        bail!("the profile does not say what was decoded");
    }
    Ok(())
}

/// The program that a variant stands for.
fn program(variant: &TypeVariant) -> Option<ProgContext<'_>> {
    let target = attach_name(variant.attach_func.as_deref().unwrap_or(""));
    let prog_type = ProgType(variant.prog_type?);
    Some(ProgContext {
        prog_type,
        expected_attach_type: AttachType(variant.expected_attach_type?),
        sleepable: variant.prog_flags? & 16 != 0,
        attach_name: if target.is_empty() { None } else { Some(target) },
        struct_ops: None,
    })
}

fn programs_of(decoded: &Decoded) -> impl Iterator<Item = (&String, ProgContext<'_>)> {
    decoded.typehelpers.variants.iter().filter_map(|(name, variant)| {
        let program = program(variant)?;
        (program.prog_type != ProgType::STRUCT_OPS).then_some((name, program))
    })
}

fn proto_of(answer: Result<HelperAnswer<'_>, impl Display>) -> Result<Option<String>, String> {
    match answer {
        Ok(HelperAnswer::Available(helper)) => Ok(Some(helper.proto.to_owned())),
        Ok(HelperAnswer::NotForProgram) => Ok(None),
        Ok(HelperAnswer::NoSuchHelper) => Err("no such helper".to_owned()),
        Err(fact) => Err(fact.to_string()),
    }
}

fn helpers(profile: &Profile, decoded: &Decoded, tally: &mut Tally) {
    tally.table("helpers: variant, helper");
    for (name, program) in programs_of(decoded) {
        let set = decoded.typehelpers.variants.get(name).and_then(|row| row.helpers.as_ref());
        let Some(set) = set else { continue };
        for (id, helper) in decoded.helpers.func_ids.iter().filter(|(id, _)| **id != 0) {
            let got = proto_of(profile.helper(HelperId(*id), &program));
            tally.cell(format_args!("{name}, {helper}"), got, Ok(set.get(helper).cloned()));
        }
    }
    tally.table("helper names");
    for (id, helper) in &decoded.helpers.func_ids {
        tally.cell(id, profile.helper_name(HelperId(*id)), Some(helper.as_str()));
    }
    let past = decoded.helpers.func_ids.len();
    let past = HelperId(u32::try_from(past).unwrap_or(u32::MAX));
    let answer = profile.helper(past, &ProgContext::of(ProgType::XDP));
    tally.cell("past the last", answer, Ok(HelperAnswer::NoSuchHelper));
}

/// Every field of every prototype that some program gets.
fn prototypes(profile: &Profile, decoded: &Decoded, tally: &mut Tally) -> anyhow::Result<()> {
    tally.table("prototypes: field");
    let mut seen = BTreeSet::new();
    for (_, program) in programs_of(decoded) {
        for id in decoded.helpers.func_ids.keys() {
            let Ok(HelperAnswer::Available(helper)) = profile.helper(HelperId(*id), &program)
            else {
                continue;
            };
            if seen.insert(helper.proto.to_owned()) {
                let proto = decoded.helpers.protos.get(helper.proto);
                prototype(&helper, proto.context("a prototype")?, decoded, tally);
            }
        }
    }
    Ok(())
}

fn prototype(helper: &Helper<'_>, proto: &Proto, decoded: &Decoded, tally: &mut Tally) {
    let name = &proto.symbol;
    let func = proto.func.as_deref().filter(|func| !func.contains("POISON"));
    tally.cell(format_args!("{name} func"), helper.func, func);
    let flags = [helper.gpl_only, helper.pkt_access, helper.might_sleep, helper.allow_fastcall];
    let want = [proto.gpl_only, proto.pkt_access, proto.might_sleep, proto.allow_fastcall];
    tally.cell(format_args!("{name} flags"), flags, want);
    let ret = (helper.ret.base.kernel_name(), helper.ret.flags);
    let ret = raw(&decoded.helpers.enum_bpf_return_type, decoded, ret, |text| {
        let ty = RetType::from_kernel_names(text).ok()?;
        Some((ty.base.kernel_name(), ty.flags))
    });
    tally.cell(format_args!("{name} return type"), ret, Some(proto.ret_raw));
    let btf = btf_text(&helper.ret_btf);
    tally.cell(format_args!("{name} return BTF"), btf, proto.ret_btf.as_ref().map(pointer_text));
    for (number, (arg, want)) in (1u8..).zip(helper.args.iter().zip(proto.args_raw)) {
        argument(name, number, arg, want, proto, decoded, tally);
    }
}

fn argument(
    name: &str,
    number: u8,
    arg: &HelperArg<'_>,
    want: u32,
    proto: &Proto,
    decoded: &Decoded,
    tally: &mut Tally,
) {
    let ty = (arg.ty.base.kernel_name(), arg.ty.flags);
    let got = raw(&decoded.helpers.enum_bpf_arg_type, decoded, ty, |text| {
        let ty = ArgType::from_kernel_names(text).ok()?;
        Some((ty.base.kernel_name(), ty.flags))
    });
    tally.cell(format_args!("{name} argument {number}"), got, Some(want));
    let size = proto.arg_size.get(&number).copied().unwrap_or(0);
    tally.cell(format_args!("{name} size {number}"), arg.size, size);
    let btf = proto.arg_btf.get(&number).map(pointer_text);
    tally.cell(format_args!("{name} BTF {number}"), btf_text(&arg.btf), btf);
}

/// The kernel's own number of a type: base and flags by its own enums, or where those have no
/// flags (5.10) that of the name which means the same.
fn raw(
    bases: &BTreeMap<String, u32>,
    decoded: &Decoded,
    (base, flags): (&str, TypeFlags),
    parse: impl Fn(&str) -> Option<(&'static str, TypeFlags)>,
) -> Option<u32> {
    let bits = &decoded.helpers.enum_bpf_type_flag;
    if bits.is_empty() {
        let same = |name: &String| parse(name) == Some((base, flags));
        return bases.iter().find(|(name, _)| same(name)).map(|(_, number)| *number);
    }
    // Some bases had other names once.
    let older = |(name, number): &(&String, &u32)| {
        **number < 256 && parse(name).is_some_and(|(older, _)| older == base)
    };
    let number = || bases.iter().find(older).map(|(_, number)| *number);
    let mut number = bases.get(base).copied().or_else(number)?;
    for (flag, name) in TypeFlags::NAMED {
        if flags.contains(*flag) {
            // MEM_RINGBUF was named MEM_ALLOC in 6.1.
            let renamed = || bits.get("MEM_ALLOC").filter(|_| *name == "MEM_RINGBUF");
            number |= bits.get(*name).or_else(renamed)?;
        }
    }
    Some(number)
}

fn btf_text(btf: &HelperBtf<'_>) -> Option<String> {
    match btf {
        HelperBtf::None => None,
        HelperBtf::Type(ty) => {
            Some(format!("{} {} {}", ty.kind.name(), ty.name, ty.id.unwrap_or(0)))
        }
        HelperBtf::FromArguments => Some("BPF_PTR_POISON".to_owned()),
        HelperBtf::Runtime(name) => Some((*name).to_owned()),
    }
}

fn pointer_text(pointer: &super::input::BtfPointer) -> String {
    use super::input::BtfPointer;
    match pointer {
        BtfPointer::Poison(text) => text.clone(),
        BtfPointer::Id { btf_id: Some(id), r#type: Some(text), .. } => format!("{text} {id}"),
        BtfPointer::Id { id_symbol, .. } => id_symbol.clone(),
    }
}

/// The variant that stands for a program type in `allowed_types` and `guest.json`.
fn first_variant<'d>(decoded: &'d Decoded, prog_type: &str) -> Option<ProgContext<'d>> {
    let name = match prog_type {
        "KPROBE" => "kprobe",
        "SCHED_CLS" => "sched_cls",
        "XDP" => "xdp",
        "CGROUP_SKB" => "cgroup_skb_ingress",
        "CGROUP_SOCK" => "cgroup_sock_create",
        "SK_SKB" => "sk_skb_parser",
        "CGROUP_SOCK_ADDR" => "sock_addr_connect4",
        "CGROUP_SOCKOPT" => "getsockopt",
        "SK_REUSEPORT" => "sk_reuseport",
        "TRACING" => "fentry_test1",
        "LSM" => "lsm_file_open",
        _ => {
            let number = ProgType::from_name(prog_type)?;
            return programs_of(decoded).map(|(_, p)| p).find(|p| p.prog_type == number);
        }
    };
    decoded.typehelpers.variants.get(name).and_then(program)
}

fn kfuncs(profile: &Profile, decoded: &Decoded, tally: &mut Tally) -> anyhow::Result<()> {
    let allowed = |kfunc: &str, program: &ProgContext<'_>| match profile
        .kfunc(KfuncRef::Name(kfunc), program)
    {
        Ok(Some(kfunc)) => Ok(kfunc.allowed),
        Ok(None) => Err("no such kfunc".to_owned()),
        Err(fact) => Err(fact.to_string()),
    };
    let types: BTreeSet<&str> = decoded.guest.kfunc_allowed.keys().map(String::as_str).collect();
    tally.table("kfuncs: program type, kfunc");
    for prog_type in &types {
        for (name, entry) in &decoded.kfuncs.kfuncs {
            let want = entry.allowed_types.iter().any(|ty| ty == prog_type);
            let program = match *prog_type {
                "STRUCT_OPS" => Some(ProgContext {
                    struct_ops: Some(("tcp_congestion_ops", "ssthresh")),
                    ..ProgContext::of(ProgType::STRUCT_OPS)
                }),
                prog_type => first_variant(decoded, prog_type),
            };
            // Kernels before 6.9 have no table of struct_ops in memory; see struct_ops.json.
            let Some(program) = program else { continue };
            if program.struct_ops.is_some() && decoded.structops.is_none() {
                continue;
            }
            tally.cell(format_args!("{prog_type}, {name}"), allowed(name, &program), Ok(want));
        }
    }
    tally.table("kfuncs: variant, kfunc");
    for (variant, program) in programs_of(decoded) {
        if !decoded.ctx_offline.variants.contains_key(variant) {
            continue;
        }
        let prog_type = program.prog_type.name().unwrap_or("");
        for (name, entry) in &decoded.kfuncs.kfuncs {
            let by_type = entry.allowed_types.iter().any(|ty| ty == prog_type);
            let want = by_type != entry.allowed_variants_differ.contains(variant);
            tally.cell(format_args!("{variant}, {name}"), allowed(name, &program), Ok(want));
        }
    }
    tally.table("kfuncs: as the guest answered");
    for prog_type in &types {
        let Some(program) = first_variant(decoded, prog_type) else { continue };
        let open = decoded.guest.kfunc_undetermined.get(*prog_type);
        let want = decoded.guest.kfunc_allowed.get(*prog_type).context("kfunc_allowed")?;
        for name in decoded.kfuncs.kfuncs.keys() {
            if open.is_some_and(|open| open.contains(name)) {
                continue;
            }
            let got = allowed(name, &program);
            tally.cell(format_args!("{prog_type}, {name}"), got, Ok(want.contains(name)));
        }
    }
    tally.table("kfuncs: flags and ids");
    let bit = |text: &str| u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16);
    let names = decoded.kfuncs.flag_bits.iter();
    let bits = names.map(|(text, name)| Ok((name.as_str(), bit(text)?)));
    let bits = bits.collect::<anyhow::Result<BTreeMap<&str, u32>>>()?;
    for (name, entry) in &decoded.kfuncs.kfuncs {
        let Some(program) = first_variant(decoded, "XDP") else { continue };
        let got = profile.kfunc(KfuncRef::Name(name), &program).ok().flatten();
        let number = got.map(|kfunc| {
            let set = KfuncFlags::NAMED.iter().filter(|(flag, _)| kfunc.flags.contains(*flag));
            set.map(|(_, name)| bits.get(name).copied().unwrap_or(1 << 31)).sum::<u32>()
        });
        tally.cell(format_args!("{name} flags"), number, Some(entry.flags_raw));
        tally.cell(format_args!("{name} id"), got.and_then(|kfunc| kfunc.btf_id), entry.btf_id);
        if let Some(id) = entry.btf_id {
            let again = profile.kfunc(KfuncRef::BtfId(id), &program).ok().flatten();
            tally.cell(format_args!("{name} by id"), again, got);
        }
    }
    Ok(())
}

fn contexts(profile: &Profile, decoded: &Decoded, tally: &mut Tally) -> anyhow::Result<()> {
    tally.table("contexts: variant, offset, size, direction");
    for (name, program) in programs_of(decoded) {
        let offline = decoded.ctx_offline.variants.get(name);
        let (Some(offline), Some(guest)) = (offline, decoded.ctx.variants.get(name)) else {
            continue;
        };
        let (Some(rows), Some(read), Some(write)) = (&offline.accepted, &guest.read, &guest.write)
        else {
            continue;
        };
        let cells = rows.iter().map(|row| {
            let cell = row.cell();
            ((cell.offset, cell.size, cell.write), cell)
        });
        let cells: BTreeMap<_, _> = cells.collect();
        let mut loads: BTreeSet<(u32, u8, bool)> =
            read.iter().map(|(offset, size, _)| (*offset, *size, false)).collect();
        loads.extend(write.iter().map(|(offset, size)| (*offset, *size, true)));
        for window in windows(program.prog_type, guest)? {
            for (offset, size, write) in cross(window.start..window.end) {
                let access = CtxAccess {
                    offset: i32::try_from(offset)?,
                    size: u32::from(size),
                    direction: if write { Direction::Write } else { Direction::Read },
                    sign_extend: false,
                };
                let got = match profile.context(access, &program) {
                    Ok(CtxAnswer::Refused) => "refused".to_owned(),
                    Ok(CtxAnswer::ByBtf) => "by BTF".to_owned(),
                    Ok(CtxAnswer::Allowed(field)) => format!(
                        "{} {} {} {} {}",
                        field.ty.base.kernel_name(),
                        field.btf.map_or("", |ty| ty.name),
                        field.field_size,
                        u8::from(field.is_retval),
                        field.conversion_fails
                    ),
                    Err(fact) => fact.to_string(),
                };
                let key = (offset, size, write);
                let want = cells.get(&key).map_or("refused".to_owned(), |cell| {
                    format!(
                        "{} {} {} {} {}",
                        base_name(cell.ty),
                        cell.extra.btf.as_deref().unwrap_or(""),
                        cell.extra.field_size(),
                        cell.extra.is_retval,
                        !loads.contains(&key)
                    )
                });
                let direction = if write { "write" } else { "read" };
                tally.cell(format_args!("{name}, {offset}, {size}, {direction}"), got, want);
                flags(profile, access, &program, cells.get(&key).map(|cell| cell.ty), tally);
            }
        }
    }
    Ok(())
}

/// The flags of the register type, which 5.10 has in the name.
fn flags(
    profile: &Profile,
    access: CtxAccess,
    program: &ProgContext<'_>,
    want: Option<&str>,
    tally: &mut Tally,
) {
    let (Some(want), Ok(CtxAnswer::Allowed(field))) = (want, profile.context(access, program))
    else {
        return;
    };
    if want.contains("_OR_NULL") || want.contains("_RDONLY_") || want.contains("_RDWR_") {
        return;
    }
    let got: BTreeSet<String> = field.ty.to_string().split('|').map(str::to_owned).collect();
    let want: BTreeSet<String> = want.split('|').map(str::to_owned).collect();
    tally.cell(format_args!("register type at {}", access.offset), got, want);
}

/// The base of a register type under today's name.
fn base_name(text: &str) -> &str {
    let base = text.split('|').next().unwrap_or(text);
    let base = base.strip_suffix("_OR_NULL").unwrap_or(base);
    match base {
        "PTR_TO_RDONLY_BUF" | "PTR_TO_RDWR_BUF" => "PTR_TO_BUF",
        base => base,
    }
}

fn cross(offsets: std::ops::Range<u32>) -> impl Iterator<Item = (u32, u8, bool)> {
    offsets.flat_map(|offset| {
        [1, 2, 4, 8]
            .into_iter()
            .flat_map(move |size| [false, true].into_iter().map(move |write| (offset, size, write)))
    })
}

fn struct_ops(profile: &Profile, decoded: &Decoded, tally: &mut Tally) {
    let Some(file) = &decoded.structops else { return };
    tally.table("struct_ops: member, helper");
    for (name, ops) in &file.ops {
        for (member, entry) in &ops.members {
            let program = ProgContext {
                struct_ops: Some((name, member)),
                ..ProgContext::of(ProgType::STRUCT_OPS)
            };
            let Some(set) = ops.helper_sets.get(entry.helper_set) else { continue };
            for (id, helper) in decoded.helpers.func_ids.iter().filter(|(id, _)| **id != 0) {
                let got = proto_of(profile.helper(HelperId(*id), &program));
                let want = set.get(helper).cloned();
                tally.cell(format_args!("{name}.{member}, {helper}"), got, Ok(want));
            }
        }
    }
    tally.table("struct_ops: member, kfunc");
    for (name, groups) in &decoded.kfuncs.struct_ops_kfuncs {
        for group in groups {
            for member in &group.members {
                let program = ProgContext {
                    struct_ops: Some((name, member)),
                    ..ProgContext::of(ProgType::STRUCT_OPS)
                };
                for kfunc in decoded.kfuncs.kfuncs.keys() {
                    let got = profile.kfunc(KfuncRef::Name(kfunc), &program);
                    let got = got.ok().flatten().map(|kfunc| kfunc.allowed);
                    let want = Some(decoded.kfuncs.member_may_call(group, kfunc));
                    tally.cell(format_args!("{name}.{member}, {kfunc}"), got, want);
                }
            }
        }
    }
    tally.table("struct_ops: members and arguments");
    for desc in &decoded.kfuncs.struct_ops {
        let found = profile.struct_ops(&desc.name).ok().flatten();
        tally.cell(&desc.name, found.map(|ops| ops.value_type), Some(desc.value_id.as_str()));
        let entry = file.ops.get(&desc.name);
        for (name, implementable) in &desc.ops {
            let got = profile.struct_ops_member(&desc.name, name).ok().flatten();
            let what = format!("{}.{name}", desc.name);
            tally.cell(&what, got.map(|member| member.implementable), Some(*implementable));
            let entry = entry.and_then(|ops| ops.members.get(name));
            let want = entry.map(|entry| u32::from(entry.index));
            tally.cell(&what, got.and_then(|member| member.index), want);
            let args = got
                .into_iter()
                .flat_map(|member| member.args())
                .map(|arg| (arg.offset, arg.ty.to_string(), arg.btf.map(|ty| ty.name.to_owned())));
            let args: Vec<_> = args.collect();
            let want = entry.into_iter().flat_map(|entry| &entry.args).map(|arg| match arg {
                MemberArg::Plain(offset, ty) => (u32::from(*offset), ty.clone(), None),
                MemberArg::Typed(offset, ty, btf) => {
                    (u32::from(*offset), ty.clone(), Some(btf.clone()))
                }
            });
            tally.cell(&what, args, want.collect());
        }
    }
}

/// What the guest said about program types.
fn programs(profile: &Profile, decoded: &Decoded, tally: &mut Tally) {
    tally.table("return values and sleepable programs");
    for (name, program) in programs_of(decoded) {
        if let Some(want) = decoded.guest.r#return.get(name).and_then(|text| return_range(text)) {
            tally.cell(format_args!("{name} returns"), profile.return_range(&program), Ok(want));
        }
        match decoded.guest.sleepable.get(name) {
            Some(YesOr::Message(text)) if text == "(no message)" => {}
            Some(YesOr::Message(text)) => {
                let got = profile.sleepable(&program);
                tally.cell(format_args!("{name} sleepable"), got, Ok(Sleepable::No(text)));
            }
            Some(YesOr::Flag(true)) => {
                let got = profile.sleepable(&program);
                tally.cell(format_args!("{name} sleepable"), got, Ok(Sleepable::Yes));
            }
            _ => {}
        }
    }
    tally.table("LSM hooks");
    for (name, hook) in &decoded.guest.lsm {
        let got = profile.lsm_hook(attach_name(name)).ok().flatten();
        let got = got.map(|hook| (hook.attachable, hook.sleepable, hook.cgroup, hook.ret));
        let ret = return_range(&hook.ret);
        let want = (hook.attach.is_yes(), hook.sleepable, hook.lsm_cgroup.is_yes(), ret);
        tally.cell(name, got, Some(want));
    }
}

fn others(profile: &Profile, decoded: &Decoded, tally: &mut Tally) -> anyhow::Result<()> {
    tally.table("tracepoints");
    let tables = &decoded.tables;
    for (name, raw) in &tables.raw_tp {
        let got = profile.tracepoint(name).ok().flatten();
        let mask = tables.raw_tp_null_args.get(name).and_then(|mask| mask.strip_prefix("0x"));
        let mask = mask.map_or(Ok(0), |mask| u64::from_str_radix(mask, 16))?;
        let want = (true, u32::from(raw.num_args), u32::from(raw.writable_size), mask);
        let got = got.map(|tp| (tp.raw, tp.num_args, tp.writable_size, tp.null_args));
        tally.cell(name, got, Some(want));
    }
    tally.table("map types: operation");
    for entry in &tables.map_types {
        let got = profile.map_type(MapType(entry.value)).ok().flatten();
        tally.cell(entry.value, got.map(|map| map.ops), Some(entry.ops_symbol.as_str()));
        for (op, symbol) in &entry.ops {
            let got = got.and_then(|map| map.op(op));
            let want = Some(symbol.as_deref().unwrap_or(""));
            tally.cell(format_args!("{} {op}", entry.value), got, want);
        }
    }
    tally.table("destructors");
    for (structure, dtor) in &decoded.kfuncs.dtors {
        let name = structure.rsplit(' ').next().unwrap_or(structure);
        tally.cell(structure, profile.dtor(name).ok().flatten(), Some(dtor.as_str()));
    }
    Ok(())
}
