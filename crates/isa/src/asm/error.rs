// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What can be wrong with an assembly text, and where.

use alloc::string::String;
use core::fmt;

/// An error with its place in the text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Error {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something else should stand here.
    Expected(&'static str),
    /// The instruction is complete, but the line goes on.
    Trailing,
    /// A number does not fit its field.
    Range(&'static str),
    /// A number has no digits, odd digits, or over 64 bits.
    Number,
    /// The resolver knows no such function, and there is no such label.
    UnknownFunction(String),
    /// The resolver has another number for the function than the text (`name#number`).
    FunctionNumber {
        /// As written.
        written: i32,
        /// As resolved.
        resolved: i32,
    },
    /// The resolver knows no such map.
    UnknownMap(String),
    /// The resolver knows no such kernel symbol.
    UnknownSymbol(String),
    /// There is no such label.
    UnknownLabel(String),
    /// The label exists already.
    DuplicateLabel(String),
    /// The label is too far away for the instruction.
    TooFar,
    /// `w` and `r` registers do not go together like this.
    RegisterWidth,
    /// Two places must name the same register.
    SameRegister,
    /// The opcode written in front is not that of the instruction.
    Opcode {
        /// As written.
        written: u8,
        /// As encoded.
        encoded: u8,
    },
    /// The slot number written in front is not that of the instruction.
    Slot {
        /// As it would have to be.
        actual: usize,
    },
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected(what) => write!(f, "expected {what}"),
            Self::Trailing => write!(f, "unexpected text after the instruction"),
            Self::Range(what) => write!(f, "number does not fit {what}"),
            Self::Number => write!(f, "not a number of up to 64 bits"),
            Self::UnknownFunction(name) => write!(
                f,
                "`{name}` is no label and no known function; `call 5` calls a helper by number, \
                 `call kfunc 5` a kernel function by BTF id"
            ),
            Self::FunctionNumber { written, resolved } => {
                write!(f, "function has number {resolved}, not {written}")
            }
            Self::UnknownMap(name) => {
                write!(f, "unknown map `{name}`; `map[fd:5]` and `map[idx:5]` need no name")
            }
            Self::UnknownSymbol(name) => {
                write!(f, "unknown kernel symbol `{name}`; `btf[id:5]` needs no name")
            }
            Self::UnknownLabel(name) => write!(f, "unknown label `{name}`"),
            Self::DuplicateLabel(name) => write!(f, "label `{name}` exists already"),
            Self::TooFar => write!(f, "label is too far away; `gotol` reaches further"),
            Self::RegisterWidth => write!(f, "register of the wrong width"),
            Self::SameRegister => write!(f, "must be the same register on both sides"),
            Self::Opcode { written, encoded } => {
                write!(f, "opcode is ({encoded:02x}), not ({written:02x})")
            }
            Self::Slot { actual } => write!(f, "this is slot {actual}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.kind)
    }
}

impl core::error::Error for Error {}

/// An error before its line is known; `at` is a byte position in the line.
pub(super) struct Failure {
    pub(super) at: usize,
    pub(super) kind: ErrorKind,
}

impl Failure {
    /// The error, given its line's number and text.
    pub(super) fn place(self, line: usize, text: &str) -> Error {
        let before = text.get(..self.at).unwrap_or(text);
        Error { line, column: before.chars().count() + 1, kind: self.kind }
    }
}
