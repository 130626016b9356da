// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The maps and the BTF that all generated programs share, so that a loader makes them once.

use std::sync::Arc;

use veristable_btf::writer::{NewMember, Writer};
use veristable_btf::{DeclTag, Kind, Linkage, TypeId};
use veristable_kernel::MapType;
use veristable_program::{Blob, MapDesc, MapFlags, MapSpec};

/// A part of a map's value that has a meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Field {
    Lock,
    ResLock,
    Timer,
    Workqueue,
    TaskWork,
    List,
    Tree,
    /// A `struct task_struct` that the map may keep.
    TaskPointer,
    /// A node of the program's own that the map may keep.
    NodePointer,
}

/// A map to choose.
#[derive(Clone, Debug)]
pub(crate) struct PoolMap {
    pub(crate) desc: Arc<MapDesc>,
    /// Parts of the value with their offsets in bytes.
    pub(crate) fields: Vec<(Field, i32)>,
}

impl PoolMap {
    pub(crate) fn map_type(&self) -> MapType {
        self.desc.spec.map_type
    }

    pub(crate) fn has(&self, field: Field) -> Option<i32> {
        self.fields.iter().find(|(known, _)| *known == field).map(|(_, off)| *off)
    }
}

/// What a parameter of a global function is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Param {
    Scalar,
    Ctx,
    /// Memory of so many bytes, which may be NULL.
    Memory(i32),
    /// Memory of so many bytes.
    SolidMemory(i32),
    /// A dynptr.
    Dynptr,
    /// Memory of an arena.
    Arena,
    /// A trusted task.
    Task,
}

/// A global function to choose.
#[derive(Clone, Debug)]
pub(crate) struct Global {
    pub(crate) id: u32,
    pub(crate) params: Vec<Param>,
    /// Name of the context's structure, for those that take one.
    pub(crate) ctx: Option<String>,
}

/// All that generated programs share.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) btf: Blob,
    pub(crate) maps: Vec<PoolMap>,
    /// BTF ids of functions.
    pub(crate) main: u32,
    pub(crate) statics: Vec<u32>,
    pub(crate) callbacks: Vec<u32>,
    pub(crate) globals: Vec<Global>,
    /// The structure of objects that programs make: its id, size and the offsets of its list
    /// node and tree node.
    pub(crate) node: Node,
    /// A structure of two numbers, and a type that is none.
    pub(crate) pair: u32,
    pub(crate) int: u32,
    /// Strings of line info: the file and the lines.
    pub(crate) file: u32,
    pub(crate) lines: Vec<u32>,
}

/// The layout of the program's own object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) id: u32,
    pub(crate) size: i32,
    pub(crate) list: i32,
    pub(crate) tree: i32,
}

/// Types that several others need.
struct Types {
    w: Writer,
    int: TypeId,
    u32: TypeId,
    u64: TypeId,
}

impl Types {
    fn new() -> Self {
        let mut w = Writer::new();
        let int = w.add_int("int", 4, 1);
        let u32 = w.add_int("unsigned int", 4, 0);
        let u64 = w.add_int("unsigned long long", 8, 0);
        Self { w, int, u32, u64 }
    }

    fn array(&mut self, element: TypeId, count: u32) -> TypeId {
        self.w.add_array(element, self.u32, count)
    }

    /// A structure that the kernel knows by its name.
    fn special(&mut self, name: &str, size: u32) -> TypeId {
        let opaque = match size % 8 {
            0 => self.array(self.u64, size / 8),
            _ => self.u32,
        };
        self.w.add_struct(name, size, &[NewMember::at("opaque", opaque, 0)])
    }

    fn kept(&mut self, tag: &str, target: TypeId) -> TypeId {
        let tagged = self.w.add_type_tag(tag, target);
        self.w.add_ptr(tagged)
    }

    fn contains(&mut self, target: TypeId, component: u32, what: &str) {
        let tag = DeclTag { target, component: Some(component), attribute: false };
        self.w.add_decl_tag(&format!("contains:{what}"), tag);
    }
}

/// Structures of map values: name, id, size, fields.
struct ValueType {
    id: TypeId,
    size: u32,
    fields: Vec<(Field, i32)>,
}

fn node(t: &mut Types) -> Node {
    let list = t.special("bpf_list_node", 24);
    let tree = t.special("bpf_rb_node", 32);
    let count = t.special("bpf_refcount", 4);
    let members = [
        NewMember::at("key", t.u64, 0),
        NewMember::at("link", list, 8),
        NewMember::at("branch", tree, 32),
        NewMember::at("users", count, 64),
        NewMember::at("number", t.u32, 68),
    ];
    let id = t.w.add_struct("own_node", 72, &members);
    Node { id: id.0, size: 72, list: 8, tree: 32 }
}

