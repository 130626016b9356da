// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Register, argument and return types under numbers of our own.
//!
//! The kernel's numbering of `enum bpf_reg_type`, `enum bpf_arg_type`, `enum bpf_return_type` and
//! `enum bpf_type_flag` changes from version to version, so a profile translates them by name.
//! Old names that put a flag into the base (`ARG_PTR_TO_MEM_OR_NULL`, `PTR_TO_RDONLY_BUF`; 5.10)
//! become base and flags.

use core::fmt;
use serde::{Deserialize, Serialize};

/// Serialises a set of flags as its bits.
macro_rules! serde_bits {
    ($ty:ty, $bits:ty) => {
        impl serde::Serialize for $ty {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                self.bits().serialize(s)
            }
        }

        impl<'de> serde::Deserialize<'de> for $ty {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                <$bits>::deserialize(d).map(Self::from_bits_truncate)
            }
        }
    };
}

macro_rules! named_flags {
    ($(#[$doc:meta])* $ty:ident: $bits:ty { $($bit:literal $name:ident $text:literal),+ $(,)? }) => {
        bitflags::bitflags! {
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
            pub struct $ty: $bits {
                $(#[doc = concat!("`", $text, "`")] const $name = 1 << $bit;)+
            }
        }
        serde_bits!($ty, $bits);

        impl $ty {
            /// Every flag with the kernel's name for it.
            pub const NAMED: &'static [(Self, &'static str)] = &[$((Self::$name, $text)),+];

            /// Finds a flag by the kernel's name.
            #[must_use]
            pub fn from_kernel_name(name: &str) -> Option<Self> {
                Self::NAMED.iter().find(|(_, n)| *n == name).map(|(flag, _)| *flag)
            }
        }
    };
}

named_flags! {
    /// Capabilities of the loader that decide whether a program gets a helper
    /// (`bpf_token_capable` in `bpf_base_func_proto` and its kin). `CAP_SYS_ADMIN` stands in for the
    /// others.
    LoaderNeeds: u8 {
        0 BPF "bpf",
        1 PERFMON "perfmon",
        2 SYS_ADMIN "sys_admin",
    }
}

named_flags! {
    /// Modifiers of a type: `enum bpf_type_flag` (`include/linux/bpf.h`).
    TypeFlags: u32 {
        0 PTR_MAYBE_NULL "PTR_MAYBE_NULL",
        1 MEM_RDONLY "MEM_RDONLY",
        2 MEM_RINGBUF "MEM_RINGBUF",
        3 MEM_USER "MEM_USER",
        4 MEM_PERCPU "MEM_PERCPU",
        5 OBJ_RELEASE "OBJ_RELEASE",
        6 PTR_UNTRUSTED "PTR_UNTRUSTED",
        7 MEM_UNINIT "MEM_UNINIT",
        8 DYNPTR_TYPE_LOCAL "DYNPTR_TYPE_LOCAL",
        9 DYNPTR_TYPE_RINGBUF "DYNPTR_TYPE_RINGBUF",
        10 MEM_FIXED_SIZE "MEM_FIXED_SIZE",
        11 MEM_ALLOC "MEM_ALLOC",
        12 PTR_TRUSTED "PTR_TRUSTED",
        13 MEM_RCU "MEM_RCU",
        14 NON_OWN_REF "NON_OWN_REF",
        15 DYNPTR_TYPE_SKB "DYNPTR_TYPE_SKB",
        16 DYNPTR_TYPE_XDP "DYNPTR_TYPE_XDP",
        17 MEM_ALIGNED "MEM_ALIGNED",
        18 MEM_WRITE "MEM_WRITE",
        19 DYNPTR_TYPE_SKB_META "DYNPTR_TYPE_SKB_META",
        20 DYNPTR_TYPE_FILE "DYNPTR_TYPE_FILE",
    }
}

