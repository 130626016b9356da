// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Maps as a program's loader describes them.

use crate::Blob;
use alloc::string::String;
use alloc::sync::Arc;
use serde::{Deserialize, Serialize};
use veristable_kernel::MapType;

bitflags::bitflags! {
    /// `map_flags` of `BPF_MAP_CREATE` (`include/uapi/linux/bpf.h`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct MapFlags: u32 {
        /// `BPF_F_NO_PREALLOC`
        const NO_PREALLOC = 1 << 0;
        /// `BPF_F_NO_COMMON_LRU`
        const NO_COMMON_LRU = 1 << 1;
        /// `BPF_F_NUMA_NODE`
        const NUMA_NODE = 1 << 2;
        /// `BPF_F_RDONLY`
        const RDONLY = 1 << 3;
        /// `BPF_F_WRONLY`
        const WRONLY = 1 << 4;
        /// `BPF_F_STACK_BUILD_ID`
        const STACK_BUILD_ID = 1 << 5;
        /// `BPF_F_ZERO_SEED`
        const ZERO_SEED = 1 << 6;
        /// `BPF_F_RDONLY_PROG`: programs only read it.
        const RDONLY_PROG = 1 << 7;
        /// `BPF_F_WRONLY_PROG`: programs only write it.
        const WRONLY_PROG = 1 << 8;
        /// `BPF_F_CLONE`
        const CLONE = 1 << 9;
        /// `BPF_F_MMAPABLE`
        const MMAPABLE = 1 << 10;
        /// `BPF_F_PRESERVE_ELEMS`
        const PRESERVE_ELEMS = 1 << 11;
        /// `BPF_F_INNER_MAP`
        const INNER_MAP = 1 << 12;
        /// `BPF_F_LINK`
        const LINK = 1 << 13;
        /// `BPF_F_PATH_FD`
        const PATH_FD = 1 << 14;
        /// `BPF_F_VTYPE_BTF_OBJ_FD`
        const VTYPE_BTF_OBJ_FD = 1 << 15;
        /// `BPF_F_TOKEN_FD`
        const TOKEN_FD = 1 << 16;
        /// `BPF_F_SEGV_ON_FAULT`
        const SEGV_ON_FAULT = 1 << 17;
        /// `BPF_F_NO_USER_CONV`
        const NO_USER_CONV = 1 << 18;
        // A map may carry bits that have no name yet.
        const _ = !0;
    }
}

impl Serialize for MapFlags {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.bits().serialize(s)
    }
}

impl<'de> Deserialize<'de> for MapFlags {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        u32::deserialize(d).map(Self::from_bits_retain)
    }
}

/// The kernel structure that a struct_ops map fills.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StructOpsValue {
    /// Name of the structure, e.g. `tcp_congestion_ops`.
    pub name: String,
    /// BTF id of `struct bpf_struct_ops_NAME` in the kernel that the request is linked for.
    pub value_type_id: u32,
}

/// What `BPF_MAP_CREATE` is told of one map.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MapSpec {
    /// Name (the kernel keeps the first 15 bytes).
    pub name: String,
    /// Map type.
    pub map_type: MapType,
    /// Key size in bytes.
    pub key_size: u32,
    /// Value size in bytes.
    pub value_size: u32,
    /// Number of elements (bytes for ring buffers, pages for arenas).
    pub max_entries: u32,
    /// Creation flags.
    #[serde(default)]
    pub flags: MapFlags,
    /// `map_extra`: hash functions of a bloom filter, user address of an arena.
    #[serde(default)]
    pub map_extra: u64,
    /// NUMA node, if chosen.
    #[serde(default)]
    pub numa_node: Option<u32>,
    /// Key type in [`MapSpec::btf`], 0 if none.
    #[serde(default)]
    pub btf_key_type_id: u32,
    /// Value type in [`MapSpec::btf`], 0 if none.
    #[serde(default)]
    pub btf_value_type_id: u32,
    /// The BTF that the two ids belong to, as it is given to `BPF_BTF_LOAD`. Usually the same
    /// bytes as the program's.
    #[serde(default)]
    pub btf: Option<Blob>,
    /// For struct_ops maps: the kernel structure.
    #[serde(default)]
    pub struct_ops: Option<StructOpsValue>,
}

/// One map, with what the loader did to it before the program's load.
///
/// The kernel allows no maps of maps of maps, so the inner template is a plain [`MapSpec`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MapDesc {
    /// How the map is created.
    pub spec: MapSpec,
    /// For maps of maps: how the template of the inner maps is created.
    #[serde(default)]
    pub inner: Option<Arc<MapSpec>>,
    /// What the loader wrote before the load: the value of key 0 of an array map (`.data`,
    /// `.rodata`, `.kconfig`), all values of an array of instructions one after the other, the
    /// variables of an arena, or the kernel structure of a struct_ops map with zeroes for its
    /// programs. Absent: zeroes.
    #[serde(default)]
    pub contents: Option<Blob>,
    /// Frozen with `BPF_MAP_FREEZE` before the load: with `RDONLY_PROG` the verifier then folds
    /// loads from it.
    #[serde(default)]
    pub frozen: bool,
}
