// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! One stable tree against the history.

use crate::analysis::{Context, named};
use crate::audit::{Audit, FixState, Status, TestState, TestStatus};
use crate::boundary::is_fix;
use crate::cve::CveStatus;
use crate::git::{GitError, Progress, Repository};
use crate::ids::{Found, IdPrefix, ObjectId};
use crate::message::Message;
use crate::model::CommitIndex;
use crate::patch::{FilePatch, LineKind, once_named};
use crate::prerequisites::{Needs, Search, Trials};
use crate::presence::{Lookup, Method};
use crate::report::*;
use crate::tree::{Tree, TreeKind};
use crate::trial::{self, Files, Trial};
use crate::verdict::{Names, PatchFacts};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Where the kernel's tests of BPF are.
const TESTS: &str = "tools/testing/selftests/bpf";
/// The header with macros of tests.
const TEST_MACROS: &str = "tools/testing/selftests/bpf/progs/bpf_misc.h";

type Result<T> = std::result::Result<T, GitError>;

/// What is asked about each commit that is no `Fixes:` but fixes a vulnerability, and each fix.
fn asked(context: &Context<'_>) -> Vec<CommitIndex> {
    context
        .history
        .touching()
        .filter(|(index, commit)| is_fix(commit) || context.cve_of.contains_key(index))
        .map(|(index, _)| index)
        .collect()
}

/// The commit whose history the tree has: its own newest one, or the release that its branch begins with.
fn base(context: &Context<'_>, tree: &mut Tree) -> Option<ObjectId> {
    let repository = context.repository?;
    let base = match (tree.tip, tree.branch) {
        (Some(tip), _) => Some(tip),
        (None, Some(branch)) => repository.commit(&format!("refs/tags/v{branch}")).ok(),
        (None, None) => None,
    };
    if base.is_none() {
        tree.warnings.push(
            "which commits it has from its beginning is not known: the repository has no such tag"
                .to_owned(),
        );
    }
    base
}

/// The commits that the history of the base lacks.
fn not_reached(
    context: &Context<'_>,
    base: Option<ObjectId>,
    elsewhere: &HashMap<IdPrefix, Found<ObjectId>>,
) -> Result<Option<HashSet<ObjectId>>> {
    let (Some(repository), Some(base)) = (context.repository, base) else { return Ok(None) };
    let others = elsewhere.values().filter_map(|found| found.one());
    let ids: Vec<ObjectId> =
        context.history.commits.iter().map(|commit| commit.id).chain(others).collect();
    repository.not_reached(base, &ids).map(Some)
}

/// Judges a tree.
pub(crate) fn analyse(
    context: &Context<'_>,
    tree: &mut Tree,
    elsewhere: &HashMap<IdPrefix, Found<ObjectId>>,
    progress: &mut Progress<'_>,
) -> Result<TreeReport> {
    let base = base(context, tree);
    let missing = not_reached(context, base, elsewhere)?;
    if let (Some(repository), Some(tip)) = (context.repository, tree.tip) {
        if !context.patches.is_empty() {
            entry_patches(context, repository, tree, progress)?;
        }
        tree.tests = Some(repository.paths(tip, TESTS)?);
    }
    let tree = &*tree;
    let mut lookup = Lookup::new(tree, context.history, missing.clone());
    let asked = asked(context);
    let mut trials = Trials::default();
    if let (Some(repository), Some(tip)) = (context.repository, tree.tip)
        && !context.patches.is_empty()
    {
        trials = try_out(context, repository, tip, &mut lookup, &asked, progress)?;
    }
    let audit = Audit {
        history: context.history,
        boundary: context.boundary,
        series: &context.series,
        fixes: &context.fixes,
        patches: &context.patches,
        lookup: &lookup,
        branch: tree.branch,
        missing_elsewhere: missing.as_ref(),
        tests: tree.tests.as_ref(),
    };
    let mut warnings = tree.warnings.clone();
    if !audit.is_after_base() {
        warnings.push(
            "commits of the range may be part of it from its beginning: give a repository with its tags"
                .to_owned(),
        );
    }
    let states: Vec<FixState> = asked.iter().map(|index| audit.fix(*index)).collect();
    let tests = tests(context, tree, &audit, &states, progress)?;
    let search = Search { context, lookup: &lookup, base, trials: &trials };
    let found = search.all(&states, progress)?;
    warnings.extend(found.warnings);
    let mut needs = found.needs;
    let mut report = TreeReport {
        name: tree.name.clone(),
        kind: tree.kind,
        branch: tree.branch,
        entries: tree.entries.len(),
        warnings,
        counts: BTreeMap::new(),
        methods: BTreeMap::new(),
        paths: BTreeMap::new(),
        time_line: BTreeMap::new(),
        fixes: Vec::new(),
        tests: tests.iter().filter_map(|test| test_row(context, test)).collect(),
        tests_behind: tests_behind(context, &tests),
        fixes_of_backports: Vec::new(),
        request: request(context, &states, &tests, &needs),
        cves: None,
        missing_security: Vec::new(),
    };
    for state in &states {
        let trial = trials.trials.remove(&state.commit);
        report.fixes.extend(fix_row(context, state, trial, needs.remove(&state.commit)));
    }
    count(context, &mut report, &states);
    security(context, tree, &mut report, &states);
    Ok(report)
}

