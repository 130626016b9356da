// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Function info, line info, CO-RE records and the frame of `verify`: cases that the assembly of
//! the rule files cannot express. Each answer was given by a 6.18.15 guest.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, missing_docs)]

mod coverage;

use coverage::{Names, Watching};
use veristable_btf::writer::Writer;
use veristable_btf::{DeclTag, Kind, Linkage, TypeId};
use veristable_isa::asm;
use veristable_kernel::profile::Facts;
use veristable_kernel::{AttachType, DesignId, Kernel, Profile, ProgType};
use veristable_program::{Attach, Capabilities, InfoTable, LoadRequest, LogRequest};
use veristable_verifier::log::KernelLog;
use veristable_verifier::{Abort, Dialect, Machine, Options, Outcome, Silent, verify};

/// Ids of the BTF that every case has.
const INT: TypeId = TypeId(1);
const MAIN: u32 = 4;
const SUB: u32 = 5;
const VOID_SUB: u32 = 7;

/// `int main(void *)`, `static int sub(void *)`, `static void void_sub(void *)`, then what the case
/// adds.
fn btf(more: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    assert_eq!(writer.add_int("int", 4, 1), INT);
    let pointer = writer.add_ptr(TypeId::VOID);
    let proto = writer.add_func_proto(INT, &[("ctx", pointer)]);
    assert_eq!(writer.add_func("main", proto, Linkage::Global).0, MAIN);
    assert_eq!(writer.add_func("sub", proto, Linkage::Static).0, SUB);
    let void = writer.add_func_proto(TypeId::VOID, &[("ctx", pointer)]);
    assert_eq!(writer.add_func("void_sub", void, Linkage::Static).0, VOID_SUB);
    writer.string("int main(void *ctx)");
    writer.string("dir/main.c");
    more(&mut writer);
    writer.finish()
}

fn offset_of(btf: &[u8], text: &str) -> u32 {
    let strings = veristable_btf::Btf::open(btf).unwrap().string_section().to_vec();
    let at = strings.windows(text.len()).position(|window| window == text.as_bytes());
    u32::try_from(at.unwrap()).unwrap()
}

fn table(rec_size: u32, records: &[&[u32]]) -> InfoTable {
    let bytes: Vec<u8> =
        records.iter().flat_map(|record| record.iter().flat_map(|w| w.to_le_bytes())).collect();
    let count = u32::try_from(records.len()).unwrap();
    InfoTable { rec_size, count, bytes: bytes.into() }
}

const TWO: &str = "call sub\nexit\nsub: r0 = 0\nexit";
const PACKET_LOAD: &str = "r6 = r1\ncall sub\nexit\nsub: r0 = *(u8 *)skb[0]\nexit";
const TAIL_CALL: &str = "r6 = r1\ncall sub\nexit\nsub: call 12\nr0 = 0\nexit";

fn request(text: &str) -> LoadRequest {
    LoadRequest {
        name: "case".to_owned(),
        prog_type: ProgType::SOCKET_FILTER,
        license: "GPL".to_owned(),
        insns: asm::assemble(text, &()).unwrap().insns,
        log: LogRequest { level: 2, size: 1 << 20 },
        ..LoadRequest::default()
    }
}

fn with_functions(text: &str, rec_size: u32, records: &[&[u32]]) -> LoadRequest {
    LoadRequest {
        btf: Some(btf(|_| ()).into()),
        func_info: table(rec_size, records),
        ..request(text)
    }
}

/// Line records of (slot, whether the text exists).
fn with_lines(text: &str, rec_size: u32, slots: &[u32]) -> LoadRequest {
    let btf = btf(|_| ());
    let (line, file) = (offset_of(&btf, "int main(void *ctx)"), offset_of(&btf, "dir/main.c"));
    let records: Vec<Vec<u32>> = slots
        .iter()
        .map(|slot| {
            let mut record = vec![*slot, file, line, (*slot + 1) << 10];
            record.resize(rec_size.max(16) as usize / 4, 0);
            record
        })
        .collect();
    let records: Vec<&[u32]> = records.iter().map(Vec::as_slice).collect();
    LoadRequest { btf: Some(btf.into()), line_info: table(rec_size, &records), ..request(text) }
}

fn with_callback(tags: &[&str], linkage: Linkage, records: &[&[u32]]) -> LoadRequest {
    let btf = btf(|writer| {
        let proto = writer.add_func_proto(INT, &[("cookie", INT)]);
        assert_eq!(writer.add_func("handler", proto, linkage).0, 9);
        for tag in tags {
            let tagged = DeclTag { target: TypeId(MAIN), component: None, attribute: false };
            writer.add_decl_tag(tag, tagged);
        }
    });
    LoadRequest { btf: Some(btf.into()), func_info: table(8, records), ..request(TWO) }
}

