// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Tiny programs with known answers, for every kind of oracle.

use std::sync::Arc;
use std::time::Duration;

use veristable_isa::Insn;
use veristable_kernel::{MapType, ProgType};
use veristable_oracle::{Answer, LoadOptions, Oracle, Verdict};
use veristable_program::{
    Blob, Capabilities, Fixup, FixupKind, LoadRequest, MapDesc, MapFlags, MapSpec,
};

const EXIT: Insn = Insn::new(0x95, 0, 0, 0, 0);

fn mov(dst: u8, imm: i32) -> Insn {
    Insn::new(0xb7, dst, 0, 0, imm)
}

fn request(name: &str, insns: Vec<Insn>) -> LoadRequest {
    LoadRequest {
        name: name.into(),
        prog_type: ProgType::SOCKET_FILTER,
        license: "GPL".into(),
        insns,
        ..LoadRequest::default()
    }
}

fn rodata(value: u8) -> Arc<MapDesc> {
    Arc::new(MapDesc {
        spec: MapSpec {
            name: "a.rodata".into(),
            map_type: MapType::ARRAY,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            flags: MapFlags::RDONLY_PROG,
            ..MapSpec::default()
        },
        contents: Some(Blob::from(vec![value])),
        frozen: true,
        ..MapDesc::default()
    })
}

/// Reads a frozen byte and leaves out `r0 = 0` if it is 1, so that the verdict tells the contents.
fn folds(name: &str, value: u8) -> LoadRequest {
    let insns = vec![
        Insn::new(0x18, 1, 2, 0, 0),
        Insn::new(0, 0, 0, 0, 0),
        Insn::new(0x71, 2, 1, 0, 0),
        Insn::new(0x15, 2, 0, 1, 1),
        mov(0, 0),
        EXIT,
    ];
    LoadRequest { maps: vec![rodata(value)], ..request(name, insns) }
}

/// A tail call into a map of programs that other loads of the batch use, too.
fn tail_call(name: &str, prog_type: ProgType, programs: &Arc<MapDesc>) -> LoadRequest {
    let insns = vec![
        Insn::new(0x18, 2, 1, 0, 0),
        Insn::new(0, 0, 0, 0, 0),
        mov(3, 0),
        Insn::new(0x85, 0, 0, 0, 12),
        mov(0, 0),
        EXIT,
    ];
    LoadRequest { prog_type, maps: vec![programs.clone()], ..request(name, insns) }
}

fn programs() -> Arc<MapDesc> {
    let (key_size, value_size, max_entries) = (4, 4, 4);
    let map_type = MapType::PROG_ARRAY;
    let spec = MapSpec { map_type, key_size, value_size, max_entries, ..MapSpec::default() };
    Arc::new(MapDesc { spec, ..MapDesc::default() })
}

