// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which capabilities a loader needs for each helper, asked of a kernel: a program that calls the
//! helper is loaded with more and more capabilities until the kernel lets it.
//!
//! The answers are kept as text, one line for each kind of programs and each answer, so that a
//! profile can be built again without asking.

use super::input::sha256;
use anyhow::{Context, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use veristable_agreement::cells::{Expected, Judgement, helper_calls, member_calls};
use veristable_kernel::profile::Input;
use veristable_kernel::{HelperId, Kernel, LoaderNeeds, Profile};
use veristable_oracle::{Answer, LoadOptions, Oracle, Remembered, Verdict};
use veristable_program::{Capabilities, LoadRequest};

/// What is asked in this order; the first that suffices is the answer. All ask with
/// `CAP_NET_ADMIN`, which no helper depends on.
const STEPS: [(LoaderNeeds, Capabilities); 4] = [
    (LoaderNeeds::empty(), Capabilities::empty()),
    (LoaderNeeds::BPF, Capabilities::BPF),
    (LoaderNeeds::PERFMON, Capabilities::PERFMON),
    (LoaderNeeds::BPF.union(LoaderNeeds::PERFMON), Capabilities::BPF.union(Capabilities::PERFMON)),
];

/// Name of the line for struct_ops programs.
pub(crate) const STRUCT_OPS: &str = "struct_ops";

/// Helpers by what they need; `None`: the kernel objected to something else first.
type Row = BTreeMap<Option<u8>, BTreeSet<String>>;

/// The table of a kernel: rows by the names of variants.
#[derive(Default, Debug)]
pub(crate) struct Table {
    rows: BTreeMap<String, Row>,
}

/// `cargo xtask profile needs`.
pub(crate) fn run(args: &super::NeedsArgs) -> anyhow::Result<()> {
    let profile = super::open(&args.kernel)?;
    let kernel = &profile.facts().id.name;
    let name = args.oracle.clone().unwrap_or_else(|| format!("vm:{kernel}"));
    let mut oracle = Remembered::open(&name)?;
    let mut table = Table::default();
    let variants = &profile.facts().variants;
    for (done, variant) in variants.iter().enumerate() {
        let what = profile.facts().strings.get(variant.name).to_owned();
        eprint!("\r{done} of {}: {what:40}", variants.len());
        let calls = |capabilities| helper_calls(&profile, variant, capabilities);
        table.rows.insert(what, measure(&profile, &calls, &mut oracle)?);
    }
    let calls = |capabilities| member_calls(&profile, capabilities);
    table.rows.insert(STRUCT_OPS.to_owned(), measure(&profile, &calls, &mut oracle)?);
    eprintln!();
    let out = args.out.clone().unwrap_or_else(|| path(kernel));
    let header = format!(
        "# What helpers need of the loader. Measured by loads in {name} ({}): \
         cargo xtask profile needs {kernel}\n",
        oracle.kernel(),
    );
    if let Some(directory) = out.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(&out, header + &table.to_text()).with_context(|| out.display().to_string())?;
    println!("{}", table.summary());
    Ok(())
}

/// Where the table of a kernel is kept.
pub(crate) fn path(kernel: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/helper-needs");
    directory.join(format!("{kernel}.tsv"))
}

/// Programs that call helpers, for a loader with these capabilities.
type Calls<'a> = dyn Fn(Capabilities) -> Vec<(HelperId, LoadRequest)> + 'a;

fn measure(
    profile: &Profile,
    calls_with: &Calls<'_>,
    oracle: &mut dyn Oracle,
) -> anyhow::Result<Row> {
    let mut row = Row::new();
    let helper = |id: &HelperId| profile.helper_name(*id).unwrap_or_default().to_owned();
    let all = calls_with(Capabilities::all());
    let mut left: BTreeSet<HelperId> = all.into_iter().map(|(id, _)| id).collect();
    let mut silent = BTreeSet::new();
    for (needs, capabilities) in STEPS {
        let capabilities = capabilities | Capabilities::NET_ADMIN;
        let mut calls = calls_with(capabilities);
        calls.retain(|(id, _)| left.contains(id));
        // Most kinds of programs are loaded with some capabilities only: one program tells.
        if let Some((_, first)) = calls.first()
            && is_gated(first, oracle)?
        {
            continue;
        }
        for ((id, _), answer) in calls.iter().zip(ask(&calls, oracle)?) {
            match judge(answer.as_ref()) {
                Judgement::Confirmed => {
                    left.remove(id);
                    row.entry(Some(needs.bits())).or_default().insert(helper(id));
                }
                Judgement::Contradicted => {}
                Judgement::Undetermined => {
                    silent.insert(*id);
                }
            }
        }
    }
    // With all capabilities it is there, as the profile says, and without the last one it is not.
    for id in &left {
        let needs = (!silent.contains(id)).then_some(LoaderNeeds::SYS_ADMIN.bits());
        row.entry(needs).or_default().insert(helper(id));
    }
    Ok(row)
}

fn judge(answer: Option<&Answer>) -> Judgement {
    answer.map_or(Judgement::Undetermined, |answer| {
        let loaded = answer.verdict == Verdict::Loaded;
        Expected::Helper { available: true }.judge(loaded, &answer.log_text())
    })
}

/// Whether the kernel refuses the kind of program before the verifier begins.
fn is_gated(request: &LoadRequest, oracle: &mut dyn Oracle) -> anyhow::Result<bool> {
    let answer = ask(&[(HelperId(0), request.clone())], oracle)?.pop().flatten();
    Ok(answer.is_some_and(|answer| {
        answer.verdict == Verdict::Refused { errno: 1 } && answer.log_text().trim().is_empty()
    }))
}

fn ask(
    calls: &[(HelperId, LoadRequest)],
    oracle: &mut dyn Oracle,
) -> anyhow::Result<Vec<Option<Answer>>> {
    let requests: Vec<&LoadRequest> = calls.iter().map(|(_, request)| request).collect();
    let mut answers: Vec<Option<Answer>> = vec![None; calls.len()];
    let options = LoadOptions { log_level: 2, ..LoadOptions::default() };
    oracle.load(&requests, &options, &mut |at, answer| {
        if let Some(place) = answers.get_mut(at) {
            *place = Some(answer);
        }
    })?;
    Ok(answers)
}

impl Table {
    /// Reads the table of a kernel, if there is one, with the note for the profile's inputs.
    pub(crate) fn read(kernel: &str) -> anyhow::Result<Option<(Self, Input)>> {
        let path = path(kernel);
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
        let table = Self::parse(&text).with_context(|| path.display().to_string())?;
        let input = Input {
            name: "helper-needs.tsv".to_owned(),
            sha256: sha256(text.as_bytes()),
            origin: "measured by loads in the guest with fewer capabilities".to_owned(),
        };
        Ok(Some((table, input)))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut table = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let mut fields = line.split('\t');
            let mut field = || fields.next().with_context(|| format!("too few fields: {line}"));
            let (variant, needs, helpers) = (field()?, field()?, field()?);
            let needs = match needs {
                "?" => None,
                "none" => Some(LoaderNeeds::empty()),
                names => Some(names.split('+').try_fold(LoaderNeeds::empty(), |all, name| {
                    let known = LoaderNeeds::from_kernel_name(name);
                    known.map(|one| all | one).with_context(|| format!("no capability {name}"))
                })?),
            };
            let row = table.rows.entry(variant.to_owned()).or_default();
            let set = row.entry(needs.map(|needs| needs.bits())).or_default();
            set.extend(helpers.split(' ').map(str::to_owned));
        }
        ensure!(!table.rows.is_empty(), "no line");
        Ok(table)
    }

    fn to_text(&self) -> String {
        let mut text = String::from("# variant\tcapabilities\thelpers\n");
        for (variant, row) in &self.rows {
            for (needs, helpers) in row {
                let helpers: Vec<&str> = helpers.iter().map(String::as_str).collect();
                let _ = writeln!(text, "{variant}\t{}\t{}", word(*needs), helpers.join(" "));
            }
        }
        text
    }

    fn summary(&self) -> String {
        let mut sums: BTreeMap<String, usize> = BTreeMap::new();
        for (needs, helpers) in self.rows.values().flatten() {
            *sums.entry(word(*needs)).or_default() += helpers.len();
        }
        let sums: Vec<String> = sums.iter().map(|(word, sum)| format!("{word}: {sum}")).collect();
        sums.join(", ")
    }

    /// What is known of a variant: helpers with what they need.
    pub(crate) fn of(&self, variant: &str) -> Option<Vec<(&str, LoaderNeeds)>> {
        let row = self.rows.get(variant)?;
        let known = row.iter().filter_map(|(needs, set)| Some(((*needs)?, set)));
        let cells = known.flat_map(|(needs, set)| {
            set.iter().map(move |name| (name.as_str(), LoaderNeeds::from_bits_truncate(needs)))
        });
        Some(cells.collect())
    }
}

fn word(needs: Option<u8>) -> String {
    let Some(bits) = needs else { return "?".to_owned() };
    let needs = LoaderNeeds::from_bits_truncate(bits);
    let words = LoaderNeeds::NAMED.iter().filter(|(one, _)| needs.contains(*one));
    let words: Vec<&str> = words.map(|(_, name)| *name).collect();
    if words.is_empty() { "none".to_owned() } else { words.join("+") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_back_as_it_was_written() {
        let text = "a\tnone\tmap_lookup_elem\na\tbpf+perfmon\tfind_vma snprintf\nb\t?\tloop\n";
        let table = Table::parse(text).unwrap();
        assert_eq!(table.to_text(), format!("# variant\tcapabilities\thelpers\n{text}"));
        let both = LoaderNeeds::BPF | LoaderNeeds::PERFMON;
        let of_a = table.of("a").unwrap();
        assert_eq!(of_a.len(), 3);
        assert!(of_a.contains(&("find_vma", both)), "{of_a:?}");
        assert_eq!(table.of("b").unwrap(), []);
        assert!(table.of("c").is_none());
        assert!(Table::parse("a\troot\tx\n").is_err());
    }
}
