// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Fuzz targets: each takes any bytes and must neither panic, hang, nor eat memory.
//!
//! A target is a plain function, so that the smoke tests, a fuzzer and a debugger call the same code.

mod history;

pub use history::history;

use std::fmt::Write;
use std::sync::OnceLock;
use veristable_btf::writer::{NewMember, Writer};
use veristable_btf::{Btf, BtfExt, Linkage};
use veristable_gen::Generator;
use veristable_isa::{Dialect, Insn, Style, asm, check_fields, decode, disassemble, encode};
use veristable_kernel::{Kernel, MapType, ProgType};
use veristable_object::{LinkOptions, Object};
use veristable_program::{InfoTable, LoadRequest, MapDesc, MapSpec};
use veristable_verifier::messages::{Message, Path};
use veristable_verifier::{Level, Machine, Observer, Options, Outcome, verify};

/// A named target.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 7] = [
    ("isa", isa),
    ("btf", btf),
    ("object", object),
    ("program", program),
    ("verifier", verifier),
    ("gen", generated),
    ("history", history),
];

fn insns(data: &[u8]) -> Vec<Insn> {
    data.as_chunks().0.iter().map(|b| Insn::from_bytes(*b)).collect()
}

/// Decodes, prints and encodes instructions, and assembles text.
pub fn isa(data: &[u8]) {
    let insns = insns(data);
    let mut text = String::new();
    for (idx, insn) in insns.iter().enumerate() {
        let next = insns.get(idx + 1).copied();
        for dialect in [Dialect::LINUX_6_12, Dialect::LINUX_6_18, Dialect::LINUX_7_3] {
            let style = Style { dialect, allow_ptr_leaks: idx % 2 == 0 };
            text.clear();
            disassemble(&mut text, *insn, next, style, &()).expect("a string takes any text");
        }
        let _ = check_fields(*insn, next);
        if let Ok(op) = decode(&insns, idx) {
            let _ = encode(op).iter().count();
        }
        let _ = writeln!(text);
    }
    let _ = asm::assemble(&String::from_utf8_lossy(data), &());
}

/// Reads BTF and BTF.ext, and walks every type.
pub fn btf(data: &[u8]) {
    if let Ok(mut btf) = Btf::open(data) {
        btf.build_name_index();
        for ty in btf.types() {
            let _ = btf.resolve_size(ty.id());
            let _ = btf.skip_modifiers(ty.id());
        }
    }
    if let Ok(ext) = BtfExt::open(data) {
        let _ = ext.func_info().flat_map(|g| g.records).count();
        let _ = ext.line_info().flat_map(|g| g.records).count();
        let _ = ext.core_relos().flat_map(|g| g.records).count();
    }
}

fn kernel() -> &'static dyn Kernel {
    static KERNEL: OnceLock<veristable_kernel::Profile> = OnceLock::new();
    KERNEL.get_or_init(|| veristable_profiles::open("6.18.15").expect("a built-in kernel opens"))
}

/// Parses and links an object.
pub fn object(data: &[u8]) {
    if let Ok(object) = Object::parse(data, "fuzz.bpf.o") {
        let _ = object.link(kernel(), &LinkOptions::default()).programs.len();
    }
}

/// Reads a load request in both forms.
pub fn program(data: &[u8]) {
    if let Ok(request) = LoadRequest::from_bytes(data) {
        let again = request.to_bytes().expect("a request that was read can be written");
        assert_eq!(LoadRequest::from_bytes(&again).as_ref(), Ok(&request));
    }
    let _ = LoadRequest::from_json(&String::from_utf8_lossy(data));
}

/// Wants every event and keeps none.
struct Everything;

impl Observer for Everything {
    const LEVEL: Level = Level::Full;

    fn event(&mut self, event: veristable_verifier::Event<'_>) {
        let _ = event;
    }
}

