// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The load request.

use crate::{Blob, MapDesc, blob};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use veristable_isa::Insn;
use veristable_kernel::{AttachType, ProgContext, ProgType};

macro_rules! serde_bits {
    ($ty:ty) => {
        impl Serialize for $ty {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                self.bits().serialize(s)
            }
        }

        impl<'de> Deserialize<'de> for $ty {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                u32::deserialize(d).map(Self::from_bits_retain)
            }
        }
    };
}

bitflags::bitflags! {
    /// `prog_flags` of `BPF_PROG_LOAD` (`include/uapi/linux/bpf.h`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct ProgFlags: u32 {
        /// `BPF_F_STRICT_ALIGNMENT`
        const STRICT_ALIGNMENT = 1 << 0;
        /// `BPF_F_ANY_ALIGNMENT`
        const ANY_ALIGNMENT = 1 << 1;
        /// `BPF_F_TEST_RND_HI32`
        const TEST_RND_HI32 = 1 << 2;
        /// `BPF_F_TEST_STATE_FREQ`
        const TEST_STATE_FREQ = 1 << 3;
        /// `BPF_F_SLEEPABLE`
        const SLEEPABLE = 1 << 4;
        /// `BPF_F_XDP_HAS_FRAGS`
        const XDP_HAS_FRAGS = 1 << 5;
        /// `BPF_F_XDP_DEV_BOUND_ONLY`
        const XDP_DEV_BOUND_ONLY = 1 << 6;
        /// `BPF_F_TEST_REG_INVARIANTS`
        const TEST_REG_INVARIANTS = 1 << 7;
        // A request may carry bits that have no name yet: the kernel refuses them.
        const _ = !0;
    }
}
serde_bits!(ProgFlags);

bitflags::bitflags! {
    /// Capabilities of the process that loads, as far as the verifier asks.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Capabilities: u32 {
        /// `CAP_BPF`
        const BPF = 1 << 0;
        /// `CAP_PERFMON`
        const PERFMON = 1 << 1;
        /// `CAP_NET_ADMIN`
        const NET_ADMIN = 1 << 2;
        /// `CAP_SYS_ADMIN`, which implies the three above.
        const SYS_ADMIN = 1 << 3;
        /// `CAP_SYS_BOOT`, asked for destructive kfuncs.
        const SYS_BOOT = 1 << 4;
    }
}
serde_bits!(Capabilities);

impl Default for Capabilities {
    fn default() -> Self {
        Self::all()
    }
}

impl Capabilities {
    /// Whether the process may do what `cap` allows: by the capability itself, or by
    /// `CAP_SYS_ADMIN` where that stands in for it (`bpf_token_capable`, `kernel/bpf/token.c`).
    #[must_use]
    pub fn allows(self, cap: Self) -> bool {
        self.contains(cap) || (self.contains(Self::SYS_ADMIN) && !cap.contains(Self::SYS_BOOT))
    }

    /// Reads `all`, `none` (or `unpriv`), or names joined by `+` or `,`, such as `bpf+net_admin`; case and the
    /// prefix `cap_` do not matter.
    ///
    /// # Errors
    /// A word that is none of these.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let word = |word: &str| {
            let upper = word.trim().to_ascii_uppercase();
            match upper.strip_prefix("CAP_").unwrap_or(&upper) {
                "ALL" => Ok(Self::all()),
                "NONE" | "UNPRIV" | "UNPRIVILEGED" => Ok(Self::empty()),
                name => Self::from_name(name).ok_or_else(|| {
                    let known = "bpf, perfmon, net_admin, sys_admin, sys_boot, all, none";
                    alloc::format!("no capability `{word}`; there are {known}")
                }),
            }
        };
        text.split([',', '+']).try_fold(Self::empty(), |all, name| Ok(all | word(name)?))
    }
}

/// A table of fixed-size records as `BPF_PROG_LOAD` takes them (function info, line info, CO-RE
/// relocations): the record size and the bytes are kept as given, since the kernel judges both.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct InfoTable {
    /// Bytes of one record.
    pub rec_size: u32,
    /// Number of records.
    pub count: u32,
    /// The records.
    pub bytes: Blob,
}

/// What the program attaches to, decided at load time.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Attach {
    /// Nothing: the type attaches later.
    #[default]
    None,
    /// A type or function in the kernel's (or a module's) BTF.
    Kernel {
        /// Name of the function, tracepoint, hook or structure, without prefixes that the kernel
        /// adds (`bpf_lsm_`, `btf_trace_`, `bpf_iter_`).
        name: String,
        /// `attach_btf_id` in the kernel that the request is linked for.
        btf_id: u32,
        /// The module whose BTF the id belongs to, if not the kernel's own.
        module: Option<String>,
        /// For struct_ops programs: the member's name (its index is `expected_attach_type`).
        member: Option<String>,
    },
    /// A function of another program (freplace, or tracing of a BPF program).
    Program {
        /// The target's request in the binary form ([`LoadRequest::to_bytes`]); it is loaded
        /// first. Kept as bytes so that a hostile input cannot nest without end.
        target: Blob,
        /// The function's name in the target.
        func: String,
        /// `attach_btf_id` in the target's BTF.
        btf_id: u32,
    },
}

