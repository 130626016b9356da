// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Linking: what `bpf_object__load` of libbpf hands to the kernel.

use crate::assemble::{Assembled, Assembler};
use crate::core_relo::Core;
use crate::kernel_types::KernelTypes;
use crate::maps::{self, Map, MapKind};
use crate::object::{Object, ProgramInfo};
use crate::program::Function;
use crate::resolve::{self, Resolution, version_code};
use crate::tables::Tables;
use crate::{LinkError, LinkOptions, attach, patch, preset};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use veristable_kernel::{AttachType, Kernel, MapType, ProgType};
use veristable_program::{Blob, LoadRequest, MapDesc, MapSpec};

/// Bytes that all linked programs of an object may have together, at least.
const MIN_BUDGET: usize = 64 << 20;
/// The same, for each byte of the file.
const BUDGET_FACTOR: usize = 64;

/// An object linked for one kernel.
#[derive(Debug)]
pub struct Linked {
    /// Every program that was to be linked, in libbpf's order, with its load request or the reason
    /// why there is none.
    pub programs: Vec<(ProgramInfo, Result<LoadRequest, LinkError>)>,
    /// The maps that libbpf would create, in its order; programs share them. A struct_ops map is
    /// left out if the kernel has no such structure.
    pub maps: Vec<Arc<MapDesc>>,
}

/// Whether libbpf would create the map.
pub(crate) fn is_created(map: &Map, options: &LinkOptions) -> bool {
    options.autocreate.get(&map.spec.name).copied().unwrap_or(map.autocreate)
}

/// What all programs of an object share for one kernel.
pub(crate) struct Context<'o> {
    pub(crate) object: &'o Object,
    pub(crate) core: Core,
    pub(crate) resolution: Resolution,
    /// The maps; absent if not created.
    pub(crate) maps: Vec<Option<Arc<MapDesc>>>,
    /// Offset of the variables in the arena.
    pub(crate) arena_offset: u32,
    /// Names of the modules that count as loaded.
    pub(crate) modules: Vec<String>,
    /// Bytes that linked programs may still take.
    budget: RefCell<usize>,
}

impl Context<'_> {
    /// Takes bytes from what all programs may have together.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), LinkError> {
        let mut budget = self.budget.borrow_mut();
        *budget = budget.checked_sub(bytes).ok_or(LinkError::TooLarge)?;
        Ok(())
    }
}

impl Object {
    /// Links the object's programs for a kernel.
    pub fn link(&self, kernel: &dyn Kernel, options: &LinkOptions) -> Linked {
        let wanted = self.mains().filter(|(_, function)| is_wanted(function, options));
        let wanted: Vec<_> = wanted.map(|(index, _)| index).collect();
        let failed = |error: &LinkError| Linked {
            programs: wanted
                .iter()
                .filter_map(|index| Some((self.info(*index)?, Err(error.clone()))))
                .collect(),
            maps: Vec::new(),
        };
        let values = match preset::apply(&options.presets, self.btf.as_ref(), &self.maps) {
            Ok(values) => values,
            Err(error) => return failed(&error),
        };
        if self.btf.is_some() && self.btf_bytes.is_none() && self.has_struct_ops() {
            return failed(&LinkError::BtfRefused);
        }
        let types = KernelTypes::new(kernel, &options.modules);
        let btf = self.btf.as_ref();
        let resolution = resolve::resolve(&self.externs, btf, kernel, &types, options);
        let tables = Tables::fit(&self.maps, btf, &types, options);
        let custom = options.core_types.as_deref();
        let core = Core::apply(&self.functions, |f| is_wanted(f, options), btf, &types, custom);
        if options.libbpf_strict
            && let Some(error) = self.strict_error(&resolution, &tables, &core)
        {
            return failed(&LinkError::Object(Box::new(error)));
        }
        let context = Context {
            object: self,
            core,
            arena_offset: self.arena_offset(kernel, options),
            maps: self.describe_maps(values, &resolution, &tables, options),
            modules: types
                .as_ref()
                .map(|types| types.modules().iter().map(|(n, _)| (*n).to_owned()).collect())
                .unwrap_or_default(),
            resolution,
            budget: RefCell::new(self.file_size.saturating_mul(BUDGET_FACTOR).max(MIN_BUDGET)),
        };
        let mut programs: Vec<_> = wanted
            .iter()
            .filter_map(|index| {
                let info = self.info(*index)?;
                Some((info, link_one(&context, *index, kernel, &tables, &types, options)))
            })
            .collect();
        if options.libbpf_strict
            && let Some(error) = programs.iter().find_map(|(_, result)| result.as_ref().err())
        {
            let error = LinkError::Object(Box::new(error.clone()));
            for (_, result) in programs.iter_mut().filter(|(_, result)| result.is_ok()) {
                *result = Err(error.clone());
            }
        }
        Linked { programs, maps: context.maps.into_iter().flatten().collect() }
    }

