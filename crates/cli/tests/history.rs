// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `veristable history` as users run it, over the invented sample in `history/`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/history").join(name);
    path.to_str().unwrap().to_owned()
}

fn history(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_veristable"))
        .arg("history")
        .args(args)
        .env("NO_COLOR", "1")
        .output()
        .expect("the command starts");
    let code = output.status.code();
    assert!(code.is_some_and(|code| code != 101), "{}", stderr(&output));
    output
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The sample, and further options.
fn of_sample(more: &[&str]) -> Output {
    let (commits, sets) = (sample("commits.json"), sample("patchsets.json"));
    history(&[&["--commits", &commits, "--patchsets", &sets], more].concat())
}

#[test]
fn exit_statuses() {
    let tree = format!("6.1={}", sample("changelog"));
    let cves = sample("cves.json");
    let check = |args: &[&str], status: i32| {
        let output = of_sample(args);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {}", stderr(&output));
        assert_eq!(stderr(&output).lines().count(), usize::from(status == 2), "{args:?}");
    };
    check(&[], 0);
    check(&["--fail-on", "missing-fix"], 0);
    check(&["--tree", &tree], 0);
    check(&["--tree", &tree, "--fail-on", "missing-fix"], 1);
    check(&["--tree", &tree, "--fail-on", "missing-test"], 1);
    check(&["--tree", &tree, "--cves", &cves, "--fail-on", "missing-security"], 1);
    let later = format!("6.12={cves}");
    check(&["--tree", &later, "--cves", &cves, "--fail-on", "missing-security"], 0);
    check(&["--tree", "no-such-tree"], 2);
    check(&["--tree", &cves], 2);
    check(&["--cves", "no-such-file"], 2);
    check(&["--boundary", "/absolute"], 2);
    check(&["--tree", &sample("commits.json")], 2);
    for args in [&[][..], &["no-such-repository"], &["--range", "a..b"], &["--preset", "none", "x"]]
    {
        assert_eq!(history(args).status.code(), Some(2), "{args:?}");
    }
    assert_eq!(history(&["--help"]).status.code(), Some(0));
    assert!(stdout(&history(&["--help"])).contains("Examples:"));
}

#[test]
fn a_tree_lacks_a_fix_and_a_test() {
    let tree = format!("6.1={}", sample("changelog"));
    let cves = sample("cves.json");
    let output = of_sample(&["--tree", &tree, "--cves", &cves, "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["veristable_history"], 1);
    let tree = &json["trees"][0];
    assert_eq!(tree["fixes_of_backports"][0]["id"], "f".repeat(40));
    assert_eq!(tree["tests"][0]["status"], "missing");
    assert_eq!(tree["missing_security"][0]["cve"], "CVE-2024-00001");
    let verdicts: Vec<&str> = json["commits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["verdict"].as_str().unwrap())
        .collect();
    let want = ["outside", "standalone", "whole-set", "needs-analysis", "outside", "standalone"];
    assert_eq!(verdicts, want);
    let html = stdout(&of_sample(&["--format", "html"]));
    assert!(html.starts_with("<!DOCTYPE html>") && !html.contains("<b>Titles"), "{html}");
    assert!(stdout(&of_sample(&["--list"])).contains("needs-analysis"));
    assert!(!stdout(&of_sample(&["--list"])).contains('\u{1b}'));
}

#[test]
fn data_are_written_as_they_were_read() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("history-data");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    let to = directory.to_str().unwrap();
    let output = of_sample(&["--write-data", to]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for name in ["commits.json", "patchsets.json"] {
        let read = |path: &str| -> serde_json::Value {
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
        };
        assert_eq!(read(directory.join(name).to_str().unwrap()), read(&sample(name)), "{name}");
    }
    // What is there is not written over.
    assert_eq!(of_sample(&["--write-data", to]).status.code(), Some(2));
}

#[test]
fn symbols_that_a_verifier_refers_to() {
    let tree = sample("tree");
    let text = stdout(&history(&["--references", &tree]));
    assert!(text.contains("2 symbols") && text.contains("other_one"), "{text}");
    assert!(!text.contains("hidden") && !text.contains("unused_one"), "{text}");
    let list = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("exports.txt");
    std::fs::write(&list, "EXPORT_SYMBOL_GPL(table);\nEXPORT_SYMBOL_GPL(more);\n").unwrap();
    let text = stdout(&history(&["--references", &tree, "--references", list.to_str().unwrap()]));
    assert!(text.contains("in both: 1\n- other_one\n+ more\n"), "{text}");
    assert_eq!(history(&["--references", "no-such"]).status.code(), Some(2));
    assert_eq!(history(&["--references", &sample("")]).status.code(), Some(2));
}

/// The numbers in a text, in their order; ids of commits are none.
fn numbers(text: &str) -> Vec<u64> {
    let digits = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() < 10);
    digits.filter_map(|word| word.parse().ok()).collect()
}

/// The text of a page as a reader sees it, with the hints of pictures: without style, marks and the scales of axes.
fn page_text(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html.split_once("</style>").unwrap().1;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        text.push(' ');
        let (tag, after) = after.split_once('>').unwrap();
        let scale = tag.starts_with("text") && tag.contains("class=\"axis\"");
        rest = if scale { after.split_once("</text>").unwrap().1 } else { after };
    }
    text + rest
}

/// All numbers of a value: those that it has as such, those in its texts and names, and how long its lists are.
fn numbers_of(value: &serde_json::Value, into: &mut std::collections::BTreeSet<u64>) {
    match value {
        serde_json::Value::Number(number) => into.extend(number.as_u64()),
        serde_json::Value::String(text) => into.extend(numbers(text)),
        serde_json::Value::Array(list) => {
            into.insert(list.len() as u64);
            list.iter().for_each(|value| numbers_of(value, into));
        }
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                into.extend(numbers(name));
                numbers_of(value, into);
            }
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) => {}
    }
}

