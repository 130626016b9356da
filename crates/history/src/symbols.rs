// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which C symbols a patch changes and which it uses, from its text alone.
//!
//! There is no compiler here: what is changed is what the changed lines declare or define, and the function
//! or structure that they stand in; what is used is every identifier on changed lines. Both err towards more
//! symbols. A file that is not C, or a hunk that changes code of which nobody knows whose it is, has no
//! answer.

use crate::patch::{FilePatch, Hunk, LineKind};
use std::collections::BTreeSet;

/// Words of C, and types that everything uses.
const WORDS: [&str; 64] = [
    "NULL",
    "__always_inline",
    "__bpf_kfunc",
    "__init",
    "__s16",
    "__s32",
    "__s64",
    "__s8",
    "__u16",
    "__u32",
    "__u64",
    "__u8",
    "_Bool",
    "auto",
    "bool",
    "break",
    "case",
    "char",
    "const",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
    "extern",
    "false",
    "float",
    "for",
    "goto",
    "if",
    "inline",
    "int",
    "int32_t",
    "int64_t",
    "long",
    "register",
    "restrict",
    "return",
    "s16",
    "s32",
    "s64",
    "s8",
    "short",
    "signed",
    "size_t",
    "sizeof",
    "ssize_t",
    "static",
    "struct",
    "switch",
    "true",
    "typedef",
    "typeof",
    "u16",
    "u32",
    "u64",
    "u8",
    "union",
    "unsigned",
    "void",
    "volatile",
    "while",
    "define",
];

fn is_word_of_c(word: &str) -> bool {
    WORDS.contains(&word)
}

/// The identifiers of a line, without comments in it and strings.
pub(crate) fn identifiers(line: &str) -> impl Iterator<Item = &str> {
    code(line)
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
        .filter(|word| !is_word_of_c(word))
}

/// The part of a line that is code: up to a comment, nothing of a line inside of a comment.
fn code(line: &str) -> &str {
    let text = line.trim();
    if text.starts_with("* ") || text == "*" || text == "*/" {
        return "";
    }
    let end = ["//", "/*"].iter().filter_map(|mark| text.find(mark)).min();
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Adds the symbols that a patch changes. `false` if that cannot be said.
#[must_use]
pub fn changed(file: &FilePatch, into: &mut BTreeSet<String>) -> bool {
    let is_c = |path: &str| path.ends_with(".c") || path.ends_with(".h");
    if !file.paths().all(|path| is_c(path.as_str())) {
        return false;
    }
    file.hunks.iter().all(|hunk| changed_by_hunk(hunk, into))
}

fn changed_by_hunk(hunk: &Hunk, into: &mut BTreeSet<String>) -> bool {
    // Whose body a line is in: the last line that began at the left margin.
    let mut owner = name_of_definition(&hunk.section);
    let mut known = true;
    for (kind, line) in &hunk.lines {
        let begins = line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '#');
        if begins && !line.trim_end().ends_with(':') {
            owner = name_of_definition(line).or(owner);
        }
        if *kind == LineKind::Context || code(line).trim_matches(['{', '}', ' ', ';']).is_empty() {
            continue;
        }
        let declared: Vec<&str> = declared(line).collect();
        known &= owner.is_some() || !declared.is_empty() || line.starts_with("#include");
        into.extend(owner.iter().cloned());
        into.extend(declared.into_iter().map(str::to_owned));
    }
    known
}

/// The name that a line at the left margin defines: of a function, a structure or a macro.
fn name_of_definition(line: &str) -> Option<String> {
    let text = code(line);
    if let Some(rest) = text.strip_prefix('#') {
        let rest = rest.trim_start().strip_prefix("define")?;
        return identifiers(rest).next().map(str::to_owned);
    }
    let head = text.split(['(', '{', '=', ';', '[']).next().unwrap_or("");
    identifiers(head).last().map(str::to_owned)
}

/// The names that a line may declare: those before `(`, `;`, `[`, `=`, `,`, `:` or its end.
fn declared(line: &str) -> impl Iterator<Item = &str> {
    let text = code(line);
    let define = text.starts_with('#').then(|| {
        let rest = text.trim_start_matches('#').trim_start();
        rest.strip_prefix("define").and_then(|rest| identifiers(rest).next())
    });
    let fields = text.split_inclusive(['(', ';', '[', '=', ',', ':']).filter_map(|part| {
        let before = part.trim_end_matches(['(', ';', '[', '=', ',', ':', ' ']);
        let start = before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        identifiers(before.get(start.map_or(0, |at| at + 1)..).unwrap_or("")).next()
    });
    define.flatten().into_iter().chain(fields)
}

/// Adds the symbols that a patch uses: every identifier on lines that come or go.
pub fn used(file: &FilePatch, into: &mut BTreeSet<String>) {
    for (kind, line) in file.hunks.iter().flat_map(|hunk| &hunk.lines) {
        if *kind != LineKind::Context {
            into.extend(identifiers(line).map(str::to_owned));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::parse;

    fn patch(path: &str, hunk: &str) -> FilePatch {
        let lines = hunk.lines().skip(1);
        let old = lines.clone().filter(|line| !line.starts_with('+')).count();
        let new = lines.filter(|line| !line.starts_with('-')).count();
        let section = hunk.lines().next().unwrap();
        let rest = hunk.split_once('\n').unwrap().1;
        let text = format!(
            "diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1,{old} +1,{new} @@ {section}\n{rest}\n"
        );
        parse(text.as_bytes()).remove(0)
    }

    fn names(file: &FilePatch) -> (bool, Vec<String>) {
        let mut set = BTreeSet::new();
        let known = changed(file, &mut set);
        (known, set.into_iter().collect())
    }

    #[test]
    fn what_changes() {
        let field = patch("a.h", "struct bpf_reg_state {\n \tu32 id;\n+\tu32 parent_id; /* new */");
        assert_eq!(names(&field), (true, vec!["bpf_reg_state".into(), "parent_id".into()]));
        let body =
            patch("a.c", "\n int f(struct env *env)\n {\n-\treturn 1;\n+\treturn g(env);\n }");
        let (known, found) = names(&body);
        assert!(known && found.contains(&"f".to_owned()), "{found:?}");
        let define = patch("a.h", "\n+#define LIMIT 8");
        assert_eq!(names(&define), (true, vec!["LIMIT".into()]));
        let unknown = patch("a.rs", "\n+fn f() {}");
        assert!(!names(&unknown).0);
    }

    #[test]
    fn what_is_used() {
        let file = patch("v.c", "int f(void)\n+\treg->parent_id = LIMIT; // other\n * not this");
        let mut set = BTreeSet::new();
        used(&file, &mut set);
        assert_eq!(set.into_iter().collect::<Vec<_>>(), ["LIMIT", "parent_id", "reg"]);
    }
}