/// Verifies with and without someone who watches: but for what only a watcher is told, both ways say
/// the same.
fn both_ways(request: &LoadRequest, kernel: &dyn Kernel, options: &Options<'_>) -> Outcome {
    let silent = verify(request, kernel, options, &mut veristable_verifier::Silent);
    let mut watched = verify(request, kernel, options, &mut Everything);
    if let Outcome::Rejected(rejected) = &mut watched {
        let told = |m: &Message| matches!(m, Message::Path(Path::SafeForAnyArguments { .. }));
        rejected.messages.retain(|message| !told(message));
    }
    assert_eq!(silent, watched, "watching changes nothing");
    silent
}

/// Types for CO-RE relocations, many of them named as the kernel's: what a record's type and access
/// string are picked from, and a function.
fn core_types() -> &'static (Vec<u8>, u32, Vec<u32>) {
    static TYPES: OnceLock<(Vec<u8>, u32, Vec<u32>)> = OnceLock::new();
    TYPES.get_or_init(|| {
        let mut writer = Writer::new();
        let int = writer.add_int("int", 4, 1);
        let word = writer.add_int("unsigned int", 4, 0);
        let long = writer.add_int("unsigned long", 8, 0);
        let array = writer.add_array(word, word, 5);
        let flexible = writer.add_array(int, word, 0);
        let own = writer.add_struct("own", 4, &[NewMember::at("a", int, 0)]);
        let pointer = writer.add_ptr(own);
        let list = [NewMember::at("next", pointer, 0), NewMember::at("prev", pointer, 8)];
        let list = writer.add_struct("list_head", 16, &list);
        writer.add_struct("work_struct", 32, &[NewMember::at("entry", list, 8)]);
        let unnamed = writer.add_union("", 8, &[NewMember::at("hash", int, 0)]);
        let skb = [NewMember::at("", unnamed, 0), NewMember::at("head", pointer, 8)];
        writer.add_struct("sk_buff___own", 16, &skb);
        let skb = [NewMember::at("mark", long, 0), NewMember::at("cb", array, 8)];
        writer.add_struct("__sk_buff", 28, &skb);
        let task = [
            NewMember::bits("sched_reset_on_fork", word, 0, 1),
            NewMember::bits("pid", int, 32, 0),
            NewMember::bits("comm", flexible, 64, 0),
        ];
        writer.add_struct("task_struct", 8, &task);
        writer.add_union("task_struct___union", 8, &[]);
        let values = [("BPF_MAP_TYPE_ARRAY", 7), ("NOTHING", -1)];
        writer.add_enum("bpf_map_type", 4, true, &values);
        writer.add_enum64("bpf_map_type___wide", 8, true, &values);
        writer.add_typedef("pid_t", int);
        writer.add_float("double", 8);
        let proto = writer.add_func_proto(int, &[("ctx", pointer)]);
        let function = writer.add_func("schedule", proto, Linkage::Global).0;
        let texts = ["0", "0:0", "0:1", "0:1:2", "0:2:9", "0:0:0", "-1:0", "1", "0: -1", "0:9", ""];
        let texts = texts.map(|text| writer.string(text)).to_vec();
        (writer.finish(), function, texts)
    })
}

/// Lets the first bytes be CO-RE relocations: four bytes each say the instruction, the type, the
/// access string and the kind.
fn with_relocations(body: &[u8]) -> LoadRequest {
    let (btf, function, texts) = core_types();
    let (count, rest) = body.split_at(body.len().min(1));
    let count = usize::from(count.first().copied().unwrap_or(0) % 16);
    let (records, rest) = rest.split_at((count * 4).min(rest.len()));
    let (records, _) = records.as_chunks::<4>();
    let insns = insns(rest);
    let mut bytes = Vec::new();
    for [insn, ty, text, kind] in records {
        let insn = u32::from(*insn) % (insns.len() as u32 + 1) * 8;
        let text = texts[usize::from(*text) % texts.len()];
        for word in [insn, u32::from(*ty % 28), text, u32::from(*kind % 14)] {
            bytes.extend(word.to_le_bytes());
        }
    }
    let function = [0, *function].map(u32::to_le_bytes).concat();
    LoadRequest {
        btf: Some(btf.clone().into()),
        func_info: InfoTable { rec_size: 8, count: 1, bytes: function.into() },
        core_relos: InfoTable { rec_size: 16, count: records.len() as u32, bytes: bytes.into() },
        insns,
        ..LoadRequest::default()
    }
}

