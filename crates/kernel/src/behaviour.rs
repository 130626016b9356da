// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Behaviours: what differs between the verifiers of different kernels, in one table.
//!
//! A behaviour is a known difference: an identifier, a sentence, and where it appeared. The table
//! generates the enum, the documentation and the set. A profile lists the behaviours that its
//! kernel has; none is inferred from a version number when the verifier runs.

use core::fmt;
use serde::{Deserialize, Serialize};

/// The parts that a verifier is made of where kernels differ by design and not by a detail.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DesignId {
    /// 5.10 to 6.6: parentage marks, no loops but bounded ones, quad bounds.
    V5_10,
    /// 6.1.
    V6_1,
    /// 6.12: loop entries.
    V6_12,
    /// 6.16 and 6.17: strongly connected components, parentage marks.
    V6_16,
    /// 6.18: stack liveness recorded during simulation, register liveness before it.
    V6_18,
    /// 6.19 to 7.1.
    V7_0,
    /// From 7.2 on: circular numbers, liveness before simulation, ids with parents.
    V7_2,
}

impl DesignId {
    /// Name as on the command line: `v6.18`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V5_10 => "v5.10",
            Self::V6_1 => "v6.1",
            Self::V6_12 => "v6.12",
            Self::V6_16 => "v6.16",
            Self::V6_18 => "v6.18",
            Self::V7_0 => "v7.0",
            Self::V7_2 => "v7.2",
        }
    }
}

impl fmt::Display for DesignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! behaviours {
    ($($(#[doc = $doc:literal])+ $name:ident $id:literal since $since:literal),+ $(,)?) => {
        /// A known difference between verifiers.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        #[repr(u16)]
        pub enum Behaviour { $($(#[doc = $doc])+ #[doc = concat!("\n\nAppeared in ", $since, ".")] $name),+ }

        impl Behaviour {
            /// The table, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Identifier that never changes, as profiles write it.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id),+ }
            }

            /// Where it appeared: a mainline version.
            #[must_use]
            pub const fn since(self) -> &'static str {
                match self { $(Self::$name => $since),+ }
            }

            /// What it is, in a sentence or two.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+)),+ }
            }

            /// Finds a behaviour by its identifier.
            #[must_use]
            pub fn from_id(id: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|behaviour| behaviour.id() == id)
            }
        }
    };
}

behaviours! {
    /// `may_goto` (`BPF_JMP | BPF_JCOND`) is an instruction.
    MayGoto "may-goto" since "6.9",
    /// `may_goto` may have the offset 0.
    MayGotoNext "may-goto-next" since "6.15",
    /// Load-acquire and store-release are instructions.
    LoadAcquireStoreRelease "load-acquire-store-release" since "6.15",
    /// `gotox`, a jump through a register and an instruction array, is an instruction.
    IndirectJump "indirect-jump" since "6.19",
    /// Loops converge by strongly connected components of the control flow graph, before that by
    /// loop entries.
    SccLoops "scc-loops" since "6.17",
    /// Negation keeps the range of its operand.
    NegKeepsRange "neg-keeps-range" since "6.18",
    /// AND and OR of a register that is 0 or -1 go on as two states (`maybe_fork_scalars`). Also
    /// in 6.12.117 by a backport, and not in 6.18.15.
    ForkOnSignMask "fork-on-sign-mask" since "7.0",
}

const WORDS: usize = 8;

/// A set of behaviours, wide enough for some hundreds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Behaviours {
    words: [u64; WORDS],
}

impl Behaviours {
    /// Whether the kernel behaves so.
    #[must_use]
    pub fn has(&self, behaviour: Behaviour) -> bool {
        let (word, bit) = Self::place(behaviour);
        self.words.get(word).is_some_and(|w| w & bit != 0)
    }

