// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Answers that were given before.
//!
//! A guest's kernel does not change, so the same load under the same options gets the same answer. A
//! [`Remembered`] oracle keeps answers in the cache directory, under `answers/`, one file each,
//! and starts the oracle behind it only for what it has not asked yet. Times are not kept, nor
//! what went wrong by chance: time-outs and crashes are asked again.

use std::fs;
use std::path::{Path, PathBuf};

use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use veristable_program::{Capabilities, LoadRequest, LogRequest};

use crate::answer::{Answer, LoadOptions, Oracle, Verdict};
use crate::cache;
use crate::error::OracleError;

/// Changes when loaders or guests change what a kernel is asked; older files are then not found.
const GENERATION: u32 = 1;

/// An oracle that asks another one only for what it does not know.
pub struct Remembered {
    name: String,
    kernel: String,
    directory: PathBuf,
    inner: Option<Box<dyn Oracle>>,
}

/// What a file holds.
#[derive(Serialize, Deserialize)]
struct Record {
    answer: Answer,
    log: Vec<u8>,
}

impl Remembered {
    /// An oracle by the name that [`crate::open`] takes.
    ///
    /// # Errors
    /// The oracle was never asked and cannot be started.
    pub fn open(name: &str) -> Result<Self, OracleError> {
        // The number of guests that share the work does not matter.
        let base = name.split('*').next().unwrap_or(name);
        let directory = base.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
        let directory = cache::directory(cache::root()?.join("answers").join(directory))?;
        let mut this =
            Self { name: name.to_owned(), kernel: String::new(), directory, inner: None };
        this.kernel = match fs::read_to_string(this.directory.join("kernel")) {
            Ok(kernel) => kernel,
            Err(_) => {
                let kernel = this.ask()?.kernel().to_owned();
                cache::write_whole(&this.directory.join("kernel"), kernel.as_bytes())?;
                kernel
            }
        };
        Ok(this)
    }

    /// The oracle behind it, started when it is needed first.
    fn ask(&mut self) -> Result<&mut Box<dyn Oracle>, OracleError> {
        if self.inner.is_none() {
            self.inner = Some(crate::open(&self.name)?);
        }
        self.inner.as_mut().ok_or_else(|| OracleError::BadSpec(self.name.clone()))
    }

    /// Where the answer to a load is kept.
    fn place(&self, request: &LoadRequest, options: &LoadOptions) -> Option<PathBuf> {
        let mut request = request.clone();
        // The options override it.
        request.log = LogRequest::default();
        let mut hash = Sha256::new();
        hash.update(request.to_bytes().ok()?);
        let LoadOptions { log_level, log_size, want_xlated, timeout: _ } = *options;
        // Loaders of generation 1 shared maps of programs between loads, and created every map with
        // all capabilities.
        let owned = request.maps.iter().any(|map| map.spec.map_type.belongs_to_programs());
        let lowered =
            !request.maps.is_empty() && !request.capabilities.allows(Capabilities::PERFMON);
        let generation = GENERATION + u32::from(owned) + u32::from(lowered);
        let asked = format!("{generation} {} {log_level} {log_size} {want_xlated}", self.kernel);
        hash.update(asked);
        let name: String = hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect();
        Some(self.directory.join(name.get(..2)?).join(name))
    }
}

fn recall(path: &Path) -> Option<Answer> {
    let packed = fs::read(path).ok()?;
    let mut bytes = Vec::new();
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed.as_slice()).ok()?;
    std::io::Read::read_to_end(&mut decoder, &mut bytes).ok()?;
    let Record { answer, log } = postcard::from_bytes(&bytes).ok()?;
    let mut answer = answer.with_log(log);
    answer.verification_us = None;
    Some(answer)
}

fn keep(path: &Path, answer: &Answer) -> Result<(), OracleError> {
    if !matches!(
        answer.verdict,
        Verdict::Loaded | Verdict::Refused { .. } | Verdict::Environment { .. }
    ) {
        return Ok(());
    }
    let record = Record { answer: answer.clone(), log: answer.log.clone() };
    let Ok(bytes) = postcard::to_stdvec(&record) else { return Ok(()) };
    if let Some(directory) = path.parent() {
        cache::directory(directory.to_owned())?;
    }
    cache::write_whole(path, &compress_to_vec(bytes.as_slice(), CompressionLevel::Fastest))
}

impl Oracle for Remembered {
    fn name(&self) -> &str {
        &self.name
    }

    fn kernel(&self) -> &str {
        &self.kernel
    }

    fn load(
        &mut self,
        batch: &[&LoadRequest],
        options: &LoadOptions,
        each: &mut dyn FnMut(usize, Answer),
    ) -> Result<(), OracleError> {
        let mut unknown = Vec::new();
        for (index, request) in batch.iter().enumerate() {
            let place = self.place(request, options);
            match place.as_deref().and_then(recall) {
                Some(answer) => each(index, answer),
                None => unknown.push((index, *request, place)),
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let requests: Vec<_> = unknown.iter().map(|(_, request, _)| *request).collect();
        let mut failure = None;
        self.ask()?.load(&requests, options, &mut |asked, answer| {
            let Some((index, _, place)) = unknown.get(asked) else { return };
            if let Some(place) = place
                && let Err(error) = keep(place, &answer)
            {
                failure = Some(error);
            }
            each(*index, answer);
        })?;
        failure.map_or(Ok(()), Err)
    }

    fn read_file(&mut self, path: &str) -> Result<Vec<u8>, OracleError> {
        let place = self.directory.join(path.replace('/', "_"));
        if let Ok(bytes) = fs::read(&place) {
            return Ok(bytes);
        }
        let bytes = self.ask()?.read_file(path)?;
        cache::write_whole(&place, &bytes)?;
        Ok(bytes)
    }
}
