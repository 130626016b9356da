// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Reading repositories.

mod support;

use std::path::Path;
use support::{Builder, Mark, Repo, git, snapshot, source};
use veristable_history::boundary::{Boundary, Preset, VERIFIER};
use veristable_history::git::{ReadOptions, Repository};
use veristable_history::ids::{Found, ObjectId};
use veristable_history::model::History;

fn read(repo: &Path, range: &str) -> History {
    support::read(repo, Preset::Xu, range).2
}

fn subjects(history: &History) -> Vec<&str> {
    history.commits.iter().map(|commit| commit.subject()).collect()
}

/// A main line, one merged set, one set merged with a merge inside, a tag that is merged.
fn small(name: &str) -> (Repo, Vec<Mark>) {
    let mut b = Builder::default();
    let v = |which: &[usize]| {
        let changed: Vec<(usize, &str)> = which.iter().map(|n| (*n, "\tmore();")).collect();
        source(8, &changed)
    };
    let root = b.commit("main", &[], "root", &[(VERIFIER, Some(&source(8, &[])))]);
    let one = b.commit("main", &[root], "bpf: one\n\nbody", &[(VERIFIER, Some(&v(&[0])))]);
    let s1 = b.commit("s", &[one], "bpf: s1", &[("kernel/bpf/btf.c", Some("int a;\n"))]);
    let s2 = b.commit("s", &[s1], "bpf: s2", &[(VERIFIER, Some(&v(&[0, 1])))]);
    let s3 = b.commit("s", &[s2], "bpf: s3", &[("tools/testing/selftests/bpf/t.c", Some("t\n"))]);
    let other = b.commit("main", &[one], "net: other", &[("net/a\"b\nc.c", Some("x\n"))]);
    let m = b.commit(
        "main",
        &[other, s3],
        "Merge branch 'set'\n\nX says:\n\nletter",
        &[(VERIFIER, Some(&v(&[0, 1])))],
    );
    let t1 = b.commit("t", &[one], "bpf: t1", &[("kernel/bpf/log.c", Some("l\n"))]);
    let t2 = b.commit("t", &[t1, s1], "Merge branch 'inner'", &[]);
    let t3 = b.commit("t", &[t2], "bpf: t3", &[(VERIFIER, Some(&v(&[0, 2])))]);
    let n = b.commit(
        "main",
        &[m, t3],
        "Merge branch 'with a merge'",
        &[(VERIFIER, Some(&v(&[0, 1, 2])))],
    );
    let u1 = b.commit("u", &[n], "bpf: u1", &[(VERIFIER, Some(&v(&[0, 1, 2, 3])))]);
    let o =
        b.commit("main", &[n, u1], "Merge tag 'for-linus'", &[(VERIFIER, Some(&v(&[0, 1, 2, 3])))]);
    let p = b.commit(
        "main",
        &[o],
        "bpf: last\n\n\u{1b}[31m<script>alert(1)</script>",
        &[(VERIFIER, None)],
    );
    b.tag("v1", root);
    (b.build(name), vec![root, one, s1, s2, s3, m, p])
}

#[test]
fn commits_and_merged_sets() {
    let (repo, marks) = small("commits");
    let before = snapshot(&repo.path);
    let history = read(&repo.path, "v1..main");
    let inside: Vec<&str> = history.touching().map(|(_, commit)| commit.subject()).collect();
    assert_eq!(inside, ["bpf: last", "bpf: u1", "bpf: t3", "bpf: s2", "bpf: one"]);
    assert_eq!(history.sets.len(), 1, "{:?}", history.sets);
    let set = &history.sets[0];
    assert_eq!(
        (set.subject.as_str(), set.body.as_str()),
        ("Merge branch 'set'", "X says:\n\nletter")
    );
    assert_eq!(set.merge.to_string(), repo.id(marks[5]));
    let members: Vec<&str> = history.commits_of(set).map(|(_, c)| c.subject()).collect();
    assert_eq!(members, ["bpf: s1", "bpf: s2", "bpf: s3"]);
    let files = &history.commits_of(set).next().unwrap().1.files;
    assert_eq!(files[0].as_str(), "kernel/bpf/btf.c");
    assert_eq!(history.commits[0].date.to_string().len(), 25);
    assert_eq!(snapshot(&repo.path), before, "nothing is written");
    assert_eq!(subjects(&read(&repo.path, "")).len(), 8);
}

