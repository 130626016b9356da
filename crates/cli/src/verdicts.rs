// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Verdicts that took long to find, kept in the user's cache by content.
//!
//! ```text
//! verdicts/BUILD/KK/KEY      KEY: SHA-256 of request, kernel, machine and object; KK its first byte
//!   SHA-256 of the rest in hexadecimal digits, end of line, the row as JSON
//! ```
//!
//! A file is written under a temporary name and renamed, and its digest must fit, so that neither
//! two processes at once nor a crash can leave a wrong verdict. `BUILD` names the sources of this
//! program: no other build's verdicts are read.

use crate::rows::Asked;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use veristable_profiles::cache;
use veristable_program::LoadRequest;
use veristable_report::Row;

/// A verification that takes less is not worth a file.
const WORTH_KEEPING: Duration = Duration::from_millis(2);
/// Files in one of the 256 folders, at most; beyond, the older half goes.
const FOLDER_LIMIT: usize = 256;
/// Verdicts of other builds go when nothing was added for so long.
const FORGET_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

/// SHA-256.
pub(crate) type Digest = [u8; 32];

/// Names what a verdict depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key(Digest);

/// The store; without a folder it keeps nothing.
#[derive(Debug)]
pub(crate) struct Verdicts {
    folder: Option<PathBuf>,
}

impl Verdicts {
    /// Keeps nothing and finds nothing.
    pub(crate) const fn none() -> Self {
        Self { folder: None }
    }

    /// The store in the user's cache; keeps nothing if there is no cache.
    pub(crate) fn open() -> Self {
        let build = concat!(env!("CARGO_PKG_VERSION"), "-", env!("VERISTABLE_SOURCES"));
        cache::directory().map_or_else(Self::none, |cache| Self::at(&cache.join("verdicts"), build))
    }

    fn at(all: &Path, build: &str) -> Self {
        let folder = all.join(build);
        if !folder.is_dir() {
            forget_other_builds(all, build);
        }
        Self { folder: Some(folder) }
    }

    /// The key of a request, if verdicts are kept and the kernel is one whose facts have a digest.
    /// `object` is the digest of the object that the request comes from, which reasons are read from.
    pub(crate) fn key(
        &self,
        request: &LoadRequest,
        kernel: Option<&Digest>,
        asked: Asked,
        object: Option<&Digest>,
    ) -> Option<Key> {
        self.folder.as_ref()?;
        // A log may be as long as 16 MiB; whoever wants one waits for it.
        if asked.log_level != 0 {
            return None;
        }
        let mut hash = Sha256::new();
        hash.update(kernel?);
        hash.update(object.map_or([0; 32], |digest| *digest));
        hash.update(format!("{:?}", asked.machine));
        hash.update(request.to_bytes().ok()?);
        Some(Key(hash.finalize().into()))
    }

    /// What was found before. File, program and section are those of the row that is given.
    pub(crate) fn get(&self, key: Key, row: &Row) -> Option<Row> {
        let text = fs::read_to_string(self.path(key)?).ok()?;
        let (digest, json) = text.split_once('\n')?;
        if digest != hex(&Sha256::digest(json).into()) {
            return None;
        }
        let kept: Row = serde_json::from_str(json).ok()?;
        let Row { file, program, section, kernel, .. } = row.clone();
        Some(Row { file, program, section, kernel, ..kept })
    }

    /// Keeps what was found, if it took long. What cannot be written is found again the next time.
    pub(crate) fn put(&self, key: Key, row: &Row) {
        let took = row.time_us.map_or(Duration::ZERO, Duration::from_micros);
        let Some(path) = self.path(key).filter(|_| took >= WORTH_KEEPING) else { return };
        let kept = Row { file: String::new(), log: None, ..row.clone() };
        let Ok(json) = serde_json::to_string(&kept) else { return };
        let text = format!("{}\n{json}", hex(&Sha256::digest(&json).into()));
        path.parent().into_iter().for_each(make_room);
        let _ = cache::store(&path, |out| out.write_all(text.as_bytes()));
    }

    fn path(&self, key: Key) -> Option<PathBuf> {
        let name = hex(&key.0);
        Some(self.folder.as_ref()?.join(name.get(..2)?).join(name))
    }
}

/// SHA-256 of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// When a file or folder was last written.
fn written(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|m| m.modified()).ok()
}

/// The older half of a full folder goes. Others may do the same at once, so that nothing that is
/// already gone is an error.
fn make_room(folder: &Path) {
    let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter_map(|path| Some((written(&path)?, path)))
        .collect();
    if files.len() >= FOLDER_LIMIT {
        files.sort();
        for (_, path) in files.iter().take(FOLDER_LIMIT / 2) {
            let _ = fs::remove_file(path);
        }
    }
}