/// Reads the patches of the tree's commits, as far as they concern what is inside and tests.
fn entry_patches(
    context: &Context<'_>,
    repository: &Repository,
    tree: &mut Tree,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let mut at: HashMap<ObjectId, usize> = HashMap::new();
    for (index, entry) in tree.entries.iter().enumerate() {
        at.extend(entry.id.map(|id| (id, index)));
    }
    let mut ids: Vec<ObjectId> = at.keys().copied().collect();
    ids.sort();
    let mut only = context.boundary.pathspecs();
    only.push(format!(":(top,glob){TESTS}/**"));
    let mut names = Names::default();
    let entries = &mut tree.entries;
    repository.patches(ids, &only, progress, |id, files| {
        if let Some(entry) = at.get(&id).and_then(|index| entries.get_mut(*index)) {
            let mut facts = PatchFacts::of(&files, context.boundary, &mut names);
            // Symbols of a stable tree's own commits are not asked for.
            facts.changed = None;
            facts.used = Vec::new();
            entry.facts = facts;
        }
    })
}

/// Tries the commits that the tree lacks, and finds those whose content it has.
fn try_out(
    context: &Context<'_>,
    repository: &Repository,
    tip: ObjectId,
    lookup: &mut Lookup<'_>,
    asked: &[CommitIndex],
    progress: &mut Progress<'_>,
) -> Result<Trials> {
    let history = context.history;
    let by_id = &context.by_id;
    let absent: Vec<CommitIndex> = asked
        .iter()
        .filter(|index| lookup.find(history, &context.patches, **index).is_none())
        .copied()
        .collect();
    let ids = absent.iter().filter_map(|index| history.commit(*index)).map(|c| c.id).collect();
    let mut patches: Vec<(CommitIndex, Vec<FilePatch>)> = Vec::new();
    repository.patches(ids, &[], progress, |id, files| {
        patches.extend(by_id.get(&id).map(|index| (index, files)));
    })?;
    let inside = |path: &str| context.boundary.contains(&path.into());
    let mut paths: BTreeSet<String> = BTreeSet::new();
    for path in patches.iter().flat_map(|(_, files)| files).flat_map(FilePatch::paths) {
        if inside(path.as_str()) {
            paths.insert(path.as_str().to_owned());
            paths.insert(once_named(path.as_str()).to_owned());
        }
    }
    let contents = repository.files(tip, &paths.into_iter().collect::<Vec<_>>())?;
    let files = Files::new(&contents);
    let mut trials = HashMap::new();
    for (index, patch) in &patches {
        if trial::contained(patch, &files, inside) {
            lookup.add_content(*index, "its lines are there".to_owned());
        } else {
            trials.insert(*index, trial::apply(patch, &files, inside));
        }
    }
    Ok(Trials { contents, patches: patches.into_iter().collect(), trials })
}

/// The tests of present fixes. What they use is looked up where a repository has them.
fn tests(
    context: &Context<'_>,
    tree: &Tree,
    audit: &Audit<'_>,
    states: &[FixState],
    progress: &mut Progress<'_>,
) -> Result<Vec<TestState>> {
    let present = states.iter().filter(|state| state.status == Status::Present);
    // What a tree has from its beginning it has with its tests.
    let carried: Vec<CommitIndex> = present
        .filter(|state| state.place.as_ref().is_some_and(|place| place.method != Method::Ancestor))
        .map(|state| state.commit)
        .collect();
    let pairs: Vec<(CommitIndex, CommitIndex)> = carried
        .iter()
        .flat_map(|fix| audit.companions(*fix).into_iter().map(move |test| (*fix, test)))
        .collect();
    let own = carried.iter().filter_map(|fix| audit.own_tests(*fix));
    let mut needs: HashMap<ObjectId, Vec<String>> = HashMap::new();
    if let (Some(repository), Some(tip), Some(there)) =
        (context.repository, tree.tip, tree.tests.as_ref())
    {
        let contents = repository.files(tip, &[TEST_MACROS.to_owned()])?;
        let macros =
            contents.get(TEST_MACROS).map_or("", |bytes| std::str::from_utf8(bytes).unwrap_or(""));
        let ids: BTreeSet<ObjectId> = pairs
            .iter()
            .filter_map(|(_, test)| context.history.commit(*test))
            .map(|commit| commit.id)
            .collect();
        repository.patches(ids.into_iter().collect(), &[], progress, |id, files| {
            needs.insert(id, lacking(&files, there, macros));
        })?;
    }
    Ok(pairs
        .into_iter()
        .map(|(fix, test)| {
            let id = context.history.commit(test).map(|commit| commit.id);
            let needs = id.and_then(|id| needs.get(&id)).map_or(&[][..], Vec::as_slice);
            audit.test(fix, test, needs)
        })
        .chain(own)
        .collect())
}

