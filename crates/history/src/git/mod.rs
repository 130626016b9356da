// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A local repository, read through git's own plumbing.
//!
//! Why not a library: the definitions that figures rest on are git's, above all which commits `git log --
//! PATH` shows (history simplification), and git reads commit graphs with their filters of changed paths.
//! Whoever has a kernel's history has git. It is started a fixed number of times, never once per commit, and
//! everything it writes is read as a stream.
//!
//! git is kept from everything but reading objects: no configuration but the repository's own, no hooks, no
//! external programs, no lazy fetches, no network protocols, no locks.

mod blame;
mod graph;
mod log;
mod records;

pub use blame::{Blamed, Reader as BlameReader};
pub use log::{Progress, ReadOptions, RefTree, Stage};
pub use records::{commits_of_log, patches_of_diff};

use crate::ids::{Found, ObjectId};
use records::Source;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Why a repository cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no git, or it cannot be started.
    #[error("git cannot be started: {0}")]
    Start(#[source] io::Error),
    /// Reading from or writing to git failed.
    #[error("git {command}: {source}")]
    Io {
        /// The subcommand.
        command: &'static str,
        /// Why.
        source: io::Error,
    },
    /// git said no.
    #[error("git {command}: {message}")]
    Failed {
        /// The subcommand.
        command: &'static str,
        /// The first lines of its complaint.
        message: String,
    },
    /// git wrote what it should not.
    #[error("git {command} wrote what cannot be read: {what}")]
    Output {
        /// The subcommand.
        command: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A name is not one of a commit.
    #[error("'{name}' is {why} in this repository")]
    Revision {
        /// The name.
        name: String,
        /// What it is.
        why: &'static str,
    },
    /// More commits than can be counted.
    #[error("more than 2^32 commits")]
    TooMany,
}

type Result<T> = std::result::Result<T, GitError>;

/// A repository that is only read.
#[derive(Clone, Debug)]
pub struct Repository {
    path: PathBuf,
    /// The way from there up to the top of the work tree: `../` for each directory.
    up: String,
    /// What limits its answers: it is shallow, or objects are missing.
    pub warnings: Vec<String>,
}

impl Repository {
    /// Opens the repository at or above a directory.
    ///
    /// # Errors
    /// There is none, or git refuses it.
    pub fn open(path: &Path) -> Result<Self> {
        let mut repository =
            Self { path: path.to_owned(), up: String::new(), warnings: Vec::new() };
        let told = repository.run("rev-parse", &["--is-shallow-repository", "--show-cdup"])?;
        let mut told = told.lines();
        let shallow = told.next() == Some("true");
        told.next().unwrap_or("").clone_into(&mut repository.up);
        if shallow {
            repository.warnings.push(
                "the repository is shallow: older commits are missing, and figures are too low"
                    .to_owned(),
            );
        }
        let arguments =
            ["--null", "--get-regexp", r"^(remote\..*\.promisor|extensions\.partialclone)$"];
        // Status 1: there is no such setting.
        if repository.run("config", &arguments).is_ok_and(|found| !found.is_empty()) {
            repository.warnings.push(
                "the repository is a partial clone: what it has not yet fetched cannot be read"
                    .to_owned(),
            );
        }
        Ok(repository)
    }

    /// git with what keeps it to reading.
    fn git(&self, command: &'static str, arguments: &[&str]) -> Command {
        let mut git = Command::new("git");
        git.env_clear();
        for name in ["PATH", "HOME", "SYSTEMROOT", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                git.env(name, value);
            }
        }
        git.envs([
            ("LC_ALL", "C"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_ALLOW_PROTOCOL", "none"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_PAGER", "cat"),
        ]);
        git.arg("-C").arg(&self.path).args(["--no-pager", "--no-optional-locks"]);
        for setting in [
            "core.fsmonitor=false",
            "core.hooksPath=/dev/null",
            "core.quotePath=false",
            "core.attributesFile=/dev/null",
            "protocol.allow=never",
            "gc.auto=0",
            "blame.ignoreRevsFile=",
            "log.showSignature=false",
            "diff.noprefix=false",
            "diff.mnemonicPrefix=false",
            "diff.external=",
            "diff.algorithm=myers",
            "diff.context=3",
            "diff.interHunkContext=0",
            "diff.indentHeuristic=true",
            "diff.suppressBlankEmpty=false",
            "color.ui=false",
            "i18n.logOutputEncoding=UTF-8",
        ] {
            git.args(["-c", setting]);
        }
        git.arg(command).args(arguments);
        git.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        git
    }

    /// Runs git and takes all that it writes, which is little.
    fn run(&self, command: &'static str, arguments: &[&str]) -> Result<String> {
        let output = self.git(command, arguments).output().map_err(GitError::Start)?;
        if !output.status.success() {
            return Err(GitError::Failed { command, message: complaint(&output.stderr) });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts git with lines on its standard input.
    fn stream(
        &self,
        command: &'static str,
        arguments: &[&str],
        input: Vec<String>,
    ) -> Result<Stream> {
        let mut git = self.git(command, arguments);
        if !input.is_empty() {
            git.stdin(Stdio::piped());
        }
        let mut child = git.spawn().map_err(GitError::Start)?;
        // Writer and reader of git's pipes have threads of their own: neither may wait for the other.
        let writer = child.stdin.take().map(|mut stdin| {
            std::thread::spawn(move || {
                // git may end early and say why on its standard error.
                for line in input {
                    if stdin
                        .write_all(line.as_bytes())
                        .and_then(|()| stdin.write_all(b"\n"))
                        .is_err()
                    {
                        break;
                    }
                }
            })
        });
        let errors = child.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut kept = Vec::new();
                let _ = stderr.by_ref().take(1 << 16).read_to_end(&mut kept);
                let _ = io::copy(&mut stderr, &mut io::sink());
                kept
            })
        });
        let out = child.stdout.take().map(|stdout| BufReader::with_capacity(1 << 16, stdout));
        let Some(out) = out else {
            return Err(GitError::Output { command, what: "nothing".to_owned() });
        };
        Ok(Stream { command, child, out, writer, errors, done: false })
    }

    /// What names of commits lead to, in their order, by one process.
    ///
    /// # Errors
    /// Those of git.
    pub fn resolve(&self, names: &[String]) -> Result<Vec<Found<ObjectId>>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let input: Vec<String> = names
            .iter()
            .map(|name| {
                let odd = name.is_empty() || name.contains(['\n', '\0']) || name.starts_with('-');
                if odd { "0^{commit}".to_owned() } else { format!("{name}^{{commit}}") }
            })
            .collect();
        let mut stream =
            self.stream("cat-file", &["--batch-check=%(objectname) %(objecttype)"], input)?;
        let mut found = Vec::new();
        while let Some(line) = stream.until(b'\n')? {
            let text = String::from_utf8_lossy(&line);
            let (first, rest) = text.rsplit_once(' ').unwrap_or((&text, ""));
            found.push(match (rest, ObjectId::from_hex(first)) {
                ("commit", Some(id)) => Found::One(id),
                ("ambiguous", _) => Found::Ambiguous,
                _ => Found::Nothing,
            });
        }
        stream.finish()?;
        if found.len() != names.len() {
            let what = format!("{} answers to {} questions", found.len(), names.len());
            return Err(GitError::Output { command: "cat-file", what });
        }
        Ok(found)
    }

    /// The one commit that a name means.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn commit(&self, name: &str) -> Result<ObjectId> {
        let why = match self.resolve(&[name.to_owned()])?.first() {
            Some(Found::One(id)) => return Ok(*id),
            Some(Found::Ambiguous) => "ambiguous",
            Some(Found::Nothing) | None => "no commit",
        };
        Err(GitError::Revision { name: name.chars().take(100).collect(), why })
    }
}

