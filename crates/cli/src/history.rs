// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `veristable history`.

use crate::history_args::{FailOn, HistoryArgs};
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use veristable_history::analysis::{Input, analyse};
use veristable_history::audit::Status;
use veristable_history::boundary::Boundary;
use veristable_history::git::{ReadOptions, Repository, Stage};
use veristable_history::model::History;
use veristable_history::references::{References, read_references};
use veristable_history::report::{FixRow, Report, TreeReport};
use veristable_history::tree::Tree;
use veristable_history::{data, load};
use veristable_report::{HistoryFormat, write_history, write_references};

/// Runs the command and returns its exit status.
pub(crate) fn run(args: &HistoryArgs) -> anyhow::Result<u8> {
    let boundary = boundary(args)?;
    if !args.references.is_empty() {
        return references(args);
    }
    let bar = spinner();
    let mut progress = |stage: Stage, count: usize| {
        bar.set_message(match stage {
            Stage::Commits => format!("{count} commits"),
            Stage::Graph => "the graph of commits".to_owned(),
            Stage::Sets => format!("{count} commits of merged sets"),
            Stage::Patches => format!("{count} patches"),
            Stage::Tree => format!("{count} commits of a tree"),
            Stage::Blame => format!("prerequisites of {count} fixes"),
        });
        bar.tick();
    };
    let repository = args.repository.as_deref().map(Repository::open).transpose()?;
    let history = match (&repository, &args.commits) {
        (Some(repository), _) => {
            let options = ReadOptions { range: args.range.clone().unwrap_or_default() };
            repository.history(&options, &boundary, &mut progress)?
        }
        (None, Some(commits)) => read_data(commits, args.patchsets.as_deref())?,
        (None, None) => bail!("neither a repository nor --commits"),
    };
    if let Some(directory) = &args.write_data {
        bar.finish_and_clear();
        return write_data(&history, directory);
    }
    let end = history.range.end.clone();
    let trees: Vec<Tree> = args
        .trees
        .iter()
        .map(|tree| load::tree(tree, &boundary, repository.as_ref(), &end, &mut progress))
        .collect::<Result<_, _>>()?;
    let cves = args.cves.as_deref().map(load::cves).transpose()?.unwrap_or_default();
    let input = Input {
        history: &history,
        boundary: &boundary,
        repository: repository.as_ref(),
        trees,
        cves,
        with_patches: !args.no_patches,
    };
    let report = analyse(input, &mut progress)?;
    bar.finish_and_clear();
    let out = io::stdout();
    let format = args.format.of(args.color.wanted(&out));
    write_history(&mut io::BufWriter::new(out.lock()), format, &report, args.list)?;
    Ok(u8::from(fails(&report, &args.fail_on)))
}

/// `--references`: symbols that verifiers refer to.
fn references(args: &HistoryArgs) -> anyhow::Result<u8> {
    let verifiers: Vec<References> =
        args.references.iter().map(|path| read_references(path)).collect::<Result<_, _>>()?;
    let out = io::stdout();
    let HistoryFormat::Common(format) = args.format.of(args.color.wanted(&out)) else {
        bail!("--references has no such form: text, json or csv");
    };
    write_references(&mut io::BufWriter::new(out.lock()), format, &verifiers)?;
    Ok(0)
}

fn boundary(args: &HistoryArgs) -> anyhow::Result<Boundary> {
    let boundary = if args.boundary.is_empty() {
        Boundary::preset(args.preset.into())?
    } else {
        Boundary::new(args.boundary.iter().map(String::as_str))?
    };
    Ok(boundary.ignore(args.ignore.iter().map(String::as_str))?)
}

/// A spinner on terminals, nothing elsewhere.
fn spinner() -> ProgressBar {
    if io::stderr().is_terminal() {
        ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
    } else {
        ProgressBar::hidden()
    }
}

fn read_data(commits: &Path, patchsets: Option<&Path>) -> anyhow::Result<History> {
    let read = |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
    let sets = patchsets.map(read).transpose()?;
    let names = || match patchsets {
        Some(sets) => format!("{} or {}", commits.display(), sets.display()),
        None => commits.display().to_string(),
    };
    data::read(&read(commits)?, sets.as_deref()).with_context(names)
}

fn write_data(history: &History, directory: &Path) -> anyhow::Result<u8> {
    let create = |name: &str| {
        let path = directory.join(name);
        let file = std::fs::File::create_new(&path);
        file.map(io::BufWriter::new).with_context(|| path.display().to_string())
    };
    let (mut commits, mut sets) = (create("commits.json")?, create("patchsets.json")?);
    data::write_commits(history, &mut commits)?;
    data::write_patchsets(history, &mut sets)?;
    commits.flush()?;
    sets.flush()?;
    Ok(0)
}

/// Whether a condition of `--fail-on` holds for a tree.
fn fails(report: &Report, conditions: &[FailOn]) -> bool {
    let holds = |tree: &TreeReport, condition: &FailOn| match condition {
        FailOn::Fix => tree.fixes.iter().any(|fix| fix.status == Status::Missing),
        FailOn::Security => {
            let security = |fix: &FixRow| fix.status == Status::Missing && !fix.cves.is_empty();
            !tree.missing_security.is_empty() || tree.fixes.iter().any(security)
        }
        FailOn::Test => tree.tests.iter().any(|test| test.status.is_behind()),
    };
    report.trees.iter().any(|tree| conditions.iter().any(|condition| holds(tree, condition)))
}
