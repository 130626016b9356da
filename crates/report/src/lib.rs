// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Results of checks: one model, one file per format.
//!
//! Nothing here computes a verdict; a [`Row`] holds what others found, and a format writes rows.
//! `history`, `needs` and `profile` are further models, with their formats beside them.

mod csv;
mod history;
mod json;
mod model;
mod needs;
mod profile;
mod table;
mod text;

pub use self::csv::CsvWriter;
pub use history::{HistoryFormat, write as write_history, write_references};
pub use json::JsonWriter;
pub use model::{Instruction, Missing, Row, SourceLine, Stats, Summary, Verdict};
pub use needs::{Answer, NeedRow, NeedsReport, write as write_needs};
pub use profile::{write_differences, write_facts};
pub use text::{TextOptions, TextWriter};

use std::io;

/// A format for what is written at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For people, with or without colour.
    Text {
        /// Write colour.
        color: bool,
    },
    /// One object a line.
    Json,
    /// Comma-separated values with a header.
    Csv,
}

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
