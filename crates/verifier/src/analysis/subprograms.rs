// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Where subprograms begin and end (`add_subprog_and_kfunc`, `check_subprogs`).

use crate::analysis::kfuncs;
use crate::env::{Env, Subprog, SubprogFlags, SubprogId, Target};
use crate::errno::Errno;
use crate::mem::Text;
use crate::messages::Structure;
use crate::outcome::{Abort, Step, Stop};
use crate::trace::{Event, Level, Observer};
use veristable_btf::{Kind, Linkage, Type};
use veristable_isa::Insn;
use veristable_isa::consts::{BPF_ABS, BPF_IND, BPF_LD, bpf_class, bpf_mode};
use veristable_isa::table::opcode;

/// `BPF_FUNC_tail_call` (`include/uapi/linux/bpf.h`)
pub(crate) const TAIL_CALL: i32 = 12;

/// The tag that names the exception callback (`bpf_find_exception_callback_insn_off`).
const EXCEPTION_CALLBACK_TAG: &str = "exception_callback:";

/// Finds the subprograms and the kfuncs that the instructions name, in the order of the
/// instructions, also in dead code.
///
/// # Errors
///
/// The rejection.
pub fn find<O: Observer>(env: &mut Env<'_, O>) -> Step {
    add(env, 0)?;
    for index in 0..env.code.len() {
        env.tick()?;
        let insn = env.code.insn(index)?;
        let subprog = insn.is_pseudo_call() || insn.is_pseudo_func();
        if !subprog && !insn.is_kfunc_call() {
            continue;
        }
        env.insn = Some(index);
        if !env.privileges.bpf_capable {
            return env.reject(Structure::CallsNeedCapability);
        }
        if subprog {
            add(env, relative(index, insn.imm))?;
        } else {
            kfuncs::add(env, insn.imm.cast_unsigned(), insn.off)?;
        }
    }
    env.insn = None;
    add_exception_callback(env)?;
    set_ends(env);
    resolve_calls(env)?;
    if env.wants(Level::Full) {
        for (index, subprog) in (0u32..).zip(&env.subprogs) {
            env.observer.event(Event::Subprogram { index, start: subprog.start });
        }
    }
    Ok(())
}

/// The slot `distance` after the next one, in the kernel's 32-bit arithmetic.
fn relative(index: u32, distance: i32) -> i32 {
    index.cast_signed().wrapping_add(distance).wrapping_add(1)
}

/// `add_subprog`
fn add<O: Observer>(env: &mut Env<'_, O>, start: i32) -> Step {
    let Some(start) = u32::try_from(start).ok().filter(|start| *start < env.code.len()) else {
        return env.reject(Structure::InvalidDestination);
    };
    let Err(place) = env.subprogs.binary_search_by_key(&start, |subprog| subprog.start) else {
        return Ok(());
    };
    if env.subprogs.len() >= env.kernel.limits().subprogs as usize {
        return env.reject(Structure::TooManySubprograms);
    }
    env.subprogs.insert(&env.budget, place, Subprog { start, ..Subprog::default() })?;
    Ok(())
}

fn set_ends<O: Observer>(env: &mut Env<'_, O>) {
    let mut end = env.code.len();
    for subprog in env.subprogs.iter_mut().rev() {
        subprog.end = end;
        end = subprog.start;
    }
}

/// Notes at each call which subprogram or kfunc it means.
fn resolve_calls<O: Observer>(env: &mut Env<'_, O>) -> Step {
    for index in 0..env.code.len() {
        env.tick()?;
        let insn = env.code.insn(index)?;
        let target = if insn.is_pseudo_call() || insn.is_pseudo_func() {
            let start = u32::try_from(relative(index, insn.imm)).ok();
            match start.and_then(|start| env.subprog_at(start)) {
                Some(id) => Target::Subprog(id),
                None => return Err(Abort::Internal("call to no subprogram").into()),
            }
        } else if insn.is_kfunc_call() {
            kfuncs::find(env, insn).map_or(Target::None, Target::Kfunc)
        } else {
            continue;
        };
        env.code.aux_mut(index)?.target = target;
    }
    Ok(())
}

fn add_exception_callback<O: Observer>(env: &mut Env<'_, O>) -> Step {
    let Some(start) = exception_callback_start(env)? else { return Ok(()) };
    let Ok(signed) = i32::try_from(start) else {
        return refuse_far(env, start);
    };
    add(env, signed)?;
    if let Some(id) = env.subprog_at(start) {
        env.exception_callback = Some(id);
        // It is called from outside, on a stack of its own.
        env.subprog_mut(id)?.flags |= SubprogFlags::IS_EXCEPTION_CALLBACK
            | SubprogFlags::IS_CALLBACK
            | SubprogFlags::IS_ASYNC_CALLBACK;
    }
    Ok(())
}

