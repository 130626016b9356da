// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The control flow graph: one depth-first walk that enters callees, finds unreachable code and
//! marks the places where the simulation compares states (`check_cfg`).

use crate::analysis::calls;
use crate::env::{Env, InsnFlags, SubprogFlags};
use crate::errno::Errno;
use crate::mem::List;
use crate::messages::Structure;
use crate::outcome::{Abort, Step, Stop};
use crate::trace::Observer;
use veristable_isa::Insn;
use veristable_isa::consts::{BPF_CALL, BPF_EXIT, BPF_JA, BPF_JMP, BPF_K, bpf_op, bpf_src};

/// How far the walk is with an instruction. The order counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Progress {
    /// Not seen.
    New,
    /// On the stack.
    Discovered,
    /// On the stack, with what follows it explored or being explored.
    FallThrough,
    /// On the stack, likewise with where it jumps.
    Branch,
    /// Done.
    Explored,
}

/// The kind of an edge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Edge {
    FallThrough,
    Branch,
}

impl Edge {
    const fn progress(self) -> Progress {
        match self {
            Self::FallThrough => Progress::FallThrough,
            Self::Branch => Progress::Branch,
        }
    }
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// Something was pushed: go on there, and come back.
    Descend,
    /// Nothing new behind this edge.
    Done,
}

struct Walk {
    progress: List<Progress>,
    stack: List<u32>,
}

/// Walks the graph.
///
/// # Errors
///
/// The rejection.
pub fn check<O: Observer>(env: &mut Env<'_, O>) -> Step {
    let len = env.code.insns.len();
    let mut walk = Walk {
        progress: List::filled(&env.budget, len, Progress::New)?,
        stack: List::with_room(&env.budget, len)?,
    };
    walk.run(env, 0)?;
    if let Some(id) = env.exception_callback {
        let start = env.subprog(id)?.start;
        if *walk.progress.at(start as usize)? != Progress::Explored {
            walk.run(env, start)?;
        }
    }
    walk.check_reached(env)?;
    if let Some(main) = env.subprogs.first() {
        env.prog.changes_pkt_data = main.flags.contains(SubprogFlags::CHANGES_PKT_DATA);
        env.prog.might_sleep = main.flags.contains(SubprogFlags::MIGHT_SLEEP);
    }
    walk.progress.release(&env.budget);
    walk.stack.release(&env.budget);
    Ok(())
}

impl Walk {
    fn run<O: Observer>(&mut self, env: &mut Env<'_, O>, root: u32) -> Step {
        *self.progress.at_mut(root as usize)? = Progress::Discovered;
        self.stack.push(&env.budget, root)?;
        while let Some(&top) = self.stack.last() {
            env.tick()?;
            env.insn = Some(top);
            if self.visit(env, top)? == Next::Done {
                *self.progress.at_mut(top as usize)? = Progress::Explored;
                self.stack.pop();
            }
        }
        env.insn = None;
        Ok(())
    }

    /// `visit_insn`: pushes the next unexplored successor, marks what lies behind the explored
    /// ones. Called again for an instruction until nothing is left to push.
    fn visit<O: Observer>(&mut self, env: &mut Env<'_, O>, at: u32) -> Step<Next> {
        let insn = env.code.insn(at)?;
        if insn.is_pseudo_func() {
            return self.visit_call(env, at, insn, true);
        }
        if !insn.is_jump_class() {
            return self.push(env, at, next(at, insn), Edge::FallThrough);
        }
        match bpf_op(insn.code) {
            BPF_EXIT => Ok(Next::Done),
            BPF_CALL => {
                mark_call(env, at, insn)?;
                self.visit_call(env, at, insn, insn.is_pseudo_call())
            }
            BPF_JA => {
                if bpf_src(insn.code) != BPF_K {
                    return Err(Stop::Rejected(Errno::EINVAL));
                }
                let target = jump(at, insn);
                if self.push(env, at, target, Edge::FallThrough)? == Next::Descend {
                    return Ok(Next::Descend);
                }
                let flags = InsnFlags::PRUNE_POINT | InsnFlags::JMP_POINT;
                mark(env, target, flags | InsnFlags::JUMP_TARGET)?;
                Ok(Next::Done)
            }
            _ => {
                let mut flags = InsnFlags::PRUNE_POINT;
                flags.set(InsnFlags::FORCE_CHECKPOINT, insn.is_may_goto());
                mark(env, i64::from(at), flags)?;
                if self.push(env, at, next(at, insn), Edge::FallThrough)? == Next::Descend {
                    return Ok(Next::Descend);
                }
                // Conditional jumps have their distance in `off`, also in the 32-bit class.
                let target = i64::from(at) + i64::from(insn.off) + 1;
                self.push(env, at, target, Edge::Branch)
            }
        }
    }

