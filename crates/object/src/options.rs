// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a user may decide about linking.

use crate::Preset;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use veristable_btf::Btf;
use veristable_program::LoadRequest;

/// The program whose function another one replaces or traces.
#[derive(Clone, Debug)]
pub struct TargetProgram {
    /// The target, linked.
    pub request: Arc<LoadRequest>,
    /// The function; without it the one that the section names.
    pub func: Option<String>,
}

/// How an object is linked. The default suits checking: every program is linked, whatever becomes
/// of the others.
#[derive(Clone, Debug, Default)]
pub struct LinkOptions {
    /// The programs to link, by name; without it all, also those that are not loaded by default.
    pub programs: Option<BTreeSet<String>>,
    /// Modules that count as loaded, in the order of loading: their types, functions and
    /// structures are found too.
    pub modules: Vec<String>,
    /// Number of possible CPUs: the size of perf event arrays that give none. 0 counts as 1.
    pub possible_cpus: u32,
    /// `max_entries` by map name.
    pub max_entries: BTreeMap<String, u32>,
    /// Whether maps are created, by map name, where not the definition is to decide (it does not
    /// create those in `?.struct_ops`). Loads of a map that is not created are poisoned.
    pub autocreate: BTreeMap<String, bool>,
    /// Values of global variables.
    pub presets: Vec<Preset>,
    /// Target programs by the name of the program that replaces or traces them.
    pub targets: BTreeMap<String, TargetProgram>,
    /// Attach targets, as after the `/` of a section name, by name of the program. They go before
    /// those of section names.
    pub attach: BTreeMap<String, String>,
    /// Types that CO-RE takes for the kernel's and its modules' (`btf_custom_path` of libbpf).
    pub core_types: Option<Arc<Btf<'static>>>,
    /// Configuration options that go before the kernel's, as `.config` writes the value.
    pub config: BTreeMap<String, String>,
    /// Whether the kernel takes offsets of more than 512 MiB into a map's value, so that variables
    /// of an arena are put at its end (`FEAT_LDIMM64_FULL_RANGE_OFF` of libbpf); without it the
    /// kernel's version decides (7.0).
    pub full_range_offsets: Option<bool>,
    /// Links just as libbpf would load: sizes of zero stay, only programs that are loaded by
    /// default (or named in `programs`) are linked, and one failure fails all.
    pub libbpf_strict: bool,
}

impl LinkOptions {
    /// The size of maps that give none, where that is not an error of its own.
    pub(crate) fn cpus(&self) -> u32 {
        self.possible_cpus.max(1)
    }
}
