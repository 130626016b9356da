// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Reading the words of one line.

use super::error::{ErrorKind, Failure};
use crate::op::{Reg, Width};

/// A name and its byte position in the line.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl Name<'_> {
    pub(super) fn fail(self, kind: ErrorKind) -> Failure {
        Failure { at: self.at, kind }
    }
}

/// A place in a line. Every reading function skips white space first.
pub(super) struct Scanner<'a> {
    line: &'a str,
    at: usize,
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$')
}

impl<'a> Scanner<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { line, at: 0 }
    }

    /// Skips white space and returns the rest of the line.
    fn rest(&mut self) -> &'a str {
        let rest = self.line.get(self.at..).unwrap_or("");
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    /// Byte position of the next word.
    pub(super) fn at(&mut self) -> usize {
        self.rest();
        self.at
    }

    /// Goes back to a position that [`Scanner::at`] gave.
    pub(super) fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    pub(super) fn at_end(&mut self) -> bool {
        self.rest().is_empty()
    }

    /// An error at the next word.
    pub(super) fn fail<T>(&mut self, kind: ErrorKind) -> Result<T, Failure> {
        Err(Failure { at: self.at(), kind })
    }

    /// Reads `literal` if it stands here.
    pub(super) fn eat(&mut self, literal: &str) -> bool {
        let found = self.rest().starts_with(literal);
        if found {
            self.at += literal.len();
        }
        found
    }

    pub(super) fn expect(&mut self, literal: &'static str) -> Result<(), Failure> {
        if self.eat(literal) { Ok(()) } else { self.fail(ErrorKind::Expected(literal)) }
    }

    /// Reads `word` if it stands here as a whole.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let start = self.at();
        if self.name().is_some_and(|n| n.text == word) {
            return true;
        }
        self.back_to(start);
        false
    }

    pub(super) fn expect_word(&mut self, word: &'static str) -> Result<(), Failure> {
        if self.eat_word(word) { Ok(()) } else { self.fail(ErrorKind::Expected(word)) }
    }

    /// Reads a name: letters, digits, `_`, `.` and `$`, not beginning with a digit.
    pub(super) fn name(&mut self) -> Option<Name<'a>> {
        let rest = self.rest();
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let text = &rest[..rest.find(|c| !is_name_char(c)).unwrap_or(rest.len())];
        if text.is_empty() {
            return None;
        }
        let name = Name { text, at: self.at };
        self.at += text.len();
        Some(name)
    }

    /// Reads a register if one stands here: `r0` to `r15` or `w0` to `w15`.
    pub(super) fn register(&mut self) -> Option<(Width, Reg)> {
        let start = self.at();
        let register = self.name().and_then(|n| parse_register(n.text));
        if register.is_none() {
            self.back_to(start);
        }
        register
    }

    /// Reads a 64-bit register.
    pub(super) fn expect_register(&mut self) -> Result<Reg, Failure> {
        let at = self.at();
        match self.register() {
            Some((Width::W64, reg)) => Ok(reg),
            Some((Width::W32, _)) => Err(Failure { at, kind: ErrorKind::RegisterWidth }),
            None => self.fail(ErrorKind::Expected("a register")),
        }
    }

    /// Reads a number if one stands here: decimal or `0x` hexadecimal, with an optional sign. Its
    /// magnitude is under 2^64.
    pub(super) fn number(&mut self) -> Result<Option<i128>, Failure> {
        let start = self.at();
        let negative = self.eat("-");
        if !negative {
            self.eat("+");
        }
        let rest = self.rest();
        if !rest.starts_with(|c: char| c.is_ascii_digit()) {
            self.back_to(start);
            return Ok(None);
        }
        let text = &rest[..rest.find(|c| !is_name_char(c)).unwrap_or(rest.len())];
        let magnitude = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        let Ok(magnitude) = magnitude else { return self.fail(ErrorKind::Number) };
        self.at += text.len();
        let magnitude = i128::from(magnitude);
        Ok(Some(if negative { -magnitude } else { magnitude }))
    }

    pub(super) fn expect_number(&mut self) -> Result<i128, Failure> {
        match self.number()? {
            Some(number) => Ok(number),
            None => self.fail(ErrorKind::Expected("a number")),
        }
    }

    /// Reads a number that fits `T`; `what` names the field.
    pub(super) fn field<T: TryFrom<i128>>(&mut self, what: &'static str) -> Result<T, Failure> {
        let at = self.at();
        let number = self.expect_number()?;
        fit(number, at, what)
    }

    /// Reads a 32-bit number, signed or unsigned.
    pub(super) fn any_i32(&mut self, what: &'static str) -> Result<i32, Failure> {
        let at = self.at();
        let number = self.expect_number()?;
        fit_either(number, at, what)
    }

    /// Reads what may follow a base register: nothing, `+4`, `- 8`, `+ -8`.
    pub(super) fn offset<T: TryFrom<i128>>(&mut self, what: &'static str) -> Result<T, Failure> {
        let at = self.at();
        let number = if self.eat("+") {
            self.expect_number()?
        } else if self.eat("-") {
            -self.expect_number()?
        } else {
            0
        };
        fit(number, at, what)
    }

    /// Reads the opcode in front of an instruction if one stands here: two hexadecimal digits in
    /// parentheses.
    pub(super) fn opcode(&mut self) -> Option<u8> {
        let digits = self.rest().strip_prefix('(')?.split_once(')')?.0;
        if digits.len() != 2 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let code = u8::from_str_radix(digits, 16).ok()?;
        self.at += "(00)".len();
        Some(code)
    }
}

/// A register by name.
fn parse_register(text: &str) -> Option<(Width, Reg)> {
    let (width, digits) = match text.strip_prefix('r') {
        Some(digits) => (Width::W64, digits),
        None => (Width::W32, text.strip_prefix('w')?),
    };
    let canonical = digits.len() == 1 || (digits.len() == 2 && digits.starts_with('1'));
    let number: u8 = digits.parse().ok().filter(|n| canonical && *n < 16)?;
    Some((width, Reg::new(number)))
}

/// The number as `T`, or an error at `at`.
pub(super) fn fit<T: TryFrom<i128>>(
    number: i128,
    at: usize,
    what: &'static str,
) -> Result<T, Failure> {
    T::try_from(number).map_err(|_| Failure { at, kind: ErrorKind::Range(what) })
}

/// The low 32 bits of a number that fits 32 bits signed or unsigned.
pub(super) fn fit_either(number: i128, at: usize, what: &'static str) -> Result<i32, Failure> {
    match u32::try_from(number) {
        Ok(unsigned) => Ok(unsigned.cast_signed()),
        Err(_) => fit(number, at, what),
    }
}
