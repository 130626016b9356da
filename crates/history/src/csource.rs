// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Names in C sources: what a file defines and what it uses. Nothing is preprocessed.

use std::collections::BTreeSet;

pub(crate) fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// The names and signs of C: without comments, texts and directives.
pub(crate) fn tokens(text: &str) -> Vec<&str> {
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
pub(crate) fn definitions<'a>(
    tokens: &[&'a str],
    with_static: bool,
    mut take: impl FnMut(&'a str),
) {
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

/// Words after which a name stands for a type or a label, or that are no types themselves.
const TAGS: [&str; 4] = ["struct", "union", "enum", "goto"];
const STATEMENTS: [&str; 5] = ["return", "else", "case", "do", "sizeof"];

/// The names that may refer to something outside of the file: not those of members, tags and labels, of local
/// variables and parameters that are never called, nor those in lists of BTF ids, which are resolved without a
/// linker.
pub(crate) fn uses<'a>(tokens: &[&'a str]) -> BTreeSet<&'a str> {
    let mut used = BTreeSet::new();
    let mut local = BTreeSet::new();
    let mut called = BTreeSet::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at).copied() {
        let before = |steps: usize| at.checked_sub(steps).and_then(|at| tokens.get(at)).copied();
        let next = tokens.get(at + 1).copied().unwrap_or("");
        if token.starts_with("BTF_") && next == "(" {
            at += 1 + in_brackets(tokens.get(at + 1..).unwrap_or(&[]));
            continue;
        }
        let member = before(1) == Some(".") || (before(1), before(2)) == (Some(">"), Some("-"));
        let tagged = before(1).is_some_and(|word| TAGS.contains(&word));
        at += 1;
        if !is_name(token) || member || tagged {
            continue;
        }
        used.insert(token);
        if next == "(" {
            called.insert(token);
        } else if is_declared(tokens.get(..at - 1).unwrap_or(&[]), next) {
            local.insert(token);
        }
    }
    used.retain(|name| called.contains(name) || !local.contains(name));
    used
}

/// How many signs brackets take that begin here.
fn in_brackets(tokens: &[&str]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// Whether a name after these signs, and before that one, is being declared: after a type, with stars between.
fn is_declared(before: &[&str], next: &str) -> bool {
    if !matches!(next, "=" | ";" | "," | "[" | ")") {
        return false;
    }
    let stars = before.iter().rev().take_while(|token| **token == "*").count();
    let mut rest = before.iter().rev().skip(stars);
    let is_type = rest.next().is_some_and(|token| is_name(token) && !STATEMENTS.contains(token));
    // `a * b` may be a product: a pointer's type begins a statement or a parameter.
    let begins = |token: Option<&&str>| {
        token.is_none_or(|token| matches!(*token, ";" | "{" | "}" | "(" | ",") || is_name(token))
    };
    is_type && (stars == 0 || begins(rest.next()))
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
    fn what_is_used() {
        let text = "BTF_ID(func, listed)\nBTF_ID_FLAGS(func, bpf_listed, KF_A)\nint f(struct tag *param, int (*g)(void))\n{\n\
            \tint ret = called(param);\n\tstruct btf *kfree = NULL;\n\tptr->member = table[0];\n\tx.second = 1;\n\
            \tif (ret) goto out;\n\tkfree(3 * factor);\n\treturn given;\n}\n";
        let used = uses(&tokens(text));
        for name in ["called", "kfree", "table", "factor", "given"] {
            assert!(used.contains(name), "{name}: {used:?}");
        }
        for name in ["listed", "bpf_listed", "param", "ret", "member", "second", "out", "tag"] {
            assert!(!used.contains(name), "{name}: {used:?}");
        }
    }

    #[test]
    fn no_text_is_too_odd() {
        for text in ["\"", "'\\", "/*", "#", "#\\\n", "}}}", ")))", "(((", "é\"é", "{;(", "DEFINE_"]
        {
            let tokens = tokens(text);
            definitions(&tokens, true, |_| {});
            let _ = uses(&tokens);
        }
    }
}
