// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The figures of github.com/danobi/verifier-analysis, where its data are at hand:
//! `VERISTABLE_HISTORY_DATA` names a directory with `commits.json` and `patchsets.json`.

use std::collections::HashMap;
use std::path::PathBuf;
use veristable_history::audit::{Audit, Status, TestStatus};
use veristable_history::boundary::{self, Boundary, Preset, VERIFIER, VERIFIER_HEADER};
use veristable_history::fixes::{FixGraph, Target};
use veristable_history::model::{CommitIndex, History};
use veristable_history::presence::Lookup;
use veristable_history::series::{self, LinkFigures, SeriesMap};
use veristable_history::tree::Tree;
use veristable_history::verdict::{Patches, Verdict, series_figures};
use veristable_history::version::{Branch, LONG_TERM};
use veristable_history::{cve, data, figures};

/// The data's directory, or a printed reason.
fn directory() -> Option<PathBuf> {
    let found = std::env::var_os("VERISTABLE_HISTORY_DATA").map(PathBuf::from);
    if found.is_none() {
        eprintln!("skipped: VERISTABLE_HISTORY_DATA does not name the data's directory");
    }
    found
}

fn history() -> Option<History> {
    let directory = directory()?;
    let commits = std::fs::read(directory.join("commits.json")).unwrap();
    let sets = std::fs::read(directory.join("patchsets.json")).unwrap();
    Some(data::read(&commits, Some(&sets)).unwrap())
}

fn xu() -> Boundary {
    Boundary::preset(Preset::Xu).unwrap()
}

#[test]
fn figures_of_2025_and_corrected_ones() {
    let Some(history) = history() else { return };
    let f = figures::figures(&history, &xu());
    assert_eq!((f.commits, f.inside, f.inside_fixes, f.with_header), (390, 231, 73, 24));
    assert_eq!((f.multi_file_fixes, f.multi_file_fixes_corrected, f.fixes), (28, 20, 93));
    assert_eq!((f.sets, f.set_commits, f.set_commits_touching), (119, 714, 259));
    assert_eq!((f.inside_in_sets, f.mixed_sets), (132, 76));
    assert_eq!((f.sets_with_inside, f.pure_sets), (77, 1));
}

#[test]
fn growth_of_the_boundary() {
    let Some(history) = history() else { return };
    let steps = boundary::growth(&history, &xu(), 6);
    let got: Vec<(String, usize, usize)> = steps
        .iter()
        .map(|s| {
            let added = s.added.as_ref().map_or(String::new(), ToString::to_string);
            (added, s.inside.commits, s.inside.fixes)
        })
        .collect();
    let want = [
        ("", 234, 73),
        (VERIFIER_HEADER, 258, 76),
        ("kernel/bpf/helpers.c", 269, 77),
        ("kernel/bpf/btf.c", 278, 78),
        ("include/linux/bpf.h", 295, 81),
        ("include/linux/btf.h", 302, 81),
        ("kernel/bpf/log.c", 308, 81),
    ];
    assert_eq!(got, want.map(|(a, b, c)| (a.to_owned(), b, c)));
    let check = |patterns: &[&str], want: (usize, usize)| {
        let boundary = Boundary::new(patterns.iter().copied()).unwrap();
        let count = boundary::inside(&history, &boundary);
        assert_eq!((count.commits, count.fixes), want, "{patterns:?}");
    };
    check(&["kernel/bpf/**"], (256, 77));
    check(&["kernel/bpf/**", VERIFIER_HEADER], (291, 80));
    let headers = ["include/linux/bpf.h", "include/linux/btf.h", "include/linux/filter.h"];
    check(&[&["kernel/bpf/**", VERIFIER_HEADER][..], &headers].concat(), (329, 84));
    let together = boundary::co_occurrence(&history, &xu());
    let counts: Vec<usize> = together.iter().take(8).map(|file| file.changed.commits).collect();
    assert_eq!(counts, [390, 53, 52, 33, 32, 26, 20, 18]);
}

#[test]
fn sets_that_could_be_shipped() {
    let Some(history) = history() else { return };
    let merges = SeriesMap::by_merges(&history);
    let xu = xu();
    let f = series_figures(&history, &xu, &merges, |commit| figures::is_inside(&xu, commit));
    assert_eq!((f.series, f.whole), (119, 27));
    let got = |verdict| f.verdicts.get(&verdict).map_or((0, 0), |c| (c.commits, c.fixes));
    assert_eq!(got(Verdict::Standalone), (99, 40));
    assert_eq!(got(Verdict::WholeSet), (52, 19));
    assert_eq!(got(Verdict::OrderSafe), (19, 2));
    assert_eq!(got(Verdict::NeedsAnalysis), (61, 12));
    let wider = Boundary::new([VERIFIER, VERIFIER_HEADER]).unwrap();
    assert_eq!(series_figures(&history, &wider, &merges, |_| true).whole, 38);
    let (_, links) = series::by_links(&history);
    let want = LinkFigures {
        commits_with_link: 384,
        groups: 237,
        larger: 58,
        agree: 49,
        not_merged: 9,
        conflict: 0,
    };
    assert_eq!(links, want);
}

