// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A mainline and a stable tree made up for tests: copies with every marker, adapted ones, reverts, tests that
//! stayed behind, a file that was split, hostile messages.

mod support;

use support::{Builder, Mark, Repo, source};
use veristable_history::analysis::analyse;
use veristable_history::audit::{Status, TestStatus};
use veristable_history::boundary::{Boundary, Preset, VERIFIER};
use veristable_history::load;
use veristable_history::presence::Method;
use veristable_history::report::{FixRow, Report, TreeReport};
use veristable_history::verdict::Verdict;

const STATES: &str = "kernel/bpf/states.c";
const TEST: &str = "tools/testing/selftests/bpf/progs/verifier_t.c";

/// A function's body of two lines that are worth looking for.
fn body(n: usize) -> String {
    format!("\terr |= look_at_{n}(env);\n\terr |= look_again_{n}(env);")
}

/// The verifier with some functions changed.
fn verifier(changed: &[usize]) -> String {
    let bodies: Vec<(usize, String)> = changed.iter().map(|n| (*n, body(*n))).collect();
    let list: Vec<(usize, &str)> = bodies.iter().map(|(n, text)| (*n, text.as_str())).collect();
    source(16, &list)
}

struct World {
    repo: Repo,
    /// Commits by name.
    marks: Vec<(&'static str, Mark)>,
}

impl World {
    fn id(&self, name: &str) -> &str {
        let mark = self.marks.iter().find(|(known, _)| *known == name).expect(name).1;
        self.repo.id(mark)
    }
}

/// The first pass finds the ids that messages of the second name: those of mainline do not change.
fn world(name: &str) -> World {
    let first = build(&format!("{name}-first"), &|_| "0".repeat(40));
    let second = build(&format!("{name}-second"), &|name| first.id(name).to_owned());
    // Ids of fixes depend on those that they mend: one more pass makes them whole.
    let third = build(&format!("{name}-third"), &|name| second.id(name).to_owned());
    build(name, &|name| third.id(name).to_owned())
}

fn build(name: &str, id: &dyn Fn(&str) -> String) -> World {
    let mut b = Builder::default();
    let mut marks: Vec<(&'static str, Mark)> = Vec::new();
    let fixes = |what: &str| format!("Fixes: {} (\"x\")", &id(what)[..12]);
    let mut state: Vec<usize> = Vec::new();
    let root = b.commit(
        "main",
        &[],
        "root",
        &[(VERIFIER, Some(&verifier(&[]))), (TEST, Some("int t;\n"))],
    );
    let mut bug = |b: &mut Builder, marks: &mut Vec<_>, name, parent, n: usize, message: &str| {
        state.push(n);
        let mark = b.commit("main", &[parent], message, &[(VERIFIER, Some(&verifier(&state)))]);
        marks.push((name, mark));
        mark
    };
    let old = bug(&mut b, &mut marks, "old bug", root, 0, "bpf: Old bug");
    b.tag("v6.1", old);
    let m = bug(&mut b, &mut marks, "new bug", old, 1, "bpf: New bug");
    let m = bug(&mut b, &mut marks, "carried bug", m, 2, "bpf: A feature that is carried over");
    let fix = |text: &str, what: &str| format!("{text}\n\nBody.\n\n{}", fixes(what));
    let m = bug(&mut b, &mut marks, "upstream", m, 3, &fix("bpf: Fix by upstream", "old bug"));
    let m = bug(&mut b, &mut marks, "bracket", m, 4, &fix("bpf: Fix by bracket", "old bug"));
    let m = bug(&mut b, &mut marks, "picked", m, 5, &fix("bpf: Fix by picking", "old bug"));
    let m = bug(&mut b, &mut marks, "unmarked", m, 6, &fix("bpf: Fix unmarked", "old bug"));
    let m = bug(&mut b, &mut marks, "retitled", m, 7, &fix("bpf: Fix retitled", "old bug"));
    let m = bug(&mut b, &mut marks, "adapted", m, 8, &fix("bpf: Fix adapted", "old bug"));
    let m = bug(&mut b, &mut marks, "squashed", m, 9, &fix("bpf: Fix squashed", "old bug"));
    let m = bug(&mut b, &mut marks, "reverted", m, 10, &fix("bpf: Fix reverted", "old bug"));
    let m = bug(&mut b, &mut marks, "missing", m, 11, &fix("bpf: Fix missing", "old bug"));
    let m = bug(&mut b, &mut marks, "inapplicable", m, 12, &fix("bpf: Fix of the new", "new bug"));
    let m = bug(
        &mut b,
        &mut marks,
        "fix of carried",
        m,
        13,
        &fix("bpf: Fix of the carried", "carried bug"),
    );
    // A series: a fix and its test.
    let s = b.commit(
        "s",
        &[m],
        &fix("bpf: Fix with a test", "old bug"),
        &[(VERIFIER, Some(&verifier(&(0..15).collect::<Vec<_>>())))],
    );
    marks.push(("with test", s));
    let test = "#include \"bpf_new.h\"\n__xlated(\"x\")\nint t2;\n";
    let t = b.commit("s", &[s], "selftests/bpf: Test it", &[(TEST, Some(test))]);
    marks.push(("test", t));
    let m = b.commit(
        "main",
        &[m, t],
        "Merge branch 'fix-and-test'",
        &[(VERIFIER, Some(&verifier(&(0..15).collect::<Vec<_>>()))), (TEST, Some(test))],
    );
    let moved = "int moved(struct env *env)\n{\n\treturn first_moved(env);\n}\n";
    let fixed =
        moved.replace("\treturn", "\tlook_at_states(env, 1);\n\tlook_at_states(env, 2);\n\treturn");
    let m = split(&mut b, m, moved, &fixed, &fix("bpf: Fix after the split", "old bug"));
    marks.push(("after split", m));
    let hostile = "bpf: <script>alert(1)</script> \u{1b}[31m\u{202e}\n\nFixes: zzz\nFixes: abcdef0\n=cmd|' /C calc'!A0";
    let m = b.commit(
        "main",
        &[m],
        hostile,
        &[(VERIFIER, Some(&verifier(&(0..16).collect::<Vec<_>>())))],
    );
    marks.push(("hostile", m));
    stable(&mut b, old, moved, &fixed, id);
    World { repo: b.build(name), marks }
}

/// The file is split, and a part of it mended.
fn split(b: &mut Builder, parent: Mark, moved: &str, fixed: &str, message: &str) -> Mark {
    let rest = verifier(&(0..15).collect::<Vec<_>>());
    let files = [(VERIFIER, Some(rest.as_str())), (STATES, Some(moved))];
    let m = b.commit("main", &[parent], "bpf: Move logic to states.c", &files);
    b.commit("main", &[m], message, &[(STATES, Some(fixed))])
}

/// The stable branch on `v6.1`.
fn stable(b: &mut Builder, base: Mark, moved: &str, fixed: &str, id: &dyn Fn(&str) -> String) {
    let mut state = vec![0];
    let mut tip = base;
    let mut add = |b: &mut Builder, author: &str, n: usize, message: &str, extra: &str| {
        state.push(n);
        let text = format!("{}{extra}", verifier(&state));
        tip = b.by(author, "linux-6.1.y", &[tip], message, &[(VERIFIER, Some(&text))]);
        tip
    };
    let dev = "A Developer <dev@example.org>";
    let other = "Somebody Else <else@example.org>";
    add(
        b,
        dev,
        2,
        &format!("bpf: A feature that is carried over\n\ncommit {} upstream.", id("carried bug")),
        "",
    );
    add(
        b,
        other,
        3,
        &format!("other title\n\ncommit {} upstream.\n", id("upstream")),
        "// adapted\n",
    );
    add(
        b,
        other,
        4,
        &format!(
            "other\n\n[ Upstream commit {} ]\n\nSigned-off-by: Sasha Levin <sashal@kernel.org>",
            id("bracket")
        ),
        "// adapted\n",
    );
    add(b, other, 5, &format!("x\n\n(cherry picked from commit {})", id("picked")), "// adapted\n");
    add(b, dev, 6, "bpf: Fix unmarked", "// adapted\n// otherwise\n");
    add(b, other, 7, "bpf: another title", "// adapted\n// otherwise\n");
    // Content in one commit with another change.
    add(b, other, 9, "bpf: several things at once", "int more_of_it;\n");
    let reverted = add(b, dev, 10, "bpf: Fix reverted", "int more_of_it;\n");
    let _ = reverted;
    tip = b.commit(
        "linux-6.1.y",
        &[tip],
        "Revert \"bpf: Fix reverted\"",
        &[(VERIFIER, Some(&verifier(&[0, 2, 3, 4, 5, 6, 7, 9])))],
    );
    let with = verifier(&[0, 2, 3, 4, 5, 6, 7, 9, 14]);
    tip = b.commit(
        "linux-6.1.y",
        &[tip],
        &format!("bpf: Fix with a test\n\ncommit {} upstream.", id("with test")),
        &[(VERIFIER, Some(&with))],
    );
    // What is in states.c upstream is in verifier.c here.
    tip = b.by(
        other,
        "linux-6.1.y",
        &[tip],
        "bpf: move",
        &[(VERIFIER, Some(&format!("{with}{moved}")))],
    );
    b.by(
        other,
        "linux-6.1.y",
        &[tip],
        "bpf: like after the split",
        &[(VERIFIER, Some(&format!("{with}{fixed}")))],
    );
}

fn report(world: &World, trees: &[&str]) -> Report {
    support::report(&world.repo.path, Preset::Verifier7, "v6.1..main", trees)
}

fn row<'a>(world: &World, tree: &'a TreeReport, name: &str) -> &'a FixRow {
    let id = world.id(name);
    tree.fixes.iter().find(|row| row.id.to_string() == id).expect(name)
}