named_flags! {
    /// Flags of a kfunc: `KF_*` of `include/linux/btf.h`.
    KfuncFlags: u32 {
        0 ACQUIRE "KF_ACQUIRE",
        1 RELEASE "KF_RELEASE",
        2 RET_NULL "KF_RET_NULL",
        3 KPTR_GET "KF_KPTR_GET",
        4 TRUSTED_ARGS "KF_TRUSTED_ARGS",
        5 SLEEPABLE "KF_SLEEPABLE",
        6 DESTRUCTIVE "KF_DESTRUCTIVE",
        7 RCU "KF_RCU",
        8 ITER_NEW "KF_ITER_NEW",
        9 ITER_NEXT "KF_ITER_NEXT",
        10 ITER_DESTROY "KF_ITER_DESTROY",
        11 RCU_PROTECTED "KF_RCU_PROTECTED",
        12 FASTCALL "KF_FASTCALL",
        13 ARENA_RET "KF_ARENA_RET",
        14 ARENA_ARG1 "KF_ARENA_ARG1",
        15 ARENA_ARG2 "KF_ARENA_ARG2",
        16 IMPLICIT_ARGS "KF_IMPLICIT_ARGS",
        17 SPINLOCK_SAFE "KF_SPINLOCK_SAFE",
        18 PERFMON "KF_PERFMON",
    }
}