    fn info(&self, index: usize) -> Option<ProgramInfo> {
        self.functions.list.get(index).map(Function::info)
    }

    fn has_struct_ops(&self) -> bool {
        self.maps.list.iter().any(|map| matches!(map.kind, MapKind::StructOps(_)))
    }

    /// What fails for libbpf although no program of ours need suffer from it.
    fn strict_error(
        &self,
        resolution: &Resolution,
        tables: &Tables,
        core: &Core,
    ) -> Option<LinkError> {
        let broken = || self.functions.list.iter().find_map(|function| function.broken.as_ref());
        let externs = || resolution.externs.iter().find_map(|result| result.as_ref().err());
        broken().or_else(externs).or(tables.error.as_ref()).or_else(|| core.error()).cloned()
    }

    /// Where the arena's variables begin (`bpf_object__relocate` of libbpf).
    fn arena_offset(&self, kernel: &dyn Kernel, options: &LinkOptions) -> u32 {
        let at_end =
            options.full_range_offsets.unwrap_or(kernel.id().version_code >= version_code(7, 0));
        let arena = self.maps.arena.and_then(|index| self.maps.list.get(index));
        let Some(arena) = arena.filter(|_| at_end) else { return 0 };
        let pages = arena.contents.as_ref().map_or(0, |contents| contents.len()).div_ceil(4096);
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        arena.spec.max_entries.saturating_sub(pages).wrapping_mul(maps::PAGE)
    }

    fn describe_maps(
        &self,
        mut values: HashMap<usize, Vec<u8>>,
        resolution: &Resolution,
        tables: &Tables,
        options: &LinkOptions,
    ) -> Vec<Option<Arc<MapDesc>>> {
        let describe = |(index, map): (usize, &Map)| {
            if !is_created(map, options) {
                return None;
            }
            let mut spec = map.spec.clone();
            set_max_entries(&mut spec, options);
            set_stack_size(&mut spec, options);
            let mut contents = values.remove(&index).map(Blob::from).or(map.contents.clone());
            match &map.kind {
                MapKind::Kconfig => contents = Some(Blob::from(&resolution.config[..])),
                MapKind::StructOps(_) => {
                    let table = tables.maps.get(&index)?.as_ref().ok()?;
                    spec.value_size = table.size;
                    spec.struct_ops = Some(table.value.clone());
                    spec.flags.set(veristable_program::MapFlags::VTYPE_BTF_OBJ_FD, table.in_module);
                    contents = Some(Blob::from(&table.contents[..]));
                }
                _ => {}
            }
            let inner = map.inner.clone().map(|mut inner| {
                set_max_entries(&mut inner, options);
                Arc::new(inner)
            });
            let frozen = matches!(map.kind, MapKind::Rodata | MapKind::Kconfig);
            Some(Arc::new(MapDesc { spec, inner, contents, frozen }))
        };
        self.maps.list.iter().enumerate().map(describe).collect()
    }
}

