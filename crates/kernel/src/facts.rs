// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The answers: plain views of what a kernel is known to be.

use crate::{ArgType, BtfKind, KfuncFlags, RegType, RetType};
use core::fmt;
use serde::{Deserialize, Serialize};
use veristable_btf::TypeId;

/// A type of the kernel's BTF, by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TypeRef<'k> {
    /// Kind of the type.
    pub kind: BtfKind,
    /// Name.
    pub name: &'k str,
    /// Id in the BTF of this kernel; `None` if it is to be looked up by name.
    pub id: Option<u32>,
}

/// What a program of one type gets as its context (a pair of members of `struct bpf_ctx_convert`,
/// `kernel/bpf/btf.c`), as types of the kernel's BTF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContextTypes {
    /// As programs see it, e.g. `__sk_buff`.
    pub program: TypeId,
    /// As the kernel has it, e.g. `sk_buff`; often a pointer or a number where there is no structure.
    pub kernel: TypeId,
}

/// Which kernel type belongs to a helper's argument or return value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HelperBtf<'k> {
    /// None.
    None,
    /// This one.
    Type(TypeRef<'k>),
    /// Set by the verifier from the other arguments (`BPF_PTR_POISON`).
    FromArguments,
    /// The kernel fills a variable of this name when it boots, and its value is not known.
    Runtime(&'k str),
}

/// One argument of a helper.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HelperArg<'k> {
    /// Type.
    pub ty: ArgType,
    /// Kernel type, for arguments that point to one.
    pub btf: HelperBtf<'k>,
    /// Bytes behind the pointer (`arg_size`), for arguments with `MEM_FIXED_SIZE`; otherwise 0.
    pub size: u32,
}

/// What `bpf_func_proto.allowed` says about the program (`check_helper_call`: "helper call is not
/// allowed in probe").
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Allowed {
    /// There is no such callback, or it agrees.
    Yes,
    /// It refuses this program.
    No,
    /// It cannot be foretold; the text says why.
    Unknown(crate::Fact),
}

/// A helper as one program sees it: `struct bpf_func_proto`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Helper<'k> {
    /// Symbol of the prototype, e.g. `bpf_map_lookup_elem_proto`.
    pub proto: &'k str,
    /// Symbol of the function; `None` where the prototype has a poisoned pointer because the
    /// verifier replaces every call.
    pub func: Option<&'k str>,
    /// Only for programs under a GPL-compatible license.
    pub gpl_only: bool,
    /// Arguments may point into the packet.
    pub pkt_access: bool,
    /// May sleep.
    pub might_sleep: bool,
    /// Registers may survive the call (`bpf_fastcall`).
    pub allow_fastcall: bool,
    /// Return type.
    pub ret: RetType,
    /// Kernel type of the return value.
    pub ret_btf: HelperBtf<'k>,
    /// The five arguments.
    pub args: [HelperArg<'k>; 5],
    /// Whether the prototype's own check lets the program call it.
    pub allowed: Allowed,
}

#[expect(
    clippy::large_enum_variant,
    reason = "a verification asks about few helpers, most of which it may call"
)]
/// Whether a program may call a helper (`get_helper_proto` of `kernel/bpf/verifier.c`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HelperAnswer<'k> {
    /// The number is outside the kernel's range: "invalid func".
    NoSuchHelper,
    /// "program of this type cannot use helper".
    NotForProgram,
    /// It may.
    Available(Helper<'k>),
}

/// How a kfunc is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KfuncRef<'a> {
    /// By name.
    Name(&'a str),
    /// By the id of its `BTF_KIND_FUNC` in the kernel's BTF.
    BtfId(u32),
}

/// A kfunc as one program sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kfunc<'k> {
    /// Name.
    pub name: &'k str,
    /// Id of its `BTF_KIND_FUNC`; `None` if it is to be looked up by name.
    pub btf_id: Option<u32>,
    /// Flags.
    pub flags: KfuncFlags,
    /// Whether the program may call it: it is in a set of the program type's hook, and no filter
    /// refuses (`btf_kfunc_id_set_contains`, from 7.2 on with `btf_kfunc_is_allowed`).
    pub allowed: bool,
}

