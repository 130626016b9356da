// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A history in every form. Titles, names and paths are strangers' text.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use veristable_history::analysis::{Input, analyse};
use veristable_history::boundary::{Boundary, Preset};
use veristable_history::{cve, data, report::Report, tree::Tree};
use veristable_report::{Format, HistoryFormat, write_history};

const EVIL: &str =
    "<script>alert(1)</script><img src=x onerror=alert(2)> \\u001b[31m \\u202e\\\"' &amp;";

/// Three commits, one set, one tree.
fn report() -> Report {
    let commit = |digit: &str, message: &str, files: &str| {
        format!(
            r#"{{"hash":"{}","author":"{EVIL} <a@b>","date":"2024-0{digit}-01 10:00:00 +0000","message":"{message}","modified_files":[{files}]}}"#,
            digit.repeat(40)
        )
    };
    let verifier = r#""kernel/bpf/verifier.c""#;
    let first = commit("1", &format!("=1+1 {EVIL}\\n\\nbody"), verifier);
    let fix = format!("bpf: {EVIL}\\n\\nFixes: {} (\\\"x\\\")", "1".repeat(12));
    let second = commit("2", &fix, verifier);
    let outside = commit("3", "bpf: both", &format!("{verifier},\"include/<b>.h\""));
    let meta = r#""metadata":{"target_file":"kernel/bpf/verifier.c","start_ref":"v6.3^","end_ref":"<end>"}"#;
    let commits = format!("{{{meta},\"commits\":[{outside},{second},{first}]}}");
    let test = commit("4", "selftests/bpf: t", r#""tools/testing/selftests/bpf/t.c""#);
    let with_subject =
        |text: &str| text.replacen("\"message\":\"", "\"subject\":\"s\",\"message\":\"", 1);
    let sets = format!(
        r#"{{{meta},"patchsets":[{{"merge_hash":"{}","merge_subject":"Merge '{EVIL}'","merge_body":"","merge_author":"m","merge_date":"2024-02-01 10:00:00 +0000","commits":[{},{}]}}]}}"#,
        "5".repeat(40),
        with_subject(&second),
        with_subject(&test)
    );
    let history = data::read(commits.as_bytes(), Some(sets.as_bytes())).unwrap();
    let changelog = format!(
        "linux (6.1.9-1) x\n\n    - bpf: {}\n\n -- a  Mon, 16 Nov 2026 11:17:40 +0100\n",
        serde_json::from_str::<String>(&format!("\"{EVIL}\"")).unwrap()
    );
    // Tests run at the same time: the file is written once.
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let path = PATH.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("changelog");
        std::fs::write(&path, &changelog).unwrap();
        path
    });
    let cves = format!(
        r#"{{"CVE-2024-0001":{{"sha":["{}"],"files":["kernel/bpf/verifier.c"],"title":"{EVIL}","pairs":[["5.3","{}","6.8","{}"]]}}}}"#,
        "3".repeat(40),
        "1".repeat(40),
        "3".repeat(40)
    );
    let boundary = Boundary::preset(Preset::Xu).unwrap();
    let input = Input {
        history: &history,
        boundary: &boundary,
        repository: None,
        trees: vec![Tree::of_changelog(Some("<tree>"), path).unwrap()],
        cves: cve::read_json(cves.as_bytes()).unwrap(),
        with_patches: true,
    };
    analyse(input, &mut |_, _| {}).unwrap()
}

fn written(format: HistoryFormat) -> String {
    let mut out = Vec::new();
    write_history(&mut out, format, &report(), true).unwrap();
    String::from_utf8(out).unwrap()
}

const TEXT: HistoryFormat = HistoryFormat::Common(Format::Text { color: false });
const JSON: HistoryFormat = HistoryFormat::Common(Format::Json);
const CSV: HistoryFormat = HistoryFormat::Common(Format::Csv);

#[test]
fn nothing_that_a_terminal_or_a_browser_obeys() {
    for format in [TEXT, CSV, HistoryFormat::Html] {
        let text = written(format);
        let odd = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(odd), "{format:?}");
    }
    let html = written(HistoryFormat::Html);
    for part in ["<script", "<img", "<b>", "<end>", "<tree>", "onerror=alert(2)>"] {
        assert!(!html.contains(part), "{part}");
    }
    assert!(html.contains("&lt;script&gt;"));
    let csv = written(CSV);
    assert!(csv.contains("'=1+1"), "{csv}");
}

/// Elements are closed in the order in which they were opened, and nothing is fetched.
#[test]
fn the_page_is_whole_and_needs_nothing() {
    let html = written(HistoryFormat::Html);
    let mut open: Vec<String> = Vec::new();
    for tag in html.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let name: String =
            tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
        if tag.starts_with('!') || tag.ends_with('/') || name == "meta" {
            continue;
        }
        match tag.strip_prefix('/') {
            Some(_) => assert_eq!(open.pop().as_deref(), Some(name.as_str()), "{tag}"),
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    for part in ["src=\"", "href=", "url(", "@import", "http://", "https://"] {
        assert!(!html.contains(part), "{part}");
    }
}

/// Every number that a picture or a table of the page shows is in the JSON.
#[test]
fn figures_of_the_page_are_in_the_json() {
    let json: serde_json::Value = serde_json::from_str(&written(JSON)).unwrap();
    assert_eq!(json["veristable_history"], 1);
    let mut numbers: HashSet<String> = HashSet::new();
    let mut open = vec![&json];
    while let Some(value) = open.pop() {
        match value {
            serde_json::Value::Number(number) => {
                numbers.insert(number.to_string());
            }
            serde_json::Value::Array(list) => {
                numbers.insert(list.len().to_string());
                open.extend(list);
            }
            serde_json::Value::Object(members) => {
                numbers.extend(members.keys().filter(|k| k.parse::<u32>().is_ok()).cloned());
                open.extend(members.values());
            }
            _ => {}
        }
    }
    let html = written(HistoryFormat::Html);
    let cells = html.split("<td class=\"number\">").skip(1);
    let mut count = 0;
    for cell in cells.map(|rest| rest.split('<').next().unwrap()) {
        count += 1;
        assert!(numbers.contains(cell), "{cell}");
    }
    assert!(count > 20, "{count}");
}

#[test]
fn what_the_forms_say() {
    let text = written(TEXT);
    for part in [
        "standalone",
        "whole-set",
        "preset kernel-bpf",
        "Tree <tree>: 1 changes",
        "To ask for",
        "CVE-2024-0001",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json: serde_json::Value = serde_json::from_str(&written(JSON)).unwrap();
    assert_eq!(json["figures"]["commits"], 3);
    assert_eq!(json["trees"][0]["counts"]["present"]["all"], 1);
    assert_eq!(json["trees"][0]["tests"][0]["status"], "missing");
    let csv = written(CSV);
    assert_eq!(csv.lines().count(), 4);
    assert!(csv.lines().next().unwrap().ends_with("<tree> status,<tree> method"), "{csv}");
}
