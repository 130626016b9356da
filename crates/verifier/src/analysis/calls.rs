// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What the analyses ask of a call, before the simulation looks at its arguments.

use crate::env::{Env, Target};
use crate::mem::List;
use crate::outcome::Step;
use crate::trace::Observer;
use alloc::vec::Vec;
use veristable_isa::Insn;
use veristable_kernel::{
    ArgBase, Behaviour, Helper, HelperAnswer, HelperId, JitFeature, KfuncFlags, NameList,
    ProgContext, ProgType, RetBase,
};

/// Helpers that call back before they return (`is_sync_callback_calling_function`):
/// for_each_map_elem, find_vma, loop, user_ringbuf_drain.
const SYNC_CALLBACK_HELPERS: [i32; 4] = [164, 180, 181, 209];
/// `BPF_FUNC_timer_set_callback` (`is_async_callback_calling_function`)
const TIMER_SET_CALLBACK: i32 = 170;
/// `BPF_FUNC_get_smp_processor_id`
const GET_SMP_PROCESSOR_ID: i32 = 8;

/// What the analyses need to know of a helper or kfunc (`struct call_summary`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallSummary {
    /// How many arguments it takes, in R1 and on.
    pub params: u8,
    /// It returns nothing.
    pub is_void: bool,
    /// The call keeps registers that are not arguments.
    pub fastcall: bool,
}

/// What a call does to the subprogram around it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CallEffects {
    /// It calls back synchronously.
    pub sync_callback: bool,
    /// It sets a callback to be called later.
    pub async_callback: bool,
    /// It is the `next` of an iterator.
    pub iter_next: bool,
    /// It may sleep.
    pub might_sleep: bool,
    /// It may change packet data.
    pub changes_pkt_data: bool,
}

/// Which operations a program's type gives it at the moment (`env->ops`): they change when the
/// attach target is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ops {
    /// Those of the program type as loaded.
    ByType,
    /// Those of the attach target.
    ByTarget,
}

/// The helper's prototype (`get_helper_proto`); `None` if the program may not call it.
fn helper<'a, O: Observer>(env: &mut Env<'a, O>, id: i32, ops: Ops) -> Step<Option<Helper<'a>>> {
    let has_none = matches!(env.prog.prog_type, ProgType::STRUCT_OPS | ProgType::EXT);
    if ops == Ops::ByType && has_none {
        return Ok(None);
    }
    let Ok(id) = u32::try_from(id) else { return Ok(None) };
    let id = HelperId(id);
    if env.kernel.helper_name(id).is_some_and(|name| super::offer::is_withheld(env, name)) {
        return Ok(None);
    }
    let context = env.context();
    Ok(match ask(env, id, &context)? {
        HelperAnswer::Available(helper) => {
            super::offer::is_offered(env, id, &context)?.then_some(helper)
        }
        HelperAnswer::NoSuchHelper | HelperAnswer::NotForProgram => None,
    })
}

/// What the kernel says of a helper; the same question is asked once only.
///
/// # Errors
///
/// If it depends on a fact that is not known.
pub(crate) fn ask<'a, O: Observer>(
    env: &mut Env<'a, O>,
    id: HelperId,
    context: &ProgContext<'a>,
) -> Step<HelperAnswer<'a>> {
    let same = |asked: &&Asked<'_>| asked.id == id && asked.context == *context;
    if let Some(asked) = env.known_helpers.asked.iter().find(same) {
        return Ok(asked.answer.clone());
    }
    let answer = env.kernel.helper(id, context)?;
    let asked = Asked { id, context: *context, answer: answer.clone() };
    env.known_helpers.asked.push(&env.budget, asked)?;
    Ok(answer)
}

/// A question and its answer.
struct Asked<'a> {
    id: HelperId,
    context: ProgContext<'a>,
    answer: HelperAnswer<'a>,
}

/// What was found out of helpers, by number: programs call few of them, but those often. Effects
/// are asked only before the attach target is known and summaries only after, so that neither
/// changes.
#[derive(Default)]
pub(crate) struct KnownHelpers<'a> {
    asked: List<Asked<'a>>,
    /// The helpers that the kernel lists as changing packets; `Some(None)`: the list is not known.
    packet_changing: Option<Option<Vec<&'a str>>>,
    effects: List<(i32, CallEffects)>,
    summaries: List<(i32, Option<CallSummary>)>,
}

fn known<T: Copy>(list: &[(i32, T)], id: i32) -> Option<T> {
    list.iter().find(|(known, _)| *known == id).map(|(_, what)| *what)
}

/// What a call does to the subprogram around it (the part of `visit_insn` about calls).
///
/// # Errors
///
/// If it depends on a fact that is not known.
pub fn effects<O: Observer>(env: &mut Env<'_, O>, index: u32, insn: Insn) -> Step<CallEffects> {
    if insn.is_helper_call() {
        if let Some(effects) = known(&env.known_helpers.effects, insn.imm) {
            return Ok(effects);
        }
        let effects = helper_effects(env, insn.imm)?;
        env.known_helpers.effects.push(&env.budget, (insn.imm, effects))?;
        return Ok(effects);
    }
    let mut effects = CallEffects::default();
    if let Target::Kfunc(number) = env.code.aux(index)?.target {
        let kfunc = env.kfuncs.at(number as usize)?;
        effects.sync_callback = kfunc.name == "bpf_rbtree_add_impl";
        effects.async_callback = matches!(
            kfunc.name,
            "bpf_wq_set_callback_impl"
                | "bpf_task_work_schedule_signal_impl"
                | "bpf_task_work_schedule_resume_impl"
        );
        if let Some(flags) = kfunc.flags {
            effects.iter_next = flags.contains(KfuncFlags::ITER_NEXT);
            effects.might_sleep = flags.contains(KfuncFlags::SLEEPABLE);
            effects.changes_pkt_data = kfunc.name == "bpf_xdp_pull_data";
        }
    }
    Ok(effects)
}