#[test]
fn presence_by_every_method() {
    let world = world("stable");
    let report = report(&world, &["linux-6.1.y"]);
    let tree = &report.trees[0];
    let check = |name: &str, status: Status, method: Option<Method>| {
        let row = row(&world, tree, name);
        assert_eq!((row.status, row.method), (status, method), "{name}: {row:?}");
    };
    check("upstream", Status::Present, Some(Method::Marker));
    check("bracket", Status::Present, Some(Method::Marker));
    check("picked", Status::Present, Some(Method::Marker));
    check("unmarked", Status::Present, Some(Method::TitleAndAuthor));
    check("retitled", Status::Present, Some(Method::PatchId));
    check("with test", Status::Present, Some(Method::Marker));
    check("after split", Status::Present, Some(Method::ChangedLines));
    check("squashed", Status::Present, Some(Method::Content));
    check("reverted", Status::Reverted, Some(Method::PatchId));
    check("missing", Status::Missing, None);
    check("adapted", Status::Missing, None);
    check("hostile", Status::Unknown, None);
    check("inapplicable", Status::NotApplicable, None);
    check("fix of carried", Status::Missing, None);
    assert!(row(&world, tree, "fix of carried").fix_of_backport);
    assert!(!row(&world, tree, "missing").fix_of_backport);
    let trial = row(&world, tree, "missing").trial.as_ref().unwrap();
    assert_eq!(trial.hunks, 1);
    // Oldest first.
    let asked: Vec<&str> = tree.request.iter().map(|row| row.kind.word()).collect();
    assert_eq!(asked.last(), Some(&"test"), "{:?}", tree.request);
}

