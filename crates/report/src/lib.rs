// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Results of checks: one model, one file per format.
//!
//! Nothing here computes a verdict; a [`Row`] holds what others found, and a format writes rows.

mod csv;
mod json;
mod model;
mod text;

pub use self::csv::CsvWriter;
pub use json::JsonWriter;
pub use model::{Instruction, Row, SourceLine, Stats, Summary, Verdict};
pub use text::{TextOptions, TextWriter};

use std::io;

/// Where rows go. Rows arrive in the order of the command line.
pub trait Writer {
    /// Takes one result.
    ///
    /// # Errors
    /// Those of the underlying stream.
    fn row(&mut self, row: &Row) -> io::Result<()>;

    /// Writes what comes after the last row.
    ///
    /// # Errors
    /// Those of the underlying stream.
    fn finish(&mut self) -> io::Result<()>;
}
