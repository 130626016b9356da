// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Symbols that verifiers refer to.

use super::plain;
use crate::Format;
use serde::Serialize;
use std::io;
use veristable_history::references::{ReferenceDiff, References, compare};

#[derive(Serialize)]
struct Document<'a> {
    veristable_references: u32,
    verifiers: &'a [References],
    difference: Option<ReferenceDiff>,
}

/// Writes the symbols of one verifier, or how those of two differ.
///
/// # Errors
/// Those of the stream.
pub fn write_references(
    out: &mut dyn io::Write,
    format: Format,
    verifiers: &[References],
) -> io::Result<()> {
    let difference = match verifiers {
        [left, right] => Some(compare(left, right)),
        _ => None,
    };
    match format {
        Format::Json => {
            let document = Document { veristable_references: 1, verifiers, difference };
            serde_json::to_writer_pretty(&mut *out, &document)?;
            writeln!(out)?;
        }
        Format::Csv => {
            let mut csv = ::csv::Writer::from_writer(&mut *out);
            csv.write_record(["verifier", "symbol", "defined_in"])?;
            for verifier in verifiers {
                for (symbol, place) in &verifier.symbols {
                    csv.write_record([&plain(&verifier.name), &plain(symbol), &plain(place)])?;
                }
            }
            csv.flush()?;
        }
        Format::Text { .. } => text(out, verifiers, difference.as_ref())?,
    }
    out.flush()
}

fn text(
    out: &mut dyn io::Write,
    verifiers: &[References],
    difference: Option<&ReferenceDiff>,
) -> io::Result<()> {
    for verifier in verifiers {
        writeln!(out, "{}: {} symbols", plain(&verifier.name), verifier.symbols.len())?;
    }
    if let Some(difference) = difference {
        writeln!(out, "in both: {}", difference.both)?;
        for (sign, names) in [('-', &difference.left), ('+', &difference.right)] {
            names.iter().try_for_each(|name| writeln!(out, "{sign} {}", plain(name)))?;
        }
        return Ok(());
    }
    for verifier in verifiers {
        for (symbol, place) in &verifier.symbols {
            writeln!(out, "{:<40} {}", plain(symbol), plain(place))?;
        }
    }
    Ok(())
}
