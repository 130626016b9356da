// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Functions of the program that a helper or kfunc calls back (`push_callback_call`).

use crate::analysis::record::Root;
use crate::design::{Design, Liveness};
use crate::env::{SubprogFlags, SubprogId};
use crate::errno::Errno;
use crate::log::state::Touched;
use crate::messages::{Functions, Path};
use crate::outcome::{Abort, Step};
use crate::simulate::path::MAX_PENDING;
use crate::simulate::sim::{Pending, Sim, last_branch};
use crate::state::{BtfRef, Callsite, DynptrKind, Frame, FrameFlags, Kind, MapRef, REGS, RegState};
use crate::trace::{Event, Level, Observer};
use veristable_btf::Kind as BtfKind;
use veristable_isa::Reg;
use veristable_kernel::Behaviour;

/// Who calls back, and with which arguments. The arguments are made from the caller's R1 to R5 as
/// they are when [`Sim::push_callback`] is called: before the call destroys them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Callback {
    /// `bpf_for_each_map_elem`: (map, key, value, context). The map in R1 must support it; `map` is
    /// the one that was first seen at this call (`map_ptr_state.map_ptr`).
    MapElement {
        /// The map that decides whether the call is allowed.
        map: MapRef,
    },
    /// `bpf_loop`: (index, context). Marks R1 precise, counts the iterations and, when R1 says that
    /// there are no more, calls nothing: the helper needs no tests of its own.
    Loop,
    /// `bpf_find_vma`: (task, vma, context).
    FindVma,
    /// `bpf_user_ringbuf_drain`: (dynptr, context).
    UserRingbuf,
    /// `bpf_timer_set_callback`: (map, key, value) of the map in R1; asynchronous.
    Timer,
    /// `bpf_wq_set_callback_impl`: as a timer's, but it may sleep.
    Workqueue,
    /// `bpf_task_work_schedule_signal_impl` and `_resume_impl`: (map, key, value) of the map in R3;
    /// asynchronous, and it may sleep.
    TaskWork,
    /// `bpf_rbtree_add_impl`: (node, node), both non-owning references to what the root in R1 holds.
    RbtreeLess {
        /// The root (`graph_root`).
        root: Root,
    },
}

/// When a callback runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Timing {
    /// Before the call returns.
    Now,
    /// Some time, in a context of its own.
    Later {
        /// It may sleep.
        sleepable: bool,
    },
}

impl Callback {
    const fn timing(self) -> Timing {
        match self {
            Self::Timer => Timing::Later { sleepable: false },
            Self::Workqueue | Self::TaskWork => Timing::Later { sleepable: true },
            _ => Timing::Now,
        }
    }

    /// Which of its registers are its caller's, as they are.
    const fn copies(self) -> &'static [(Reg, Reg)] {
        match self {
            Self::MapElement { .. } => &[(Reg::R1, Reg::R1), (Reg::R4, Reg::R3)],
            Self::Loop | Self::UserRingbuf => &[(Reg::R2, Reg::R3)],
            Self::FindVma => &[(Reg::R1, Reg::R1), (Reg::R3, Reg::R4)],
            Self::Timer | Self::Workqueue | Self::TaskWork | Self::RbtreeLess { .. } => &[],
        }
    }

    /// What it may return.
    const fn range(self) -> (i32, i32) {
        match self {
            Self::Timer | Self::Workqueue => (0, 0),
            Self::TaskWork => (i32::MIN, i32::MAX),
            _ => (0, 1),
        }
    }
}