fn value_types(t: &mut Types, node: Node) -> Vec<ValueType> {
    let node = TypeId(node.id);
    let mut made = Vec::new();
    let lock = t.special("bpf_spin_lock", 4);
    let list = t.special("bpf_list_head", 16);
    let tree = t.special("bpf_rb_root", 16);
    let (u32, u64) = (t.u32, t.u64);
    let id = t.w.add_struct(
        "locked",
        24,
        &[
            NewMember::at("before", u64, 0),
            NewMember::at("lock", lock, 8),
            NewMember::at("between", u32, 12),
            NewMember::at("behind", u64, 16),
        ],
    );
    made.push(ValueType { id, size: 24, fields: vec![(Field::Lock, 8)] });
    for (name, member, size, field) in [
        ("timed", "bpf_timer", 16, Field::Timer),
        ("queued", "bpf_wq", 16, Field::Workqueue),
        ("tasked", "bpf_task_work", 8, Field::TaskWork),
    ] {
        let special = t.special(member, size);
        let members = [NewMember::at("number", u64, 0), NewMember::at("special", special, 8)];
        let id = t.w.add_struct(name, size + 8, &members);
        made.push(ValueType { id, size: size + 8, fields: vec![(field, 8)] });
    }
    let members = [
        NewMember::at("lock", lock, 0),
        NewMember::at("number", u32, 4),
        NewMember::at("list", list, 8),
        NewMember::at("tree", tree, 24),
    ];
    let id = t.w.add_struct("holder", 40, &members);
    t.contains(id, 2, "own_node:link");
    t.contains(id, 3, "own_node:branch");
    let fields = vec![(Field::Lock, 0), (Field::List, 8), (Field::Tree, 24)];
    made.push(ValueType { id, size: 40, fields });
    let task = t.w.add_struct("task_struct", 4, &[]);
    let (task, own) = (t.kept("kptr", task), t.kept("kptr", node));
    let members = [
        NewMember::at("number", u64, 0),
        NewMember::at("task", task, 8),
        NewMember::at("node", own, 16),
        NewMember::at("behind", u64, 24),
    ];
    let id = t.w.add_struct("keeper", 32, &members);
    let fields = vec![(Field::TaskPointer, 8), (Field::NodePointer, 16)];
    made.push(ValueType { id, size: 32, fields });
    let res = t.special("bpf_res_spin_lock", 4);
    let members = [NewMember::at("lock", res, 0), NewMember::at("number", u64, 8)];
    let id = t.w.add_struct("resilient", 16, &members);
    made.push(ValueType { id, size: 16, fields: vec![(Field::ResLock, 0)] });
    made
}

impl Pool {
    /// `contexts`: names of the structures that are contexts of programs.
    pub(crate) fn new(contexts: &[&str]) -> Self {
        let mut t = Types::new();
        let node = node(&mut t);
        let values = value_types(&mut t, node);
        let void = t.w.add_ptr(TypeId::VOID);
        let proto = t.w.add_func_proto(t.int, &[("ctx", void)]);
        let main = t.w.add_func("main", proto, Linkage::Global).0;
        let number = t.u64;
        let many = [("a", number), ("b", number), ("c", number), ("d", number), ("e", number)];
        let mut statics = Vec::new();
        for (at, name) in ["first", "second", "third", "fourth"].iter().enumerate() {
            let params = many.get(..(at + 2).min(many.len())).unwrap_or(&many);
            let proto = t.w.add_func_proto(t.int, params);
            statics.push(t.w.add_func(name, proto, Linkage::Static).0);
        }
        let mut callbacks = Vec::new();
        for name in ["called", "recalled", "called_last"] {
            let params = [("a", void), ("b", void), ("c", void), ("d", void)];
            let proto = t.w.add_func_proto(t.int, &params);
            callbacks.push(t.w.add_func(name, proto, Linkage::Static).0);
        }
        let pair_members = [NewMember::at("a", t.u64, 0), NewMember::at("b", t.u64, 8)];
        let pair = t.w.add_struct("pair", 16, &pair_members);
        let globals = globals(&mut t, contexts, pair);
        let file = t.w.string("generated.c");
        let lines = ["x = 1;", "if (x > y)", "return x;", "call(x, y);", "loop();", "}"];
        let lines = lines.iter().map(|line| t.w.string(line)).collect();
        let ids = [t.int.0, t.u64.0];
        let btf = Blob::from(t.w.finish());
        let maps = maps(&btf, ids, &values);
        Self {
            btf,
            maps,
            main,
            statics,
            callbacks,
            globals,
            node,
            pair: pair.0,
            int: ids[0],
            file,
            lines,
        }
    }
}

