// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Locks (`process_spin_lock`).

use crate::analysis::record::{self, FieldKinds};
use crate::design::Design;
use crate::messages::Objects;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::{BtfRef, Kind, MapRef, RefKind, Reference, RegState, Resources};
use crate::trace::Observer;
use veristable_isa::{CallKind, Reg};
use veristable_kernel::Behaviour;

/// Which lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LockKind {
    /// `bpf_spin_lock` (the helpers).
    Spin,
    /// `bpf_res_spin_lock`
    Res,
    /// `bpf_res_spin_lock_irqsave`
    ResIrq,
}

impl LockKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Spin => "bpf_spin",
            Self::Res | Self::ResIrq => "bpf_res_spin",
        }
    }

    const fn field(self) -> FieldKinds {
        match self {
            Self::Spin => FieldKinds::SPIN_LOCK,
            Self::Res | Self::ResIrq => FieldKinds::RES_SPIN_LOCK,
        }
    }

    const fn reference(self) -> RefKind {
        match self {
            Self::Spin => RefKind::Lock,
            Self::Res => RefKind::ResLock,
            Self::ResIrq => RefKind::ResLockIrq,
        }
    }
}

/// A lock, as states tell it from others: the pointer's id, and the map or BTF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LockId {
    id: u32,
    object: u64,
}

impl LockId {
    /// Of what a register points to; `None` if nothing can be locked there.
    pub(super) fn of(reg: &RegState) -> Option<Self> {
        let object = match reg.kind {
            Kind::MapValue { map: MapRef { index, inner }, .. } => {
                4 + 2 * u64::from(index.0) + u64::from(inner)
            }
            Kind::BtfId { btf: BtfRef::Program, .. } => 1,
            // Behind all maps: there are no more than 64.
            Kind::BtfId { btf: BtfRef::Maps(at), .. } => (1 << 32) + u64::from(at),
            _ => return None,
        };
        Some(Self { id: reg.id.0, object })
    }

    /// Whether it is the one lock of a state that has only one.
    pub(super) fn is_only(self, resources: &Resources) -> bool {
        (self.id, self.object) == (resources.lock_id, resources.lock_object)
    }

    /// Whether a lock of one of these kinds is held (`find_lock_state`).
    pub(super) fn is_held<'r>(
        self,
        mut held: impl Iterator<Item = &'r Reference>,
        kinds: &[RefKind],
    ) -> bool {
        held.any(|reference| self.is(reference, kinds))
    }

    fn is(self, reference: &Reference, kinds: &[RefKind]) -> bool {
        kinds.contains(&reference.kind)
            && (reference.id, reference.object) == (self.id, self.object)
    }
}

