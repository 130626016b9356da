// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What the commands print, compared with files in `golden/`: each begins with the command's
//! arguments and its exit status. `UPDATE_GOLDEN=1` writes them anew; read the difference then.
//!
//! Objects are those in `examples/`, and the directory of the command is that one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The first line of a golden file: `$ veristable ARGUMENTS`.
fn arguments(text: &str) -> Vec<String> {
    let line = text.lines().next().unwrap_or("");
    let rest = line.strip_prefix("$ veristable ").expect("the first line is the command");
    rest.split(' ').map(str::to_owned).collect()
}

fn run(arguments: &[String]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_veristable"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples"))
        .env_remove("NO_COLOR")
        .output()
        .expect("the command starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "$ veristable {}\n{}{}[exit status {}]\n",
        arguments.join(" "),
        without_times(&text(&output.stdout)),
        text(&output.stderr),
        output.status.code().expect("no signal")
    )
}

/// Times are chance: those of JSON become 0.
fn without_times(text: &str) -> String {
    let key = "\"time_us\":";
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(key) {
        out.push_str(before);
        out.push_str(key);
        let digits = after.trim_start_matches(|c: char| c.is_ascii_digit());
        if digits.len() < after.len() {
            out.push('0');
        }
        rest = digits;
    }
    out.push_str(rest);
    out
}

#[test]
fn commands_print_what_they_did() {
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = Vec::new();
    for file in files {
        let want = fs::read_to_string(&file).unwrap();
        let got = run(&arguments(&want));
        if got == want {
            continue;
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, &got).unwrap();
            continue;
        }
        wrong.push(format!("{}:\n--- wanted\n{want}\n--- got\n{got}", file.display()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
