// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The product: the command line as users run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

fn veristable(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_veristable"))
        .args(args)
        .env("NO_COLOR", "1")
        .output()
        .expect("the command starts");
    assert_ne!(output.status.code(), None, "killed by a signal");
    assert_ne!(output.status.code(), Some(101), "panicked: {}", stderr(&output));
    output
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Vec<serde_json::Value> {
    stdout(output).lines().map(|l| serde_json::from_str(l).expect("a line is an object")).collect()
}

fn temporary(name: &str, bytes: &[u8]) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn exit_statuses() {
    let check = |args: &[&str], status: i32| {
        let output = veristable(args);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {}", stderr(&output));
    };
    let arith = example("arith.bpf.o");
    let wrong = example("wrong.bpf.o");
    let (arith, wrong) = (arith.to_str().unwrap(), wrong.to_str().unwrap());
    check(&["check", arith], 0);
    check(&["check", wrong], 1);
    check(&["check", arith, wrong], 1);
    check(&["check", "--prog", "uninitialised_stack", wrong], 0);
    check(&["check", "no-such-file.bpf.o"], 2);
    check(&["check", "--kernel", "1.0", arith], 2);
    check(&["check", "--prog", "no_such_program", arith], 2);
    check(&["check"], 2);
    check(&["check", "--no-such-option", arith], 2);
    check(&["--help"], 0);
    check(&["kernels"], 0);
    let newer = example("newer.bpf.o");
    let newer = newer.to_str().unwrap();
    // One kernel that refuses is enough.
    check(&["check", "--kernel", "6.12.117", "--kernel", "6.18.15", "--prog", "kfunc", newer], 1);
    check(&["check", "--kernel", "6.18.15", newer], 0);
    check(&["needs", newer], 0);
    check(&["needs"], 2);
    check(&["needs", "no-such-file.bpf.o"], 2);
    check(&["needs", "--kernel", "1.0", newer], 2);
    check(&["profile", "list"], 0);
    check(&["profile", "show", "6.12.117"], 0);
    check(&["profile", "show", "1.0"], 2);
    check(&["profile", "diff", "6.18.15", "6.18.15"], 0);
    check(&["profile", "diff", "6.12.117", "6.18.15"], 1);
    check(&["profile"], 2);
}

/// A verdict that took long is kept, and found by content: under another file name, not for another
/// kernel, and not where it is not wanted.
#[test]
fn verdicts_are_kept() {
    // A loop of 60,000 rounds.
    let request = r#"{"veristable_load_request":1,"name":"rounds","prog_type":1,"license":"GPL",
        "insns":"b7000000000000000700000001000000a500feff60ea0000b7000000000000009500000000000000"}"#;
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("verdicts-are-kept");
    let _ = std::fs::remove_dir_all(&cache);
    let check = |name: &str, options: &[&str]| {
        let path = temporary(name, request.as_bytes());
        let output = Command::new(env!("CARGO_BIN_EXE_veristable"))
            .args(["check", "--format", "json"])
            .args(options)
            .arg(path)
            .env("VERISTABLE_CACHE", &cache)
            .output()
            .expect("the command starts");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        json(&output).remove(0)
    };
    let kept = || {
        let mut folders = vec![cache.join("verdicts")];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let list = if entry.path().is_dir() { &mut folders } else { &mut files };
                list.push(entry.path());
            }
        }
        files
    };
    check("kept-1.json", &["--no-cache"]);
    check("kept-1.json", &["--log-level", "4"]);
    assert_eq!(kept().len(), 0);
    let first = check("kept-1.json", &[]);
    assert_eq!(kept().len(), 1);
    // The time is that of the verification that was made.
    let mut second = check("kept-2.json", &[]);
    second["file"] = first["file"].clone();
    assert_eq!(first, second);
    assert_eq!(kept().len(), 1);
    check("kept-1.json", &["--kernel", "6.12.117"]);
    check("kept-1.json", &["--mitigations-off"]);
    assert_eq!(kept().len(), 3);
    for path in kept() {
        std::fs::write(path, "damaged").unwrap();
    }
    assert_eq!(check("kept-1.json", &[])["verdict"], "accepted");
    let _ = std::fs::remove_dir_all(&cache);
}