/// One entry of `fd_array`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FdEntry {
    /// Nothing (0 is passed).
    Empty,
    /// A map, by its index in [`LoadRequest::maps`].
    Map(u32),
    /// The BTF of a kernel module, by name.
    ModuleBtf(String),
    /// A BTF that the loader loads.
    Btf(Blob),
}

/// A number in the instructions that only the running kernel can fill in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fixup {
    /// Index of the instruction (its first slot).
    pub insn: u32,
    /// What belongs there.
    pub kind: FixupKind,
}

/// What a [`Fixup`] stands for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FixupKind {
    /// 64-bit immediate: the address of a kernel symbol (`extern … __ksym` without a type).
    /// The instruction carries the address the linker knew, or 0.
    SymbolAddress(String),
    /// `imm`: BTF id of this kernel function, kept for reading only; the id in the instruction
    /// counts.
    Kfunc(String),
    /// `imm` of the 64-bit load: BTF id of this kernel variable or type, kept for reading only.
    KernelType(String),
    /// The low half of a 64-bit load or the immediate: file descriptor of a program that is
    /// loaded beside this one, e.g. for a prog array. Not passed by libbpf.
    Program(String),
    /// High half of a 64-bit load of a kernel variable: descriptor of the BTF of this module,
    /// which the variable's id belongs to.
    ModuleBtf(String),
}

/// What the loader asks of the verifier's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogRequest {
    /// `log_level`: 1 and 2 verbosity bits, 4 statistics, 8 fixed buffer.
    pub level: u32,
    /// `log_size` in bytes, 0 without a buffer.
    pub size: u32,
}

impl Default for LogRequest {
    /// No log.
    fn default() -> Self {
        Self { level: 0, size: 0 }
    }
}

/// Everything that one `BPF_PROG_LOAD` hands to a kernel.
///
/// In the instructions, `imm` of a map load (`BPF_PSEUDO_MAP_FD`, `BPF_PSEUDO_MAP_VALUE`) is the
/// index of the map in [`LoadRequest::maps`]: an oracle puts the file descriptor there. An index
/// outside the table stands for a descriptor that is not open. `BPF_PSEUDO_MAP_IDX(_VALUE)` loads
/// and the `off` of kfunc calls index [`LoadRequest::fd_array`], as they do in the system call.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LoadRequest {
    /// Program name (the kernel keeps the first 15 bytes).
    pub name: String,
    /// ELF section or another hint at where it comes from; the kernel does not see it.
    #[serde(default)]
    pub section: String,
    /// Program type.
    pub prog_type: ProgType,
    /// Expected attach type, or the member index of a struct_ops program.
    #[serde(default)]
    pub expected_attach_type: AttachType,
    /// What it attaches to.
    #[serde(default)]
    pub attach: Attach,
    /// License string, e.g. `GPL`.
    pub license: String,
    /// `kern_version`, which old kernels compared for kprobes.
    #[serde(default)]
    pub kern_version: u32,
    /// Load flags.
    #[serde(default)]
    pub flags: ProgFlags,
    /// What the loading process may do.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// The instructions.
    #[serde(with = "blob::insns")]
    pub insns: Vec<Insn>,
    /// Maps that the instructions or `fd_array` name.
    #[serde(default)]
    pub maps: Vec<Arc<MapDesc>>,
    /// `fd_array`. Unless it is counted, zeros follow up to the 32768th entry.
    #[serde(default)]
    pub fd_array: Vec<FdEntry>,
    /// `fd_array_cnt`: the kernel binds every entry before it looks at an instruction.
    #[serde(default)]
    pub fd_array_counted: bool,
    /// The program's BTF as given to `BPF_BTF_LOAD`.
    #[serde(default)]
    pub btf: Option<Blob>,
    /// Function info (`struct bpf_func_info`).
    #[serde(default)]
    pub func_info: InfoTable,
    /// Line info (`struct bpf_line_info`).
    #[serde(default)]
    pub line_info: InfoTable,
    /// CO-RE relocations left to the kernel (`struct bpf_core_relo`).
    #[serde(default)]
    pub core_relos: InfoTable,
    /// Numbers that only the running kernel knows, and names for reading.
    #[serde(default)]
    pub fixups: Vec<Fixup>,
    /// The log.
    #[serde(default)]
    pub log: LogRequest,
}

impl LoadRequest {
    /// The part that a kernel's answers depend on.
    #[must_use]
    pub fn context(&self) -> ProgContext<'_> {
        let (attach_name, struct_ops) = match &self.attach {
            Attach::None => (None, None),
            Attach::Kernel { name, member: Some(member), .. } => {
                (None, Some((name.as_str(), member.as_str())))
            }
            Attach::Kernel { name, .. } => (Some(name.as_str()), None),
            Attach::Program { func, .. } => (Some(func.as_str()), None),
        };
        ProgContext {
            prog_type: self.prog_type,
            expected_attach_type: self.expected_attach_type,
            sleepable: self.flags.contains(ProgFlags::SLEEPABLE),
            attach_name,
            struct_ops,
        }
    }
}