/// Headers that added lines include, and macros `__x(…)` that they use, which a tree lacks and the patch
/// does not bring itself.
fn lacking(files: &[FilePatch], there: &HashSet<String>, macros: &str) -> Vec<String> {
    let mut lacks = BTreeSet::new();
    let brought =
        |name: &str| files.iter().flat_map(FilePatch::paths).any(|p| p.as_str().ends_with(name));
    let added = || {
        let hunks = files.iter().flat_map(|file| &file.hunks);
        hunks.flat_map(|hunk| hunk.of(LineKind::Added)).map(str::trim)
    };
    for line in added() {
        if let Some(rest) = line.strip_prefix("#include \"") {
            let name = rest.split('"').next().unwrap_or("").trim_start_matches("../");
            let generated =
                name.ends_with(".skel.h") || name == "vmlinux.h" || name.ends_with(".lskel.h");
            let end = format!("/{name}");
            if !generated
                && !name.is_empty()
                && !brought(&end)
                && !there.iter().any(|p| p.ends_with(&end))
            {
                lacks.insert(name.to_owned());
            }
        } else if line.starts_with("__") {
            let end = line.find('(').unwrap_or(0);
            let name = line.get(..end).unwrap_or("");
            let plain =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let define = format!("#define {name}");
            let defined = |text: &str| {
                text.match_indices(&define).any(|(at, _)| {
                    let after = text.get(at + define.len()..).and_then(|rest| rest.chars().next());
                    !after.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
                })
            };
            if plain
                && !name.starts_with("__attribute")
                && !macros.is_empty()
                && !defined(macros)
                && !added().any(defined)
            {
                lacks.insert(format!("{name}()"));
            }
        }
    }
    lacks.into_iter().collect()
}

fn test_row(context: &Context<'_>, test: &TestState) -> Option<TestRow> {
    let fix = context.history.commit(test.fix)?;
    let commit = context.history.commit(test.test)?;
    Some(TestRow {
        fix: fix.id,
        id: commit.id,
        subject: commit.subject().to_owned(),
        status: test.status,
        lacks: test.lacks.clone(),
    })
}

/// Counts separate commits of tests, over commits with a `Fixes:` line, as the other counts of a tree.
fn tests_behind(context: &Context<'_>, tests: &[TestState]) -> TestsBehind {
    let mut by_fix: BTreeMap<CommitIndex, Vec<TestStatus>> = BTreeMap::new();
    let fixes = tests.iter().filter(|test| {
        test.test != test.fix && context.history.commit(test.fix).is_some_and(is_fix)
    });
    for test in fixes {
        by_fix.entry(test.fix).or_default().push(test.status);
    }
    TestsBehind {
        fixes: by_fix.len(),
        some: by_fix.values().filter(|tests| tests.iter().any(|test| test.is_behind())).count(),
        all: by_fix.values().filter(|tests| tests.iter().all(|test| test.is_behind())).count(),
    }
}

fn fix_row(
    context: &Context<'_>,
    state: &FixState,
    trial: Option<Trial>,
    needs: Option<Needs>,
) -> Option<FixRow> {
    let commit = context.history.commit(state.commit)?;
    let message = Message::parse(&commit.message);
    let asked = matches!(state.status, Status::Missing | Status::Unknown);
    let place = state.place.as_ref();
    let needs = needs.unwrap_or_default();
    Some(FixRow {
        id: commit.id,
        subject: commit.subject().to_owned(),
        inside: context.boundary.holds(commit),
        status: state.status,
        method: place.map(|place| place.method),
        confidence: place.map(|place| place.method.confidence()),
        place: place.map(|place| place.place.clone()),
        reason: state.reason.clone(),
        fix_of_backport: state.fix_of_backport,
        cves: context.cves_of(state.commit, &message),
        trial: trial.filter(|trial| asked && trial.hunks > 0),
        with_prerequisites: needs.with,
        prerequisites: needs.list,
    })
}