/// Name, request, and the answer: the errno and the messages.
type Case = (&'static str, LoadRequest, &'static str, &'static [&'static str]);

fn function_cases() -> Vec<Case> {
    let main: &[u32] = &[0, MAIN];
    let sub: &[u32] = &[2, SUB];
    let f = |size, records: &[&[u32]]| with_functions(TWO, size, records);
    vec![
        ("record of 4", f(4, &[&[0]]), "EINVAL", &["invalid func info rec size 4"]),
        ("record of 256", f(256, &[main]), "EINVAL", &["invalid func info rec size 256"]),
        ("record of 10", f(10, &[main]), "EINVAL", &["invalid func info rec size 10"]),
        (
            "tail that is not zero",
            f(12, &[&[0, MAIN, 1], &[2, SUB, 0]]),
            "E2BIG",
            &["nonzero tailing record in func info"],
        ),
        (
            "first not at 0",
            f(8, &[&[1, MAIN], sub]),
            "EINVAL",
            &["nonzero insn_off 1 for the first func info record"],
        ),
        (
            "not ascending",
            f(8, &[main, &[0, SUB]]),
            "EINVAL",
            &["same or smaller insn offset (0) than previous func info record (0)"],
        ),
        (
            "not a function",
            f(8, &[&[0, INT.0], sub]),
            "EINVAL",
            &["invalid type id 1 in func info"],
        ),
        (
            "too few",
            f(8, &[main]),
            "EINVAL",
            &["number of funcs in func_info doesn't match number of subprogs"],
        ),
        (
            "at another place",
            f(8, &[main, &[3, SUB]]),
            "EINVAL",
            &["func_info BTF section doesn't match subprog layout in BPF program"],
        ),
        (
            "packet load without function info",
            request(PACKET_LOAD),
            "EINVAL",
            &["LD_ABS is not allowed in subprogs without BTF"],
        ),
        (
            "tail call without function info",
            request(TAIL_CALL),
            "EINVAL",
            &["tail_call is not allowed in subprogs without BTF"],
        ),
        (
            "packet load in a function without value",
            with_functions(PACKET_LOAD, 8, &[main, &[3, VOID_SUB]]),
            "EINVAL",
            &["LD_ABS is only allowed in functions that return 'int'."],
        ),
        (
            "tail call in a function without value",
            with_functions(TAIL_CALL, 8, &[main, &[3, VOID_SUB]]),
            "EINVAL",
            &["tail_call is only allowed in functions that return 'int'."],
        ),
    ]
}

fn line_cases() -> Vec<Case> {
    const ONE: &str = "r0 = 0\nr1 = 0x100000000 ll\nexit";
    let mut tail = with_lines(ONE, 20, &[0]);
    tail.line_info = table(20, &[&[0, 1, 1, 1024, 7]]);
    let mut name = with_lines(ONE, 16, &[0]);
    name.line_info = table(16, &[&[0, 1, 1 << 20, 1024]]);
    let lines = |slots: &[u32]| with_lines(ONE, 16, slots);
    vec![
        ("record of 12", with_lines(ONE, 12, &[0]), "EINVAL", &[]),
        ("tail that is not zero", tail, "E2BIG", &["nonzero tailing record in line_info"]),
        (
            "behind the end",
            lines(&[0, 9]),
            "EINVAL",
            &["Invalid line_info[1].insn_off:9 (prev_offset:0 prog->len:4)"],
        ),
        (
            "not ascending",
            lines(&[0, 1, 1]),
            "EINVAL",
            &["Invalid line_info[2].insn_off:1 (prev_offset:1 prog->len:4)"],
        ),
        ("second slot", lines(&[0, 2]), "EINVAL", &["Invalid insn code at line_info[1].insn_off"]),
        ("no such text", name, "EINVAL", &["Invalid line_info[0].line_off or .file_name_off"]),
        ("first missing", lines(&[1]), "EINVAL", &["missing bpf_line_info for func#0"]),
        (
            "a function without line",
            with_lines(TWO, 16, &[0, 1]),
            "EINVAL",
            &["missing bpf_line_info for 1 funcs starting from func#1"],
        ),
        (
            "a function's first line missing",
            with_lines(TWO, 16, &[0, 3]),
            "EINVAL",
            &["missing bpf_line_info for func#1"],
        ),
    ]
}