#[test]
fn names_are_resolved() {
    let (repo, marks) = small("names");
    let repository = Repository::open(&repo.path).unwrap();
    let names = ["main", "v1", "no-such", "", "-x", "a\nb", &repo.id(marks[0])[..12]];
    let found = repository.resolve(&names.map(str::to_owned)).unwrap();
    assert!(matches!(found[0], Found::One(_)) && found[1] == found[6]);
    assert!(found[2..6].iter().all(|found| *found == Found::Nothing));
    for range in ["no-such", "v1...main", "v1..--output=x", "--output=x", "a\nb..main"] {
        let options = ReadOptions { range: range.to_owned() };
        let boundary = Boundary::preset(Preset::Xu).unwrap();
        assert!(repository.history(&options, &boundary, &mut |_, _| {}).is_err(), "{range}");
    }
    assert!(Repository::open(Path::new("/")).is_err());
    assert!(Repository::open(Path::new("/no/such/directory")).is_err());
}

#[test]
fn patches_and_files() {
    let (repo, marks) = small("patches");
    let repository = Repository::open(&repo.path).unwrap();
    let ids: Vec<ObjectId> =
        marks.iter().filter_map(|mark| ObjectId::from_hex(repo.id(*mark))).collect();
    let mut seen = Vec::new();
    repository
        .patches(ids.clone(), &[], &mut |_, _| {}, |id, files| seen.push((id, files)))
        .unwrap();
    let one = &seen.iter().find(|(id, _)| *id == ids[1]).unwrap().1;
    assert_eq!(one[0].hunks.len(), 1);
    assert_eq!(one[0].new.as_ref().unwrap().as_str(), VERIFIER);
    let contents = repository
        .files(ids[3], &[VERIFIER.to_owned(), "no such".to_owned(), "kernel/bpf/btf.c".to_owned()])
        .unwrap();
    assert_eq!(contents.len(), 2);
    assert_eq!(contents["kernel/bpf/btf.c"], b"int a;\n");
    assert!(
        repository.paths(ids[4], "tools/").unwrap().contains("tools/testing/selftests/bpf/t.c")
    );
    let missing = repository.not_reached(ids[1], &ids).unwrap();
    assert_eq!(missing.len(), 5);
}

#[test]
fn a_shallow_clone_is_recognised() {
    let (repo, _) = small("shallow");
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shallow");
    let _ = std::fs::remove_dir_all(&to);
    let from = format!("file://{}", repo.path.display());
    git(Path::new("."), &["clone", "--quiet", "--depth=1", &from, to.to_str().unwrap()], b"");
    let repository = Repository::open(&to).unwrap();
    assert!(repository.warnings.iter().any(|text| text.contains("shallow")));
    assert!(Repository::open(&repo.path).unwrap().warnings.is_empty());
}

/// Configuration of a hostile repository does not run anything.
#[test]
fn configuration_is_not_trusted() {
    let (repo, _) = small("hostile");
    let flag = Path::new(env!("CARGO_TARGET_TMPDIR")).join("was-run");
    let _ = std::fs::remove_file(&flag);
    let command = format!("touch {}; cat", flag.display());
    for key in [
        "diff.external",
        "core.fsmonitor",
        "core.pager",
        "diff.x.textconv",
        "diff.x.command",
        "gpg.program",
        "log.showSignature",
    ] {
        let value = if key.starts_with("log.") { "true" } else { &command };
        git(&repo.path, &["config", key, value], b"");
    }
    std::fs::create_dir_all(repo.path.join("info")).unwrap();
    std::fs::write(repo.path.join("info/attributes"), "* diff=x\n").unwrap();
    let history = read(&repo.path, "v1..main");
    let repository = Repository::open(&repo.path).unwrap();
    let ids = history.commits.iter().map(|commit| commit.id).collect();
    let mut count = 0;
    repository.patches(ids, &[], &mut |_, _| {}, |_, _| count += 1).unwrap();
    assert!(count > 4);
    assert!(!flag.exists(), "a program of the repository's configuration was run");
}
