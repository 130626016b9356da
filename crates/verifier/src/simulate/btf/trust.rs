// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which pointers to kernel objects can be relied on, and what a pointer found in an object
//! inherits.

use crate::design::Design;
use crate::simulate::sim::Sim;
use crate::state::RegState;
use crate::trace::Observer;
use veristable_btf::{Btf, Kind, TypeId};
use veristable_kernel::{RegBase, TypeFlags};

/// Modifiers of a pointer that say that it can be trusted (`BPF_REG_TRUSTED_MODIFIERS`).
pub(crate) const TRUSTED: TypeFlags =
    TypeFlags::MEM_ALLOC.union(TypeFlags::PTR_TRUSTED).union(TypeFlags::NON_OWN_REF);

/// Whether there are modifiers besides those that stand for trust
/// (`bpf_type_has_unsafe_modifiers`).
pub(crate) const fn has_unsafe_modifiers(flags: TypeFlags) -> bool {
    !flags.difference(TRUSTED).is_empty()
}

/// Whether a pointer points to a live object for sure (`is_trusted_reg`).
pub(crate) const fn is_trusted(reg: &RegState) -> bool {
    if reg.ref_id != 0 {
        return true;
    }
    // `reg2btf_ids`: these stand for a kernel structure and are trusted as such.
    let stands_for_struct = matches!(
        reg.kind.base(),
        RegBase::Socket | RegBase::SockCommon | RegBase::TcpSock | RegBase::ConstMapPtr
    );
    !has_unsafe_modifiers(reg.flags) && (stands_for_struct || reg.flags.intersects(TRUSTED))
}

/// Whether an object lives as long as the RCU read section (`is_rcu_reg`).
pub(crate) const fn is_rcu(reg: &RegState) -> bool {
    reg.flags.contains(TypeFlags::MEM_RCU)
}

/// Removes every sign of trust (`clear_trusted_flags`).
pub(crate) const fn without_trust(flags: TypeFlags) -> TypeFlags {
    flags.difference(TRUSTED).difference(TypeFlags::MEM_RCU)
}

bitflags::bitflags! {
    /// What the kernel promises of a member, by structures of its own whose names end so
    /// (`btf_nested_type_is_trusted`).
    #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
    pub(crate) struct Safe: u8 {
        /// `__safe_trusted`: trusted, never null.
        const TRUSTED = 1 << 0;
        /// `__safe_trusted_or_null`
        const TRUSTED_OR_NULL = 1 << 1;
        /// `__safe_rcu`: lives as long as the RCU read section, never null.
        const RCU = 1 << 2;
        /// `__safe_rcu_or_null`
        const RCU_OR_NULL = 1 << 3;
    }
}

/// The longest name with its suffix, as the kernel's buffer holds it.
const SAFE_NAME: usize = 64;

/// What is promised of the member `member` of type `id`, which points to a `target`.
pub(super) fn promises(btf: &Btf<'_>, id: TypeId, member: &str, target: TypeId) -> Safe {
    let Ok(ty) = btf.type_by_id(id) else { return Safe::default() };
    let suffixes = [
        ("__safe_trusted", Safe::TRUSTED),
        ("__safe_trusted_or_null", Safe::TRUSTED_OR_NULL),
        ("__safe_rcu", Safe::RCU),
        ("__safe_rcu_or_null", Safe::RCU_OR_NULL),
    ];
    let holds = |suffix: &str| {
        let mut buffer = [0u8; SAFE_NAME];
        let name = join(ty.name_bytes(), suffix.as_bytes(), &mut buffer);
        let safe = name.and_then(|name| btf.find(name, |kind| kind == ty.kind()));
        let safe = safe.and_then(|id| btf.type_by_id(id).ok());
        safe.is_some_and(|safe| {
            safe.members().any(|field| {
                let pointer = btf.type_by_id(field.type_id).ok();
                let pointee = pointer.filter(|ty| ty.kind() == Kind::Ptr);
                let pointee = pointee.and_then(|ty| btf.skip_modifiers(ty.target()?).ok());
                pointee.is_some_and(|ty| ty.id() == target) && field.name() == member
            })
        })
    };
    let held = suffixes.into_iter().filter(|(suffix, _)| holds(suffix));
    held.fold(Safe::default(), |all, (_, safe)| all | safe)
}

/// One name behind the other, if there is room for both and the zero that C needs.
fn join<'b>(name: &[u8], suffix: &[u8], buffer: &'b mut [u8; SAFE_NAME]) -> Option<&'b [u8]> {
    let len = name.len() + suffix.len();
    if len >= SAFE_NAME {
        return None;
    }
    buffer.get_mut(..name.len())?.copy_from_slice(name);
    buffer.get_mut(name.len()..len)?.copy_from_slice(suffix);
    buffer.get(..len)
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// What a pointer has after it was loaded from `from`, with the modifiers `flags` that the
    /// walk found and what the kernel promises of the member.
    pub(crate) fn inherited_trust(
        &self,
        from: &RegState,
        mut flags: TypeFlags,
        safe: Safe,
    ) -> TypeFlags {
        if from.flags.contains(TypeFlags::PTR_UNTRUSTED) {
            return TypeFlags::PTR_UNTRUSTED;
        }
        if !is_trusted(from) && !is_rcu(from) {
            return without_trust(flags);
        }
        if safe.contains(Safe::TRUSTED) {
            return flags | TypeFlags::PTR_TRUSTED;
        }
        if safe.contains(Safe::TRUSTED_OR_NULL) {
            return flags | TypeFlags::PTR_TRUSTED | TypeFlags::PTR_MAYBE_NULL;
        }
        if !self.in_rcu() || from.may_be_null() {
            return TypeFlags::PTR_UNTRUSTED;
        }
        if safe.contains(Safe::RCU) {
            return flags | TypeFlags::MEM_RCU;
        }
        let promised = safe.contains(Safe::RCU_OR_NULL);
        if promised || flags.contains(TypeFlags::MEM_RCU) {
            flags |= TypeFlags::MEM_RCU | TypeFlags::PTR_MAYBE_NULL;
            flags.set(
                TypeFlags::PTR_UNTRUSTED,
                flags.contains(TypeFlags::PTR_UNTRUSTED) && !promised,
            );
            return flags;
        }
        if flags.intersects(TypeFlags::MEM_PERCPU | TypeFlags::MEM_USER) {
            return flags;
        }
        without_trust(flags)
    }
}
