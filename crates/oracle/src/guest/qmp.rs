// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! QEMU's control channel.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

/// A connected control channel.
pub(super) struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// Waits for the greeting and leaves negotiation.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut qmp = Self { reader: BufReader::new(stream) };
        qmp.message()?;
        qmp.execute("qmp_capabilities", Value::Null)?;
        Ok(qmp)
    }

    /// Runs a command and returns its result; events in between are dropped.
    pub(super) fn execute(&mut self, command: &str, arguments: Value) -> io::Result<Value> {
        let mut message = json!({ "execute": command });
        if !arguments.is_null() {
            message["arguments"] = arguments;
        }
        let mut line = message.to_string();
        line.push('\n');
        self.reader.get_mut().write_all(line.as_bytes())?;
        loop {
            let mut reply = self.message()?;
            if let Some(error) = reply.get("error") {
                let why = error.get("desc").and_then(Value::as_str).unwrap_or("no reason given");
                return Err(io::Error::other(format!("QEMU refuses {command}: {why}")));
            }
            if reply.get("return").is_some() {
                return Ok(reply["return"].take());
            }
        }
    }

    fn message(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "QEMU ended"));
        }
        serde_json::from_str(&line).map_err(io::Error::other)
    }
}
