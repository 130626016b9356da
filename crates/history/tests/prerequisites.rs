// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What fixes need before: by blame and by trial, by text where git cannot tell, by series without a repository.

mod support;

use std::path::Path;
use support::{Builder, Mark, Repo, git, snapshot};
use veristable_history::analysis::{Input, analyse};
use veristable_history::audit::Status;
use veristable_history::boundary::{Boundary, Preset, VERIFIER};
use veristable_history::data;
use veristable_history::load;
use veristable_history::presence::Confidence;
use veristable_history::report::{Because, FixRow, Prerequisite, Report};
use veristable_history::trial::Applies;

/// Lines of a file: numbered ones, of which some are replaced by others.
fn lines(changed: &[(usize, &str)]) -> String {
    let line = |index: usize| match changed.iter().rfind(|(at, _)| *at == index) {
        Some((_, text)) => (*text).to_owned(),
        None => format!("\tcheck_number_{index}(env);\n"),
    };
    (0..60).map(line).collect()
}

const FEATURE: (usize, &str) = (20, "\tnew_feature_first(env);\n\tnew_feature_second(env);\n");
const GONE: (usize, &str) = (23, "");
const BACK: (usize, &str) = (23, "\tcheck_number_23(env);\n");
const LATER: (usize, &str) = (24, "\tchanged_by_a_carried_one(env);\n");
const FAR: (usize, &str) = (50, "\tfar_away_and_of_no_use(env);\n");
const FIX: (usize, &str) = (22, "\tcheck_number_22(env, true);\n");

struct World {
    repo: Repo,
    early: Mark,
    start: Mark,
    feature: Mark,
    back: Mark,
    fix: Mark,
}

/// A feature, a line that goes and comes again, a change that the stable tree has under another title, one far
/// away, and a fix of what was there before, in the middle of all that.
fn world(name: &str) -> World {
    let first = build(&format!("{name}-first"), &"0".repeat(40), &"0".repeat(40));
    let (bug, later) = (first.1[0], first.1[1]);
    build(name, first.0.repo.id(bug), first.0.repo.id(later)).0
}

fn build(name: &str, bug: &str, carried: &str) -> (World, [Mark; 2]) {
    let mut b = Builder::default();
    let mut state: Vec<(usize, &str)> = Vec::new();
    let root = b.commit("main", &[], "root", &[(VERIFIER, Some(&lines(&state)))]);
    let old = b.commit("main", &[root], "bpf: Old bug", &[("kernel/bpf/other.c", Some("x\n"))]);
    b.tag("v6.1", old);
    let mut step = |b: &mut Builder, parent, message: &str, change| {
        state.push(change);
        b.commit("main", &[parent], message, &[(VERIFIER, Some(&lines(&state)))])
    };
    let early = step(&mut b, old, "bpf: Early", (56, "\tearly_one(env);\n"));
    let start = step(&mut b, early, "bpf: Less early", (57, "\tless_early_one(env);\n"));
    let feature = step(&mut b, start, "bpf: A feature", FEATURE);
    let m = step(&mut b, feature, "bpf: Take a line away", GONE);
    let back = step(&mut b, m, "bpf: Bring it back", BACK);
    let later = step(&mut b, back, "bpf: One that is carried over", LATER);
    let m = step(&mut b, later, "bpf: Far away", FAR);
    let message = format!("bpf: Fix in the middle\n\nFixes: {}", &bug[..12]);
    let fix = step(&mut b, m, &message, FIX);
    let copy = format!("other title\n\ncommit {carried} upstream.");
    b.commit("linux-6.1.y", &[old], &copy, &[(VERIFIER, Some(&lines(&[LATER])))]);
    (World { repo: b.build(name), early, start, feature, back, fix }, [old, later])
}

fn report(path: &Path, tree: &str) -> Report {
    support::report(path, Preset::Xu, "v6.1..main", &[tree])
}

fn fix(report: &Report) -> &FixRow {
    let [row] = &report.trees[0].fixes[..] else { panic!("{:?}", report.trees[0].fixes) };
    assert_eq!(row.status, Status::Missing, "{row:?}");
    row
}

fn short(row: &Prerequisite) -> (&str, Because, Confidence, Option<usize>, Option<bool>) {
    (&row.subject, row.because, row.confidence, row.absent, row.needed)
}

const NEEDED: (&str, Because, Confidence, Option<usize>, Option<bool>) =
    ("bpf: A feature", Because::Blame, Confidence::High, Some(2), Some(true));
/// Its line is in the tree, and it does not apply there: nobody needs it.
const NEEDLESS: (&str, Because, Confidence, Option<usize>, Option<bool>) =
    ("bpf: Bring it back", Because::Blame, Confidence::Low, Some(0), Some(false));

#[test]
fn blame_and_trial() {
    let world = world("blame");
    let before = snapshot(&world.repo.path);
    let report = report(&world.repo.path, "linux-6.1.y");
    let row = fix(&report);
    assert_eq!(row.id.to_string(), world.repo.id(world.fix));
    assert_eq!(row.trial.as_ref().map(|trial| trial.applies), Some(Applies::No));
    let found: Vec<_> = row.prerequisites.iter().map(short).collect();
    assert_eq!(found, [NEEDED, NEEDLESS]);
    assert_eq!(row.prerequisites[0].id, world.repo.id(world.feature));
    assert_eq!(row.prerequisites[1].id, world.repo.id(world.back));
    assert!(matches!(row.with_prerequisites, Some(Applies::Exactly | Applies::WithOffset)));
    // The work is done on copies.
    assert_eq!(snapshot(&world.repo.path), before);
}

