// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The target for what `veristable history` reads: text of strangers, in every form that it knows.

use std::collections::BTreeMap;
use veristable_history::analysis::{Input, analyse};
use veristable_history::boundary::{Boundary, Preset, VERIFIER};
use veristable_history::git::{BlameReader, commits_of_log, patches_of_diff};
use veristable_history::glob::Glob;
use veristable_history::ids::{IdPrefix, MessageId};
use veristable_history::message::{Message, normal_title, reverted_title};
use veristable_history::model::{Commit, Date, History};
use veristable_history::patch::{self, FilePatch};
use veristable_history::tree::{self, Entry, Tree, TreeKind};
use veristable_history::trial::{self, Applies, Files};
use veristable_history::verdict::{Names, PatchFacts};
use veristable_history::version::{Branch, Release};
use veristable_history::{cve, data, references};
use veristable_report::{Format, HistoryFormat, write_history};

/// The forms, by the first byte.
const FORMS: [fn(&[u8]); 10] =
    [patches, series, changelogs, vulnerabilities, log, diff, blame, report, messages, sources];

/// Reads bytes in the form that the first one says.
pub fn history(data: &[u8]) {
    let (head, body) = data.split_at(data.len().min(1));
    let form = usize::from(head.first().copied().unwrap_or(0)) % FORMS.len();
    FORMS[form](body);
}

/// Several texts in one: they stand between zero bytes.
fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut rest = data.splitn(N, |byte| *byte == 0);
    [(); N].map(|()| rest.next().unwrap_or(b""))
}

fn boundary() -> Boundary {
    Boundary::preset(Preset::Verifier7).expect("a preset is good")
}

/// A patch as a mail, and a file on which it is tried.
fn patches(data: &[u8]) {
    let [file, mail] = parts(data);
    let boundary = boundary();
    let _ = Entry::of_mail("0001-x.patch", mail, &boundary, &mut Names::default());
    try_out(&patch::parse(mail), file, &boundary);
}

/// A patch that applies as it is can be applied; tried with the whole boundary or with every file.
fn try_out(patches: &[FilePatch], file: &[u8], boundary: &Boundary) {
    let _ = PatchFacts::of(patches, boundary, &mut Names::default());
    let contents = BTreeMap::from([(VERIFIER.to_owned(), file.to_vec())]);
    for which in
        [&(|path: &str| boundary.contains(&path.into())) as &dyn Fn(&str) -> bool, &|_| true]
    {
        let mut files = Files::new(&contents);
        let _ = trial::contained(patches, &files, which);
        let tried = trial::apply(patches, &files, which);
        assert_eq!(tried.applies == Applies::No, tried.failed > 0);
        let applied = files.patch(patches, which);
        let once = patches.len() == 1 && patches[0].hunks.len() < 2;
        assert!(!once || applied == (tried.failed == 0), "{tried:?}");
    }
}

const BRANCH: Branch = Branch { major: 6, minor: 1 };

fn series(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = (tree::series_files(&text), tree::active_branches(&text));
    let (pattern, path) = text.split_once('\n').unwrap_or((&text, ""));
    if let Ok(glob) = pattern.parse::<Glob>() {
        let _ = (glob.matches(path), glob.pathspec());
    }
}

fn changelogs(data: &[u8]) {
    let entries = tree::changelog(data).unwrap_or_default();
    assert!(entries.len() <= data.len() * 1100, "an entry takes a line");
}

fn vulnerabilities(data: &[u8]) {
    let [dyad, json] = parts(data);
    let read = cve::read_dyad("CVE-2024-12345", &String::from_utf8_lossy(dyad));
    let mut all = cve::read_json(json).unwrap_or_default();
    if let Ok(mut one) = read {
        let _ = cve::add_published(&mut one, json);
        all.push(one);
    }
    for cve in &all {
        let _ = (cve.status(BRANCH), cve.fix_in(BRANCH));
    }
    let _ = Tree::of_cves("6.1", BRANCH, &all);
}

fn log(data: &[u8]) {
    let _ = commits_of_log(data).map(|commits| written(commits, Vec::new()));
}

fn diff(data: &[u8]) {
    let patches = patches_of_diff(data);
    patches.iter().for_each(|(_, files)| try_out(files, b"one\ntwo\n", &boundary()));
}

fn blame(data: &[u8]) {
    let mut reader = BlameReader::default();
    if data.split(|byte| *byte == b'\n').all(|line| reader.line(line).is_ok()) {
        let _ = reader.finish();
    }
}

/// Commits, sets, a changelog and vulnerabilities.
fn report(data: &[u8]) {
    let [commits, sets, changelog, cves] = parts(data);
    let sets = (!sets.is_empty()).then_some(sets);
    let Ok(history) = data::read(commits, sets) else { return };
    round_trip(&history);
    let mut tree = Tree::of_cves("6.1", BRANCH, &[]);
    tree.kind = TreeKind::DebianChangelog;
    tree.entries = tree::changelog(changelog).unwrap_or_default();
    rendered(&history, vec![tree], cve::read_json(cves).unwrap_or_default());
}

/// What was read and written is read as it was.
fn round_trip(history: &History) {
    let (mut commits, mut sets) = (Vec::new(), Vec::new());
    data::write_commits(history, &mut commits).expect("a history can be written");
    data::write_patchsets(history, &mut sets).expect("sets can be written");
    let again = data::read(&commits, Some(&sets)).expect("what was written can be read");
    assert_eq!(again.sets.len(), history.sets.len());
    assert_eq!(again.inside, history.inside);
}

fn written(commits: Vec<Commit>, trees: Vec<Tree>) {
    let inside = commits.len();
    let history = History { commits, inside, ..History::default() };
    rendered(&history, trees, Vec::new());
}

/// Every form of a report: none lets through what a terminal or a browser would obey.
fn rendered(history: &History, trees: Vec<Tree>, cves: Vec<cve::Cve>) {
    let boundary = boundary();
    let input =
        Input { history, boundary: &boundary, repository: None, trees, cves, with_patches: true };
    let report = analyse(input, &mut |_, _| {}).expect("no repository, no error of git");
    let common = [Format::Text { color: false }, Format::Json, Format::Csv];
    for format in common.map(HistoryFormat::Common).into_iter().chain([HistoryFormat::Mail]) {
        let out = render(format, &report);
        assert!(!out.chars().any(|c| c.is_control() && c != '\n' && c != '\r'), "{out:?}");
    }
    let page = render(HistoryFormat::Html, &report);
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
}

fn render(format: HistoryFormat, report: &veristable_history::report::Report) -> String {
    let mut out = Vec::new();
    write_history(&mut out, format, report, true).expect("memory takes everything");
    String::from_utf8(out).expect("reports are UTF-8")
}

fn messages(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let message = Message::parse(&text);
    let _ = (message.path(), normal_title(&text), reverted_title(&text));
    let _ = (Release::parse(&text), Branch::in_name(&text), IdPrefix::new(&text));
    if let Some(date) = Date::parse(&text) {
        assert_eq!(Date::parse(&date.to_string()), Some(date));
    }
    if let Some(id) = MessageId::from_url(&text) {
        let _ = id.series();
    }
}

fn sources(data: &[u8]) {
    let _ = references::of_object(data);
    let text = String::from_utf8_lossy(data);
    let _ = references::of_list(&text);
    let (defined, used) = references::of_source(&text);
    assert!(defined.len() + used.len() <= 2 * text.len());
}
