// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Lines that a test expects in a log, and the way to look for them.
//!
//! As `test_loader.c` does from 7.x on: expected texts are searched one after another, each behind
//! the one before; a text that must not occur is searched between its neighbours. Text between
//! `{{` and `}}` is a POSIX extended regular expression.

use regex::bytes::{Regex, RegexBuilder};

/// One expected line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Part of a line, with regular expressions in double braces.
    pub text: String,
    /// It must not occur.
    pub negative: bool,
    /// It must be on the line after the one before it in the list.
    pub on_next_line: bool,
}

/// Why a log is not as expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mismatch {
    /// The text with this index is not there, or only before its predecessor.
    Missing(usize),
    /// The text with this index is there and must not be.
    Unexpected(usize),
    /// The text with this index is on another line than the next one.
    WrongLine(usize),
    /// The text with this index holds no valid regular expression.
    BadPattern(usize),
}

/// Most bytes that a compiled pattern may take.
const PATTERN_LIMIT: usize = 1 << 20;

/// Looks for the messages in a log.
///
/// # Errors
///
/// The first message that is not as expected.
pub fn check(log: &[u8], messages: &[Message]) -> Result<(), Mismatch> {
    let mut found: Vec<Option<(usize, usize)>> = Vec::with_capacity(messages.len());
    let mut from = 0;
    for (index, message) in messages.iter().enumerate() {
        let place = if message.negative { None } else { search(log, from, message, index)? };
        if let Some((_, end)) = place {
            from = end;
        }
        found.push(place);
    }
    let mut last_line = None;
    for (index, message) in messages.iter().enumerate() {
        if message.negative {
            check_negative(log, messages, &found, index)?;
            continue;
        }
        let (start, _) = found.get(index).copied().flatten().ok_or(Mismatch::Missing(index))?;
        let line = log.get(..start).unwrap_or(log).iter().filter(|&&byte| byte == b'\n').count();
        if message.on_next_line && last_line.is_some_and(|last: usize| last + 1 != line) {
            return Err(Mismatch::WrongLine(index));
        }
        last_line = Some(line);
    }
    Ok(())
}

/// A negative message must not occur between the positive ones around it.
fn check_negative(
    log: &[u8],
    messages: &[Message],
    found: &[Option<(usize, usize)>],
    index: usize,
) -> Result<(), Mismatch> {
    let from = found.iter().take(index).rev().flatten().next().map_or(0, |place| place.1);
    let to = found.iter().skip(index).flatten().next().map_or(log.len(), |place| place.0);
    let (Some(part), Some(message)) = (log.get(from..to), messages.get(index)) else {
        return Ok(());
    };
    match search(part, 0, message, index)? {
        Some(_) => Err(Mismatch::Unexpected(index)),
        None => Ok(()),
    }
}

fn search(
    log: &[u8],
    from: usize,
    message: &Message,
    index: usize,
) -> Result<Option<(usize, usize)>, Mismatch> {
    let Some(rest) = log.get(from..) else { return Ok(None) };
    let pattern = compile(&message.text).ok_or(Mismatch::BadPattern(index))?;
    Ok(pattern.find(rest).map(|found| (from + found.start(), from + found.end())))
}

/// Text with regular expressions in double braces; a dot never matches a line's end
/// (`REG_NEWLINE`).
fn compile(text: &str) -> Option<Regex> {
    let mut pattern = String::new();
    let mut rest = text;
    while let Some((plain, tail)) = rest.split_once("{{") {
        let (expression, tail) = tail.split_once("}}")?;
        pattern.push_str(&regex::escape(plain));
        // Pieces are joined without a group, as the test loader does.
        pattern.push_str(expression);
        rest = tail;
    }
    pattern.push_str(&regex::escape(rest));
    RegexBuilder::new(&pattern)
        .multi_line(true)
        .unicode(false)
        .size_limit(PATTERN_LIMIT)
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &[u8] = b"0: r0 = 1 ; R0=1\n1: exit\nprocessed 2 insns\n";

    fn message(text: &str) -> Message {
        match text.strip_prefix('!') {
            Some(text) => Message { text: text.to_owned(), negative: true, on_next_line: false },
            None => {
                let next = text.strip_prefix('+');
                let text = next.unwrap_or(text).to_owned();
                Message { text, negative: false, on_next_line: next.is_some() }
            }
        }
    }

    #[test]
    fn messages_in_order() {
        let run = |texts: &[&str], expected: Result<(), Mismatch>| {
            let messages: Vec<Message> = texts.iter().map(|text| message(text)).collect();
            assert_eq!(check(LOG, &messages), expected, "{texts:?}");
        };
        run(&["R0=1", "exit"], Ok(()));
        run(&["exit", "R0=1"], Err(Mismatch::Missing(1)));
        run(&["processed {{[0-9]+}} insns"], Ok(()));
        run(&["r0 = 1{{.*}}exit"], Err(Mismatch::Missing(0)));
        run(&["R0=1", "+exit", "+processed"], Ok(()));
        run(&["R0=1", "+processed"], Err(Mismatch::WrongLine(1)));
        run(&["R0=1", "!invalid", "exit"], Ok(()));
        run(&["R0=1", "!exit"], Err(Mismatch::Unexpected(1)));
        run(&["exit", "!R0=1"], Ok(()));
        run(&["exit{{"], Err(Mismatch::BadPattern(0)));
        run(&["a{{(}}"], Err(Mismatch::BadPattern(0)));
        run(&["(.)"], Err(Mismatch::Missing(0)));
    }
}