/// Verifies a serialised request, or else the bytes as instructions of a small program, with CO-RE
/// relocations before them if the first bit is set.
pub fn verifier(data: &[u8]) {
    let request = LoadRequest::from_bytes(data).unwrap_or_else(|_| {
        let (head, body) = data.split_at(data.len().min(1));
        let relocated = head.first().is_some_and(|head| *head >= 128);
        let base = if relocated {
            with_relocations(body)
        } else {
            LoadRequest { insns: insns(body), ..LoadRequest::default() }
        };
        let map = MapSpec {
            name: "map".into(),
            map_type: MapType::ARRAY,
            key_size: 4,
            value_size: 64,
            max_entries: 4,
            ..MapSpec::default()
        };
        LoadRequest {
            name: "fuzz".into(),
            prog_type: ProgType(u32::from(head.first().copied().unwrap_or(1)) % 34),
            license: "GPL".into(),
            maps: vec![MapDesc { spec: map, ..MapDesc::default() }.into()],
            ..base
        }
    });
    let options = Options { memory: 64 << 20, fuel: Some(50_000), ..Options::default() };
    both_ways(&request, kernel(), &options);
}

/// A kernel, programs for it with mistakes, and programs without.
struct Maker {
    kernel: &'static dyn Kernel,
    mistaken: Generator<'static>,
    right: Generator<'static>,
}

impl Maker {
    fn new(name: &str) -> Self {
        let kernel = veristable_profiles::open(name).expect("a built-in kernel opens");
        let kernel: &'static dyn Kernel = Box::leak(Box::new(kernel));
        let with = |mistaken| {
            Generator::new(kernel, veristable_gen::Options { mistaken, capabilities: None })
        };
        Self { kernel, mistaken: with(100), right: with(0) }
    }
}

thread_local! {
    static MAKERS: [Maker; 2] = ["6.18.15", "6.12.117"].map(Maker::new);
}

/// Takes bytes as what a generator decides, for two kernels: the first says whether programs may
/// be wrong.
pub fn generated(data: &[u8]) {
    let (head, body) = data.split_at(data.len().min(1));
    let right = head.first().is_some_and(|byte| byte % 2 == 0);
    MAKERS.with(|makers| {
        for maker in makers {
            let generator = if right { &maker.right } else { &maker.mistaken };
            let request = generator.program_of(body);
            assert_eq!(generator.program_of(body), request, "the same bytes are the same program");
            round_trips(&request);
            verified(&request, maker.kernel, right);
        }
    });
}

/// Every form of a request says the same.
fn round_trips(request: &LoadRequest) {
    let bytes = request.to_bytes().expect("a generated request can be written");
    assert_eq!(LoadRequest::from_bytes(&bytes).as_ref(), Ok(request));
    let json = request.to_json().expect("a generated request can be written");
    assert_eq!(LoadRequest::from_json(&json).as_ref(), Ok(request));
    let listing = asm::listing(&request.insns).to_string();
    let again = asm::assemble(&listing, &()).expect("a listing can be assembled");
    assert_eq!(again.insns, request.insns, "{listing}");
}

fn verified(request: &LoadRequest, kernel: &dyn Kernel, right: bool) {
    let machine = Machine { unprivileged_disabled: false, ..Machine::default() };
    let options = Options { memory: 64 << 20, fuel: Some(20_000), machine, ..Options::default() };
    let silent = both_ways(request, kernel, &options);
    let undecided = match &silent {
        // What the kernel dies of, right programs may contain.
        Outcome::Unsupported(feature) => {
            let what = feature.to_string();
            !veristable_gen::DEADLY.iter().any(|deadly| what.contains(deadly))
        }
        Outcome::UnknownFact(_) => true,
        _ => false,
    };
    assert!(!right || !undecided, "{silent:?}\n{}", asm::listing(&request.insns));
}