    /// `visit_func_call_insn`
    fn visit_call<O: Observer>(
        &mut self,
        env: &mut Env<'_, O>,
        at: u32,
        insn: Insn,
        enter: bool,
    ) -> Step<Next> {
        let after = next(at, insn);
        if self.push(env, at, after, Edge::FallThrough)? == Next::Descend {
            return Ok(Next::Descend);
        }
        mark(env, after, InsnFlags::PRUNE_POINT | InsnFlags::JMP_POINT)?;
        if !enter {
            return Ok(Next::Done);
        }
        mark(env, i64::from(at), InsnFlags::PRUNE_POINT)?;
        let callee = i64::from(at) + i64::from(insn.imm) + 1;
        // Done each time the call is visited: before and after the callee is explored.
        merge_effects(env, at, callee)?;
        self.push(env, at, callee, Edge::Branch)
    }

    /// `push_insn`
    fn push<O: Observer>(
        &mut self,
        env: &mut Env<'_, O>,
        from: u32,
        to: i64,
        edge: Edge,
    ) -> Step<Next> {
        let taken = edge.progress();
        if *self.progress.at(from as usize)? >= taken {
            return Ok(Next::Done);
        }
        let Some(to) = u32::try_from(to).ok().filter(|to| *to < env.code.len()) else {
            env.source_line(from, &format_args!("{from}: "));
            return env.reject(Structure::JumpOutOfProgram { from, to });
        };
        if edge == Edge::Branch {
            let flags = InsnFlags::PRUNE_POINT | InsnFlags::JMP_POINT;
            mark(env, i64::from(to), flags | InsnFlags::JUMP_TARGET)?;
        }
        match *self.progress.at(to as usize)? {
            Progress::New => {
                *self.progress.at_mut(from as usize)? = taken;
                *self.progress.at_mut(to as usize)? = Progress::Discovered;
                self.stack.push(&env.budget, to)?;
                Ok(Next::Descend)
            }
            Progress::Explored => {
                *self.progress.at_mut(from as usize)? = taken;
                Ok(Next::Done)
            }
            // A loop. Where it is allowed, the edge counts as not taken.
            _ if env.privileges.bpf_capable => Ok(Next::Done),
            _ => {
                env.source_line(from, &format_args!("{from}: "));
                env.source_line(to, &format_args!("{to}: "));
                env.reject(Structure::BackEdge { from, to })
            }
        }
    }

    fn check_reached<O: Observer>(&self, env: &mut Env<'_, O>) -> Step {
        let mut index = 0;
        while index < env.code.len() {
            if *self.progress.at(index as usize)? != Progress::Explored {
                env.insn = Some(index);
                return env.reject(Structure::UnreachableInsn { insn: index });
            }
            if env.code.insn(index)?.is_ldimm64() {
                // The second slot exists: wide loads were tested.
                let second = self.progress.get(index as usize + 1).copied();
                if second.is_some_and(|second| second != Progress::New) {
                    env.insn = Some(index);
                    return env.reject(Structure::JumpIntoWideLoad { insn: index });
                }
                index += 1;
            }
            index += 1;
        }
        Ok(())
    }
}

/// The slot after an instruction.
fn next(at: u32, insn: Insn) -> i64 {
    i64::from(at) + if insn.is_ldimm64() { 2 } else { 1 }
}

/// Where an unconditional jump goes.
fn jump(at: u32, insn: Insn) -> i64 {
    let distance = if insn.class() == BPF_JMP { i64::from(insn.off) } else { i64::from(insn.imm) };
    i64::from(at) + distance + 1
}

fn mark<O: Observer>(env: &mut Env<'_, O>, at: i64, flags: InsnFlags) -> Result<(), Abort> {
    let at = u32::try_from(at).map_err(|_| Abort::Internal("mark outside of the program"))?;
    env.code.aux_mut(at)?.flags |= flags;
    Ok(())
}

/// The marks that depend on what is called.
fn mark_call<O: Observer>(env: &mut Env<'_, O>, at: u32, insn: Insn) -> Step {
    let effects = calls::effects(env, at, insn)?;
    let mut flags = InsnFlags::empty();
    if effects.async_callback {
        flags |= InsnFlags::PRUNE_POINT;
    }
    if effects.sync_callback {
        flags |= InsnFlags::CALLS_CALLBACK
            | InsnFlags::FORCE_CHECKPOINT
            | InsnFlags::PRUNE_POINT
            | InsnFlags::JMP_POINT;
    }
    if effects.iter_next {
        flags |= InsnFlags::PRUNE_POINT | InsnFlags::FORCE_CHECKPOINT | InsnFlags::ITER_NEXT;
    }
    mark(env, i64::from(at), flags)?;
    let id = env.subprog_of(at);
    let subprog = env.subprog_mut(id)?;
    if effects.might_sleep {
        subprog.flags |= SubprogFlags::MIGHT_SLEEP;
    }
    if effects.changes_pkt_data {
        subprog.flags |= SubprogFlags::CHANGES_PKT_DATA;
    }
    Ok(())
}

/// `merge_callee_effects`
fn merge_effects<O: Observer>(env: &mut Env<'_, O>, at: u32, callee: i64) -> Result<(), Abort> {
    let Ok(callee) = u32::try_from(callee) else { return Ok(()) };
    let inherited = SubprogFlags::CHANGES_PKT_DATA | SubprogFlags::MIGHT_SLEEP;
    let effects = env.subprog(env.subprog_of(callee))?.flags & inherited;
    let caller = env.subprog_of(at);
    env.subprog_mut(caller)?.flags |= effects;
    Ok(())
}
