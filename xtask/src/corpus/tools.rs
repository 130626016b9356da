// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Other programs that the tasks run, with a plain sentence when one is missing or fails.

use std::ffi::OsStr;
use std::io::{ErrorKind, Read as _};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};

/// Debian package of a program, for the sentence that says what to install.
fn package_of(program: &str) -> &str {
    match program {
        "apt-get" | "apt-cache" => "apt",
        "dpkg-deb" => "dpkg",
        "xz" => "xz-utils",
        "gzip" | "zstd" | "lz4" | "tar" | "gcc" | "bpftool" | "python3" => program,
        "/usr/lib/apt/apt-helper" => "apt",
        other => other,
    }
}

/// Runs a command to its end and returns its standard output.
///
/// # Errors
///
/// The program is missing (the message names its Debian package) or fails (with the last lines of
/// its complaint).
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let name = name(command);
    let output = command.stdin(Stdio::null()).output().map_err(|error| missing(&name, error))?;
    checked(&name, output)
}

/// Like [`output`], with the program's messages shown as they come.
pub(crate) fn show(command: &mut Command) -> Result<()> {
    let name = name(command);
    let status = command.stdin(Stdio::null()).status().map_err(|error| missing(&name, error))?;
    if !status.success() {
        bail!("{name} failed with {status}");
    }
    Ok(())
}

/// Feeds `input` to a command and returns at most `limit` bytes of what it prints; the program
/// is ended when there is more.
///
/// # Errors
///
/// As [`output`]; or there was more than `limit`.
pub(crate) fn filter(command: &mut Command, input: std::fs::File, limit: u64) -> Result<Vec<u8>> {
    let name = name(command);
    let mut child = command
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| missing(&name, error))?;
    let mut bytes = Vec::new();
    let read = match child.stdout.take() {
        Some(out) => out.take(limit + 1).read_to_end(&mut bytes).map(|_| ()),
        None => Ok(()),
    };
    let too_long = bytes.len() as u64 > limit;
    if too_long || read.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    read?;
    if too_long {
        bail!("more than {limit} bytes");
    }
    if !status.success() {
        bail!("{name} failed with {status}");
    }
    Ok(bytes)
}

/// Whether a program can be started at all.
pub(crate) fn present(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

fn name(command: &Command) -> String {
    OsStr::to_string_lossy(command.get_program()).into_owned()
}

fn missing(name: &str, error: std::io::Error) -> anyhow::Error {
    if error.kind() == ErrorKind::NotFound {
        return anyhow!("{name} is not installed: install the package {}", package_of(name));
    }
    anyhow::Error::new(error).context(format!("cannot run {name}"))
}

fn checked(name: &str, output: Output) -> Result<Vec<u8>> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = complaint.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = &lines[lines.len().saturating_sub(5)..];
    Err(anyhow!(tail.join("\n"))).with_context(|| format!("{name} failed with {}", output.status))
}