/// Read or write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// A load.
    Read,
    /// A store.
    Write,
}

/// One access to the context.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CtxAccess {
    /// Offset in bytes from the start of the context.
    pub offset: i32,
    /// Size in bytes.
    pub size: u32,
    /// Read or write.
    pub direction: Direction,
    /// A sign-extending load (`BPF_MEMSX`).
    pub sign_extend: bool,
}

/// What a permitted context access yields (`struct bpf_insn_access_aux`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CtxField<'k> {
    /// Type of the register after a read.
    pub ty: RegType,
    /// Kernel type, if the register points to one.
    pub btf: Option<TypeRef<'k>>,
    /// Size of the whole field if a narrower access is converted (`ctx_field_size`), otherwise 0.
    pub field_size: u32,
    /// The value is the traced function's return value (`is_retval`).
    pub is_retval: bool,
    /// The access passes this check, and the conversion refuses it later ("bpf verifier is
    /// misconfigured"); seen in 5.10 and 6.16.
    pub conversion_fails: bool,
}

/// Whether a program may access its context so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CtxAnswer<'k> {
    /// "invalid bpf_context access".
    Refused,
    /// It may.
    Allowed(CtxField<'k>),
    /// The context is the arguments of a kernel function: `btf_ctx_access` decides by its BTF, and
    /// no table was measured for this target.
    ByBtf,
}

/// The values that a program may return.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ReturnRange {
    /// Nothing is checked beyond what the verifier asks of every program.
    Any,
    /// Inclusive bounds, as in "should have been in [0, 1]".
    Within(i32, i32),
}

/// Whether a program may be loaded with `BPF_F_SLEEPABLE`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sleepable<'k> {
    /// It may.
    Yes,
    /// The message that the kernel gave; empty if it was not kept.
    No(&'k str),
}

/// What is fixed for a program by its type and attachment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProgTypeFacts<'k> {
    /// Symbol of the `struct bpf_verifier_ops`.
    pub verifier_ops: &'k str,
    /// The context's structure as programs see it, e.g. `__sk_buff`, where it is one.
    pub context_struct: Option<&'k str>,
    /// There is a `get_func_proto`.
    pub has_helpers: bool,
    /// There is an `is_valid_access`.
    pub has_context_access: bool,
    /// There is a `gen_ld_abs` of its own.
    pub has_gen_ld_abs: bool,
    /// There is a `gen_prologue`.
    pub has_prologue: bool,
    /// Symbol of `btf_struct_access`, which permits writes through BTF pointers, if there is one.
    pub btf_struct_access: Option<&'k str>,
}

/// A map type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapTypeFacts<'k> {
    /// Symbol of the `struct bpf_map_ops`.
    pub ops: &'k str,
    /// Implemented operations: name in `struct bpf_map_ops` and symbol, sorted by name.
    pub(crate) implemented: MapOps<'k>,
    /// The kernel structure behind a map pointer (`map_btf_id`).
    pub btf: Option<TypeRef<'k>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MapOps<'k> {
    pub(crate) strings: &'k crate::Strings,
    pub(crate) ops: &'k [(crate::StrId, crate::StrId)],
}

impl<'k> MapTypeFacts<'k> {
    /// The function behind an operation, e.g. `map_lookup_elem`; `None` if it is not implemented.
    #[must_use]
    pub fn op(&self, name: &str) -> Option<&'k str> {
        self.ops().find(|(op, _)| *op == name).map(|(_, symbol)| symbol)
    }

    /// All implemented operations: name in `struct bpf_map_ops` and symbol.
    pub fn ops(&self) -> impl Iterator<Item = (&'k str, &'k str)> + use<'k> {
        let MapOps { strings, ops } = self.implemented;
        ops.iter().map(|(op, symbol)| (strings.get(*op), strings.get(*symbol)))
    }
}