macro_rules! base_types {
    ($(#[$doc:meta])* $ty:ident { $($name:ident $text:literal),+ $(,)? }
     aliases { $($alias:literal => $target:ident $(+ $flag:ident)*),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum $ty { $(#[doc = concat!("`", $text, "`")] $name),+ }

        impl $ty {
            /// Every base type with the kernel's name for it.
            pub const NAMED: &'static [(Self, &'static str)] = &[$((Self::$name, $text)),+];

            /// The kernel's name.
            #[must_use]
            pub const fn kernel_name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// Finds a base type by one of the kernel's names, with the flags that old names imply.
            #[must_use]
            pub fn from_kernel_name(name: &str) -> Option<(Self, TypeFlags)> {
                match name {
                    $($text => Some((Self::$name, TypeFlags::empty())),)+
                    $($alias => Some((Self::$target, TypeFlags::empty()$(.union(TypeFlags::$flag))*)),)*
                    _ => None,
                }
            }
        }
    };
}

base_types! {
    /// What a register holds: base of `enum bpf_reg_type`.
    RegBase {
        NotInit "NOT_INIT", Scalar "SCALAR_VALUE", Ctx "PTR_TO_CTX",
        ConstMapPtr "CONST_PTR_TO_MAP", MapValue "PTR_TO_MAP_VALUE", MapKey "PTR_TO_MAP_KEY",
        Stack "PTR_TO_STACK", PacketMeta "PTR_TO_PACKET_META", Packet "PTR_TO_PACKET",
        PacketEnd "PTR_TO_PACKET_END", FlowKeys "PTR_TO_FLOW_KEYS", Socket "PTR_TO_SOCKET",
        SockCommon "PTR_TO_SOCK_COMMON", TcpSock "PTR_TO_TCP_SOCK", TpBuffer "PTR_TO_TP_BUFFER",
        XdpSock "PTR_TO_XDP_SOCK", BtfId "PTR_TO_BTF_ID", Mem "PTR_TO_MEM", Arena "PTR_TO_ARENA",
        Buf "PTR_TO_BUF", Func "PTR_TO_FUNC", Insn "PTR_TO_INSN", Dynptr "CONST_PTR_TO_DYNPTR",
    }
    aliases {
        "PTR_TO_SOCK_COMMON_OR_NULL" => SockCommon + PTR_MAYBE_NULL,
        "PTR_TO_SOCKET_OR_NULL" => Socket + PTR_MAYBE_NULL,
        "PTR_TO_BTF_ID_OR_NULL" => BtfId + PTR_MAYBE_NULL,
        "PTR_TO_RDONLY_BUF" => Buf + MEM_RDONLY,
        "PTR_TO_RDONLY_BUF_OR_NULL" => Buf + MEM_RDONLY + PTR_MAYBE_NULL,
        "PTR_TO_RDWR_BUF" => Buf,
        "PTR_TO_RDWR_BUF_OR_NULL" => Buf + PTR_MAYBE_NULL,
        "PTR_TO_PERCPU_BTF_ID" => BtfId + MEM_PERCPU,
        "PTR_TO_DYNPTR" => Dynptr,
    }
}

base_types! {
    /// What a helper takes: base of `enum bpf_arg_type`.
    ArgBase {
        DontCare "ARG_DONTCARE", ConstMapPtr "ARG_CONST_MAP_PTR", MapKey "ARG_PTR_TO_MAP_KEY",
        MapValue "ARG_PTR_TO_MAP_VALUE", Mem "ARG_PTR_TO_MEM", Arena "ARG_PTR_TO_ARENA",
        ConstSize "ARG_CONST_SIZE", ConstSizeOrZero "ARG_CONST_SIZE_OR_ZERO",
        Ctx "ARG_PTR_TO_CTX", Anything "ARG_ANYTHING", SpinLock "ARG_PTR_TO_SPIN_LOCK",
        SockCommon "ARG_PTR_TO_SOCK_COMMON", Socket "ARG_PTR_TO_SOCKET",
        BtfId "ARG_PTR_TO_BTF_ID", RingbufMem "ARG_PTR_TO_RINGBUF_MEM",
        ConstAllocSizeOrZero "ARG_CONST_ALLOC_SIZE_OR_ZERO",
        BtfIdSockCommon "ARG_PTR_TO_BTF_ID_SOCK_COMMON",
        PercpuBtfId "ARG_PTR_TO_PERCPU_BTF_ID", Func "ARG_PTR_TO_FUNC", Stack "ARG_PTR_TO_STACK",
        ConstStr "ARG_PTR_TO_CONST_STR", Timer "ARG_PTR_TO_TIMER",
        KptrXchgDest "ARG_KPTR_XCHG_DEST", Dynptr "ARG_PTR_TO_DYNPTR",
        Int "ARG_PTR_TO_INT", Long "ARG_PTR_TO_LONG", Scalar "ARG_SCALAR",
        MemSize "ARG_MEM_SIZE", MemSizeOrZero "ARG_MEM_SIZE_OR_ZERO",
    }
    aliases {
        "ARG_PTR_TO_UNINIT_MEM" => Mem + MEM_UNINIT,
        "ARG_PTR_TO_MEM_OR_NULL" => Mem + PTR_MAYBE_NULL,
        "ARG_PTR_TO_CTX_OR_NULL" => Ctx + PTR_MAYBE_NULL,
        "ARG_PTR_TO_MAP_VALUE_OR_NULL" => MapValue + PTR_MAYBE_NULL,
        "ARG_PTR_TO_UNINIT_MAP_VALUE" => MapValue + MEM_UNINIT,
        "ARG_PTR_TO_SOCKET_OR_NULL" => Socket + PTR_MAYBE_NULL,
        "ARG_PTR_TO_ALLOC_MEM" => RingbufMem,
        "ARG_PTR_TO_ALLOC_MEM_OR_NULL" => RingbufMem + PTR_MAYBE_NULL,
        "ARG_PTR_TO_KPTR" => KptrXchgDest,
    }
}

base_types! {
    /// What a helper returns: base of `enum bpf_return_type`.
    RetBase {
        Integer "RET_INTEGER", Void "RET_VOID", MapValue "RET_PTR_TO_MAP_VALUE",
        Socket "RET_PTR_TO_SOCKET", TcpSock "RET_PTR_TO_TCP_SOCK",
        SockCommon "RET_PTR_TO_SOCK_COMMON", Mem "RET_PTR_TO_MEM",
        MemOrBtfId "RET_PTR_TO_MEM_OR_BTF_ID", BtfId "RET_PTR_TO_BTF_ID",
    }
    aliases {
        "RET_PTR_TO_MAP_VALUE_OR_NULL" => MapValue + PTR_MAYBE_NULL,
        "RET_PTR_TO_SOCKET_OR_NULL" => Socket + PTR_MAYBE_NULL,
        "RET_PTR_TO_TCP_SOCK_OR_NULL" => TcpSock + PTR_MAYBE_NULL,
        "RET_PTR_TO_SOCK_COMMON_OR_NULL" => SockCommon + PTR_MAYBE_NULL,
        "RET_PTR_TO_MEM_OR_BTF_ID_OR_NULL" => MemOrBtfId + PTR_MAYBE_NULL,
        "RET_PTR_TO_BTF_ID_OR_NULL" => BtfId + PTR_MAYBE_NULL,
        "RET_PTR_TO_ALLOC_MEM" => Mem,
        "RET_PTR_TO_ALLOC_MEM_OR_NULL" => Mem + PTR_MAYBE_NULL,
    }
}

macro_rules! full_types {
    ($($(#[$doc:meta])* $ty:ident of $base:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub struct $ty {
            /// The type without its modifiers.
            pub base: $base,
            /// The modifiers.
            pub flags: TypeFlags,
        }

        impl $ty {
            /// Reads names joined by `|`, first the base: `PTR_TO_BTF_ID|PTR_TRUSTED`.
            ///
            /// # Errors
            /// The name that is not known.
            pub fn from_kernel_names(text: &str) -> Result<Self, &str> {
                let mut names = text.split('|');
                let first = names.next().unwrap_or("");
                let (base, mut flags) = $base::from_kernel_name(first).ok_or(first)?;
                for name in names {
                    flags |= TypeFlags::from_kernel_name(name).ok_or(name)?;
                }
                Ok(Self { base, flags })
            }
        }

        impl fmt::Display for $ty {
            /// The kernel's names joined by `|`.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.base.kernel_name())?;
                let flags = TypeFlags::NAMED.iter().filter(|(flag, _)| self.flags.contains(*flag));
                flags.into_iter().try_for_each(|(_, name)| write!(f, "|{name}"))
            }
        }
    )+};
}

full_types! {
    /// Type of a register.
    RegType of RegBase,
    /// Type of a helper's argument.
    ArgType of ArgBase,
    /// Type of what a helper returns.
    RetType of RetBase,
}

impl From<RegBase> for RegType {
    fn from(base: RegBase) -> Self {
        Self { base, flags: TypeFlags::empty() }
    }
}

macro_rules! btf_kinds {
    ($($name:ident $text:literal),+ $(,)?) => {
        /// The kinds of BTF types that have names which a kernel's tables use.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum BtfKind { $(#[doc = $text] $name),+ }

        impl BtfKind {
            /// Finds a kind by its name in lower case, as C has it.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)+ _ => None }
            }

            /// Name in lower case, as C has it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }

        impl From<BtfKind> for veristable_btf::Kind {
            fn from(kind: BtfKind) -> Self {
                match kind { $(BtfKind::$name => Self::$name),+ }
            }
        }
    };
}

btf_kinds! { Struct "struct", Union "union", Enum "enum", Typedef "typedef", Func "func" }

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn names_become_base_and_flags() {
        let check = |text: &str, base, flags| {
            assert_eq!(ArgType::from_kernel_names(text), Ok(ArgType { base, flags }), "{text}");
        };
        check("ARG_ANYTHING", ArgBase::Anything, TypeFlags::empty());
        check("ARG_PTR_TO_MEM|MEM_RDONLY", ArgBase::Mem, TypeFlags::MEM_RDONLY);
        // 5.10 has the flag in the name.
        check("ARG_PTR_TO_MEM_OR_NULL", ArgBase::Mem, TypeFlags::PTR_MAYBE_NULL);
        assert_eq!(ArgType::from_kernel_names("ARG_NEW|MEM_RDONLY"), Err("ARG_NEW"));
        assert_eq!(ArgType::from_kernel_names("ARG_ANYTHING|MEM_NEW"), Err("MEM_NEW"));
    }

    #[test]
    fn text_is_the_kernels() {
        let text = "PTR_TO_BTF_ID|PTR_MAYBE_NULL|PTR_TRUSTED";
        assert_eq!(RegType::from_kernel_names(text).unwrap().to_string(), text);
    }
}