fn on_page_and_in_json(run: &dyn Fn(&str) -> Output) {
    let page = stdout(&run("html"));
    let json: serde_json::Value = serde_json::from_slice(&run("json").stdout).unwrap();
    let mut known = std::collections::BTreeSet::new();
    numbers_of(&json, &mut known);
    let shown = numbers(&page_text(&page));
    assert!(shown.len() > 50, "the page has figures");
    // Months without anything are columns of the time line too.
    let month = |number: &u64| matches!(*number, 1..=12 | 1970..=2100);
    let own: Vec<u64> =
        shown.into_iter().filter(|number| !known.contains(number) && !month(number)).collect();
    assert!(own.is_empty(), "figures that JSON lacks: {own:?}");
}

/// Every figure on the page is in the JSON: of the sample, and of the public data where they are.
#[test]
fn every_figure_of_the_page_is_in_the_json() {
    let tree = format!("6.1={}", sample("changelog"));
    let cves = sample("cves.json");
    on_page_and_in_json(&|format| {
        of_sample(&["--tree", &tree, "--cves", &cves, "--format", format])
    });
    let Some(data) = std::env::var_os("VERISTABLE_HISTORY_DATA") else { return };
    let data = |name: &str| Path::new(&data).join(name).to_str().unwrap().to_owned();
    let (commits, sets, cves) =
        (data("commits.json"), data("patchsets.json"), data("verifier_cves.json"));
    on_page_and_in_json(&|format| {
        let of = ["--commits", &commits, "--patchsets", &sets, "--cves", &cves];
        history(&[&of[..], &["--format", format]].concat())
    });
}

#[test]
fn a_mail_asks_for_what_a_tree_lacks() {
    let tree = format!("6.1={}", sample("changelog"));
    let mail = stdout(&of_sample(&["--tree", &tree, "--format", "mail"]));
    assert!(mail.starts_with("To: stable@vger.kernel.org\n"), "{mail}");
    let fix = "  ffffffffffff (\"bpf: Fix an out-of-bounds read in counting\")\n";
    assert!(mail.contains(fix) && mail.contains("selftests/bpf: Count frames"), "{mail}");
    assert!(stdout(&of_sample(&["--format", "mail"])).is_empty());
}