/// The registers of a frame.
type Regs = [RegState; REGS];

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// The current instruction calls a helper or kfunc that calls `subprog` back
    /// (`push_callback_call`). A branch that simulates one call of it is set aside; the current path
    /// goes on after the last one. To be called where the kernel does: with the arguments tested and
    /// still in R1 to R5.
    ///
    /// # Errors
    /// If the callback cannot be entered.
    pub(crate) fn push_callback(&mut self, subprog: SubprogId, callback: Callback) -> Step {
        if callback == Callback::Loop && !self.loop_goes_on()? {
            return Ok(());
        }
        // A mismatch does not matter.
        self.check_arguments(subprog)?;
        self.env.subprog_mut(subprog)?.flags |= SubprogFlags::IS_CALLBACK;
        match callback.timing() {
            Timing::Now => self.push_sync(subprog, callback),
            Timing::Later { sleepable } => self.push_async(subprog, callback, sleepable),
        }
    }

    /// Whether `bpf_loop` has another iteration.
    fn loop_goes_on(&mut self) -> Step<bool> {
        self.mark_precise(Reg::R1)?;
        let most = self.reg(Reg::R1)?.value.u64.max;
        let depth = self.cur.depth;
        if u64::from(self.store.frame(self.cur.current()?)?.callback_depth) < most {
            return Ok(true);
        }
        let frame = self.store.frame_mut(&self.env.budget, self.cur.frame_mut(depth)?)?;
        frame.callback_depth = 0;
        if self.env.wants(Level::Full) {
            let text = format_args!("frame{depth} bpf_loop iteration limit reached\n");
            self.env.emit(Event::Text(&text));
        }
        Ok(false)
    }

    fn push_sync(&mut self, subprog: SubprogId, callback: Callback) -> Step {
        let start = self.env.subprog(subprog)?.start;
        self.push_branch(start, self.insn, false, Errno::ENOMEM)?;
        let depth = self.cur.depth;
        let mut callee = self.frame_above(depth, subprog)?;
        self.touched = Touched::ALL;
        let caller = self.store.frame(self.cur.current()?)?.regs;
        self.set_arguments(callback, &caller, &mut callee)?;
        callee.flags |= FrameFlags::IN_CALLBACK;
        callee.callback_range = callback.range();
        let Self { env, store, pending, cur, .. } = self;
        let branch = last_branch(pending)?;
        let callee = store.add(&env.budget, callee)?;
        branch.lend_refs(&env.budget, store)?;
        if !branch.push_frame(callee) {
            return Err(Abort::Internal("too many frames").into());
        }
        branch.callback_unroll_depth += 1;
        store.frame_mut(&env.budget, branch.frame_mut(depth)?)?.callback_depth += 1;
        if store.frame(cur.current()?)?.callback_depth != 0 {
            store.frame_mut(&env.budget, cur.frame_mut(depth)?)?.callback_depth = 0;
        }
        D::Liveness::called_back(self, callback.copies())
    }

    /// The callback begins a chain of calls of its own (`push_async_cb`).
    fn push_async(&mut self, subprog: SubprogId, callback: Callback, sleepable: bool) -> Step {
        let info = self.env.subprog_mut(subprog)?;
        info.flags |= SubprogFlags::IS_ASYNC_CALLBACK;
        let start = info.start;
        let caller = self.store.frame(self.cur.current()?)?;
        let (entries, caller) = (caller.async_entries, caller.regs);
        let mut frame = Frame::new(Callsite::Async, 0, subprog);
        self.touched = Touched::ALL;
        frame.async_entries = entries.wrapping_add(1);
        self.set_arguments(callback, &caller, &mut frame)?;
        frame.flags |= FrameFlags::IN_ASYNC_CALLBACK;
        frame.callback_range = callback.range();
        let frame = self.store.add(&self.env.budget, frame)?;
        // The kernel leaves it at 0 that the state begins elsewhere.
        let mut state = self.new_state(frame, 0, sleepable);
        state.last_insn = 0;
        let previous = self.insn;
        let mark = self.env.observer.mark();
        self.pending.push(&self.env.budget, Pending { state, insn: start, previous, mark })?;
        D::Liveness::started(self)?;
        if self.pending.len() > MAX_PENDING {
            let branches = u32::try_from(self.pending.len()).unwrap_or(u32::MAX);
            return self.env.reject(Path::TooComplexAsync { branches });
        }
        Ok(())
    }

    /// The callback's registers, from its caller's.
    fn set_arguments(&mut self, callback: Callback, caller: &Regs, callee: &mut Frame) -> Step {
        let [_, r1, r2, r3, r4, ..] = &mut callee.regs;
        let [_, from1, _, from3, from4, ..] = caller;
        match callback {
            Callback::MapElement { map } => {
                self.check_map_callback(map)?;
                let [key, value] = element_of(from1, self.env.has(Behaviour::CallbacksKnowMap));
                (*r1, *r2, *r3, *r4) = (*from1, key, value, *from3);
            }
            Callback::Loop => (*r1, *r2) = (RegState::UNKNOWN, *from3),
            Callback::FindVma => {
                let vma = self.vma()?;
                (*r1, *r2, *r3) = (*from1, vma, *from4);
            }
            Callback::UserRingbuf => {
                (*r1, *r2) = (self.callback_dynptr(DynptrKind::Local), *from3);
            }
            Callback::Timer | Callback::Workqueue | Callback::TaskWork => {
                let from = if callback == Callback::TaskWork { from3 } else { from1 };
                let knows_map = self.env.has(Behaviour::CallbacksKnowMap);
                let [key, value] = element_of(from, knows_map);
                (*r1, *r2, *r3) = (map_of(from, knows_map), key, value);
            }
            Callback::RbtreeLess { root } => {
                let mut node = Self::graph_node(&root);
                self.set_non_owning(&mut node)?;
                (*r1, *r2) = (node, node);
            }
        }
        Ok(())
    }

    /// Whether a map's elements may be walked over.
    fn check_map_callback(&mut self, map: MapRef) -> Step {
        let facts = self.env.kernel.map_type(self.map_spec(map)?.map_type)?;
        let has = |op| facts.as_ref().is_some_and(|facts| facts.op(op).is_some());
        if has("map_set_for_each_callback_args") && has("map_for_each_callback") {
            return Ok(());
        }
        self.env.reject(Functions::MapWithoutCallback)
    }

    /// A pointer to a `struct vm_area_struct` of the kernel.
    fn vma(&self) -> Step<RegState> {
        let kernel = self.env.kernel;
        let id =
            kernel.btf(None)?.and_then(|btf| btf.find_by_name("vm_area_struct", BtfKind::Struct));
        match id {
            Some(id) => Ok(RegState::pointer(Kind::BtfId { btf: BtfRef::Kernel, id })),
            // A kernel whose BTF is not known.
            None => self.env.unsupported("kernel BTF", "vm_area_struct"),
        }
    }
}

/// The map that a register points to or into, and which look-up of an outer map that came from;
/// callbacks may not know the latter.
const fn map_in(reg: &RegState, knows_map: bool) -> Option<(MapRef, u32)> {
    match reg.kind {
        Kind::ConstMapPtr { map, uid }
        | Kind::MapValue { map, uid }
        | Kind::MapKey { map, uid } => Some((map, if knows_map { uid } else { 0 })),
        _ => None,
    }
}

/// Any key and value of the map that a register points to or into.
fn element_of(reg: &RegState, knows_map: bool) -> [RegState; 2] {
    let Some((map, uid)) = map_in(reg, knows_map) else { return [RegState::NOT_INIT; 2] };
    [Kind::MapKey { map, uid }, Kind::MapValue { map, uid }].map(RegState::pointer)
}

/// The map itself.
fn map_of(reg: &RegState, knows_map: bool) -> RegState {
    let Some((map, uid)) = map_in(reg, knows_map) else { return RegState::NOT_INIT };
    RegState::pointer(Kind::ConstMapPtr { map, uid })
}