/// The first lines of what git complained about.
fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(3).collect();
    if lines.is_empty() { "failed without a word".to_owned() } else { lines.join("; ") }
}

/// What a running git writes.
struct Stream {
    command: &'static str,
    child: Child,
    out: BufReader<ChildStdout>,
    writer: Option<std::thread::JoinHandle<()>>,
    errors: Option<std::thread::JoinHandle<Vec<u8>>>,
    done: bool,
}

impl Stream {
    /// The bytes up to the next `end`, without it; `None` at the end of all.
    fn until(&mut self, end: u8) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        self.read_until(end, &mut bytes).map(|more| more.then_some(bytes))
    }

    /// Exactly so many bytes.
    fn exactly(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let wanted = u64::try_from(count).unwrap_or(u64::MAX);
        let read = self.out.by_ref().take(wanted).read_to_end(&mut bytes);
        read.map_err(|source| GitError::Io { command: self.command, source })?;
        if bytes.len() != count {
            return Err(GitError::Output { command: self.command, what: "too little".to_owned() });
        }
        Ok(bytes)
    }

    /// Waits for the end, which must be a good one.
    fn finish(mut self) -> Result<()> {
        self.done = true;
        let status = self.child.wait();
        let status = status.map_err(|source| GitError::Io { command: self.command, source })?;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        let errors = self.errors.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        Err(GitError::Failed { command: self.command, message: complaint(&errors) })
    }
}

impl Source for Stream {
    fn read_until(&mut self, end: u8, into: &mut Vec<u8>) -> Result<bool> {
        into.clear();
        let read = self.out.read_until(end, into);
        let count = read.map_err(|source| GitError::Io { command: self.command, source })?;
        if into.last() == Some(&end) {
            into.pop();
        }
        Ok(count > 0)
    }
}

impl Drop for Stream {
    /// Whoever stops reading early does not leave git behind.
    fn drop(&mut self) {
        if !self.done {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
