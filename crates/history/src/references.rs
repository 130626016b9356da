// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which symbols of the kernel a verifier refers to: those that a verifier outside of the kernel's tree would
//! need to be exported, or given in another way.
//!
//! An object file tells exactly. A source tree tells nearly: names in the verifier's files that another file
//! defines with external linkage. Nothing is preprocessed, so that names that macros paste together are not
//! seen (`bpf_prog_types` and its `…_verifier_ops`), nor is it known which code the configuration leaves out.

use crate::boundary::SPLIT_FILES;
use object::{Object, ObjectSymbol};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// What names are taken from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceSource {
    /// Undefined symbols of an object file.
    Object,
    /// Source files.
    Tree,
    /// A list of names, or of `EXPORT_SYMBOL…(NAME)`.
    List,
}

/// The symbols that one verifier refers to.
#[derive(Clone, Debug, Serialize)]
pub struct References {
    /// The path as it was given.
    pub name: String,
    /// What they are taken from.
    pub source: ReferenceSource,
    /// The symbols, with the file that defines each, where known.
    pub symbols: BTreeMap<String, String>,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// A file or directory.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An object file that is damaged.
    #[error("{0}: not an ELF file: {1}")]
    Object(PathBuf, object::Error),
    /// A directory that is no kernel.
    #[error("{0}: no kernel/bpf/verifier.c in it")]
    NoVerifier(PathBuf),
}

/// Directories in which definitions are looked for: a verifier refers to nothing of drivers.
const SEARCHED: [&str; 10] = [
    "kernel",
    "lib",
    "mm",
    "net/core",
    "net/bpf",
    "net/xdp",
    "net/sched",
    "security",
    "init",
    "fs/bpf_fs_kfuncs.c",
];

/// Largest source file, and most files.
const LARGEST: u64 = 16 << 20;
const MOST_FILES: usize = 50_000;

fn read(path: &Path) -> Result<Vec<u8>, ReferenceError> {
    std::fs::read(path).map_err(|source| ReferenceError::Io { path: path.to_owned(), source })
}

/// Reads the references of an object file, a source tree or a list.
///
/// # Errors
/// It cannot be read.
pub fn read_references(path: &Path) -> Result<References, ReferenceError> {
    let name = path.display().to_string();
    if path.is_dir() {
        let symbols = of_tree(path)?;
        return Ok(References { name, source: ReferenceSource::Tree, symbols });
    }
    let bytes = read(path)?;
    if bytes.starts_with(b"\x7fELF") {
        let symbols = of_object(&bytes).map_err(|e| ReferenceError::Object(path.to_owned(), e))?;
        return Ok(References { name, source: ReferenceSource::Object, symbols });
    }
    let symbols = of_list(&String::from_utf8_lossy(&bytes));
    Ok(References { name, source: ReferenceSource::List, symbols })
}

/// The undefined symbols of an object file.
///
/// # Errors
/// It is damaged.
pub fn of_object(bytes: &[u8]) -> Result<BTreeMap<String, String>, object::Error> {
    let file = object::File::parse(bytes)?;
    let undefined = file.symbols().filter(ObjectSymbol::is_undefined);
    let names = undefined.filter_map(|symbol| symbol.name().ok().map(str::to_owned));
    Ok(names.filter(|name| !name.is_empty()).map(|name| (name, String::new())).collect())
}

/// The names of a list: one a line, or those in `EXPORT_SYMBOL_GPL(NAME)`.
#[must_use]
pub fn of_list(text: &str) -> BTreeMap<String, String> {
    let name = |line: &str| {
        let line = line.trim();
        let inner = match line.strip_prefix("EXPORT_SYMBOL") {
            Some(rest) => rest.split_once('(')?.1.split([')', ',']).next()?,
            None => line.split_whitespace().next()?,
        };
        let good = inner.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
        (good && !inner.is_empty()).then(|| (inner.to_owned(), String::new()))
    };
    text.lines().filter_map(name).collect()
}

/// The names that a C source defines with external linkage.
#[must_use]
pub fn of_source(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    definitions(&tokens(text), false, |name| {
        names.insert(name.to_owned());
    });
    names
}