fn callback_cases() -> Vec<Case> {
    let main: &[u32] = &[0, MAIN];
    let handler: &[u32] = &[2, 9];
    const TAG: &str = "exception_callback:handler";
    vec![
        (
            "two tags",
            with_callback(&[TAG, TAG], Linkage::Global, &[main, handler]),
            "EEXIST",
            &["multiple exception callback tags for main subprog"],
        ),
        (
            "no such function",
            with_callback(&["exception_callback:nobody"], Linkage::Global, &[main, handler]),
            "ENOENT",
            &["exception callback 'nobody' could not be found in BTF"],
        ),
        (
            "a static function",
            with_callback(&[TAG], Linkage::Static, &[main, handler]),
            "EINVAL",
            &["exception callback 'handler' must have global linkage"],
        ),
        (
            "not among the functions",
            with_callback(&[TAG], Linkage::Global, &[main, &[2, SUB]]),
            "EINVAL",
            &["exception callback type id not found in func_info"],
        ),
        (
            "behind the end",
            with_callback(&[TAG], Linkage::Global, &[main, &[9, 9]]),
            "EINVAL",
            &["call to invalid destination"],
        ),
    ]
}

fn relocation_cases() -> Vec<Case> {
    let relocated = |rec_size, record: &[u32]| LoadRequest {
        core_relos: table(rec_size, &[record]),
        ..with_functions("r0 = 0\nexit", 8, &[&[0, MAIN]])
    };
    vec![
        ("record of 12", relocated(12, &[0, 1, 1]), "EINVAL", &[]),
        (
            "tail that is not zero",
            relocated(20, &[0, INT.0, 1, 0, 3]),
            "E2BIG",
            &["nonzero tailing record in core_relo"],
        ),
        (
            "not at an instruction",
            relocated(16, &[4, INT.0, 1, 0]),
            "EINVAL",
            &["Invalid core_relo[0].insn_off:4 prog->len:2"],
        ),
    ]
}

fn target_cases() -> Vec<Case> {
    let target = with_functions(TWO, 8, &[&[0, MAIN], &[2, SUB]]);
    let attached = |attach_type, target: &LoadRequest, btf_id| LoadRequest {
        prog_type: ProgType::TRACING,
        expected_attach_type: attach_type,
        attach: Attach::Program {
            target: target.to_bytes().unwrap().into(),
            func: String::new(),
            btf_id,
        },
        ..request("r0 = 0\nexit")
    };
    let fentry = AttachType::TRACE_FENTRY;
    vec![
        (
            "program without an id",
            attached(fentry, &target, 0),
            "EINVAL",
            &["Tracing programs must provide btf_id"],
        ),
        (
            "program without types",
            attached(fentry, &request(TWO), MAIN),
            "EINVAL",
            &["FENTRY/FEXIT program can only be attached to another program annotated with BTF"],
        ),
        (
            "type of the program that does not exist",
            attached(fentry, &target, 999),
            "EINVAL",
            &["attach_btf_id 999 is invalid"],
        ),
        (
            "function that the program does not have",
            attached(fentry, &target, VOID_SUB),
            "EINVAL",
            &["Subprog void_sub doesn't exist"],
        ),
        (
            "return value of a program",
            attached(AttachType::MODIFY_RETURN, &target, SUB),
            "EINVAL",
            &["can't modify return codes of BPF programs"],
        ),
        (
            "raw tracepoint of a program",
            attached(AttachType::TRACE_RAW_TP, &target, SUB),
            "EINVAL",
            &["Only FENTRY/FEXIT progs are attachable to another BPF prog"],
        ),
    ]
}

fn gate_cases() -> Vec<Case> {
    let plain = || request("r0 = 0\nexit");
    vec![
        ("no instruction", LoadRequest { insns: Vec::new(), ..plain() }, "E2BIG", &[]),
        (
            "too many instructions without CAP_BPF",
            LoadRequest {
                insns: plain().insns.into_iter().cycle().take(4097).collect(),
                capabilities: Capabilities::empty(),
                ..plain()
            },
            "E2BIG",
            &[],
        ),
        ("a name with a space", LoadRequest { name: "a b".to_owned(), ..plain() }, "EINVAL", &[]),
        (
            "a buffer without a level",
            LoadRequest { log: LogRequest { level: 0, size: 64 }, ..plain() },
            "EINVAL",
            &[],
        ),
        (
            "an unknown level",
            LoadRequest { log: LogRequest { level: 32, size: 64 }, ..plain() },
            "EINVAL",
            &[],
        ),
        (
            "a log that does not fit",
            LoadRequest { log: LogRequest { level: 2, size: 64 }, ..plain() },
            "ENOSPC",
            &[],
        ),
    ]
}