/// All kinds of locks (`REF_TYPE_LOCK_MASK`).
pub(super) const LOCKS: &[RefKind] = &[RefKind::Lock, RefKind::ResLock, RefKind::ResLockIrq];

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// The lock that a register points to.
    fn find_lock(&mut self, reg: Reg, kind: LockKind) -> Step<LockId> {
        let (state, lock, number) = (self.copy_of(reg)?, kind.name(), reg.number());
        let Some(variable) = state.value.as_const() else {
            return self.env.reject(Objects::LockVariable { reg: number, lock });
        };
        let map = match state.kind {
            Kind::MapValue { map, .. } => Some((map, self.map_spec(map)?)),
            _ => None,
        };
        if let Some((map, spec)) = map.filter(|(_, spec)| !record::has_btf(spec)) {
            return self.env.reject(Objects::LockWithoutBtf { map: map.name(spec).into(), lock });
        }
        let at = match self.reg_record(&state)? {
            Some(id) => self.record(id)?.offset_of(kind.field()),
            None => None,
        };
        let Some(at) = at else {
            let (what, name) = match map {
                Some((map, spec)) => ("map", map.name(spec).into()),
                None => ("local", "kptr".into()),
            };
            return self.env.reject(Objects::NoLock { what, name, lock });
        };
        let off = variable.cast_signed().wrapping_add(i64::from(state.off));
        if i64::from(at) != off {
            return self.env.reject(Objects::NotAtLock { off, lock, at });
        }
        match LockId::of(&state) {
            Some(id) => Ok(id),
            // Only values of maps and objects of the program have fields (`reg_record`).
            None => self.env.unsupported("lock", "neither in a map nor allocated"),
        }
    }

    /// Takes the lock that a register points to.
    pub(crate) fn take_lock(&mut self, reg: Reg, kind: LockKind) -> Step {
        let lock = self.find_lock(reg, kind)?;
        // The kernel's test for two plain locks looks for one that cannot be.
        let resilient = [RefKind::ResLock, RefKind::ResLockIrq];
        if kind != LockKind::Spin && lock.is_held(self.held(), &resilient) {
            return self.env.reject(Objects::SameLock);
        }
        let LockId { id, object } = lock;
        if self.env.has(Behaviour::ReferencesOfState) {
            let kind = kind.reference();
            self.hold(Reference { kind, id, insn: self.insn, object, callback: 0 })?;
        } else if self.cur.resources.locks > 0 {
            return self.env.reject(Objects::TwoLocks);
        }
        let resources = &mut self.cur.resources;
        resources.locks = resources.locks.saturating_add(1);
        (resources.lock_id, resources.lock_object) = (id, object);
        Ok(())
    }

    /// Gives the lock back that a register points to.
    pub(crate) fn give_lock(&mut self, reg: Reg, kind: LockKind) -> Step {
        let found = self.find_lock(reg, kind)?;
        let (resources, lock) = (&self.cur.resources, kind.name());
        if resources.locks == 0 {
            return self.env.reject(Objects::NotLocked { lock });
        }
        if !self.env.has(Behaviour::ReferencesOfState) {
            if !found.is_only(resources) {
                return self.env.reject(Objects::OtherLock { lock });
            }
            let resources = &mut self.cur.resources;
            (resources.locks, resources.lock_id, resources.lock_object) = (0, 0, 0);
            return self.invalidate_non_owning();
        }
        if !found.is_held(self.held(), &[kind.reference()]) {
            return self.env.reject(Objects::OtherLock { lock });
        }
        if (found.id, found.object) != (resources.lock_id, resources.lock_object) {
            return self.env.reject(Objects::LockOrder { lock });
        }
        self.release_lock(found, kind.reference())?;
        self.invalidate_non_owning()
    }

    /// `release_lock_state`: the lock taken before the one given back becomes the innermost.
    fn release_lock(&mut self, lock: LockId, kind: RefKind) -> Step {
        let is = |held: &Reference| lock.is(held, &[kind]);
        let mut outer = None;
        for held in self.held() {
            if is(held) {
                outer = None;
            } else if outer.is_none() && LOCKS.contains(&held.kind) {
                outer = Some((held.id, held.object));
            }
        }
        let Self { env, store, cur, .. } = self;
        let resources = &mut cur.resources;
        if store.refs.remove(&env.budget, &mut resources.refs, true, is)? {
            resources.locks = resources.locks.saturating_sub(1);
            (resources.lock_id, resources.lock_object) = outer.unwrap_or_default();
        }
        Ok(())
    }

    /// Refuses calls that may not be made under a lock (`do_check_insn`).
    pub(crate) fn check_call_under_lock(&mut self, call: CallKind) -> Step {
        if self.cur.resources.locks == 0 {
            return Ok(());
        }
        let allowed = match call {
            CallKind::Subprog { .. } => true,
            CallKind::Helper { id } => id == SPIN_UNLOCK,
            CallKind::Kfunc { .. } => self.kfunc_allowed_under_lock()?,
        };
        if allowed { Ok(()) } else { self.env.reject(Objects::CallUnderLock) }
    }
}

/// `BPF_FUNC_spin_unlock`
const SPIN_UNLOCK: i32 = 94;