/// What an answer must be.
enum Want {
    Loaded,
    /// Error number and the message, or an empty one.
    Refused(i32, &'static str),
    Environment(&'static str),
}

fn cases() -> Vec<(LoadRequest, Want)> {
    let address = request("address", vec![Insn::new(0x18, 0, 0, 0, 0), Insn::default(), EXIT]);
    let programs = programs();
    let many = 1 << 30;
    let huge = MapDesc {
        spec: MapSpec { value_size: 0, max_entries: many, ..rodata(0).spec.clone() },
        ..MapDesc::default()
    };
    let unprivileged = |name, insns, capabilities| LoadRequest {
        capabilities,
        prog_type: ProgType::XDP,
        ..request(name, insns)
    };
    vec![
        (request("trivial", vec![mov(0, 0), EXIT]), Want::Loaded),
        (request("uninitialised", vec![EXIT]), Want::Refused(13, "R0 !read_ok")),
        (
            request("no map", vec![Insn::new(0x18, 1, 1, 0, 7), Insn::default(), mov(0, 0), EXIT]),
            Want::Refused(9, "fd -1 is not pointing to valid bpf_map"),
        ),
        (folds("rodata 0", 0), Want::Loaded),
        (folds("rodata 1", 1), Want::Refused(13, "R0 !read_ok")),
        (
            LoadRequest {
                fixups: vec![Fixup {
                    insn: 0,
                    kind: FixupKind::SymbolAddress("bpf_prog_load".into()),
                }],
                ..address
            },
            Want::Loaded,
        ),
        (
            LoadRequest { maps: vec![Arc::new(huge)], ..request("bad map", vec![mov(0, 0), EXIT]) },
            Want::Environment("cannot create map `a.rodata`"),
        ),
        (
            LoadRequest {
                btf: Some(Blob::from(vec![0; 4])),
                ..request("bad btf", vec![mov(0, 0), EXIT])
            },
            Want::Environment("BTF refused: EINVAL"),
        ),
        (tail_call("tail call", ProgType::SOCKET_FILTER, &programs), Want::Loaded),
        (tail_call("tail call of another kind", ProgType::SCHED_CLS, &programs), Want::Loaded),
        (
            unprivileged("no net_admin", vec![mov(0, 0), EXIT], Capabilities::BPF),
            Want::Refused(1, ""),
        ),
        (
            unprivileged(
                "net_admin",
                vec![mov(0, 0), EXIT],
                Capabilities::BPF | Capabilities::NET_ADMIN,
            ),
            Want::Loaded,
        ),
    ]
}

/// Asks about all of them and compares.
pub(crate) fn check(oracle: &mut dyn Oracle) {
    let cases = cases();
    let batch: Vec<&LoadRequest> = cases.iter().map(|(request, _)| request).collect();
    let options = LoadOptions { timeout: Duration::from_secs(10), ..LoadOptions::default() };
    let mut answers: Vec<Option<Answer>> = vec![None; batch.len()];
    oracle
        .load(&batch, &options, &mut |index, answer| {
            assert!(answers[index].replace(answer).is_none(), "two answers for {index}");
        })
        .unwrap();
    for ((request, want), answer) in cases.iter().zip(answers) {
        let answer = answer.unwrap_or_else(|| panic!("{}: no answer", request.name));
        let log = answer.log_text().into_owned();
        let context = format!("{}: {:?}\n{log}", request.name, answer.verdict);
        match (want, &answer.verdict) {
            (Want::Loaded, Verdict::Loaded) => assert!(answer.reached_verifier(), "{context}"),
            (Want::Refused(want, message), Verdict::Refused { errno }) => {
                assert_eq!(want, errno, "{context}");
                assert_eq!(veristable_oracle::log::message(&log).join("\n"), *message, "{context}");
                assert_eq!(answer.reached_verifier(), !message.is_empty(), "{context}");
            }
            (Want::Environment(start), Verdict::Environment { reason }) => {
                assert!(reason.starts_with(start), "{context}");
            }
            _ => panic!("{context}"),
        }
    }
    long_log(oracle);
    rewritten(oracle);
}

/// A log that does not fit does not change the verdict.
fn long_log(oracle: &mut dyn Oracle) {
    let mut insns = vec![mov(0, 0); 200];
    insns.push(EXIT);
    let mut bad = insns.clone();
    bad.insert(200, Insn::new(0xbf, 0, 9, 0, 0));
    let (good, bad) = (request("good", insns), request("bad", bad));
    let options = LoadOptions { log_level: 2, log_size: 1000, ..LoadOptions::default() };
    oracle
        .load(&[&good, &bad], &options, &mut |index, answer| {
            let log = answer.log_text().into_owned();
            assert!(answer.log_truncated, "{index}: {log}");
            assert_eq!(answer.log_level, 4);
            assert_eq!(answer.verdict == Verdict::Loaded, index == 0, "{:?}", answer.verdict);
            assert!(answer.log_true_size.is_none_or(|size| size > 1000));
            let want: &[&str] = if index == 0 { &[] } else { &["R9 !read_ok"] };
            assert_eq!(veristable_oracle::log::message(&log), want);
        })
        .unwrap();
}

fn rewritten(oracle: &mut dyn Oracle) {
    let request = request("rewritten", vec![mov(0, 0), EXIT]);
    let options = LoadOptions { want_xlated: true, ..LoadOptions::default() };
    oracle
        .load(&[&request], &options, &mut |_, answer| {
            let xlated = answer.xlated.unwrap_or_default();
            assert_eq!(xlated.len() % 8, 0);
            assert!(xlated.len() >= 16, "{} bytes", xlated.len());
            assert!(answer.verified_insns.is_none_or(|insns| insns == 2));
        })
        .unwrap();
}