fn open() -> impl Kernel {
    veristable_profiles::open(veristable_profiles::DEFAULT).unwrap()
}

fn unprivileged_allowed() -> Options<'static> {
    let machine = Machine { unprivileged_disabled: false, ..Machine::default() };
    Options { machine, ..Options::default() }
}

fn check(kernel: &dyn Kernel, (name, request, errno, said): &Case) -> Names {
    let mut log = Watching::new(KernelLog::new(request.log, Dialect::V6_18));
    let outcome = verify(request, kernel, &unprivileged_allowed(), &mut log);
    match &outcome {
        Outcome::Rejected(rejected) => {
            let messages: Vec<_> = rejected.messages.iter().map(ToString::to_string).collect();
            assert_eq!(
                (rejected.errno.to_string().as_str(), &messages[..]),
                (*errno, &to_owned(said)[..]),
                "{name}"
            );
        }
        other => panic!("{name}: {other:?}"),
    }
    log.said(&outcome, &[])
}

fn to_owned(said: &[&str]) -> Vec<String> {
    said.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn refusals() {
    let kernel = open();
    let cases = [
        function_cases(),
        line_cases(),
        callback_cases(),
        relocation_cases(),
        target_cases(),
        gate_cases(),
    ];
    let said: Names = cases.iter().flatten().flat_map(|case| check(&kernel, case)).collect();
    for (name, reason) in coverage::exceptions() {
        assert!(reason != "structural" || said.contains(&name), "{name} has no case here");
    }
}

#[test]
fn unprivileged_loads_can_be_forbidden() {
    let request = LoadRequest { capabilities: Capabilities::empty(), ..request("r0 = 0\nexit") };
    let Outcome::Rejected(rejected) = verify(&request, &open(), &Options::default(), &mut Silent)
    else {
        panic!("not rejected")
    };
    assert_eq!((rejected.errno.to_string().as_str(), rejected.stats), ("EPERM", None));
}

#[test]
fn types_without_tables_are_not_looked_at() {
    let kernel = open();
    let types = kernel.btf(None).unwrap().unwrap();
    let id = types.find_by_name("bpf_obj_new_impl", Kind::Func).unwrap();
    let text = format!("r1 = 4\nr2 = 0\ncall kfunc {} off 0\nr0 = 0\nexit", id.0);
    let prog_type = ProgType::SCHED_CLS;
    let request = LoadRequest { btf: Some(btf(|_| ()).into()), prog_type, ..request(&text) };
    let said = &["bpf_obj_new/bpf_percpu_obj_new requires prog BTF"];
    check(&kernel, &("types without tables", request, "EINVAL", said));
}

#[test]
fn limits_end_the_verification() {
    let (kernel, request) = (open(), request("r0 = 0\nexit"));
    let run = |options: Options<'_>| verify(&request, &kernel, &options, &mut Silent);
    let small = Options { memory: 16, ..Options::default() };
    assert_eq!(run(small), Outcome::Aborted(Abort::Memory { limit: 16 }));
    let tired = Options { fuel: Some(3), ..Options::default() };
    assert_eq!(run(tired), Outcome::Aborted(Abort::Fuel));
    let stop = || true;
    let cancelled = Options { cancel: Some(&stop), ..Options::default() };
    assert_eq!(run(cancelled), Outcome::Aborted(Abort::Cancelled));
    assert!(run(Options::default()).is_accepted());
    let peak = std::cell::Cell::new(0);
    assert!(run(Options { peak: Some(&peak), ..Options::default() }).is_accepted());
    let enough = Options { memory: peak.get(), ..Options::default() };
    assert!(peak.get() > 0 && run(enough).is_accepted());
    let half = Options { memory: peak.get() / 2, ..Options::default() };
    assert_eq!(run(half), Outcome::Aborted(Abort::Memory { limit: peak.get() / 2 }));
}

#[test]
fn other_designs_are_not_guessed() {
    let known = veristable_profiles::open("6.18.15").unwrap();
    let facts = Facts { design: DesignId::V7_2, ..known.facts().clone() };
    let kernel = Profile::new(facts, None).unwrap();
    let outcome = verify(&request("r0 = 0\nexit"), &kernel, &Options::default(), &mut Silent);
    assert!(matches!(outcome, Outcome::Unsupported(feature) if feature.name == "verifier design"));
}