/// What was read is written as it was.
#[test]
fn the_form_of_the_data_is_kept() {
    let Some(history) = history() else { return };
    let (mut commits, mut sets) = (Vec::new(), Vec::new());
    data::write_commits(&history, &mut commits).unwrap();
    data::write_patchsets(&history, &mut sets).unwrap();
    assert_eq!(data::read(&commits, Some(&sets)).unwrap(), history);
    let original = std::fs::read(directory().unwrap().join("commits.json")).unwrap();
    let value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    assert_eq!(value(&commits)["metadata"], value(&original)["metadata"]);
    assert_eq!(value(&commits)["commits"][7], value(&original)["commits"][7]);
}

/// Figures over Debian's 6.1 kernels: `VERISTABLE_HISTORY_CHANGELOG` names the changelog of 6.1.192-2.
#[test]
fn fixes_in_a_debian_kernel() {
    let Some(history) = history() else { return };
    let Some(path) = std::env::var_os("VERISTABLE_HISTORY_CHANGELOG") else {
        eprintln!("skipped: VERISTABLE_HISTORY_CHANGELOG does not name a Debian changelog");
        return;
    };
    let tree = Tree::of_changelog(None, std::path::Path::new(&path)).unwrap();
    assert_eq!(tree.branch.unwrap().to_string(), "6.1");
    let xu = xu();
    let lookup = Lookup::new(&tree, &history, None);
    let graph = FixGraph::new(&history, &HashMap::new());
    let figures = graph.figures(&history);
    assert_eq!((figures.fixes, figures.inside_range, figures.elsewhere), (97, 47, 50));
    // 34 and 1 by commits that change the verifier; two more by others of the merged sets.
    assert_eq!((figures.depth[&1], figures.depth[&2]), (34 + 2, 1));
    let merges = SeriesMap::by_merges(&history);
    let audit = Audit {
        history: &history,
        boundary: &xu,
        series: &merges,
        fixes: &graph,
        patches: &Patches::new(),
        lookup: &lookup,
        branch: tree.branch,
        missing_elsewhere: None,
        tests: None,
    };
    let states: Vec<_> = history
        .touching()
        .filter(|(_, commit)| boundary::is_fix(commit))
        .map(|(index, commit)| (commit, audit.fix(index)))
        .collect();
    let count = |status| states.iter().filter(|(_, state)| state.status == status).count();
    assert_eq!(states.len(), 93);
    assert_eq!(count(Status::Present), 29);
    // 44 mend commits that change the verifier, 3 others of the merged sets.
    assert_eq!(count(Status::NotApplicable), 44 + 3);
    let touching = |index: CommitIndex| {
        graph
            .of(index)
            .all(|edge| matches!(edge.target, Target::Known(t) if t.get() < history.inside))
    };
    let narrow =
        states.iter().filter(|(_, s)| s.status == Status::NotApplicable && touching(s.commit));
    assert_eq!(narrow.count(), 44);
    assert_eq!(count(Status::Missing), 17);
    let present = states.iter().filter(|(_, state)| state.status == Status::Present);
    assert_eq!(present.clone().filter(|(c, _)| figures::is_inside(&xu, c)).count(), 26);
    let tests: Vec<Vec<TestStatus>> = present
        .map(|(_, state)| {
            audit
                .companions(state.commit)
                .into_iter()
                .map(|test| audit.test(state.commit, test, &[]).status)
                .collect::<Vec<_>>()
        })
        .filter(|tests| !tests.is_empty())
        .collect();
    assert_eq!(tests.len(), 13);
    assert!(tests.iter().flatten().all(|status| *status == TestStatus::Missing));
    let of_backports: Vec<String> =
        states.iter().filter(|(_, s)| s.fix_of_backport).map(|(c, _)| c.id.short()).collect();
    assert_eq!(of_backports, ["b0e66977dc07"]);
}

#[test]
fn vulnerabilities_by_tree() {
    let Some(directory) = directory() else { return };
    let bytes = std::fs::read(directory.join("verifier_cves.json")).unwrap();
    let cves: Vec<cve::Cve> = cve::read_json(&bytes).unwrap();
    let xu = xu();
    let touching: Vec<&cve::Cve> =
        cves.iter().filter(|cve| cve.files.iter().any(|path| xu.contains(path))).collect();
    let only = |cve: &cve::Cve| cve.files.iter().all(|path| xu.is_test(path) || xu.contains(path));
    assert_eq!(touching.len(), 73);
    assert_eq!(touching.iter().filter(|cve| only(cve)).count(), 58);
    let open = |branch: &Branch| -> (usize, usize) {
        let open = touching.iter().filter(|cve| cve.status(*branch) == cve::CveStatus::Open);
        (open.clone().count(), open.filter(|cve| only(cve)).count())
    };
    let got: Vec<(usize, usize)> = LONG_TERM.iter().map(open).collect();
    assert_eq!(got, [(13, 6), (11, 5), (9, 4), (10, 4), (4, 4), (2, 2)]);
}