fn forget_other_builds(all: &Path, build: &str) {
    for path in fs::read_dir(all).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let age = written(&path).and_then(|at| at.elapsed().ok());
        if path.file_name().is_some_and(|name| name != build)
            && age.is_some_and(|age| age > FORGET_AFTER)
        {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use veristable_report::Verdict;
    use veristable_verifier::Machine;

    fn asked() -> Asked {
        Asked { log_level: 0, machine: Machine::default() }
    }

    fn row(program: &str, time_us: u64) -> Row {
        Row {
            file: "a.o".to_owned(),
            program: program.to_owned(),
            section: "xdp".to_owned(),
            prog_type: "xdp".to_owned(),
            attach_type: String::new(),
            kernel: "6.18.15".to_owned(),
            verdict: Verdict::Rejected,
            errno: Some(13),
            message: Some("R1 !read_ok".to_owned()),
            insn: None,
            missing: None,
            program_insns: 2,
            stats: None,
            time_us: Some(time_us),
            log: None,
        }
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("veristable-verdicts-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn key(store: &Verdicts, request: &LoadRequest) -> Key {
        store.key(request, Some(&[1; 32]), asked(), None).expect("a store has keys")
    }

    #[test]
    fn what_was_kept_is_found_under_another_file_name() {
        let folder = Folder::new("found");
        let store = Verdicts::at(&folder.0, "one");
        let key = key(&store, &LoadRequest::default());
        assert_eq!(store.get(key, &row("p", 0)), None);
        store.put(key, &row("p", 5000));
        let asked = Row { file: "b.o".to_owned(), ..row("p", 0) };
        assert_eq!(store.get(key, &asked), Some(Row { file: "b.o".to_owned(), ..row("p", 5000) }));
        let other = Verdicts::at(&folder.0, "two");
        assert_eq!(other.get(key, &asked), None, "another build's verdict");
        assert_eq!(Verdicts::none().get(key, &asked), None);
    }

    #[test]
    fn everything_a_verdict_depends_on_is_in_the_key() {
        let folder = Folder::new("keys");
        let store = Verdicts::at(&folder.0, "one");
        let request = LoadRequest::default();
        let licence = LoadRequest { license: "GPL".into(), ..request.clone() };
        let off =
            Asked { machine: Machine { mitigations_off: true, ..Machine::default() }, ..asked() };
        let (one, two) = ([1; 32], [2; 32]);
        let keys = [
            store.key(&request, Some(&one), asked(), None),
            store.key(&request, Some(&two), asked(), None),
            store.key(&request, Some(&one), asked(), Some(&one)),
            store.key(&request, Some(&one), off, None),
            store.key(&licence, Some(&one), asked(), None),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(key.is_some());
            assert!(!keys[..at].contains(key), "{at}");
        }
        assert_eq!(store.key(&request, None, asked(), None), None, "facts without a digest");
        let log = Asked { log_level: 1, ..asked() };
        assert_eq!(store.key(&request, Some(&one), log, None), None, "logs are not kept");
    }

    #[test]
    fn damage_and_short_verifications_leave_nothing() {
        let folder = Folder::new("damage");
        let store = Verdicts::at(&folder.0, "one");
        let key = key(&store, &LoadRequest::default());
        store.put(key, &row("p", 10));
        assert_eq!(store.get(key, &row("p", 0)), None);
        store.put(key, &row("p", 5000));
        let path = store.path(key).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for damaged in [&text[..text.len() - 3], &text.replace("rejected", "accepted"), "", "x\ny"]
        {
            fs::write(&path, damaged).unwrap();
            assert_eq!(store.get(key, &row("p", 0)), None);
        }
    }

    #[test]
    fn many_at_once_and_a_full_folder() {
        let folder = Folder::new("many");
        let store = Verdicts::at(&folder.0, "one");
        let keys: Vec<Key> = (0..600u32)
            .map(|n| {
                let mut digest = [7; 32];
                digest[1..5].copy_from_slice(&(n / 2).to_le_bytes());
                Key(digest)
            })
            .collect();
        std::thread::scope(|scope| {
            for half in keys.chunks(300) {
                let store = &store;
                scope.spawn(move || {
                    for key in half {
                        store.put(*key, &row("p", 5000));
                        if let Some(found) = store.get(*key, &row("p", 0)) {
                            assert_eq!(found.errno, Some(13));
                        }
                    }
                });
            }
        });
        let left = fs::read_dir(store.path(keys[0]).unwrap().parent().unwrap()).unwrap().count();
        assert!((1..=FOLDER_LIMIT + 1).contains(&left), "{left}");
        assert!(store.get(keys[599], &row("p", 0)).is_some());
    }
}
