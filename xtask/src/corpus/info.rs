// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask corpus info`: the selftests of function and line information.
//!
//! They are a table in `prog_tests/btf.c`. C reads it: a generated file holds that file's macros
//! and the table, cut out by its braces, and a `main` that prints every test. It is compiled with
//! gcc, linked against nothing and loads nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};
use veristable_corpus::{cache, info};

use super::dump::{Args, COMMON, SELFTESTS, Table};
use super::source::Line;
use super::tools;

/// The part of the generated program that is ours.
const HARNESS: &str = include_str!("info_harness.c");

/// Headers that the table and its macros need.
const HEADERS: &str = "#include <stdbool.h>
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/filter.h>
#include \"test_btf.h\"
";

/// Dumps the table of the chosen lines.
pub(crate) fn run(args: &Args) -> Result<()> {
    TABLE.run(args)
}

const TABLE: Table =
    Table { prefix: "info", lines: &Line::COMPILED, file: info::FILE, compile, read_back };

fn read_back(dir: &Path) -> Result<String> {
    let tests = info::read(dir)?;
    let fail = tests.iter().filter(|test| test.fails).count();
    Ok(format!("{} tests, {fail} of them to be refused", tests.len()))
}

/// Generates and compiles the program.
fn compile(tree: &Path, work: &Path) -> Result<PathBuf> {
    let selftests = tree.join(SELFTESTS);
    let tests = selftests.join("prog_tests/btf.c");
    let text = fs::read_to_string(&tests).with_context(|| tests.display().to_string())?;
    let table = table(&text).with_context(|| tests.display().to_string())?;
    let source = work.join("dump.c");
    let macros = macros(&text);
    cache::write_whole(&source, format!("{HEADERS}{macros}{table}{COMMON}{HARNESS}").as_bytes())?;
    let program = work.join("dump");
    let include = |path: &Path| format!("-I{}", path.display());
    tools::output(
        Command::new("gcc")
            .args(["-O0", "-w", "-std=gnu11"])
            .args([
                include(&selftests),
                // First: the other one has another linux/filter.h.
                include(&tree.join("tools/include")),
                include(&tree.join("tools/include/uapi")),
            ])
            .arg(&source)
            .arg("-o")
            .arg(&program),
    )?;
    Ok(program)
}

/// The file's macros, with the lines that they go on in.
fn macros(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in text.lines() {
        if inside || line.starts_with("#define ") {
            out.push_str(line);
            out.push('\n');
            inside = line.ends_with('\\');
        }
    }
    out
}

/// The structure's definition and the table of its values.
fn table(text: &str) -> Result<&str> {
    const START: &str = "static struct prog_info_raw_test {";
    let start = text.find(START).ok_or_else(|| anyhow!("no `{START}`"))?;
    let from = text.get(start..).unwrap_or_default();
    let fields = braces(from).ok_or_else(|| anyhow!("the structure does not end"))?;
    let values = braces(from.get(fields..).unwrap_or_default())
        .ok_or_else(|| anyhow!("the table does not end"))?;
    let end = fields + values;
    match from.get(end..end + 2) {
        Some(";\n") => Ok(from.get(..end + 2).unwrap_or_default()),
        _ => bail!("something follows the table"),
    }
}

/// Where the first pair of braces ends: the offset past it. Strings, characters and comments are
/// stepped over.
fn braces(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' => at = after_quote(bytes, at, byte)?,
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = at + 2 + text.get(at + 2..)?.find("*/")? + 1;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => at += text.get(at..)?.find('\n')?,
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the quote that ends the one at `start` stands.
fn after_quote(bytes: &[u8], start: usize, quote: u8) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match *bytes.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_end_where_c_says() {
        let check = |text: &str, want: Option<&str>| {
            assert_eq!(braces(text).and_then(|end| text.get(..end)), want, "{text}");
        };
        check("x {}; y", Some("x {}"));
        check("a { b { } c } d }", Some("a { b { } c }"));
        check(r#"{ "}" '}' "\"}" } z"#, Some(r#"{ "}" '}' "\"}" }"#));
        check("{ /* } */ // }\n } z", Some("{ /* } */ // }\n }"));
        check("{ { }", None);
        check("} {", None);
        check("{ \" }", None);
    }

    #[test]
    fn table_and_macros_are_cut_out() {
        let text = "#define ONE 1\nint a;\n#define TWO(x) \\\n\tx, \\\n\tx\nint b;\n\
                    static struct prog_info_raw_test {\n\tint x;\n} tests[] = {\n{ .x = ONE },\n};\n\
                    int c;\n";
        assert_eq!(macros(text), "#define ONE 1\n#define TWO(x) \\\n\tx, \\\n\tx\n");
        let want =
            "static struct prog_info_raw_test {\n\tint x;\n} tests[] = {\n{ .x = ONE },\n};\n";
        assert_eq!(table(text).unwrap(), want);
        assert!(table("int c;").is_err());
        assert!(table("static struct prog_info_raw_test {\n} tests[] = { ").is_err());
    }
}