fn count(context: &Context<'_>, report: &mut TreeReport, states: &[FixState]) {
    for state in states {
        let Some(commit) = context.history.commit(state.commit) else { continue };
        if !is_fix(commit) {
            continue;
        }
        let inside = context.boundary.holds(commit);
        report.counts.entry(state.status).or_default().add(inside);
        if state.fix_of_backport {
            report.fixes_of_backports.extend(named(context.history, state.commit));
        }
        if let (Status::Present, Some(place)) = (state.status, &state.place) {
            *report.methods.entry(place.method).or_default() += 1;
            if let Some(path) = place.path {
                *report.paths.entry(path).or_default() += 1;
            }
            if let Some(month) = &place.month {
                *report.time_line.entry(month.clone()).or_default() += 1;
            }
        }
    }
}

/// What could be asked for: missing fixes of what is there with what they need, and tests of present fixes;
/// oldest first, commits of a series in its order.
fn request(
    context: &Context<'_>,
    states: &[FixState],
    tests: &[TestState],
    needs: &HashMap<CommitIndex, Needs>,
) -> Vec<RequestRow> {
    let history = context.history;
    let by_id = &context.by_id;
    let mut wanted: HashMap<CommitIndex, (RequestKind, String)> = HashMap::new();
    let missing = || states.iter().filter(|state| state.status == Status::Missing);
    for state in missing() {
        wanted.insert(state.commit, (RequestKind::Fix, state.reason.clone()));
    }
    let short =
        |index: CommitIndex| history.commit(index).map_or_else(String::new, |c| c.id.short());
    for state in missing() {
        let list = needs.get(&state.commit).map_or(&[][..], |needs| &needs.list);
        for row in list.iter().filter(|row| row.needed == Some(true)) {
            let Some(index) = ObjectId::from_hex(&row.id).and_then(|id| by_id.get(&id)) else {
                continue;
            };
            let why = format!("{} does not apply without it", short(state.commit));
            wanted.entry(index).or_insert((RequestKind::Prerequisite, why));
        }
    }
    for test in tests.iter().filter(|test| test.status.is_behind()) {
        let why = match test.fix == test.test {
            true => "carried over without its tests".to_owned(),
            false => format!("tests {}, which was carried over", short(test.fix)),
        };
        wanted.entry(test.test).or_insert((RequestKind::Test, why));
    }
    let mut rows: Vec<(CommitIndex, (RequestKind, String))> = wanted.into_iter().collect();
    rows.sort_by_key(|(index, _)| {
        let seconds = history.commit(*index).map_or(0, |commit| commit.date.seconds);
        let series = context.series.of(*index).map(|series| &series.commits);
        let place = series.and_then(|list| list.iter().position(|other| other == index));
        (seconds, place, *index)
    });
    rows.into_iter()
        .filter_map(|(index, (kind, why))| {
            let commit = history.commit(index)?;
            Some(RequestRow { id: commit.id, subject: commit.subject().to_owned(), kind, why })
        })
        .collect()
}

/// Vulnerabilities: by the CNA's pairs, with what the tree itself shows.
fn security(context: &Context<'_>, tree: &Tree, report: &mut TreeReport, states: &[FixState]) {
    let Some(branch) = tree.branch.filter(|_| !context.cves.is_empty()) else { return };
    let by_id = &context.by_id;
    let known: HashMap<CommitIndex, Status> =
        states.iter().map(|state| (state.commit, state.status)).collect();
    // The CNA's pairs may be older than the tree: an entry may name the vulnerability or be the fix.
    let numbers: HashSet<&str> =
        tree.entries.iter().flat_map(|entry| &entry.cves).map(String::as_str).collect();
    let titles: HashSet<&str> = tree.entries.iter().map(|entry| entry.normal.as_str()).collect();
    let mut counts: BTreeMap<CveStatus, StateCount> = BTreeMap::new();
    for (cve, inside) in context.touching_cves() {
        let mut status = cve.status(branch);
        let title = cve.title.as_deref().map(crate::message::normal_title);
        let seen = numbers.contains(cve.number.as_str())
            || title.is_some_and(|title| !title.is_empty() && titles.contains(title.as_str()))
            || cve
                .fixes
                .iter()
                .filter_map(|id| by_id.get(id))
                .any(|index| known.get(&index) == Some(&Status::Present));
        if status == CveStatus::Open && seen && tree.kind != TreeKind::Cna {
            status = CveStatus::Fixed;
        }
        counts.entry(status).or_default().add(inside);
        if status == CveStatus::Open {
            report.missing_security.push(SecurityRow {
                cve: cve.number.clone(),
                fixes: cve.fixes.clone(),
                subject: cve.title.clone().unwrap_or_default(),
                inside,
            });
        }
    }
    report.cves = Some(counts);
}