/// A loader with fewer capabilities, and what would help it.
#[test]
fn capabilities_of_the_loader() {
    let path = example("tc_mark.bpf.o");
    let check = |options: &[&str]| {
        let mut args = vec!["check", "--format", "json", "--prog", "mark_large"];
        args.extend(options);
        args.push(path.to_str().unwrap());
        json(&veristable(&args)).remove(0)
    };
    assert_eq!(check(&["--caps", "bpf,net_admin"])["verdict"], "accepted");
    assert_eq!(check(&["--caps", "sys_admin"])["verdict"], "accepted");
    let refused = check(&["--caps", "bpf"]);
    assert_eq!((&refused["verdict"], &refused["errno"]), (&"rejected".into(), &1.into()));
    assert_eq!(refused["missing"]["name"], "CAP_NET_ADMIN");
    let refused = check(&["--caps", "none"]);
    assert_eq!(refused["missing"]["name"], "CAP_BPF, CAP_NET_ADMIN");
    let bad = veristable(&["check", "--caps", "root", path.to_str().unwrap()]);
    assert_eq!(bad.status.code(), Some(2), "{}", stderr(&bad));

    let filter = r#"{"veristable_load_request":1,"name":"p","prog_type":1,"license":"GPL",
        "insns":"b7000000000000009500000000000000"}"#;
    let path = temporary("filter.json", filter.as_bytes());
    let check = |options: &[&str]| {
        let mut args = vec!["check", "--caps", "none"];
        args.extend(options);
        args.push(path.to_str().unwrap());
        veristable(&args).status.code()
    };
    assert_eq!(check(&[]), Some(1));
    assert_eq!(check(&["--unprivileged-bpf-disabled", "1"]), Some(1));
    assert_eq!(check(&["--unprivileged-bpf-disabled", "0"]), Some(0));
    assert_eq!(check(&["--unprivileged-bpf-disabled", "0", "--mitigations-off"]), Some(0));
}

/// A program is verified against the function of another program that it traces.
#[test]
fn targets_are_named() {
    let (tracing, target) = (example("fentry_exec.bpf.o"), example("xdp_ports.bpf.o"));
    let (tracing, target) = (tracing.to_str().unwrap(), target.to_str().unwrap());
    let check = |of: &str| {
        let setting = format!("on_exec={target}:{of}");
        veristable(&[
            "check", "--prog", "on_exec", "--format", "json", "--target", &setting, tracing,
        ])
    };
    // The function's argument is another structure than the one that the program takes it for.
    let rows = json(&check("count_ports:count_ports"));
    assert_eq!(rows[0]["verdict"], "rejected", "{rows:?}");
    assert!(rows[0].to_string().contains("xdp_buff"), "{rows:?}");
    for of in ["no_such_program:f", "count_ports:f:g", ""] {
        let output = check(of);
        assert_eq!(output.status.code(), Some(2), "{of}: {}", stderr(&output));
    }
    // The section names no function of the target.
    let rows = json(&check("count_ports"));
    assert_eq!(rows[0]["verdict"], "not-loadable", "{rows:?}");
}