/// Global functions with arguments of every kind.
fn globals(t: &mut Types, contexts: &[&str], pair: TypeId) -> Vec<Global> {
    let (pair, number) = (t.w.add_ptr(pair), t.w.add_ptr(t.u32));
    let dynptr = t.w.add_struct("bpf_dynptr", 16, &[]);
    let dynptr = t.w.add_reference(Kind::Const, "", dynptr);
    let dynptr = t.w.add_ptr(dynptr);
    let task = t.w.add_struct("task_struct", 4, &[]);
    let task = t.w.add_ptr(task);
    let (u32, u64, int) = (t.u32, t.u64, t.int);
    let mut made: Vec<Global> = Vec::new();
    let mut add =
        |t: &mut Types, name: &str, params: &[(TypeId, Param, &str)], ctx: Option<&str>| {
            let types: Vec<_> = params.iter().map(|(id, ..)| ("p", *id)).collect();
            let proto = t.w.add_func_proto(int, &types);
            let target = t.w.add_func(name, proto, Linkage::Global);
            for (component, (_, _, tags)) in (0..).zip(params) {
                for tag in tags.split_whitespace() {
                    let place = DeclTag { target, component: Some(component), attribute: false };
                    t.w.add_decl_tag(&format!("arg:{tag}"), place);
                }
            }
            let params = params.iter().map(|(_, param, _)| *param).collect();
            made.push(Global { id: target.0, params, ctx: ctx.map(str::to_owned) });
        };
    add(t, "numbers", &[(u32, Param::Scalar, ""), (u64, Param::Scalar, "")], None);
    add(t, "one_number", &[(u64, Param::Scalar, "")], None);
    add(t, "maybe_memory", &[(number, Param::Memory(4), ""), (u64, Param::Scalar, "")], None);
    add(t, "memory", &[(pair, Param::SolidMemory(16), "nonnull")], None);
    add(t, "by_dynptr", &[(dynptr, Param::Dynptr, ""), (u32, Param::Scalar, "")], None);
    add(t, "in_arena", &[(pair, Param::Arena, "arena")], None);
    add(t, "with_task", &[(task, Param::Task, "trusted"), (u64, Param::Scalar, "")], None);
    for name in contexts {
        let ctx = match *name {
            "bpf_user_pt_regs_t" => t.w.add_typedef(name, t.u64),
            _ => t.w.add_struct(name, 4, &[]),
        };
        let ctx = t.w.add_ptr(ctx);
        add(
            t,
            &format!("with_{name}"),
            &[(ctx, Param::Ctx, ""), (u32, Param::Scalar, "")],
            Some(name),
        );
    }
    made
}

fn maps(btf: &Blob, [int, u64]: [u32; 2], values: &[ValueType]) -> Vec<PoolMap> {
    let mut made = Vec::new();
    let none = MapFlags::empty();
    let plain: &[(&str, MapType, u32, u32, u32, MapFlags)] = &[
        ("array", MapType::ARRAY, 4, 48, 4, none),
        ("number", MapType::ARRAY, 4, 8, 1, none),
        ("hash", MapType::HASH, 8, 16, 8, none),
        ("wide_key", MapType::HASH, 20, 33, 4, MapFlags::NO_PREALLOC),
        ("percpu", MapType::PERCPU_ARRAY, 4, 32, 2, none),
        ("percpu_hash", MapType::PERCPU_HASH, 4, 16, 4, none),
        ("lru", MapType::LRU_HASH, 8, 64, 16, none),
        ("lru_percpu", MapType::LRU_PERCPU_HASH, 4, 8, 16, none),
        ("trie", MapType::LPM_TRIE, 8, 8, 4, MapFlags::NO_PREALLOC),
        ("progs", MapType::PROG_ARRAY, 4, 4, 4, none),
        ("events", MapType::PERF_EVENT_ARRAY, 4, 4, 2, none),
        ("traces", MapType::STACK_TRACE, 4, 80, 8, none),
        ("cgroups", MapType::CGROUP_ARRAY, 4, 4, 2, none),
        ("devices", MapType::DEVMAP, 4, 4, 4, none),
        ("device_hash", MapType::DEVMAP_HASH, 4, 8, 4, none),
        ("cpus", MapType::CPUMAP, 4, 4, 2, none),
        ("xsks", MapType::XSKMAP, 4, 4, 2, none),
        ("socks", MapType::SOCKMAP, 4, 8, 4, none),
        ("sock_hash", MapType::SOCKHASH, 4, 8, 4, none),
        ("local", MapType::CGROUP_STORAGE, 16, 16, 0, none),
        ("percpu_local", MapType::PERCPU_CGROUP_STORAGE, 16, 16, 0, none),
        ("reuse", MapType::REUSEPORT_SOCKARRAY, 4, 8, 4, none),
        ("queue", MapType::QUEUE, 0, 8, 4, none),
        ("stack", MapType::STACK, 0, 16, 4, none),
        ("ring", MapType::RINGBUF, 0, 0, 4096, none),
        ("user_ring", MapType::USER_RINGBUF, 0, 0, 4096, none),
        ("bloom", MapType::BLOOM_FILTER, 0, 8, 16, none),
        ("arena", MapType::ARENA, 0, 0, 4, MapFlags::MMAPABLE),
        ("write_only", MapType::ARRAY, 4, 16, 1, MapFlags::WRONLY_PROG),
        ("mapped", MapType::ARRAY, 4, 16, 1, MapFlags::MMAPABLE),
        (".bss", MapType::ARRAY, 4, 72, 1, none),
    ];
    for (name, map_type, key_size, value_size, max_entries, flags) in plain {
        let spec = MapSpec {
            name: (*name).to_owned(),
            map_type: *map_type,
            key_size: *key_size,
            value_size: *value_size,
            max_entries: *max_entries,
            flags: *flags,
            ..MapSpec::default()
        };
        made.push(plain_map(MapDesc { spec, ..MapDesc::default() }));
    }
    made.push(constants());
    made.extend(maps_of_maps());
    for (name, map_type) in [
        ("sk_local", MapType::SK_STORAGE),
        ("inode_local", MapType::INODE_STORAGE),
        ("task_local", MapType::TASK_STORAGE),
        ("cgrp_local", MapType::CGRP_STORAGE),
    ] {
        let spec = MapSpec {
            name: name.to_owned(),
            map_type,
            key_size: 4,
            value_size: 8,
            flags: MapFlags::NO_PREALLOC,
            btf_key_type_id: int,
            btf_value_type_id: u64,
            btf: Some(btf.clone()),
            ..MapSpec::default()
        };
        made.push(plain_map(MapDesc { spec, ..MapDesc::default() }));
    }
    made.extend(named_maps(btf, int, values));
    for (number, value) in values.iter().enumerate() {
        // Every other one is a hash, whose elements may go away.
        let map_type = if number % 2 == 0 { MapType::ARRAY } else { MapType::HASH };
        let entries = if number % 2 == 0 { 1 } else { 2 };
        made.push(typed_map(&format!("typed_{number}"), map_type, entries, value, btf, int));
    }
    made
}

