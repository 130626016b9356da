// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What no image shows: parts of the verifier, behaviours, limits, and what the JIT can do.
//!
//! These are read in the source package of the very version. A version that is not listed takes
//! over what is known of its neighbours, and its profile says "assumed".

use veristable_kernel::profile::Config;
use veristable_kernel::{Behaviour, DesignId, JitFeature, Limits, Origin};

/// What is known of a version.
pub(crate) struct Entry {
    pub(crate) design: DesignId,
    pub(crate) behaviours: Vec<Behaviour>,
    pub(crate) limits: Limits,
    pub(crate) origin: Origin,
    /// Empty if the source was not read.
    pub(crate) jit: Vec<(JitFeature, bool)>,
}

/// Looks a version up; `code` is `major << 16 | minor << 8 | patch`.
pub(crate) fn entry(name: &str, code: u32, arch: &str, config: Option<&Config>) -> Entry {
    let minor = (code >> 16, (code >> 8) & 0xff);
    let known = matches!(name, "6.12.117" | "6.18.15");
    Entry {
        design: design(minor),
        behaviours: behaviours(name, minor),
        limits: LIMITS,
        origin: if known { Origin::Source } else { Origin::Assumed },
        jit: if known && arch == "amd64" { jit_amd64(minor, config) } else { Vec::new() },
    }
}

fn design(minor: (u32, u32)) -> DesignId {
    match minor {
        (0..=5, _) => DesignId::V5_10,
        (6, 0..=8) => DesignId::V6_1,
        (6, 9..=15) => DesignId::V6_12,
        (6, 16..=17) => DesignId::V6_16,
        (6, 18) => DesignId::V6_18,
        (6, _) | (7, 0..=1) => DesignId::V7_0,
        _ => DesignId::V7_2,
    }
}

fn behaviours(name: &str, minor: (u32, u32)) -> Vec<Behaviour> {
    match name {
        "6.12.117" => V6_12_117.to_vec(),
        "6.18.15" => V6_18_15.to_vec(),
        _ => Behaviour::ALL.iter().copied().filter(|b| appeared(b.since(), minor)).collect(),
    }
}

/// Each was read in the function of the kernel that the table of behaviours names, and those with
/// a probe were run in the kernel's guest.
#[rustfmt::skip]
const V6_12_117: &[Behaviour] = &{
    use Behaviour::*;
    [
        MayGoto, ForkOnSignMask, SignCrossingLowHalf, SignedLowHalf,
        NegativeShiftBy32, RestartReturnValue, DistanceGoesWithId, SelfSumUnlinked,
        HalfPointerUndecided, FarPointerMayBeNull, BufferNeverNull,
        EqualToValidPointer, BranchLimitE2big, ScalarPlusPointerCopies,
        ArenaEitherOperand, NullableBuffersChecked, AtomicsRememberPointer,
        UntrustedIsReadOnly, ObjectsLackFlexArrays, PercpuKptrMatches, PreciseNulls,
        ClassicLoadReturns, RbtreeCallbackAtDepth, RefcountNeedsReference,
        BufferSizeFits, FastcallAvoidsTargets, MainIsNoCallback, CallbacksKnowMap,
        LsmCgroupNeverSleeps, WideResultsRefused, FieldsOnceInAll,
        UnlinkedCoversLinked, PacketEndsMatch, IteratorTrustMatches, FetchedFromStack,
        VariableWritesScrub, CoreIndexesChecked, CoreFormFirst,
    ]
};

/// As [`V6_12_117`].
#[rustfmt::skip]
const V6_18_15: &[Behaviour] = &{
    use Behaviour::*;
    [
        MayGoto, MayGotoNext, LoadAcquireStoreRelease, SccLoops, NegKeepsRange,
        BothEndsWrap, SignedProducts, UnionProduct, SpeculationBarriers,
        ReadBuffersKeepSlots, WalkToPrimitive, UnionsByValue, QualifiedVoidPointers,
        ConstantKeysNotNull, UnifiedRegionChecks, TailCallReturns,
        TwoReferencesRefused, RbtreeTakesReferences, CastToMemory,
        IteratorsUnderLock, ConstantFieldPointers, FastcallFlag, GlobalCallsBySleep,
        UntrustedArguments, OnlyNullableArgumentsHaveIds, StateSleeps,
        ReferencesOfState, StructOpsReturns, UprobeSessionReturns,
        DenialsNameFunctions, MapRulesFirst, CountedFdArray,
        ArenaSignExtension, CallbackDropsArguments, UsedDynptrsShown,
        CoreElementSizes,
    ]
};

fn appeared(since: &str, minor: (u32, u32)) -> bool {
    let mut numbers = since.split('.').map(|number| number.parse().unwrap_or(u32::MAX));
    (numbers.next().unwrap_or(u32::MAX), numbers.next().unwrap_or(0)) <= minor
}

/// The same in 6.12.117 and 6.18.15; see [`Limits`] for where each is.
const LIMITS: Limits = Limits {
    complexity_insns: 1_000_000,
    unprivileged_insns: 4096,
    complexity_jmp_seq: 8192,
    complexity_states: 64,
    call_frames: 8,
    subprogs: 256,
    used_maps: 64,
    used_btfs: 64,
    kfuncs: 256,
    kfunc_btfs: 256,
    stack: 512,
    var_off: 1 << 29,
    var_size: 1 << 29,
    packet_off: 0xffff,
    func_args: 12,
    tail_calls: 33,
    loops: 8 * 1024 * 1024,
};

/// `arch/x86/net/bpf_jit_comp.c`; a function that is not there has the weak definition of
/// `kernel/bpf/core.c`, which answers no.
fn jit_amd64(minor: (u32, u32), config: Option<&Config>) -> Vec<(JitFeature, bool)> {
    use JitFeature::*;
    let is_set = |name: &str| config.and_then(|config| config.get(name)) == Some("y");
    let since_6_18 = minor >= (6, 18);
    vec![
        (NeedsZext, false),
        (SubprogTailcalls, true),
        (PercpuInsn, true),
        (KfuncCall, true),
        (FarKfuncCall, false),
        (Arena, true),
        (PtrXchg, true),
        (Exceptions, is_set("UNWINDER_ORC")),
        (PrivateStack, since_6_18),
        (TimedMayGoto, since_6_18),
        (BypassSpecV1, false),
        (BypassSpecV4, false),
        (EfficientUnalignedAccess, is_set("HAVE_EFFICIENT_UNALIGNED_ACCESS")),
        (LoadAcquireStoreRelease, since_6_18),
    ]
}