/// A hook of the Linux security modules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LsmHook {
    /// A program of attach type `LSM_MAC` may attach.
    pub attachable: bool,
    /// A sleepable program may attach.
    pub sleepable: bool,
    /// A program of attach type `LSM_CGROUP` may attach.
    pub cgroup: bool,
    /// Pointers in its arguments are not trusted (`untrusted_lsm_hooks`).
    pub untrusted_args: bool,
    /// A dentry's inode is locked while it runs (`d_inode_locked_hooks`).
    pub inode_locked: bool,
    /// What a program may return; `None` where nothing was measured, as no program attaches.
    pub ret: Option<ReturnRange>,
}

/// A tracepoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tracepoint {
    /// Raw tracepoint programs may attach (it has a `bpf_raw_event_map`).
    pub raw: bool,
    /// Number of arguments.
    pub num_args: u32,
    /// Bytes at the first argument that a `RAW_TRACEPOINT_WRITABLE` program may write.
    pub writable_size: u32,
    /// Four bits an argument, as `raw_tp_null_args` of `kernel/bpf/btf.c`: 1 the pointer may be
    /// NULL, 2 it may be an error pointer.
    pub null_args: u64,
}

/// One argument of a struct_ops member or an iterator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TypedArg<'k> {
    /// Offset in the context.
    pub offset: u32,
    /// Register type when it is loaded.
    pub ty: RegType,
    /// Kernel type, if it points to one.
    pub btf: Option<TypeRef<'k>>,
}

/// A structure of functions that programs may implement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StructOps<'k> {
    /// Name, e.g. `tcp_congestion_ops`.
    pub name: &'k str,
    /// Name of the map's value type, e.g. `bpf_struct_ops_tcp_congestion_ops`.
    pub value_type: &'k str,
    /// Symbol of its `struct bpf_verifier_ops`.
    pub verifier_ops: &'k str,
    /// Symbol of `check_member`, which may refuse a program for a member, if there is one.
    pub check_member: Option<&'k str>,
}

/// A member of such a structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StructOpsMember<'k> {
    /// Programs may implement it (there is a stub for it).
    pub implementable: bool,
    /// Index among the members; `None` where it was not decoded.
    pub index: Option<u32>,
    /// Arguments that a program may load with 8 bytes.
    pub(crate) args: &'k [crate::profile::ArgRow],
    pub(crate) profile: &'k crate::profile::Facts,
}

impl<'k> StructOpsMember<'k> {
    /// Arguments that a program may load, each with eight bytes.
    pub fn args(&self) -> impl Iterator<Item = TypedArg<'k>> + use<'k> {
        let profile = self.profile;
        self.args.iter().map(move |row| profile.typed_arg(row))
    }
}

/// The target of an iterator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IterTarget<'k> {
    /// Name of the function that stands for it, e.g. `bpf_iter_task`.
    pub func: &'k str,
}

