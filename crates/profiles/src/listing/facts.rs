// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The smaller sections.

use super::{Entry, spelled};
use veristable_kernel::{Behaviour, FactKind, Kernel, Limits, Profile, ReturnRange};

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

pub(super) fn kernel(profile: &Profile) -> Vec<Entry> {
    let id = profile.id();
    let code = id.version_code;
    let version = format!("{}.{}.{}", code >> 16, code >> 8 & 0xff, code & 0xff);
    let mut entries = vec![
        Entry::new("name", &*id.name),
        Entry::new("release", &*id.release),
        Entry::new("architecture", &*id.arch),
        Entry::new("version", version),
        Entry::new("design", profile.design().name()),
    ];
    entries.extend(
        FactKind::ALL
            .iter()
            .map(|kind| Entry::new(format!("origin of {kind}"), profile.origin(*kind).name())),
    );
    entries
}

pub(super) fn inputs(profile: &Profile) -> Vec<Entry> {
    let inputs = profile.facts().inputs.iter();
    inputs
        .map(|input| Entry::new(&*input.name, format!("{} {}", input.origin, input.sha256).trim()))
        .collect()
}

pub(super) fn limits(profile: &Profile) -> Vec<Entry> {
    let Limits {
        complexity_insns,
        unprivileged_insns,
        complexity_jmp_seq,
        complexity_states,
        call_frames,
        subprogs,
        used_maps,
        used_btfs,
        kfuncs,
        kfunc_btfs,
        stack,
        var_off,
        var_size,
        packet_off,
        func_args,
        tail_calls,
        loops,
    } = *profile.limits();
    [
        ("BPF_COMPLEXITY_LIMIT_INSNS", complexity_insns),
        ("BPF_MAXINSNS", unprivileged_insns),
        ("BPF_COMPLEXITY_LIMIT_JMP_SEQ", complexity_jmp_seq),
        ("BPF_COMPLEXITY_LIMIT_STATES", complexity_states),
        ("MAX_CALL_FRAMES", call_frames),
        ("BPF_MAX_SUBPROGS", subprogs),
        ("MAX_USED_MAPS", used_maps),
        ("MAX_USED_BTFS", used_btfs),
        ("MAX_KFUNC_DESCS", kfuncs),
        ("MAX_KFUNC_BTFS", kfunc_btfs),
        ("MAX_BPF_STACK", stack),
        ("BPF_MAX_VAR_OFF", var_off),
        ("BPF_MAX_VAR_SIZ", var_size),
        ("MAX_PACKET_OFF", packet_off),
        ("MAX_BPF_FUNC_ARGS", func_args),
        ("MAX_TAIL_CALL_CNT", tail_calls),
        ("BPF_MAX_LOOPS", loops),
    ]
    .map(|(name, value)| Entry::new(name, value.to_string()))
    .to_vec()
}

pub(super) fn behaviours(profile: &Profile) -> Vec<Entry> {
    let has = profile.behaviours();
    let entry = |behaviour: &Behaviour| {
        Entry::new(behaviour.id(), yes(has.has(*behaviour))).noted(behaviour.doc().trim())
    };
    Behaviour::ALL.iter().map(entry).collect()
}

pub(super) fn jit(profile: &Profile) -> Vec<Entry> {
    let rows = profile.facts().jit.iter();
    rows.map(|(feature, on)| Entry::new(feature.name(), yes(*on))).collect()
}

pub(super) fn map_types(profile: &Profile) -> Vec<Entry> {
    let facts = profile.facts();
    let rows = facts.map_types.iter();
    rows.map(|row| {
        let members = row.members.iter();
        let ty = row.map_type;
        Entry::new(spelled(ty.name(), ty.0), facts.strings.get(row.ops))
            .with(members.map(|(name, _)| facts.strings.get(*name).to_owned()))
    })
    .collect()
}

pub(super) fn struct_ops(profile: &Profile) -> Vec<Entry> {
    let facts = profile.facts();
    let rows = facts.struct_ops.iter().flatten();
    rows.map(|row| {
        let open = row.members.iter().filter(|member| member.implementable);
        Entry::new(facts.strings.get(row.name), facts.strings.get(row.verifier_ops))
            .with(open.map(|member| facts.strings.get(member.name).to_owned()))
    })
    .collect()
}

pub(super) fn lsm_hooks(profile: &Profile) -> Vec<Entry> {
    let facts = profile.facts();
    let rows = facts.lsm.iter();
    rows.map(|row| {
        const WORDS: [&str; 5] =
            ["attachable", "sleepable", "by cgroup", "untrusted arguments", "inode locked"];
        let set = WORDS.iter().zip(row.flags).filter(|(_, is)| *is);
        let mut words: Vec<String> = set.map(|(word, _)| (*word).to_owned()).collect();
        if let Some(ReturnRange::Within(low, high)) = row.ret {
            words.push(format!("returns [{low}, {high}]"));
        }
        Entry::new(facts.strings.get(row.name), words.join(", "))
    })
    .collect()
}

pub(super) fn tracepoints(profile: &Profile) -> Vec<Entry> {
    let facts = profile.facts();
    let rows = facts.tracepoints.iter();
    rows.map(|row| {
        let raw = if row.raw { "" } else { ", not for raw programs" };
        let writable = match row.writable_size {
            0 => String::new(),
            bytes => format!(", {bytes} bytes writable"),
        };
        let text = format!("{} arguments{raw}{writable}", row.num_args);
        Entry::new(facts.strings.get(row.name), text)
    })
    .collect()
}

pub(super) fn lists(profile: &Profile) -> Vec<Entry> {
    let facts = profile.facts();
    let rows = facts.names.iter();
    rows.map(|row| {
        let text = if row.names.is_some() { "" } else { "no such list" };
        let names = row.names.iter().flatten();
        Entry::new(row.list.name(), text)
            .with(names.map(|name| facts.strings.get(*name).to_owned()))
    })
    .collect()
}

pub(super) fn destructors(profile: &Profile) -> Vec<Entry> {
    let facts = profile.facts();
    let rows = facts.dtors.iter().flatten();
    rows.map(|(of, dtor)| Entry::new(facts.strings.get(*of), facts.strings.get(*dtor))).collect()
}

pub(super) fn config(profile: &Profile) -> Vec<Entry> {
    let options = profile.facts().config.iter().flat_map(|config| config.iter());
    options.map(|(name, value)| Entry::new(format!("CONFIG_{name}"), value)).collect()
}
