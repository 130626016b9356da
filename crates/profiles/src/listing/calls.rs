// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Helpers and kfuncs: prototypes, flags, and who may call them.

use super::{Entry, spelled};
use std::collections::{BTreeMap, BTreeSet};
use veristable_kernel::profile::{AllowedRule, Facts, ProtoRow, Variant};
use veristable_kernel::{ArgBase, HelperId, KfuncFlags, Profile, StrId};

/// Program types, or the kinds of them, for which something holds: the type where it holds for all
/// kinds of it that were looked at.
fn programs(facts: &Facts, mut holds: impl FnMut(&Variant) -> Option<bool>) -> Vec<String> {
    let mut by_type: BTreeMap<u32, (usize, Vec<String>)> = BTreeMap::new();
    for variant in &facts.variants {
        let Some(holds) = holds(variant) else { continue };
        let (count, names) = by_type.entry(variant.prog_type.0).or_default();
        *count += 1;
        if holds {
            names.push(facts.strings.get(variant.name).to_owned());
        }
    }
    let mut list = Vec::new();
    for (ty, (count, names)) in by_type {
        if names.len() == count {
            let ty = veristable_kernel::ProgType(ty);
            list.push(spelled(ty.name(), ty.0));
        } else {
            list.extend(names);
        }
    }
    list
}

/// Structures of functions that have a member for which something holds.
fn structures(facts: &Facts, holds: impl Fn(Option<u16>, Option<u16>) -> bool) -> Vec<String> {
    let rows = facts.struct_ops.as_deref().unwrap_or_default().iter();
    let rows = rows.filter(|row| row.members.iter().any(|m| holds(m.helpers, m.kfuncs)));
    rows.map(|row| format!("struct_ops {}", facts.strings.get(row.name))).collect()
}

pub(super) fn helpers(profile: &Profile) -> Vec<Entry> {
    let facts = profile.facts();
    let names = facts.helper_names.iter().enumerate().skip(1);
    names.map(|(number, name)| helper(facts, number, *name)).collect()
}

fn helper(facts: &Facts, number: usize, name: StrId) -> Entry {
    let id = HelperId(u32::try_from(number).unwrap_or(u32::MAX));
    let in_set = |set: u16| {
        let set = facts.helper_sets.get(usize::from(set))?;
        set.iter().find(|(helper, _)| *helper == id).map(|(_, proto)| *proto)
    };
    let mut protos = BTreeSet::new();
    let mut list = programs(facts, |variant| {
        let set = variant.helpers?;
        protos.extend(in_set(set));
        Some(in_set(set).is_some())
    });
    // The closure borrows the prototypes, so that these come after it.
    let more = facts.struct_ops.iter().flatten().flat_map(|row| &row.members);
    protos.extend(more.filter_map(|member| in_set(member.helpers?)));
    list.extend(structures(facts, |helpers, _| helpers.and_then(in_set).is_some()));
    for rule in facts.hook_rules.iter().filter(|rule| rule.helper == id) {
        let attach = spelled(rule.attach.name(), rule.attach.0);
        list.extend(rule.cases.iter().map(|(list, _)| format!("{attach} on {}", list.name())));
    }
    for rule in facts.iter_rules.iter().filter(|rule| rule.helper == id) {
        list.push(format!("iterator over {}", facts.strings.get(rule.target)));
    }
    let rows = protos.iter().filter_map(|proto| facts.protos.get(usize::from(*proto)));
    let texts: BTreeSet<String> = rows.map(|row| signature(facts, row)).collect();
    let texts: Vec<String> = texts.into_iter().collect();
    Entry::new(format!("bpf_{}", facts.strings.get(name)), texts.join(" or ")).with(list)
}

fn signature(facts: &Facts, row: &ProtoRow) -> String {
    let args = row.args.iter().take_while(|arg| arg.ty.base != ArgBase::DontCare);
    let args: Vec<String> = args.map(|arg| arg.ty.to_string()).collect();
    let mut text = format!("({}) -> {}", args.join(", "), row.ret);
    let [gpl, packet, sleeps, fastcall] = row.flags;
    let flags = [(gpl, "GPL"), (packet, "packet"), (sleeps, "may sleep"), (fastcall, "fastcall")];
    for (_, word) in flags.into_iter().filter(|(is, _)| *is) {
        text.push_str("; ");
        text.push_str(word);
    }
    match row.allowed {
        AllowedRule::Always => {}
        AllowedRule::DPath => text.push_str("; where bpf_d_path_allowed"),
        AllowedRule::SleepableLsmHook => text.push_str("; at sleepable LSM hooks"),
        AllowedRule::NotSkStorage => text.push_str("; not in bpf_sk_storage functions"),
        AllowedRule::Other(symbol) => {
            text.push_str("; where ");
            text.push_str(facts.strings.get(symbol));
        }
    }
    text
}

pub(super) fn kfuncs(profile: &Profile) -> Vec<Entry> {
    let facts = profile.facts();
    let entry = |(at, row): (usize, &veristable_kernel::profile::KfuncRow)| {
        let in_set = |set: u16| {
            let set = facts.kfunc_sets.get(usize::from(set));
            set.is_some_and(|set| set.iter().any(|kfunc| usize::from(*kfunc) == at))
        };
        let mut list = programs(facts, |variant| variant.kfuncs.map(in_set));
        list.extend(structures(facts, |_, kfuncs| kfuncs.is_some_and(in_set)));
        Entry::new(facts.strings.get(row.name), flags(row.flags)).with(list)
    };
    facts.kfuncs.iter().enumerate().map(entry).collect()
}

fn flags(flags: KfuncFlags) -> String {
    let named = KfuncFlags::NAMED.iter().filter(|(flag, _)| flags.contains(*flag));
    named.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
}
