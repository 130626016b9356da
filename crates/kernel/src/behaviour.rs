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
    ($($(#[doc = $doc:literal])+
       $name:ident $id:literal since $since:literal $(probe $probe:literal)?),+ $(,)?) => {
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

            /// The case of a rule file that shows it, as `FILE: CASE`; `None` if there is none.
            #[must_use]
            pub const fn probe(self) -> Option<&'static str> {
                match self { $(Self::$name => behaviours!(@probe $($probe)?)),+ }
            }

            /// Finds a behaviour by its identifier.
            #[must_use]
            pub fn from_id(id: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|behaviour| behaviour.id() == id)
            }
        }
    };
    (@probe) => { None };
    (@probe $probe:literal) => { Some($probe) };
}

behaviours! {
    /// `may_goto` (`BPF_JMP | BPF_JCOND`) is an instruction.
    MayGoto "may-goto" since "6.9",
    /// `may_goto` may have the offset 0.
    MayGotoNext "may-goto-next" since "6.15"
        probe "behaviours_calls: may_goto to the next instruction",
    /// Load-acquire and store-release are instructions.
    LoadAcquireStoreRelease "load-acquire-store-release" since "6.15"
        probe "behaviours_memory: load-acquire of eight bytes",
    /// `gotox`, a jump through a register and an instruction array, is an instruction.
    IndirectJump "indirect-jump" since "6.19",
    /// Loops converge by strongly connected components of the control flow graph, before that by
    /// loop entries.
    SccLoops "scc-loops" since "6.17",
    /// Negation keeps the range of its operand.
    NegKeepsRange "neg-keeps-range" since "6.18"
        probe "behaviours_values: negation",
    /// AND and OR of a register that is 0 or -1 go on as two states (`maybe_fork_scalars`). Also in
    /// 6.12.117 by a backport, and not in 6.18.15.
    ForkOnSignMask "fork-on-sign-mask" since "7.0"
        probe "behaviours_values: AND of a sign mask",
    /// A signed range of the low half that crosses the sign learns from an unsigned one that meets
    /// only one of its parts (`__reg32_deduce_bounds`).
    SignCrossingLowHalf "sign-crossing-low-half" since "7.0"
        probe "behaviours_values: signed range of the low half that crosses the sign",
    /// The 64-bit ranges learn from the signed range of the low half as well
    /// (`__reg_deduce_mixed_bounds`).
    SignedLowHalf "signed-low-half" since "7.0",
    /// Unsigned sums and differences keep a range where both ends wrap; before that any overflow
    /// forgets it (`scalar_min_max_add`, `scalar_min_max_sub`).
    BothEndsWrap "both-ends-wrap" since "6.17"
        probe "behaviours_values: sum of which both ends wrap",
    /// Products keep signed ranges and whatever does not overflow; before that the product is
    /// unbounded if a factor may be negative or exceeds half of the width (`scalar_min_max_mul`).
    SignedProducts "signed-products" since "6.14"
        probe "behaviours_values: signed product",
    /// The bits of a product come from the union of both cases of an unknown bit (`tnum_mul`).
    UnionProduct "union-product" since "6.18"
        probe "behaviours_values: bits of a product",
    /// A shift left by 32 keeps a signed range of the low half that is below zero
    /// (`__scalar64_min_max_lsh`).
    NegativeShiftBy32 "negative-shift-by-32" since "7.0"
        probe "behaviours_values: shift by 32 of a negative number",
    /// Loading the return value of a function from the context forgets what the register held
    /// before its range is set; otherwise that is only narrowed (`check_mem_access`).
    RestartReturnValue "restart-return-value" since "7.0"
        probe "behaviours_values: return value loaded over a known number",
    /// A number that loses its link to others loses its distance too (`clear_scalar_id`).
    DistanceGoesWithId "distance-goes-with-id" since "7.0"
        probe "behaviours_values: distance of a number that was linked before",
    /// `r += r` does not count as a distance between linked numbers (`adjust_reg_min_max_vals`).
    SelfSumUnlinked "self-sum-unlinked" since "7.0"
        probe "behaviours_values: sum of a linked number with itself",
    /// A 32-bit comparison of a pointer decides nothing (`is_branch_taken`).
    HalfPointerUndecided "half-pointer-undecided" since "7.0"
        probe "behaviours_values: 32-bit comparison of a map",
    /// A pointer that may be half a gigabyte or more away may be null (`reg_not_null`).
    FarPointerMayBeNull "far-pointer-may-be-null" since "7.0"
        probe "behaviours_values: pointer far away",
    /// Pointers to buffers and XDP sockets are never null (`reg_not_null`).
    BufferNeverNull "buffer-never-null" since "7.0"
        probe "behaviours_values: buffer tested twice",
    /// A pointer that equals another is not null only if that one is certainly not null; otherwise,
    /// if exactly that one is not of a type that may be null (`check_cond_jmp_op`).
    EqualToValidPointer "equal-to-valid-pointer" since "7.0"
        probe "behaviours_values: pointer equal to one into the stack",
    /// Too many pending branches refuse the program with E2BIG everywhere (`push_stack`,
    /// `push_async_cb`); otherwise the errno depends on the caller.
    BranchLimitE2big "branch-limit-e2big" since "7.0"
        probe "behaviours_values: too many branches",
    /// `number += pointer` makes the register a copy of the pointer before it moves; otherwise only
    /// type and id are taken over (`adjust_ptr_min_max_vals`).
    ScalarPlusPointerCopies "scalar-plus-pointer-copies" since "7.0"
        probe "behaviours_values: number plus frame pointer of a subprogram",
    /// Arithmetic with an arena pointer as the second operand is allowed and gives an arena pointer
    /// (`adjust_reg_min_max_vals`).
    ArenaEitherOperand "arena-either-operand" since "7.0"
        probe "behaviours_memory: number plus arena pointer",
    /// Loads from arenas may extend the sign (`convert_ctx_accesses`).
    ArenaSignExtension "arena-sign-extension" since "6.18"
        probe "behaviours_memory: sign-extending load from an arena",
    /// An error on a speculative path ends the path with a barrier instead of refusing the program
    /// (`do_check`). With it goes ENOMEM for a path that cannot be pushed.
    SpeculationBarriers "speculation-barriers" since "6.17"
        probe "behaviours_values: misprediction reads what is not initialised",
    /// Stack that a callee only reads keeps what was spilled there; before that every buffer of a
    /// callee counts as written (`check_stack_range_initialized`).
    ReadBuffersKeepSlots "read-buffers-keep-slots" since "6.14"
        probe "behaviours_memory: pointer spilled in a key",
    /// A pointer to a buffer must be tested for null (`check_mem_access`).
    NullableBuffersChecked "nullable-buffers-checked" since "7.0"
        probe "behaviours_memory: buffer that may be null",
    /// Atomic instructions may not be reached with pointers of different types; otherwise only
    /// arena pointers count (`check_atomic_rmw`).
    AtomicsRememberPointer "atomics-remember-pointer" since "7.0"
        probe "behaviours_memory: atomic instruction with different pointers",
    /// Writes through untrusted pointers are refused before the program type is asked
    /// (`check_ptr_to_btf_access`).
    UntrustedIsReadOnly "untrusted-is-read-only" since "7.0"
        probe "behaviours_memory: store through an untrusted pointer, 6.12",
    /// A member that points to no structure gives read-only untrusted memory; before that a number
    /// (`btf_struct_walk`).
    WalkToPrimitive "walk-to-primitive" since "6.17"
        probe "behaviours_memory: member that points to bytes",
    /// Nothing behind the end of an allocated object is a flexible array, and elements have a size
    /// (`btf_struct_walk`).
    ObjectsLackFlexArrays "objects-lack-flex-arrays" since "7.0"
        probe "behaviours_objects: flexible array of an object",
    /// Arguments and results of kernel functions may be unions (`btf_type_is_struct`).
    UnionsByValue "unions-by-value" since "6.15"
        probe "behaviours_calls: union by value",
    /// Qualifiers do not matter when a context argument is found to point to `void` or a number
    /// (`is_void_or_int_ptr`).
    QualifiedVoidPointers "qualified-void-pointers" since "6.17"
        probe "behaviours_memory: qualified void pointer",
    /// A pointer stored to a map value is per CPU exactly if the field is (`map_kptr_match_type`).
    PercpuKptrMatches "percpu-kptr-matches" since "7.0"
        probe "behaviours_objects: object in a pointer to per-CPU memory",
    /// Null for a nullable argument, flags of `get_local_storage` and null stored to a kptr become
    /// precise (`check_func_arg`, `check_helper_call`, `check_map_kptr_access`).
    PreciseNulls "precise-nulls" since "7.0"
        probe "behaviours_memory: null as an argument that may be null",
    /// A lookup in an array with a constant key inside of it is not null (`get_constant_map_key`).
    ConstantKeysNotNull "constant-keys-not-null" since "6.14"
        probe "behaviours_memory: constant key of an array",
    /// Exits, tail calls and classic loads test references before locks, interrupts, RCU and
    /// preemption, with texts of one form (`check_resource_leak`).
    UnifiedRegionChecks "unified-region-checks" since "6.14"
        probe "behaviours_objects: lock held at the end",
    /// A tail call in a subprogram goes on as a call that failed and as a return; the main program
    /// keeps its packet pointers (`check_helper_call`).
    TailCallReturns "tail-call-returns" since "6.19"
        probe "behaviours_calls: tail call that returns",
    /// A classic packet load in a subprogram goes on as a load and as a return of 0, and is refused
    /// in callbacks (`check_ld_abs`).
    ClassicLoadReturns "classic-load-returns" since "7.0"
        probe "behaviours_calls: classic load that returns",
    /// A helper with two referenced arguments is refused with EACCES; before that it is a bug of
    /// the verifier (`check_func_arg`).
    TwoReferencesRefused "two-references-refused" since "6.18"
        probe "behaviours_objects: two references to a helper",
    /// `bpf_rbtree_remove` takes references as well as non-owning pointers, and says which function
    /// it is about (`check_kfunc_args`).
    RbtreeTakesReferences "rbtree-takes-references" since "6.16"
        probe "behaviours_objects: owned node is removed from a tree",
    /// What a callback of `bpf_rbtree_add` may not do holds for functions that it calls, too
    /// (`in_rbtree_lock_required_cb`).
    RbtreeCallbackAtDepth "rbtree-callback-at-depth" since "7.0"
        probe "behaviours_objects: lock below a tree's callback",
    /// A refcounted object without a reference of its own is not owned: `bpf_refcount_acquire` may
    /// return null (`check_kfunc_args`).
    RefcountNeedsReference "refcount-needs-reference" since "7.0",
    /// The size of a buffer that a kfunc returns must fit 32 bits (`check_kfunc_args`).
    BufferSizeFits "buffer-size-fits" since "7.0",
    /// `bpf_rdonly_cast` takes the type 0 for plain memory (`check_special_kfunc`).
    CastToMemory "cast-to-memory" since "6.17"
        probe "behaviours_calls: cast to memory",
    /// Number iterators may be used while a lock is held (`kfunc_spin_allowed`).
    IteratorsUnderLock "iterators-under-lock" since "6.14"
        probe "behaviours_objects: iterator under a lock",
    /// Pointers to work queues in map values must have a constant offset, and maps BTF
    /// (`check_map_field_pointer`).
    ConstantFieldPointers "constant-field-pointers" since "6.18"
        probe "behaviours_objects: work queue at a variable offset",
    /// Kfuncs say by a flag that they follow the fastcall contract; before that there are two by
    /// name (`is_fastcall_kfunc_call`).
    FastcallFlag "fastcall-flag" since "6.13"
        probe "behaviours_calls: spill and fill around a kfunc that is a fastcall",
    /// Spills and fills around a fastcall are no pattern where a jump leads between them
    /// (`mark_fastcall_pattern_for_call`).
    FastcallAvoidsTargets "fastcall-avoids-targets" since "7.0"
        probe "behaviours_calls: jump between a spill and its fastcall",
    /// Global functions that may sleep are refused where that is forbidden; before that all are
    /// where preemption is disabled (`check_func_call`).
    GlobalCallsBySleep "global-calls-by-sleep" since "6.15"
        probe "behaviours_calls: global call without preemption",
    /// The main program cannot be a callback (`check_ld_imm`).
    MainIsNoCallback "main-is-no-callback" since "7.0"
        probe "behaviours_calls: main program as a callback",
    /// Callbacks know which inner map their arguments belong to (`map_set_for_each_callback_args`).
    CallbacksKnowMap "callbacks-know-map" since "7.0"
        probe "behaviours_objects: timer of an inner map in a callback",
    /// Arguments of global functions may be tagged untrusted (`btf_prepare_func_args`).
    UntrustedArguments "untrusted-arguments" since "6.17"
        probe "behaviours_calls: untrusted argument",
    /// Of the memory arguments of a global function only those that may be null get an id
    /// (`do_check_common`).
    OnlyNullableArgumentsHaveIds "only-nullable-arguments-have-ids" since "6.17"
        probe "behaviours_calls: one of two memory arguments of a global function",
    /// Whether a callback may sleep depends on the callback only; before that all of a sleepable
    /// program's may (`in_sleepable`).
    StateSleeps "state-sleeps" since "6.18"
        probe "behaviours_objects: timer callback of a sleepable program",
    /// References belong to the state; before that each frame has its own list, which calls copy
    /// (`copy_reference_state`).
    ReferencesOfState "references-of-state" since "6.14"
        probe "behaviours_objects: reference taken below a callback",
    /// Results of struct_ops members that return a pointer are tested (`check_return_code`).
    StructOpsReturns "struct-ops-returns" since "6.16"
        probe "behaviours_calls: packet from a qdisc",
    /// Uprobe sessions return 0 or 1 (`check_return_code`).
    UprobeSessionReturns "uprobe-session-returns" since "6.13"
        probe "behaviours_calls: result of a uprobe session",
    /// LSM programs of cgroups may not be sleepable (`can_be_sleepable`).
    LsmCgroupNeverSleeps "lsm-cgroup-never-sleeps" since "7.0"
        probe "behaviours_calls: sleepable LSM program of a cgroup",
    /// Refusing to attach to a function names it (`check_attach_btf_id`).
    DenialsNameFunctions "denials-name-functions" since "6.18"
        probe "behaviours_calls: denied function",
    /// Programs that use the return value cannot attach to functions that return more than eight
    /// bytes (`bpf_check_attach_target`).
    WideResultsRefused "wide-results-refused" since "7.0",
    /// Cgroup storage and arenas are assigned when a map is met first, before offsets into it are
    /// tested (`check_map_prog_compatibility`).
    MapRulesFirst "map-rules-first" since "6.14"
        probe "behaviours_memory: second cgroup storage",
    /// Negative indexes in access strings of CO-RE relocations are refused; else they lead to what
    /// stands before the type (`bpf_core_parse_spec`).
    CoreIndexesChecked "core-indexes-checked" since "7.0"
        probe "behaviours_core: a negative first index",
    /// An instruction that no CO-RE relocation can change is refused even if the relocation has no
    /// answer, and said to be so (`bpf_core_patch_insn`).
    CoreFormFirst "core-form-first" since "7.0"
        probe "behaviours_core: no answer for a jump",
    /// A load of a field that is an array may have the size of its elements
    /// (`bpf_core_calc_field_relo`).
    CoreElementSizes "core-element-sizes" since "6.15"
        probe "behaviours_core: elements of another size",
    /// A program may say how many descriptors its array has (`process_fd_array`).
    CountedFdArray "counted-fd-array" since "6.14"
        probe "behaviours_calls: counted array of descriptors",
    /// A lock, timer, work queue or refcount may be there once in all nested structures; otherwise
    /// once in each, and any number of refcounts (`btf_find_struct_field`).
    FieldsOnceInAll "fields-once-in-all" since "7.0",
    /// A number without a link covers one that is linked, and a link at a distance counts only if
    /// what it is a distance to corresponds, too (`regsafe`, `check_scalar_ids`).
    UnlinkedCoversLinked "unlinked-covers-linked" since "7.0"
        probe "behaviours_values: independent numbers, then linked ones",
    /// A packet pointer at or beyond the end covers only one that is as far (`regsafe`).
    PacketEndsMatch "packet-ends-match" since "7.0"
        probe "behaviours_memory: packet pointer beyond the end, then one before it",
    /// Iterators differ if one may only be used under RCU (`stacksafe`).
    IteratorTrustMatches "iterator-trust-matches" since "7.0"
        probe "behaviours_calls: iterator under RCU, then one of an earlier section",
    /// Precision of what an atomic instruction fetches comes from the stack slot that it was in
    /// (`backtrack_insn`).
    FetchedFromStack "fetched-from-stack" since "7.0"
        probe "behaviours_memory: precision of what was fetched from the stack",
    /// Where a write at a variable offset may destroy a spilled register or an object, nothing is
    /// left of it; otherwise its bytes keep their types (`check_stack_write_var_off`).
    VariableWritesScrub "variable-writes-scrub" since "7.0"
        probe "behaviours_memory: half of a spilled pointer overwritten at a variable offset",
    /// The log shows a dynptr again where it is only used (`mark_stack_slot_obj_read`).
    UsedDynptrsShown "used-dynptrs-shown" since "6.14",
    /// Arguments that are precise where a callback returned are forgotten; before that they stay
    /// sought in the function that calls back (`backtrack_insn`).
    CallbackDropsArguments "callback-drops-arguments" since "6.17",
    /// What is known of a number's bits survives a swap of its bytes (`scalar_byte_swap`).
    SwapKeepsBits "swap-keeps-bits" since "7.0"
        probe "behaviours_values: bits of a swapped number",
    /// Numbers may be linked at negative distances, and by their low halves; what follows from a
    /// link is synchronised (`adjust_reg_min_max_vals`, `sync_linked_regs`).
    AnyDistance "any-distance" since "7.0"
        probe "behaviours_values: a link at a negative distance",
    /// A number of which bits and range leave one value is that value (`__update_reg64_bounds`).
    SingleMember "single-member" since "7.0"
        probe "behaviours_values: bits and range that leave one number",
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