/// The references of the verifier in a source tree.
fn of_tree(root: &Path) -> Result<BTreeMap<String, String>, ReferenceError> {
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut own: BTreeSet<String> = BTreeSet::new();
    let mut verifier = BTreeSet::new();
    for name in SPLIT_FILES {
        let path = root.join(name);
        if !path.is_file() {
            continue;
        }
        let text = String::from_utf8_lossy(&read(&path)?).into_owned();
        let tokens = tokens(&text);
        used.extend(tokens.iter().filter(|token| is_name(token)).map(|token| (*token).to_owned()));
        definitions(&tokens, true, |name| {
            own.insert(name.to_owned());
        });
        verifier.insert(path);
    }
    if verifier.is_empty() {
        return Err(ReferenceError::NoVerifier(root.to_owned()));
    }
    let mut found = BTreeMap::new();
    for path in sources(root)? {
        if verifier.contains(&path) {
            continue;
        }
        let text = String::from_utf8_lossy(&read(&path)?).into_owned();
        let short = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        definitions(&tokens(&text), false, |name| {
            if used.contains(name) && !own.contains(name) {
                found.entry(name.to_owned()).or_insert_with(|| short.clone());
            }
        });
    }
    Ok(found)
}

/// The C files of the directories that are looked at, sorted; links are not followed.
fn sources(root: &Path) -> Result<Vec<PathBuf>, ReferenceError> {
    let mut open: Vec<PathBuf> = SEARCHED.iter().map(|name| root.join(name)).collect();
    let mut files = Vec::new();
    while let Some(path) = open.pop() {
        let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            let io = |source| ReferenceError::Io { path: path.clone(), source };
            for entry in std::fs::read_dir(&path).map_err(io)? {
                open.push(entry.map_err(io)?.path());
            }
        } else if meta.is_file()
            && meta.len() <= LARGEST
            && path.extension().is_some_and(|end| end == "c")
            && !is_test(&path)
            && files.len() < MOST_FILES
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Tests of the kernel's own, which define names like those of everything else.
fn is_test(path: &Path) -> bool {
    let text = path.to_string_lossy();
    ["kunit", "test"].iter().any(|word| text.rsplit('/').take(2).any(|part| part.contains(word)))
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// The names and signs of C: without comments, texts and directives.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut line_begins = true;
    while let Some(c) = rest.chars().next() {
        let (length, keep) = if rest.starts_with("/*") {
            (rest.find("*/").map_or(rest.len(), |end| end + 2), false)
        } else if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), false)
        } else if c == '#' && line_begins {
            (directive(rest), false)
        } else if c == '"' || c == '\'' {
            (literal(rest, c), false)
        } else if c.is_ascii_alphabetic() || c == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            (end.unwrap_or(rest.len()), true)
        } else if c.is_ascii_digit() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.');
            (end.unwrap_or(rest.len()), false)
        } else {
            (c.len_utf8(), !c.is_whitespace())
        };
        let Some((token, after)) = rest.split_at_checked(length.max(1)) else { break };
        if keep {
            found.push(token);
        }
        line_begins = c == '\n' || (line_begins && c.is_whitespace());
        rest = after;
    }
    found
}

/// The length of a directive with the lines that it goes on in.
fn directive(text: &str) -> usize {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        end += line.len();
        if !line.trim_end().ends_with('\\') {
            break;
        }
    }
    // The line's end stays: the next line begins after it.
    if text.get(..end).is_some_and(|line| line.ends_with('\n')) { end - 1 } else { end }
}

/// The length of a text or a character. One that does not end ends with its line.
fn literal(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return at,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Calls `take` with what is defined outside of functions: functions and variables, with `static` those too
/// that only this file sees.
fn definitions<'a>(tokens: &[&'a str], with_static: bool, mut take: impl FnMut(&'a str)) {
    let mut depth = 0_usize;
    let mut round = 0_usize;
    // What stands since the last definition at the top.
    let mut statement: Vec<&str> = Vec::new();
    for token in tokens {
        match *token {
            "{" => {
                if depth == 0 && round == 0 {
                    let hidden = !with_static && is_hidden(&statement);
                    defined(&statement).filter(|_| !hidden).into_iter().for_each(&mut take);
                }
                depth += 1;
            }
            "}" => {
                depth = depth.saturating_sub(1);
                // A body ends a function; after the braces of a structure or a value comes a `;`.
                if depth == 0 && statement.last() == Some(&")") {
                    statement.clear();
                }
            }
            _ if depth > 0 => {}
            ";" if round == 0 => {
                let hidden = (!with_static && is_hidden(&statement)) || is_declaration(&statement);
                defined(&statement).filter(|_| !hidden).into_iter().for_each(&mut take);
                statement.clear();
            }
            other => {
                match other {
                    "(" => round += 1,
                    ")" => round = round.saturating_sub(1),
                    _ => {}
                }
                if statement.len() >= LONGEST {
                    statement.pop();
                }
                statement.push(other);
            }
        }
    }
}

/// Signs of a statement that are looked at; of longer ones the first and the last.
const LONGEST: usize = 256;

fn is_hidden(statement: &[&str]) -> bool {
    statement.iter().take(4).any(|token| matches!(*token, "static" | "typedef" | "extern"))
}

