// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Repositories made up for tests, by `git fast-import`: the same bytes each time.

#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use veristable_history::analysis::{Input, analyse};
use veristable_history::boundary::{Boundary, Preset};
use veristable_history::git::{ReadOptions, Repository};
use veristable_history::load;
use veristable_history::model::History;
use veristable_history::report::Report;

/// A commit by its mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark(pub usize);

/// A stream for `git fast-import`.
#[derive(Default)]
pub struct Builder {
    stream: Vec<u8>,
    marks: usize,
    seconds: u64,
    branches: Vec<String>,
}

impl Builder {
    /// A commit on a branch: parents are given, not taken from the branch. `None` deletes a file.
    pub fn commit(
        &mut self,
        branch: &str,
        parents: &[Mark],
        message: &str,
        files: &[(&str, Option<&str>)],
    ) -> Mark {
        self.by("A Developer <dev@example.org>", branch, parents, message, files)
    }

    /// The same by somebody.
    pub fn by(
        &mut self,
        author: &str,
        branch: &str,
        parents: &[Mark],
        message: &str,
        files: &[(&str, Option<&str>)],
    ) -> Mark {
        self.marks += 1;
        self.seconds += 3600;
        let when = 1_700_000_000 + self.seconds;
        let out = &mut self.stream;
        writeln!(out, "commit refs/heads/{branch}\nmark :{}", self.marks).unwrap();
        writeln!(out, "author {author} {when} +0100").unwrap();
        writeln!(out, "committer A Maintainer <mail@example.org> {when} +0100").unwrap();
        writeln!(out, "data {}\n{message}", message.len()).unwrap();
        for (index, parent) in parents.iter().enumerate() {
            let word = if index == 0 { "from" } else { "merge" };
            writeln!(out, "{word} :{}", parent.0).unwrap();
        }
        for (path, content) in files {
            let path = path.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            match content {
                Some(text) => {
                    writeln!(out, "M 100644 inline \"{path}\"\ndata {}\n{text}", text.len())
                        .unwrap();
                }
                None => writeln!(out, "D \"{path}\"").unwrap(),
            }
        }
        if !self.branches.iter().any(|known| known == branch) {
            self.branches.push(branch.to_owned());
        }
        Mark(self.marks)
    }

    /// Names a commit.
    pub fn tag(&mut self, name: &str, mark: Mark) {
        writeln!(self.stream, "reset refs/tags/{name}\nfrom :{}\n", mark.0).unwrap();
    }

    /// Makes a bare repository in an empty directory.
    pub fn build(self, name: &str) -> Repo {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.git"));
        let _ = std::fs::remove_dir_all(&path);
        let text = path.to_str().unwrap();
        git(
            Path::new("."),
            &["init", "--quiet", "--bare", "--initial-branch=main", "--", text],
            b"",
        );
        let arguments = ["fast-import", "--quiet", "--force", "--export-marks=marks"];
        git(&path, &arguments, &self.stream);
        let mut ids = BTreeMap::new();
        for line in std::fs::read_to_string(path.join("marks")).unwrap().lines() {
            let (mark, id) = line.split_once(' ').unwrap();
            ids.insert(mark.trim_start_matches(':').parse().unwrap(), id.to_owned());
        }
        Repo { path, ids }
    }
}

/// A repository, and the ids of its commits.
pub struct Repo {
    pub path: PathBuf,
    ids: BTreeMap<usize, String>,
}

impl Repo {
    /// The id of a commit.
    pub fn id(&self, mark: Mark) -> &str {
        &self.ids[&mark.0]
    }
}

/// Reads what changes something inside of a preset.
pub fn read(path: &Path, preset: Preset, range: &str) -> (Repository, Boundary, History) {
    let repository = Repository::open(path).unwrap();
    let boundary = Boundary::preset(preset).unwrap();
    let options = ReadOptions { range: range.to_owned() };
    let history = repository.history(&options, &boundary, &mut |_, _| {}).unwrap();
    (repository, boundary, history)
}

/// What is asked of that, without trees.
pub fn input<'a>(
    (repository, boundary, history): &'a (Repository, Boundary, History),
    with_patches: bool,
) -> Input<'a> {
    Input {
        history,
        boundary,
        repository: Some(repository),
        trees: Vec::new(),
        cves: Vec::new(),
        with_patches,
    }
}

/// A report on that, with trees by their descriptions.
pub fn report(path: &Path, preset: Preset, range: &str, trees: &[&str]) -> Report {
    let what = read(path, preset, range);
    let (repository, boundary, _) = &what;
    let tree = |text: &&str| load::tree(text, boundary, Some(repository), "main", &mut |_, _| {});
    let trees = trees.iter().map(|text| tree(text).unwrap()).collect();
    analyse(Input { trees, ..input(&what, true) }, &mut |_, _| {}).unwrap()
}

/// Runs git with nobody's configuration.
pub fn git(directory: &Path, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new("git")
        .current_dir(directory)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("GIT_DIR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git is there");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All files of a directory with their contents, to see that nothing was written.
pub fn snapshot(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.insert(path.clone(), Vec::new());
                open.push(path);
            } else {
                found.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Lines of a file of C: `count` functions, of which some have another number in them.
pub fn source(count: usize, changed: &[(usize, &str)]) -> String {
    let mut text = String::from("// SPDX-License-Identifier: GPL-2.0\n#include \"own.h\"\n\n");
    for index in 0..count {
        let body = changed.iter().find(|(which, _)| *which == index).map_or("", |c| c.1);
        writeln!(
            text,
            "static int check_{index}(struct env *env)\n{{\n\tint err = first_{index}(env);\n{body}\n\
             \treturn err + last_{index}(env);\n}}\n"
        )
        .unwrap();
    }
    text
}