#[test]
fn tests_that_stayed_behind() {
    let world = world("tests");
    let report = report(&world, &["6.1=linux-6.1.y"]);
    let tree = &report.trees[0];
    assert_eq!(tree.tests.len(), 1);
    assert_eq!(tree.tests[0].status, TestStatus::MissingHelper);
    assert!(tree.tests[0].lacks.contains(&"bpf_new.h".to_owned()), "{:?}", tree.tests);
    assert_eq!((tree.tests_behind.fixes, tree.tests_behind.all), (1, 1));
    // One of the present fixes says that it was chosen by the maintainer's tool.
    let paths: Vec<(&str, usize)> =
        tree.paths.iter().map(|(path, count)| (path.word(), *count)).collect();
    assert_eq!(paths, [("autosel", 1), ("other", 6)]);
}

#[test]
fn verdicts_and_strange_lines() {
    let world = world("verdicts");
    let report = report(&world, &[]);
    let of = |name: &str| {
        let row = report.commits.iter().find(|row| row.id.to_string() == world.id(name));
        row.expect(name).verdict
    };
    assert_eq!(of("with test"), Verdict::WholeSet);
    assert_eq!(of("missing"), Verdict::Standalone);
    let strange: Vec<(&str, &str)> =
        report.unresolved.iter().map(|row| (row.text.as_str(), row.why.as_str())).collect();
    assert_eq!(strange, [("Fixes: zzz", "malformed")]);
}