/// Whether nothing is defined: `extern`, `typedef`, a prototype.
fn is_declaration(statement: &[&str]) -> bool {
    let prototype = statement.last() == Some(&")")
        && !statement
            .first()
            .is_some_and(|first| DEFINERS.contains(first) || first.starts_with("DEFINE_PER_CPU"));
    prototype || matches!(statement.first(), Some(&("extern" | "typedef")))
}

/// Macros that define what is first in their brackets.
const DEFINERS: [&str; 10] = [
    "DEFINE_IDA",
    "DEFINE_IDR",
    "DEFINE_MUTEX",
    "DEFINE_RAW_SPINLOCK",
    "DEFINE_RWLOCK",
    "DEFINE_SPINLOCK",
    "DEFINE_SRCU",
    "DEFINE_STATIC_KEY_FALSE",
    "DEFINE_STATIC_KEY_TRUE",
    "DEFINE_XARRAY",
];

/// Attributes with brackets, which stand before names.
const ATTRIBUTES: [&str; 5] = ["__aligned", "__attribute__", "__printf", "__scanf", "__section"];

/// The name that a statement outside of functions defines: before the first `(`, `=` or `[`, else its last
/// one; of macros that define something a name in their brackets.
fn defined<'a>(statement: &[&'a str]) -> Option<&'a str> {
    let first = statement.first()?;
    if first.starts_with("DEFINE_PER_CPU") {
        return statement.iter().skip(2).rfind(|token| is_name(token)).copied();
    }
    if DEFINERS.contains(first) {
        return statement.iter().skip(1).find(|token| is_name(token)).copied();
    }
    if first.starts_with("EXPORT_SYMBOL") || *first == "struct" && statement.len() <= 2 {
        return None;
    }
    let mut before: Vec<&'a str> = Vec::new();
    let mut tokens = statement.iter();
    while let Some(token) = tokens.next() {
        if ATTRIBUTES.contains(token) {
            // Up to the end of its brackets.
            let mut depth = 0_usize;
            for token in tokens.by_ref() {
                match *token {
                    "(" => depth += 1,
                    ")" => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        } else if matches!(*token, "(" | "=" | "[") {
            break;
        } else {
            before.push(token);
        }
    }
    // A type and a name at least.
    let name = before.last().filter(|token| is_name(token))?;
    (before.len() >= 2).then_some(*name)
}

/// How two differ.
#[derive(Clone, Debug, Serialize)]
pub struct ReferenceDiff {
    /// In the first only.
    pub left: Vec<String>,
    /// In the second only.
    pub right: Vec<String>,
    /// In both.
    pub both: usize,
}

/// Compares.
#[must_use]
pub fn compare(left: &References, right: &References) -> ReferenceDiff {
    let only = |a: &References, b: &References| {
        a.symbols.keys().filter(|name| !b.symbols.contains_key(*name)).cloned().collect()
    };
    let both = left.symbols.keys().filter(|name| right.symbols.contains_key(*name)).count();
    ReferenceDiff { left: only(left, right), right: only(right, left), both }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_outside_of_functions() {
        let text = "// x\n#define A(x) \\\n\tx {\nint f(int a) { g(\"}\"); return '}'; }\nstatic int s(void)\n{\n}\n\
            struct t { int a; };\nconst struct ops table[] = { { .a = h }, };\nint v = 1, w;\nint proto(void);\n__printf(1, 2) void say(const char *f) { }\n\
            extern int e;\nDEFINE_STATIC_KEY_FALSE(key);\nstatic DEFINE_MUTEX(m);\n/* int c; */ u64 last;\n\
            EXPORT_SYMBOL_GPL(f);\nenum { X, Y };\n__bpf_kfunc void k(void) { }\n";
        let names = |with_static| {
            let mut found = Vec::new();
            definitions(&tokens(text), with_static, |name| found.push(name));
            found.dedup();
            found
        };
        assert_eq!(names(false), ["f", "table", "v", "say", "key", "last", "k"]);
        assert!(names(true).contains(&"s"));
    }

    #[test]
    fn lists_of_names() {
        let list = of_list("EXPORT_SYMBOL_GPL(tnum_add);\nbtf_vmlinux 1\n\n// comment\n");
        assert_eq!(list.keys().collect::<Vec<_>>(), ["btf_vmlinux", "tnum_add"]);
    }

    #[test]
    fn no_text_is_too_odd() {
        for text in ["\"", "'\\", "/*", "#", "#\\\n", "}}}", ")))", "(((", "é\"é", "{;(", "DEFINE_"]
        {
            let tokens = tokens(text);
            definitions(&tokens, true, |_| {});
        }
    }
}
