// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The figures of github.com/danobi/verifier-analysis, where its data are at hand:
//! `VERISTABLE_HISTORY_DATA` names a directory with `commits.json` and `patchsets.json`.

use std::path::PathBuf;
use veristable_history::boundary::{self, Boundary, Preset, VERIFIER, VERIFIER_HEADER};
use veristable_history::model::History;
use veristable_history::series::{self, LinkFigures, SeriesMap};
use veristable_history::verdict::{Verdict, series_figures};
use veristable_history::{data, figures};

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