/// Arrays of one element, two of most kinds, that scenes know by their names.
fn named_maps(btf: &Blob, int: u32, values: &[ValueType]) -> Vec<PoolMap> {
    let names: [&[&str]; 7] = [
        &["locked", "locked2"],
        &["timers", "timers2"],
        &["queues", "queues2"],
        &["tasks"],
        &["holder", "holder2"],
        &["kept"],
        &["resilient", "resilient2"],
    ];
    let mut made = Vec::new();
    for (value, names) in values.iter().zip(names) {
        for name in names {
            made.push(typed_map(name, MapType::ARRAY, 1, value, btf, int));
        }
    }
    made
}

/// A map of so many elements whose values have a type with special fields.
fn typed_map(
    name: &str,
    map_type: MapType,
    max_entries: u32,
    value: &ValueType,
    btf: &Blob,
    int: u32,
) -> PoolMap {
    let spec = MapSpec {
        name: name.to_owned(),
        map_type,
        key_size: 4,
        value_size: value.size,
        max_entries,
        btf_key_type_id: int,
        btf_value_type_id: value.id.0,
        btf: Some(btf.clone()),
        ..MapSpec::default()
    };
    let desc = Arc::new(MapDesc { spec, ..MapDesc::default() });
    PoolMap { desc, fields: value.fields.clone() }
}

fn plain_map(desc: MapDesc) -> PoolMap {
    PoolMap { desc: Arc::new(desc), fields: Vec::new() }
}

/// What `.rodata` is: values that the verifier reads. The first bytes are a string.
fn constants() -> PoolMap {
    let mut contents = b"number %d: %s %llx\0".to_vec();
    contents.resize(32, 0);
    contents.extend([5, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0x80]);
    let spec = MapSpec {
        name: ".rodata".to_owned(),
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size: 48,
        max_entries: 1,
        flags: MapFlags::RDONLY_PROG,
        ..MapSpec::default()
    };
    plain_map(MapDesc { spec, contents: Some(contents.into()), frozen: true, inner: None })
}

fn maps_of_maps() -> Vec<PoolMap> {
    let inner = Arc::new(MapSpec {
        name: "inner".to_owned(),
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size: 16,
        max_entries: 2,
        ..MapSpec::default()
    });
    let outer = |name: &str, map_type| {
        let spec = MapSpec {
            name: name.to_owned(),
            map_type,
            key_size: 4,
            value_size: 4,
            max_entries: 2,
            ..MapSpec::default()
        };
        plain_map(MapDesc { spec, inner: Some(Arc::clone(&inner)), ..MapDesc::default() })
    };
    vec![outer("outer", MapType::ARRAY_OF_MAPS), outer("outer_hash", MapType::HASH_OF_MAPS)]
}