/// A captured kernel is one like every other. Nothing is loaded here.
#[test]
fn a_captured_kernel_works_everywhere() {
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        eprintln!("skipped: no readable /sys/kernel/btf/vmlinux");
        return;
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("captured.profile");
    let file = file.to_str().unwrap();
    let capture = veristable(&["profile", "capture", "--no-probes", file]);
    assert_eq!(capture.status.code(), Some(0), "{}", stderr(&capture));
    assert_eq!(stdout(&capture).trim(), file);
    let object = example("fentry_exec.bpf.o");
    let object = object.to_str().unwrap();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let rows = json(&veristable(&["check", "--format", "json", "--kernel", file, object]));
    assert!(rows.iter().all(|row| row["kernel"] == release.trim()), "{rows:?}");
    let live = json(&veristable(&["check", "--format", "json", "--kernel", "live", object]));
    let verdicts = |rows: &[serde_json::Value]| -> Vec<String> {
        rows.iter().map(|row| format!("{} {}", row["program"], row["verdict"])).collect()
    };
    assert_eq!(verdicts(&rows), verdicts(&live));
    let check = |args: &[&str], part: &str| {
        let output = veristable(args);
        assert!(stdout(&output).contains(part), "{args:?}: {}{}", stdout(&output), stderr(&output));
    };
    check(&["needs", "--kernel", file, object], release.trim());
    check(&["profile", "show", file], release.trim());
    // Addresses of symbols and modules are not stored, everything else is.
    check(&["profile", "diff", "live", file, "--section", "all"], "kernel (");
    check(&["profile", "diff", "live", file], "No differences");
    // Damage is an error that names the file and what would help.
    let bytes = std::fs::read(file).unwrap();
    // The hash in the header is what a file is known by in the cache.
    let mut other_hash = bytes.clone();
    other_hash[20] ^= 1;
    for (name, bytes) in [("half.profile", &bytes[..30]), ("damaged.profile", &other_hash)] {
        let path = temporary(name, bytes);
        let output = veristable(&["check", "--kernel", path.to_str().unwrap(), object]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        for part in [name, "profile capture"] {
            assert!(stderr(&output).contains(part), "{}", stderr(&output));
        }
    }
}

#[test]
fn what_is_wrong_on_purpose_is_rejected_in_the_kernels_words() {
    let file = example("wrong.bpf.o");
    let output = veristable(&["check", "--format", "json", file.to_str().unwrap()]);
    let rows = json(&output);
    let check = |program: &str, verdict: &str, errno: Option<i64>, message: &str| {
        let row = rows.iter().find(|r| r["program"] == program).expect(program);
        assert_eq!(row["verdict"], verdict, "{row}");
        assert_eq!(row["errno"].as_i64(), errno, "{row}");
        assert!(row["message"].as_str().unwrap_or("").contains(message), "{row}");
        assert_eq!(row["kernel"], "6.18.15");
        assert_eq!(row["prog_type"], "socket_filter");
        assert_eq!(row["file"], file.to_str().unwrap(), "the file as it was given");
    };
    check("uninitialised_stack", "accepted", None, "");
    check("uninitialised_register", "rejected", Some(13), "R3 !read_ok");
    check("stack_out_of_bounds", "rejected", Some(13), "invalid write to stack R10 off=8 size=8");
    check("endless", "rejected", Some(22), "infinite loop detected at insn");
}

#[test]
fn a_rejection_shows_the_source_line() {
    let file = example("wrong.bpf.o");
    let output = veristable(&["check", "--prog", "uninitialised_register", file.to_str().unwrap()]);
    let text = stdout(&output);
    for part in ["wrong.bpf.c:", "= r3", "R3 !read_ok", "rejected on 6.18.15 (EACCES)"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "no colour where it is not a terminal");
}

#[test]
fn the_log_is_written_when_asked_for() {
    let file = example("arith.bpf.o");
    let file = file.to_str().unwrap();
    let rows = json(&veristable(&["check", "--format", "json", "--log-level", "2", file]));
    assert!(!rows.is_empty());
    for row in &rows {
        let log = row["log"].as_str().expect("a log");
        assert!(log.contains("0: R1=ctx() R10=fp0"), "{log}");
        let processed = row["stats"]["processed_insns"].as_u64().unwrap();
        assert!(log.contains(&format!("processed {processed} insns (limit 1000000)")), "{log}");
    }
    let rows = json(&veristable(&["check", "--format", "json", file]));
    assert!(rows.iter().all(|r| r.get("log").is_none()));
}

#[test]
fn every_example_is_read_and_linked() {
    let dir = example("");
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "o"))
        .collect();
    files.sort();
    let mut args = vec!["check", "--format", "json"];
    args.extend(files.iter().map(|f| f.to_str().unwrap()));
    let output = veristable(&args);
    let rows = json(&output);
    assert!(rows.len() >= 30, "{} programs", rows.len());
    for row in &rows {
        assert_ne!(row["verdict"], "not-loadable", "{row}");
    }
}