    /// Adds or removes a behaviour.
    pub fn set(&mut self, behaviour: Behaviour, on: bool) {
        let (word, bit) = Self::place(behaviour);
        if let Some(w) = self.words.get_mut(word) {
            *w = if on { *w | bit } else { *w & !bit };
        }
    }

    /// The behaviours in the set, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = Behaviour> + '_ {
        Behaviour::ALL.iter().copied().filter(|behaviour| self.has(*behaviour))
    }

    fn place(behaviour: Behaviour) -> (usize, u64) {
        let number = behaviour as usize;
        (number / 64, 1 << (number % 64))
    }
}

const _: () = assert!(Behaviour::ALL.len() <= WORDS * 64, "widen Behaviours");

impl FromIterator<Behaviour> for Behaviours {
    fn from_iter<I: IntoIterator<Item = Behaviour>>(behaviours: I) -> Self {
        let mut set = Self::default();
        behaviours.into_iter().for_each(|behaviour| set.set(behaviour, true));
        set
    }
}

/// Numbers that bound the verifier. Each names the kernel's constant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// `BPF_COMPLEXITY_LIMIT_INSNS` (`include/linux/bpf.h`): instructions processed, and length of
    /// a program with `CAP_BPF`.
    pub complexity_insns: u32,
    /// `BPF_MAXINSNS` (`include/uapi/linux/bpf_common.h`): length of a program without `CAP_BPF`.
    pub unprivileged_insns: u32,
    /// `BPF_COMPLEXITY_LIMIT_JMP_SEQ` (`kernel/bpf/verifier.c`): pending branches.
    pub complexity_jmp_seq: u32,
    /// `BPF_COMPLEXITY_LIMIT_STATES` (`kernel/bpf/verifier.c`).
    pub complexity_states: u32,
    /// `MAX_CALL_FRAMES` (`include/linux/bpf_verifier.h`).
    pub call_frames: u32,
    /// `BPF_MAX_SUBPROGS` (`include/linux/bpf_verifier.h`).
    pub subprogs: u32,
    /// `MAX_USED_MAPS` (`include/linux/bpf_verifier.h`).
    pub used_maps: u32,
    /// `MAX_USED_BTFS` (`include/linux/bpf_verifier.h`).
    pub used_btfs: u32,
    /// `MAX_KFUNC_DESCS` (`kernel/bpf/verifier.c`).
    pub kfuncs: u32,
    /// `MAX_KFUNC_BTFS` (`kernel/bpf/verifier.c`).
    pub kfunc_btfs: u32,
    /// `MAX_BPF_STACK` (`include/linux/filter.h`), in bytes.
    pub stack: u32,
    /// `BPF_MAX_VAR_OFF` (`include/linux/bpf_verifier.h`).
    pub var_off: u32,
    /// `BPF_MAX_VAR_SIZ` (`include/linux/bpf_verifier.h`).
    pub var_size: u32,
    /// `MAX_PACKET_OFF` (`kernel/bpf/verifier.c`).
    pub packet_off: u32,
    /// `MAX_BPF_FUNC_ARGS` (`include/linux/bpf.h`).
    pub func_args: u32,
    /// `MAX_TAIL_CALL_CNT` (`include/linux/bpf.h`).
    pub tail_calls: u32,
    /// `BPF_MAX_LOOPS` (`include/linux/bpf_verifier.h` or `kernel/bpf/bpf_iter.c`).
    pub loops: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_was_put_in() {
        let set: Behaviours = [Behaviour::MayGoto, Behaviour::SccLoops].into_iter().collect();
        assert!(set.has(Behaviour::MayGoto) && !set.has(Behaviour::IndirectJump));
        assert_eq!(set.iter().count(), 2);
    }

    #[test]
    fn identifiers_are_unique() {
        for (at, behaviour) in Behaviour::ALL.iter().enumerate() {
            assert_eq!(Behaviour::from_id(behaviour.id()), Some(*behaviour));
            assert_eq!(*behaviour as usize, at);
        }
    }
}
