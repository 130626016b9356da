// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Answers that were given before.
//!
//! A guest's kernel does not change, so the same load under the same options gets the same answer. A
//! [`Remembered`] oracle keeps answers in the cache directory, under `answers/`, one file each,
//! and starts the oracle behind it only for what it has not asked yet. Times are not kept, nor
//! what went wrong by chance: time-outs and crashes are asked again.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde::de::DeserializeOwned;
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
    /// The file that holds answers together, instead of one for each.
    group: Option<PathBuf>,
}

/// Names the question: a load under its options to a kernel.
type Fingerprint = [u8; 16];

/// What a file holds.
#[derive(Clone, Serialize, Deserialize)]
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
        let mut this = Self {
            name: name.to_owned(),
            kernel: String::new(),
            directory,
            inner: None,
            group: None,
        };
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

    /// Keeps the answers to the loads that follow together in one file of this name: for batches of
    /// a set of many thousand programs, of which nobody asks for a single one.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn group(&mut self, name: &str) -> Result<(), OracleError> {
        let directory = cache::directory(self.directory.join("groups"))?;
        self.group = Some(directory.join(name));
        Ok(())
    }

    /// The oracle behind it, started when it is needed first.
    fn ask(&mut self) -> Result<&mut Box<dyn Oracle>, OracleError> {
        if self.inner.is_none() {
            self.inner = Some(crate::open(&self.name)?);
        }
        self.inner.as_mut().ok_or_else(|| OracleError::BadSpec(self.name.clone()))
    }

    /// Nothing for what is not kept.
    fn fingerprint(&self, request: &LoadRequest, options: &LoadOptions) -> Option<Fingerprint> {
        if options.want_memory {
            return None;
        }
        let mut request = request.clone();
        // The options override it.
        request.log = LogRequest::default();
        let mut hash = Sha256::new();
        hash.update(request.to_bytes().ok()?);
        let LoadOptions { log_level, log_size, want_xlated, timeout: _, want_memory: _ } = *options;
        // Loaders of generation 1 shared maps of programs between loads, and created every map with
        // all capabilities.
        let owned = request.maps.iter().any(|map| map.spec.map_type.belongs_to_programs());
        let lowered =
            !request.maps.is_empty() && !request.capabilities.allows(Capabilities::PERFMON);
        let generation = GENERATION + u32::from(owned) + u32::from(lowered);
        let asked = format!("{generation} {} {log_level} {log_size} {want_xlated}", self.kernel);
        hash.update(asked);
        hash.finalize().first_chunk().copied()
    }

    /// Where the answer to a single load is kept.
    fn place(&self, request: &LoadRequest, options: &LoadOptions) -> Option<PathBuf> {
        let fingerprint = self.fingerprint(request, options)?;
        let name: String = fingerprint.iter().map(|b| format!("{b:02x}")).collect();
        Some(self.directory.join(name.get(..2)?).join(name))
    }

    /// As [`Oracle::load`], with the answers in one file.
    fn load_group(
        &mut self,
        file: &Path,
        batch: &[&LoadRequest],
        options: &LoadOptions,
        each: &mut dyn FnMut(usize, Answer),
    ) -> Result<(), OracleError> {
        let known: HashMap<Fingerprint, Record> = unpack(file).unwrap_or_default();
        let mut kept = HashMap::new();
        let mut unknown = Vec::new();
        for (index, request) in batch.iter().enumerate() {
            let fingerprint = self.fingerprint(request, options);
            match fingerprint.and_then(|fingerprint| known.get_key_value(&fingerprint)) {
                Some((fingerprint, record)) => {
                    kept.insert(*fingerprint, record.clone());
                    each(index, record.clone().into_answer());
                }
                None => unknown.push((index, *request, fingerprint)),
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let requests: Vec<_> = unknown.iter().map(|(_, request, _)| *request).collect();
        self.ask()?.load(&requests, options, &mut |asked, answer| {
            let Some((index, _, fingerprint)) = unknown.get(asked) else { return };
            if let (Some(fingerprint), Some(record)) = (fingerprint, Record::of(&answer)) {
                kept.insert(*fingerprint, record);
            }
            each(*index, answer);
        })?;
        pack(file, &kept)
    }
}

impl Record {
    /// What is kept of an answer; nothing of what went wrong by chance.
    fn of(answer: &Answer) -> Option<Self> {
        let lasting = matches!(
            answer.verdict,
            Verdict::Loaded | Verdict::Refused { .. } | Verdict::Environment { .. }
        );
        lasting.then(|| Self { answer: answer.clone(), log: answer.log.clone() })
    }

    fn into_answer(self) -> Answer {
        let mut answer = self.answer.with_log(self.log);
        answer.verification_us = None;
        answer
    }
}

fn unpack<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let packed = fs::read(path).ok()?;
    let mut bytes = Vec::new();
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed.as_slice()).ok()?;
    std::io::Read::read_to_end(&mut decoder, &mut bytes).ok()?;
    postcard::from_bytes(&bytes).ok()
}