/// An exception callback so far away that its place is a negative number, which the kernel returns
/// as if it were that of an error.
fn refuse_far<O: Observer>(env: &Env<'_, O>, start: u32) -> Step {
    /// `MAX_ERRNO` (`include/linux/err.h`)
    const MAX_ERRNO: u16 = 4095;
    match u16::try_from(start.wrapping_neg()) {
        Ok(number) if number <= MAX_ERRNO => Err(Stop::Rejected(Errno(number))),
        // No error number: the system call returns neither a descriptor nor an error.
        _ => env.unsupported("exception callback beyond 2^31", ""),
    }
}

/// `bpf_find_exception_callback_insn_off`
fn exception_callback_start<O: Observer>(env: &mut Env<'_, O>) -> Step<Option<u32>> {
    let (Some(main), Some(btf)) = (env.code.func_info.first().copied(), env.prog.btf) else {
        return Ok(None);
    };
    let tag = |ty: &Type<'_>| {
        ty.as_decl_tag().is_some_and(|tag| tag.target == main.type_id && tag.component.is_none())
    };
    let mut values = btf
        .types_of(Kind::DeclTag)
        .filter(tag)
        .filter_map(|ty| ty.name().strip_prefix(EXCEPTION_CALLBACK_TAG));
    let Some(name) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return env.reject(Structure::MultipleExceptionCallbacks);
    }
    let func = btf.types_of(Kind::Func).find(|ty| ty.name() == name);
    let Some(func) = func else {
        return env.reject(Structure::NoExceptionCallback { name: Text::new(name) });
    };
    if func.as_func().map(|func| func.linkage) != Some(Linkage::Global) {
        return env.reject(Structure::ExceptionCallbackLinkage { name: Text::new(name) });
    }
    // The last record of the function counts; 0 is said for each record that has it.
    let mut start = None;
    for index in 0..env.code.func_info.len() {
        let info = *env.code.func_info.at(index)?;
        if info.type_id == func.id() {
            if info.insn_off == 0 {
                env.say(Structure::ExceptionCallbackIsMain)?;
            }
            start = Some(info.insn_off);
        }
    }
    match start {
        None => env.reject(Structure::ExceptionCallbackNotInInfo),
        Some(0) => Err(Stop::Rejected(Errno::EINVAL)),
        Some(start) => Ok(Some(start)),
    }
}

/// Tests that jumps stay inside their subprogram and that its last instruction does not fall
/// through (`check_subprogs`).
///
/// # Errors
///
/// The rejection.
pub fn check_bounds<O: Observer>(env: &mut Env<'_, O>) -> Step {
    for number in 0..env.subprogs.len() {
        let id = SubprogId(u32::try_from(number).unwrap_or(u32::MAX));
        let Subprog { start, end, .. } = *env.subprog(id)?;
        for index in start..end {
            env.tick()?;
            env.insn = Some(index);
            let insn = env.code.insn(index)?;
            note_calls(env, id, insn)?;
            if insn.jump_target(index as usize).is_some() {
                let to = relative(index, insn.jump_offset());
                if !u32::try_from(to).is_ok_and(|to| (start..end).contains(&to)) {
                    return env.reject(Structure::JumpOutOfRange { from: index, to });
                }
            }
            let ends = matches!(insn.code, opcode::JMP_EXIT | opcode::JMP32_JA | opcode::JMP_JA);
            if index + 1 == end && !ends {
                return env.reject(Structure::LastInsn);
            }
        }
    }
    Ok(())
}

fn note_calls<O: Observer>(env: &mut Env<'_, O>, id: SubprogId, insn: Insn) -> Result<(), Abort> {
    let mut flags = SubprogFlags::empty();
    if insn.is_helper_call() && insn.imm == TAIL_CALL {
        flags |= SubprogFlags::HAS_TAIL_CALL | SubprogFlags::TAIL_CALL_REACHABLE;
    }
    if bpf_class(insn.code) == BPF_LD && matches!(bpf_mode(insn.code), BPF_ABS | BPF_IND) {
        flags |= SubprogFlags::HAS_LD_ABS;
    }
    env.subprog_mut(id)?.flags |= flags;
    Ok(())
}
