// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Fuzz targets: each takes any bytes and must neither panic, hang, nor eat memory.
//!
//! A target is a plain function, so that the smoke tests, a fuzzer and a debugger call the same code.

use std::fmt::Write;
use std::sync::OnceLock;
use veristable_btf::{Btf, BtfExt};
use veristable_gen::Generator;
use veristable_isa::{Dialect, Insn, Style, asm, check_fields, decode, disassemble, encode};
use veristable_kernel::{Kernel, MapType, ProgType};
use veristable_object::{LinkOptions, Object};
use veristable_program::{LoadRequest, MapDesc, MapSpec};
use veristable_verifier::{Level, Machine, Observer, Options, Outcome, verify};

/// A named target.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 6] = [
    ("isa", isa),
    ("btf", btf),
    ("object", object),
    ("program", program),
    ("verifier", verifier),
    ("gen", generated),
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

/// Verifies a serialised request, or else the bytes as instructions of a small program.
pub fn verifier(data: &[u8]) {
    let request = LoadRequest::from_bytes(data).unwrap_or_else(|_| {
        let (head, body) = data.split_at(data.len().min(1));
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
            insns: insns(body),
            maps: vec![MapDesc { spec: map, ..MapDesc::default() }.into()],
            ..LoadRequest::default()
        }
    });
    let options = Options { memory: 64 << 20, fuel: Some(50_000), ..Options::default() };
    let silent = verify(&request, kernel(), &options, &mut veristable_verifier::Silent);
    let watched = verify(&request, kernel(), &options, &mut Everything);
    assert_eq!(silent, watched, "watching changes nothing");
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
    let silent = verify(request, kernel, &options, &mut veristable_verifier::Silent);
    let watched = verify(request, kernel, &options, &mut Everything);
    assert_eq!(silent, watched, "watching changes nothing");
    let undecided = matches!(silent, Outcome::Unsupported(_) | Outcome::UnknownFact(_));
    assert!(!right || !undecided, "{silent:?}\n{}", asm::listing(&request.insns));
}