/// Whether the program is to be linked.
fn is_wanted(function: &Function, options: &LinkOptions) -> bool {
    match &options.programs {
        Some(names) => names.contains(&*function.name),
        None => function.autoload || !options.libbpf_strict,
    }
}

/// The number of elements: as demanded, else as defined, else one where none is no choice.
fn set_max_entries(spec: &mut MapSpec, options: &LinkOptions) {
    if let Some(wanted) = options.max_entries.get(&spec.name) {
        spec.max_entries = if maps::is_ring_buffer(spec.map_type) {
            maps::ring_buffer_size(*wanted)
        } else {
            *wanted
        };
    }
    if spec.max_entries != 0 {
        return;
    }
    spec.max_entries = match spec.map_type {
        MapType::PERF_EVENT_ARRAY => options.cpus(),
        _ if options.libbpf_strict => 0,
        // Storage of a socket, task and so on has no size.
        MapType::SK_STORAGE
        | MapType::TASK_STORAGE
        | MapType::INODE_STORAGE
        | MapType::CGROUP_STORAGE
        | MapType::PERCPU_CGROUP_STORAGE
        | MapType::CGRP_STORAGE
        | MapType::STRUCT_OPS => 0,
        MapType::RINGBUF | MapType::USER_RINGBUF => maps::PAGE,
        _ => 1,
    };
}

/// Tools give the size of a stack trace at run time, from the limit that the kernel has then: the
/// default of `kernel.perf_event_max_stack`, `PERF_MAX_STACK_DEPTH` addresses
/// (`include/uapi/linux/perf_event.h`), stands in for it.
fn set_stack_size(spec: &mut MapSpec, options: &LinkOptions) {
    const PERF_MAX_STACK_DEPTH: u32 = 127;
    if spec.map_type == MapType::STACK_TRACE && spec.value_size == 0 && !options.libbpf_strict {
        spec.value_size = PERF_MAX_STACK_DEPTH * 8;
    }
}

fn link_one(
    context: &Context<'_>,
    index: usize,
    kernel: &dyn Kernel,
    tables: &Tables,
    types: &Result<KernelTypes<'_>, LinkError>,
    options: &LinkOptions,
) -> Result<LoadRequest, LinkError> {
    let object = context.object;
    let Some(function) = object.functions.list.get(index) else {
        return Err(LinkError::UnknownSection(String::new()));
    };
    let section = &*function.section_name;
    let def = function.def.ok_or_else(|| LinkError::UnknownSection(section.to_owned()))?;
    let (attach, mut attach_type) = attach::resolve(index, function, def, tables, types, options)?;
    // The multi-uprobe link came with 6.6; libbpf wants its fix for threads, of 6.10.
    if def.flags.usdt && kernel.id().version_code >= version_code(6, 10) {
        attach_type = AttachType::TRACE_UPROBE_MULTI;
    }
    let Assembled { insns, relocs, subprograms, func_info, line_info } =
        Assembler::new(context).assemble(index)?;
    let mut request = LoadRequest {
        name: function.name.to_string(),
        section: section.to_owned(),
        prog_type: def.prog_type,
        expected_attach_type: attach_type,
        attach,
        license: object.license.clone(),
        kern_version: object.kern_version.unwrap_or(kernel.id().version_code),
        flags: def.flags.prog_flags(),
        insns,
        btf: object.btf_bytes.clone(),
        ..LoadRequest::default()
    };
    // The tables mean nothing without the types (`bpf_object_load_prog` of libbpf).
    if request.btf.is_some() {
        request.func_info = func_info;
        request.line_info = line_info;
    }
    if def.prog_type == ProgType::UNSPEC {
        return Err(LinkError::UnknownSection(section.to_owned()));
    }
    patch::apply(context, function, &relocs, &subprograms, &mut request)?;
    Ok(request)
}