fn pack<T: Serialize>(path: &Path, what: &T) -> Result<(), OracleError> {
    let Ok(bytes) = postcard::to_stdvec(what) else { return Ok(()) };
    if let Some(directory) = path.parent() {
        cache::directory(directory.to_owned())?;
    }
    cache::write_whole(path, &compress_to_vec(bytes.as_slice(), CompressionLevel::Fastest))
}

fn recall(path: &Path) -> Option<Answer> {
    unpack(path).map(Record::into_answer)
}

fn keep(path: &Path, answer: &Answer) -> Result<(), OracleError> {
    Record::of(answer).map_or(Ok(()), |record| pack(path, &record))
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
        if let Some(file) = self.group.clone() {
            return self.load_group(&file, batch, options, each);
        }
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::live::trivial;

    /// Answers by the program's name, and counts how often it is asked.
    struct Asked(Rc<RefCell<Vec<String>>>);

    impl Oracle for Asked {
        fn name(&self) -> &str {
            "asked"
        }

        fn kernel(&self) -> &str {
            "0"
        }

        fn load(
            &mut self,
            batch: &[&LoadRequest],
            _: &LoadOptions,
            each: &mut dyn FnMut(usize, Answer),
        ) -> Result<(), OracleError> {
            for (index, request) in batch.iter().enumerate() {
                self.0.borrow_mut().push(request.name.clone());
                let verdict = match request.name.as_str() {
                    "slow" => Verdict::TimedOut,
                    _ => Verdict::Refused { errno: request.name.len() as i32 },
                };
                let log = request.name.clone().into_bytes();
                each(index, Answer::bare(verdict).with_log(log));
            }
            Ok(())
        }

        fn read_file(&mut self, _: &str) -> Result<Vec<u8>, OracleError> {
            Ok(Vec::new())
        }
    }

    fn files_in(directory: &Path) -> usize {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { files_in(&path) } else { 1 }).sum()
    }

    fn answers(remembered: &mut Remembered, names: &[&str]) -> Vec<(Verdict, Vec<u8>)> {
        let requests: Vec<LoadRequest> =
            names.iter().map(|name| LoadRequest { name: (*name).into(), ..trivial() }).collect();
        let batch: Vec<_> = requests.iter().collect();
        let mut answers = vec![None; names.len()];
        remembered
            .load(&batch, &LoadOptions::default(), &mut |index, answer| {
                answers[index] = Some((answer.verdict, answer.log));
            })
            .unwrap();
        answers.into_iter().map(Option::unwrap).collect()
    }

    #[test]
    fn asks_only_for_what_is_new() {
        let check = |group: Option<&str>, files: usize| {
            let directory = std::env::temp_dir().join(format!(
                "veristable-remember-{}-{}",
                std::process::id(),
                group.is_some()
            ));
            let _ = fs::remove_dir_all(&directory);
            let mut remembered = Remembered {
                name: "asked".into(),
                kernel: "0".into(),
                directory: directory.clone(),
                inner: None,
                group: None,
            };
            if let Some(group) = group {
                remembered.group(group).unwrap();
            }
            let mut ask = |names: &[&str], new: &[&str]| {
                let asked = Rc::new(RefCell::new(Vec::new()));
                remembered.inner = Some(Box::new(Asked(asked.clone())));
                let answers = answers(&mut remembered, names);
                for (name, (verdict, log)) in names.iter().zip(answers) {
                    assert_eq!(log, name.as_bytes());
                    assert_eq!(verdict == Verdict::TimedOut, *name == "slow");
                }
                assert_eq!(*asked.borrow(), new);
            };
            ask(&["a", "bc"], &["a", "bc"]);
            ask(&["bc", "a"], &[]);
            ask(&["bc", "slow", "a", "def"], &["slow", "def"]);
            ask(&["bc", "slow", "a", "def"], &["slow"]);
            assert_eq!(files_in(&directory), files, "{group:?}");
            fs::remove_dir_all(&directory).unwrap();
        };
        check(None, 3);
        check(Some("one"), 1);
    }
}