#[test]
fn several_kernels_give_a_row_each() {
    let file = example("arith.bpf.o");
    let args = ["check", "--kernel", "6.18.15", "--kernel", "6.12.117", "--format", "csv"];
    let output = veristable(&[&args[..], &[file.to_str().unwrap()]].concat());
    let text = stdout(&output);
    let rows: Vec<&str> = text.lines().skip(1).collect();
    assert!(rows.len() >= 4 && rows.len().is_multiple_of(2), "{text}");
    assert!(rows[0].contains(",6.18.15,") && rows[1].contains(",6.12.117,"), "{text}");
}

#[test]
fn requests_can_be_written_and_checked() {
    let file = example("arith.bpf.o");
    let written = veristable(&["requests", file.to_str().unwrap()]);
    assert_eq!(written.status.code(), Some(0));
    let path = temporary("requests.json", &written.stdout);
    let direct = json(&veristable(&["check", "--format", "json", file.to_str().unwrap()]));
    let again = json(&veristable(&["check", "--format", "json", path.to_str().unwrap()]));
    let verdicts = |rows: &[serde_json::Value]| -> Vec<(String, String, String)> {
        rows.iter()
            .map(|r| (r["program"].to_string(), r["verdict"].to_string(), r["stats"].to_string()))
            .collect()
    };
    assert_eq!(verdicts(&direct), verdicts(&again));
}

#[test]
fn bad_input_gets_one_sentence() {
    let elf = std::fs::read(example("arith.bpf.o")).unwrap();
    let mut big_endian = elf.clone();
    big_endian[5] = 2;
    let mut other_machine = elf.clone();
    other_machine[18] = 62;
    let check = |name: &str, bytes: &[u8]| {
        let path = temporary(name, bytes);
        let output = veristable(&["check", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", stdout(&output));
        let text = stderr(&output);
        assert_eq!(text.lines().count(), 1, "{name}: {text}");
        assert!(text.contains(name), "names the file: {text}");
    };
    check("empty.o", b"");
    check("text.o", b"hello\n");
    check("big-endian.o", &big_endian);
    check("other-machine.o", &other_machine);
    check("version.json", br#"{"veristable_load_request":9}"#);
    check("damaged.json", br#"{"veristable_load_request":1,"name""#);
    check("damaged.bin", b"VSTLOAD\0\x01\0\0\0\xff");
    check("half.o", &elf[..elf.len() / 2]);
    check("header.o", &elf[..64]);
}

#[test]
fn help_man_and_completions() {
    let check = |args: &[&str], part: &str| {
        let output = veristable(args);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains(part), "{args:?}: {}", stdout(&output));
    };
    check(&["--help"], "Exit status");
    check(&["check", "--help"], "Examples:");
    check(&["confirm", "--help"], "vm:6.18.15");
    check(&["man"], ".TH veristable");
    check(&["completions", "bash"], "_veristable");
    check(&["kernels"], "6.18.15");
    check(&["needs", "--help"], "Exit status");
    check(&["profile", "--help"], "capture");
    check(&["profile", "diff", "--help"], "Exit status");
    check(&["profile", "capture", "--help"], "never attached or run");
    check(&["man"], "needs");
    check(&["man"], "history");
    check(&["history", "--help"], "Exit status");
}