/// The same made twice is the same text.
#[test]
fn reports_are_deterministic() {
    let world = world("twice");
    let text = || serde_json::to_string(&report(&world, &["linux-6.1.y"])).unwrap();
    assert_eq!(text(), text());
}

/// A fix that came without the tests that it changes itself, and fixes of which only `Cc: stable` says for whom.
#[test]
fn own_tests_and_requests() {
    const OWN: &str = "tools/testing/selftests/bpf/progs/own.c";
    let mut b = Builder::default();
    let root = b.commit("main", &[], "root", &[(VERIFIER, Some(&verifier(&[])))]);
    b.tag("v6.1", root);
    let text = |n: usize| verifier(&(0..=n).collect::<Vec<_>>());
    let mut tip = root;
    let mut add = |message: &str, n: usize, test: Option<&str>| {
        let verifier = text(n);
        let mut files = vec![(VERIFIER, Some(verifier.as_str()))];
        files.extend(test.map(|path| (path, Some("int t;\n"))));
        tip = b.commit("main", &[tip], message, &files);
    };
    let unknown = "Fixes: 123456789abc (\"x\")";
    add(&format!("bpf: Own test\n\n{unknown}"), 0, Some(OWN));
    let cc = "Cc: stable@vger.kernel.org";
    add(&format!("bpf: For newer ones\n\n{unknown}\n{cc} # 6.6+"), 1, None);
    add(&format!("bpf: For this one too\n\n{unknown}\n{cc} # v5.10.x"), 2, None);
    add(&format!("bpf: For nobody knows whom\n\n{unknown}\n{cc}"), 3, None);
    let copy = [(VERIFIER, Some(text(0)))];
    let copy: Vec<_> = copy.iter().map(|(path, text)| (*path, text.as_deref())).collect();
    b.commit("linux-6.1.y", &[root], "bpf: Own test", &copy);
    let world = World { repo: b.build("own-tests"), marks: Vec::new() };
    let report = report(&world, &["linux-6.1.y"]);
    let tree = &report.trees[0];
    let states: Vec<Status> = tree.fixes.iter().map(|row| row.status).collect();
    let newest_first = [Status::Unknown, Status::Missing, Status::NotApplicable, Status::Present];
    assert_eq!(states, newest_first, "{:?}", tree.fixes);
    let [test] = &tree.tests[..] else { panic!("{:?}", tree.tests) };
    assert_eq!((test.fix, &test.lacks[..]), (test.id, &[OWN.to_owned()][..]));
    // It is no commit of its own.
    assert_eq!(tree.tests_behind.fixes, 0);
    let asked: Vec<&str> = tree.request.iter().map(|row| row.kind.word()).collect();
    assert_eq!(asked, ["test", "fix"]);
}