macro_rules! named_enum {
    ($(#[$doc:meta])* $ty:ident { $($(#[$item:meta])* $name:ident $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum $ty { $($(#[$item])* $name),+ }

        impl $ty {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// A name for reading.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }

        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named_enum! {
    /// A list of names that the verifier looks into.
    NameList {
        /// Functions that no program may be attached to (`btf_id_deny`).
        DeniedTargets "btf_id_deny",
        /// Functions that never return, closed to fexit and fmod_ret (`noreturn_deny`).
        NoReturnTargets "noreturn_deny",
        /// Error-injectable functions closed to sleepable programs.
        NonSleepableErrorInjection "btf_non_sleepable_error_inject",
        /// Functions whose programs may call `bpf_d_path`.
        DPathCallers "btf_allowlist_d_path",
        /// Structures whose objects are protected by RCU.
        RcuProtectedTypes "rcu_protected_types",
        /// Kfuncs that the verifier treats one by one (`special_kfunc_list`).
        SpecialKfuncs "special_kfunc_list",
        /// Functions of `BTF_KFUNC_HOOK_FMODRET`, open to fmod_ret.
        ModifyReturnKfuncs "fmodret_kfuncs",
        /// Functions named `security_*`, open to fmod_ret.
        SecurityFunctions "security_functions",
        /// Error-injectable functions (`ALLOW_ERROR_INJECTION`).
        ErrorInjection "error_injection",
        /// Structures of `kf_arg_btf_ids`.
        KfuncArgTypes "kf_arg_btf_ids",
        /// Socket structures (`btf_sock_ids`).
        SocketTypes "btf_sock_ids",
        /// Structures of `btf_tracing_ids`.
        TracingTypes "btf_tracing_ids",
        /// LSM hooks with a locked socket, where cgroup programs may use socket options.
        LockedSockoptHooks "bpf_lsm_locked_sockopt_hooks",
        /// LSM hooks with an unlocked socket, likewise.
        UnlockedSockoptHooks "bpf_lsm_unlocked_sockopt_hooks",
        /// Helpers after whose call packet pointers are no longer valid
        /// (`bpf_helper_changes_pkt_data`).
        PacketChangingHelpers "packet_changing_helpers",
    }
}

named_enum! {
    /// What the architecture's JIT can do (`bpf_jit_supports_*` and its kin in
    /// `kernel/bpf/core.c`), or what of the architecture the verifier asks.
    JitFeature {
        /// `bpf_jit_needs_zext`
        NeedsZext "needs_zext",
        /// `bpf_jit_supports_subprog_tailcalls`
        SubprogTailcalls "subprog_tailcalls",
        /// `bpf_jit_supports_percpu_insn`
        PercpuInsn "percpu_insn",
        /// `bpf_jit_supports_kfunc_call`
        KfuncCall "kfunc_call",
        /// `bpf_jit_supports_far_kfunc_call`
        FarKfuncCall "far_kfunc_call",
        /// `bpf_jit_supports_arena`
        Arena "arena",
        /// `bpf_jit_supports_ptr_xchg`
        PtrXchg "ptr_xchg",
        /// `bpf_jit_supports_exceptions`
        Exceptions "exceptions",
        /// `bpf_jit_supports_private_stack`
        PrivateStack "private_stack",
        /// `bpf_jit_supports_timed_may_goto`
        TimedMayGoto "timed_may_goto",
        /// `bpf_jit_bypass_spec_v1`
        BypassSpecV1 "bypass_spec_v1",
        /// `bpf_jit_bypass_spec_v4`
        BypassSpecV4 "bypass_spec_v4",
        /// `CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS`
        EfficientUnalignedAccess "efficient_unaligned_access",
        /// Load-acquire and store-release (`bpf_jit_supports_insn`).
        LoadAcquireStoreRelease "load_acquire_store_release",
    }
}

named_enum! {
    /// A group of facts, to say where they come from.
    FactKind {
        /// Type information of the kernel.
        Btf "BTF",
        /// Configuration.
        Config "configuration",
        /// Addresses of symbols.
        Symbols "symbols",
        /// Helpers: names, prototypes, and which program may call which.
        Helpers "helpers",
        /// Kfuncs: flags, and which program may call which.
        Kfuncs "kfuncs",
        /// Context access.
        Contexts "contexts",
        /// Program types: return values, sleepable programs.
        ProgTypes "program types",
        /// Map types.
        MapTypes "map types",
        /// LSM hooks.
        LsmHooks "LSM hooks",
        /// Tracepoints.
        Tracepoints "tracepoints",
        /// Targets of iterators.
        Iterators "iterators",
        /// Structures of functions.
        StructOps "struct_ops",
        /// Lists of names.
        NameLists "name lists",
        /// Destructors.
        Dtors "destructors",
        /// Architecture and JIT.
        Jit "JIT",
        /// Limits of the verifier.
        Limits "limits",
        /// Behaviours of the verifier and its design.
        Behaviours "behaviours",
    }
}

named_enum! {
    /// How a fact is known.
    Origin {
        /// Read from this very kernel: its image, its memory, its files, or its answers.
        Observed "observed",
        /// Read in the source package of this very version.
        Source "source",
        /// Taken over from the nearest kernel that is known.
        Assumed "assumed",
        /// Not known.
        Unknown "unknown",
    }
}