fn helper_effects<O: Observer>(env: &mut Env<'_, O>, id: i32) -> Step<CallEffects> {
    Ok(CallEffects {
        sync_callback: SYNC_CALLBACK_HELPERS.contains(&id),
        async_callback: id == TIMER_SET_CALLBACK,
        iter_next: false,
        might_sleep: helper(env, id, Ops::ByType)?.is_some_and(|helper| helper.might_sleep),
        changes_pkt_data: changes_pkt_data(env, id),
    })
}

/// The helpers for which `bpf_helper_changes_pkt_data` (`net/core/filter.c`, 6.18) says yes; for
/// kernels whose own list is not known. It has grown, but never shrunk.
const PACKET_CHANGING: [&str; 23] = [
    "clone_redirect",
    "l3_csum_replace",
    "l4_csum_replace",
    "lwt_push_encap",
    "lwt_seg6_action",
    "lwt_seg6_adjust_srh",
    "lwt_seg6_store_bytes",
    "msg_pop_data",
    "msg_pull_data",
    "msg_push_data",
    "skb_adjust_room",
    "skb_change_head",
    "skb_change_proto",
    "skb_change_tail",
    "skb_pull_data",
    "skb_store_bytes",
    "skb_vlan_pop",
    "skb_vlan_push",
    "store_hdr_opt",
    "xdp_adjust_head",
    "xdp_adjust_meta",
    "xdp_adjust_tail",
    "tail_call",
];

/// Whether packet pointers are no longer valid after a call of the helper
/// (`bpf_helper_changes_pkt_data`).
pub fn changes_pkt_data<O: Observer>(env: &mut Env<'_, O>, id: i32) -> bool {
    if let Some(effects) = known(&env.known_helpers.effects, id) {
        return effects.changes_pkt_data;
    }
    let kernel = env.kernel;
    let name = u32::try_from(id).ok().and_then(|id| kernel.helper_name(HelperId(id)));
    let Some(name) = name else { return false };
    let list = env
        .known_helpers
        .packet_changing
        .get_or_insert_with(|| kernel.names(NameList::PacketChangingHelpers).ok().flatten());
    match list {
        Some(list) => {
            list.iter().any(|listed| listed.strip_prefix("bpf_").unwrap_or(listed) == name)
        }
        None => PACKET_CHANGING.contains(&name),
    }
}

/// What the analyses need to know of a helper or kfunc (`get_call_summary`); `None` if it cannot
/// be called.
///
/// # Errors
///
/// If it depends on a fact that is not known.
pub fn summary<O: Observer>(
    env: &mut Env<'_, O>,
    index: u32,
    insn: Insn,
) -> Step<Option<CallSummary>> {
    if insn.is_helper_call() {
        if let Some(summary) = known(&env.known_helpers.summaries, insn.imm) {
            return Ok(summary);
        }
        let summary = helper_summary(env, insn.imm)?;
        env.known_helpers.summaries.push(&env.budget, (insn.imm, summary))?;
        return Ok(summary);
    }
    let Target::Kfunc(number) = env.code.aux(index)?.target else { return Ok(None) };
    let kfunc = env.kfuncs.at(number as usize)?;
    Ok(kfunc.flags.map(|flags| CallSummary {
        params: u8::try_from(kfunc.proto.params.len()).unwrap_or(u8::MAX),
        is_void: kfunc.proto.returns.is_void(),
        fastcall: match env.has(Behaviour::FastcallFlag) {
            true => flags.contains(KfuncFlags::FASTCALL),
            false => matches!(kfunc.name, "bpf_cast_to_kern_ctx" | "bpf_rdonly_cast"),
        },
    }))
}

fn helper_summary<O: Observer>(env: &mut Env<'_, O>, id: i32) -> Step<Option<CallSummary>> {
    let Some(helper) = helper(env, id, Ops::ByTarget)? else { return Ok(None) };
    let params = helper.args.iter().take_while(|arg| arg.ty.base != ArgBase::DontCare).count();
    Ok(Some(CallSummary {
        params: u8::try_from(params).unwrap_or(5),
        is_void: helper.ret.base == RetBase::Void,
        fastcall: helper.allow_fastcall && is_inlined(env, id)?,
    }))
}

/// Whether the verifier or the JIT replaces calls of the helper by instructions
/// (`verifier_inlines_helper_call`, `bpf_jit_inlines_helper_call`).
fn is_inlined<O: Observer>(env: &Env<'_, O>, id: i32) -> Step<bool> {
    if env.kernel.config("CONFIG_X86_64")?.is_none() {
        // Other JITs inline helpers of their own choice; the built-in kernels are of this one.
        return env.unsupported("inlined helpers of this architecture", "");
    }
    Ok(id == GET_SMP_PROCESSOR_ID && env.machine.jit && env.kernel.jit(JitFeature::PercpuInsn)?)
}