/// A queue of a branch that ended.
#[test]
fn queues_of_branches_that_ended() {
    let queue = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("stable-queue");
    let _ = std::fs::remove_dir_all(&queue);
    for name in ["queue-6.1", "queue-6.5"] {
        std::fs::create_dir_all(queue.join(name)).unwrap();
        std::fs::write(queue.join(name).join("series"), "# nothing yet\n").unwrap();
    }
    std::fs::write(queue.join("active_kernel_versions"), "6.12\n6.1\n").unwrap();
    let boundary = Boundary::preset(Preset::Xu).unwrap();
    let warnings = |name: &str| {
        let path = queue.join(name);
        let tree = load::tree(path.to_str().unwrap(), &boundary, None, "", &mut |_, _| {});
        tree.unwrap().warnings
    };
    assert!(warnings("queue-6.1").is_empty());
    assert!(warnings("queue-6.5")[0].contains("6.5"), "{:?}", warnings("queue-6.5"));
}

/// What a series changes outside matters to those that use it by name.
#[test]
fn symbols_decide() {
    const HEADER: &str = "include/linux/bpf_verifier.h";
    let mut b = Builder::default();
    let lines = |n: &[(usize, &str)]| source(8, n);
    let head = "struct bpf_state {\n\tint first_member;\n\tint second_member;\n};\n";
    let more = head.replace("second_member;\n", "second_member;\n\tint new_member;\n");
    let root =
        b.commit("main", &[], "root", &[(VERIFIER, Some(&lines(&[]))), (HEADER, Some(head))]);
    b.tag("v1", root);
    let field = b.commit("s", &[root], "bpf: Add a member", &[(HEADER, Some(&more))]);
    let text = lines(&[(1, "\tstate->new_member = 1;")]);
    let uses = b.commit("s", &[field], "bpf: Use it", &[(VERIFIER, Some(&text))]);
    let last = lines(&[(1, "\tstate->new_member = 1;"), (5, "\tsomething_else(env);")]);
    let other = b.commit("s", &[uses], "bpf: Do not use it", &[(VERIFIER, Some(&last))]);
    b.commit(
        "main",
        &[root, other],
        "Merge branch 's'",
        &[(VERIFIER, Some(&last)), (HEADER, Some(&more))],
    );
    let repo = b.build("symbols");
    let what = support::read(&repo.path, Preset::Xu, "v1..main");
    let verdicts = |with_patches: bool| -> Vec<(Verdict, Vec<String>)> {
        let report = analyse(support::input(&what, with_patches), &mut |_, _| {}).unwrap();
        report.commits.into_iter().map(|row| (row.verdict, row.symbols)).collect()
    };
    let with = verdicts(true);
    assert_eq!(with[0], (Verdict::SymbolSafe, vec![]));
    assert_eq!(with[1], (Verdict::NeedsAnalysis, vec!["new_member".to_owned()]));
    let both = field_and_use(HEADER, head, &more);
    assert_eq!(both.commits[0].changes, ["bpf_state", "new_member"]);
    let without = verdicts(false);
    assert!(without.iter().all(|(verdict, _)| *verdict == Verdict::NeedsAnalysis));
}

/// A commit that changes both sides names what it changes outside.
fn field_and_use(header: &str, before: &str, after: &str) -> Report {
    let mut b = Builder::default();
    let text = verifier(&[]);
    let root = b.commit("main", &[], "root", &[(VERIFIER, Some(&text)), (header, Some(before))]);
    b.tag("v1", root);
    let text = verifier(&[1]);
    b.commit("main", &[root], "bpf: Both", &[(VERIFIER, Some(&text)), (header, Some(after))]);
    support::report(&b.build("both-sides").path, Preset::Xu, "v1..main", &[])
}