/// Paths of blame are relative to where git runs.
#[test]
fn from_within_a_work_tree() {
    let world = world("blame-within");
    let work = world.repo.path.with_extension("work");
    let _ = std::fs::remove_dir_all(&work);
    let (from, to) = (world.repo.path.to_str().unwrap(), work.to_str().unwrap());
    git(Path::new("."), &["clone", "--quiet", "--branch", "main", "--", from, to], b"");
    let report = report(&work.join("kernel/bpf"), "6.1=origin/linux-6.1.y");
    let found: Vec<_> = fix(&report).prerequisites.iter().map(short).collect();
    assert_eq!(found, [NEEDED, NEEDLESS]);
}

/// A changelog has no files: nothing can be tried, but who brought lines is known.
#[test]
fn blame_without_files() {
    let world = world("blame-changelog");
    let path = world.repo.path.with_extension("changelog");
    std::fs::write(&path, "linux (6.1.9-1) x; urgency=low\n\n  * bpf: Bring it back\n").unwrap();
    let report = report(&world.repo.path, path.to_str().unwrap());
    let row = fix(&report);
    assert_eq!((row.trial.as_ref(), row.with_prerequisites), (None, None));
    let found: Vec<_> = row.prerequisites.iter().map(short).collect();
    let (because, sure) = (Because::Blame, Confidence::Medium);
    let want = [
        ("bpf: A feature", because, sure, None, None),
        ("bpf: One that is carried over", because, sure, None, None),
    ];
    assert_eq!(found, want);
    assert_eq!(row.prerequisites[0].lines, Some(2));
}

/// Contents that only blame needs are missing: the text of lines tells what it can.
#[test]
fn by_text() {
    let world = world("blame-partial");
    let path = &world.repo.path;
    // As loose objects, of which one can go.
    let packs = path.join("objects/pack");
    for entry in std::fs::read_dir(&packs).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = std::fs::read(&entry).unwrap();
        std::fs::remove_file(&entry).unwrap();
        if entry.extension().is_some_and(|end| end == "pack") {
            git(path, &["unpack-objects", "-q"], &bytes);
        }
    }
    let name = format!("{}:{VERIFIER}", world.repo.id(world.early));
    let blob = git(path, &["rev-parse", &name], b"");
    let (directory, file) = blob.trim().split_at(2);
    std::fs::remove_file(path.join("objects").join(directory).join(file)).unwrap();
    let range = format!("{}..main", world.repo.id(world.start));
    let report = support::report(path, Preset::Xu, &range, &["linux-6.1.y"]);
    let row = fix(&report);
    let found: Vec<_> = row.prerequisites.iter().map(short).collect();
    assert_eq!(found, [("bpf: A feature", Because::Text, Confidence::Low, Some(2), None)]);
    let warnings = &report.trees[0].warnings;
    assert!(warnings.iter().any(|text| text.contains("git blame")), "{warnings:?}");
}

/// Without a repository: the commits before it in its series that change the same file.
#[test]
fn by_series() {
    let commit = |id: char, subject: &str, more: &str| {
        let hash = id.to_string().repeat(40);
        format!(
            "{{\"hash\":\"{hash}\",\"author\":\"A <a@b>\",\"date\":\"2024-01-01 00:00:00 +0000\",\
             \"subject\":\"{subject}\",\"message\":\"{more}\",\"modified_files\":[\"{VERIFIER}\"]}}"
        )
    };
    let all = [
        commit('c', "bpf: Fix", "Fixes: ddddddddd"),
        commit('b', "bpf: There", ""),
        commit('a', "bpf: Not there", ""),
    ];
    let metadata = format!(
        "\"metadata\":{{\"target_file\":\"{VERIFIER}\",\"start_ref\":\"v6.6\",\"end_ref\":\"v6.9\"}}"
    );
    let commits = format!("{{{metadata},\"commits\":[{}]}}", all.join(","));
    let [c, b, a] = all;
    let sets = format!(
        "{{{metadata},\"patchsets\":[{{\"merge_hash\":\"{}\",\"merge_subject\":\"m\",\"merge_body\":\"\",\
         \"merge_author\":\"\",\"merge_date\":\"2024-01-01 00:00:00 +0000\",\"commits\":[{a},{b},{c}]}}]}}",
        "e".repeat(40)
    );
    let history = data::read(commits.as_bytes(), Some(sets.as_bytes())).unwrap();
    let boundary = Boundary::preset(Preset::Xu).unwrap();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("series.changelog");
    std::fs::write(&path, "linux (6.1.9-1) x; urgency=low\n\n  * bpf: There\n").unwrap();
    let tree = load::tree(path.to_str().unwrap(), &boundary, None, "", &mut |_, _| {}).unwrap();
    let input = Input {
        history: &history,
        boundary: &boundary,
        repository: None,
        trees: vec![tree],
        cves: Vec::new(),
        with_patches: true,
    };
    let report = analyse(input, &mut |_, _| {}).unwrap();
    let found: Vec<_> = fix(&report).prerequisites.iter().map(short).collect();
    assert_eq!(found, [("bpf: Not there", Because::Series, Confidence::Low, None, None)]);
}
