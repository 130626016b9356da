// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Every format, on one set of rows.

use veristable_report::{
    CsvWriter, Instruction, JsonWriter, Row, SourceLine, Stats, Summary, TextOptions, TextWriter,
    Verdict, Writer,
};

fn rows() -> Vec<Row> {
    let accepted = Row {
        file: "dir/a.bpf.o".into(),
        program: "good".into(),
        section: "xdp".into(),
        prog_type: "xdp".into(),
        attach_type: "xdp".into(),
        kernel: "6.18.15".into(),
        verdict: Verdict::Accepted,
        errno: None,
        message: None,
        insn: None,
        missing: None,
        program_insns: 2,
        stats: Some(Stats {
            processed_insns: 2,
            total_states: 1,
            peak_states: 1,
            max_states_per_insn: 0,
        }),
        time_us: Some(12),
        log: None,
    };
    let rejected = Row {
        program: "bad".into(),
        verdict: Verdict::Rejected,
        errno: Some(13),
        message: Some("R3 !read_ok".into()),
        insn: Some(Instruction {
            index: 4,
            text: "(bf) r0 = r3".into(),
            source: Some(SourceLine {
                file: "a.bpf.c".into(),
                line: 7,
                column: 2,
                text: "return value, \"x\";".into(),
            }),
        }),
        ..accepted.clone()
    };
    let unsupported = Row {
        program: "later".into(),
        verdict: Verdict::Unsupported,
        message: Some("helper call".into()),
        stats: None,
        time_us: None,
        ..accepted.clone()
    };
    vec![accepted, rejected, unsupported]
}

fn render<'a>(make: impl FnOnce(&'a mut Vec<u8>) -> Box<dyn Writer + 'a>, out: &'a mut Vec<u8>) {
    let mut writer = make(out);
    for row in rows() {
        writer.row(&row).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn text_is_a_table_and_the_refusals() {
    let mut out = Vec::new();
    render(|o| Box::new(TextWriter::new(o, TextOptions { color: false })), &mut out);
    let want = "\
File     Program  Kernel   Verdict      Duration (us)  Insns  States  Peak states
-------  -------  -------  -----------  -------------  -----  ------  -----------
a.bpf.o  good     6.18.15  accepted                12      2       1            1
a.bpf.o  bad      6.18.15  rejected                12      2       1            1
a.bpf.o  later    6.18.15  unsupported              -      -       -            -

dir/a.bpf.o: bad: rejected on 6.18.15 (EACCES)
  --> a.bpf.c:7:2
   | return value, \"x\";
   | 4: (bf) r0 = r3
   = R3 !read_ok

dir/a.bpf.o: later: unsupported on 6.18.15
   = helper call

1 accepted, 1 rejected, 0 not loadable, 1 unsupported.
";
    assert_eq!(String::from_utf8(out).unwrap(), want);
}

#[test]
fn colour_is_only_written_when_asked_for() {
    for (color, escapes) in [(false, false), (true, true)] {
        let mut out = Vec::new();
        render(|o| Box::new(TextWriter::new(o, TextOptions { color })), &mut out);
        assert_eq!(out.contains(&0x1b), escapes);
    }
}

#[test]
fn json_has_one_object_a_line() {
    let mut out = Vec::new();
    render(|o| Box::new(JsonWriter::new(o)), &mut out);
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["verdict"], "accepted");
    assert_eq!(lines[0]["stats"]["processed_insns"], 2);
    assert_eq!(lines[1]["errno_name"], "EACCES");
    assert_eq!(lines[1]["insn"], 4);
    assert_eq!(lines[1]["source"]["line"], 7);
    assert!(lines[2]["stats"].is_null());
    for key in [
        "file",
        "program",
        "section",
        "prog_type",
        "kernel",
        "verdict",
        "errno",
        "message",
        "insn",
        "stats",
        "time_us",
    ] {
        assert!(lines[2].get(key).is_some(), "{key} is always there");
    }
}

#[test]
fn csv_uses_the_column_names_of_veristat() {
    let mut out = Vec::new();
    render(|o| Box::new(CsvWriter::new(o)), &mut out);
    let text = String::from_utf8(out).unwrap();
    let mut lines = text.lines();
    assert!(
        lines.next().unwrap().starts_with(
            "file_name,prog_name,verdict,duration,total_insns,total_states,peak_states,"
        )
    );
    assert_eq!(lines.next().unwrap(), "dir/a.bpf.o,good,success,12,2,1,1,0,2,xdp,xdp,6.18.15,,,");
    assert!(lines.next().unwrap().contains("bad,failure"));
    assert!(lines.next().unwrap().contains("later,unsupported"));
}

#[test]
fn exit_statuses() {
    let check = |verdicts: &[Verdict], want: u8| {
        let mut summary = Summary::default();
        verdicts.iter().for_each(|v| summary.add(*v));
        assert_eq!(summary.exit_status(), want, "{verdicts:?}");
    };
    use Verdict::{Accepted, NotLoadable, Rejected, Unsupported};
    check(&[], 0);
    check(&[Accepted], 0);
    check(&[Accepted, Unsupported], 3);
    check(&[Unsupported, Rejected], 1);
    check(&[NotLoadable, Accepted], 1);
}
