// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask corpus raw`: the older selftests, written as initialisers of raw instructions.
//!
//! They are C, so C reads them: a generated file includes the tree's own runner, whose `main` is
//! renamed, and prints every test. It is compiled with gcc, linked against nothing and loads
//! nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow};
use veristable_corpus::cache;
use veristable_corpus::raw::{self, RawSet};

use super::dump::{Args, COMMON, SELFTESTS, Table};
use super::source::Line;
use super::tools;

/// The part of the generated program that is ours.
const HARNESS: &str = include_str!("raw_harness.c");

/// What 5.10 wants of libcap's header, so that it need not be installed; nothing is linked.
const CAPABILITY_HEADER: &str = "#include <linux/capability.h>
typedef void *cap_t;
typedef int cap_value_t;
typedef enum { CAP_EFFECTIVE, CAP_PERMITTED, CAP_INHERITABLE } cap_flag_t;
typedef enum { CAP_CLEAR, CAP_SET } cap_flag_value_t;
cap_t cap_get_proc(void);
int cap_set_proc(cap_t);
int cap_free(void *);
int cap_get_flag(cap_t, cap_value_t, cap_flag_t, cap_flag_value_t *);
int cap_set_flag(cap_t, cap_flag_t, int, const cap_value_t *, cap_flag_value_t);
";

/// Dumps the table of the chosen lines.
pub(crate) fn run(args: &Args) -> Result<()> {
    TABLE.run(args)
}

const TABLE: Table =
    Table { prefix: "raw", lines: &Line::RAW, file: raw::FILE, compile, read_back };

fn read_back(dir: &Path) -> Result<String> {
    let read = RawSet::read(dir)?;
    Ok(format!("{} tests in {} files", read.tests.len(), read.file_count()))
}

/// Generates and compiles the program.
fn compile(tree: &Path, work: &Path) -> Result<PathBuf> {
    let selftests = tree.join(SELFTESTS);
    let runner = selftests.join("test_verifier.c");
    let text = fs::read_to_string(&runner).with_context(|| runner.display().to_string())?;
    cache::write_whole(&work.join("verifier/tests.h"), tests_header(&selftests)?.as_bytes())?;
    cache::write_whole(&work.join("sys/capability.h"), CAPABILITY_HEADER.as_bytes())?;
    let prelude = prelude(&text, &runner)?;
    let source = work.join("dump.c");
    cache::write_whole(&source, format!("{prelude}{COMMON}{HARNESS}").as_bytes())?;
    let program = work.join("dump");
    let include = |path: &Path| format!("-I{}", path.display());
    tools::output(
        Command::new("gcc")
            .args(["-O0", "-w", "-std=gnu11", "-fno-pie", "-no-pie"])
            .args(["-Wl,--unresolved-symbols=ignore-all", "-Wl,-z,lazy"])
            .args([
                include(work),
                include(&selftests),
                include(&tree.join("tools/lib")),
                include(&tree.join("tools/include")),
                include(&tree.join("tools/include/uapi")),
            ])
            .arg(&source)
            .arg("-o")
            .arg(&program),
    )?;
    Ok(program)
}

/// Every file of tests, each after an entry that names it.
fn tests_header(selftests: &Path) -> Result<String> {
    let mut header = String::new();
    for path in super::walk(&selftests.join("verifier"))? {
        if path.extension().is_some_and(|extension| extension == "c") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            header.push_str(&format!("{{ .descr = \"@file:{name}\" }},\n"));
            header.push_str(&format!("#include \"{}\"\n", path.display()));
        }
    }
    Ok(header)
}

/// The tree's runner, and macros that say what its `struct bpf_test` holds.
fn prelude(runner_text: &str, runner: &Path) -> Result<String> {
    let fields = runner_text
        .split_once("struct bpf_test {")
        .and_then(|(_, rest)| rest.split_once("\n};"))
        .map(|(fields, _)| fields)
        .ok_or_else(|| anyhow!("{}: no struct bpf_test", runner.display()))?;
    let fixups: Vec<&str> = fields
        .lines()
        .filter_map(|line| line.trim().strip_prefix("int fixup_")?.strip_suffix("[MAX_FIXUPS];"))
        .collect();
    let mut text = String::new();
    for (macro_name, field) in [
        ("HAVE_KFUNCS", "fixup_kfunc_btf_id"),
        ("HAVE_FUNC_INFO", "func_info_cnt"),
        ("HAVE_BTF_TYPES", "btf_types["),
        ("HAVE_EXPECTED_INSNS", "expected_insns["),
    ] {
        if fields.contains(field) {
            text.push_str(&format!("#define {macro_name}\n"));
        }
    }
    let list: String = fixups.iter().map(|name| format!(" X({name})")).collect();
    text.push_str(&format!("#define FIXUPS(X){list}\n"));
    text.push_str(&format!("#define main runner_main\n#include \"{}\"\n", runner.display()));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_structure_are_found() {
        let runner = "struct bpf_test {\n\tconst char *descr;\n\tint fixup_prog1[MAX_FIXUPS];\n\
                      \tint fixup_map_timer[MAX_FIXUPS];\n\tint func_info_cnt;\n};\nint x;";
        let text = prelude(runner, Path::new("t.c")).unwrap();
        assert!(text.contains("#define FIXUPS(X) X(prog1) X(map_timer)\n"), "{text}");
        assert!(text.contains("HAVE_FUNC_INFO") && !text.contains("HAVE_KFUNCS"), "{text}");
        assert!(prelude("int x;", Path::new("t.c")).is_err());
    }
}
