// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Scenes: pieces of programs written down as text, each right as it stands and with places where
//! it can go wrong.
//!
//! A scene is assembly as in rule files, with
//!
//! | | |
//! |---|---|
//! | `{right|wrong|wrong}` | one of these mistakes, or none |
//! | `[a|b|c]` | one of these, all right |
//! | `? line` | forgotten by mistake |
//! | `+ line` | there by mistake only |
//! | `~ line` | there or not |
//! | `ctx rN` | the context |
//! | `num rN` | a number that the program has |
//! | `block` | generated statements that leave R6 to R9 alone |
//! | `return` | the end of the program |
//! | `func rN` | the address of the callback that follows `callback:` |
//! | `subprog` | a call of the function that follows `callback:` |
//! | `$node` | BTF id of the program's own structure |
//!
//! At most one mistake is made in a scene: a small twist in what is otherwise right.

use std::cell::RefCell;
use std::sync::OnceLock;

use veristable_btf::{Kind as TypeKind, TypeId};
use veristable_isa::asm::{self, Resolver};
use veristable_isa::consts::BPF_JMP;
use veristable_isa::{Insn, Reg};
use veristable_kernel::ProgType;

use super::Builder;
use super::functions::Form;
use crate::code::Label;
use crate::value::{State, Value};

/// The scenes, one after the other.
const TEXT: &str = include_str!("scenes.txt");

/// An opcode that no instruction has: something else is made where it stands.
const MARK: u8 = 0xff;

/// One scene.
#[derive(Debug)]
struct Scene {
    needs: Vec<&'static str>,
    main: Vec<&'static str>,
    callback: Vec<&'static str>,
}

fn scenes() -> &'static [Scene] {
    static SCENES: OnceLock<Vec<Scene>> = OnceLock::new();
    SCENES.get_or_init(|| TEXT.split("; scene").skip(1).map(scene).collect())
}

fn scene(text: &'static str) -> Scene {
    let mut lines = text.lines();
    // The rest of the first line says what the scene is about.
    lines.next();
    let mut scene = Scene { needs: Vec::new(), main: Vec::new(), callback: Vec::new() };
    let mut in_callback = false;
    for line in lines.map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(needs) = line.strip_prefix("; needs:") {
            scene.needs.extend(needs.split_whitespace());
        } else if line == "callback:" {
            in_callback = true;
        } else if !line.starts_with(';') {
            let part = if in_callback { &mut scene.callback } else { &mut scene.main };
            part.push(line);
        }
    }
    scene
}

impl Scene {
    /// Places where it can go wrong.
    fn mistakes(&self) -> usize {
        let lines = self.main.iter().chain(&self.callback);
        let of =
            |line: &&str| line.matches('{').count() + usize::from(line.starts_with(['?', '+']));
        lines.map(of).sum()
    }
}

/// What names in a scene stand for.
struct Names<'b, 'a, 'k> {
    builder: &'b Builder<'a, 'k>,
    /// Anything that the kernel has, not only what the program may use.
    lenient: bool,
    /// Maps of the pool in the order of the request; new ones are added.
    maps: RefCell<Vec<usize>>,
}

impl Resolver for Names<'_, '_, '_> {
    fn helper(&self, name: &str) -> Option<i32> {
        let name = name.strip_prefix("bpf_").unwrap_or(name);
        let kernel = self.builder.kernel;
        self.builder.helper_id(name).or_else(|| {
            let named = |id: &i32| {
                kernel.helper_name(veristable_kernel::HelperId(id.cast_unsigned())) == Some(name)
            };
            if self.lenient { (1..256).find(named) } else { None }
        })
    }

    fn kfunc(&self, name: &str) -> Option<(i32, i16)> {
        let id = self.builder.kfunc(name).or_else(|| {
            let btf = self.builder.kernel.btf(None).ok()??;
            let id = btf.find_by_name(name, TypeKind::Func).map(|id: TypeId| id.0);
            id.filter(|_| self.lenient)
        });
        Some((id?.cast_signed(), 0))
    }

    fn map(&self, name: &str) -> Option<i32> {
        let pool = self.builder.pool;
        let at = pool.maps.iter().position(|map| map.desc.spec.name == name)?;
        let usable = pool.maps.get(at).is_some_and(|map| self.builder.may_use(map));
        if !usable && !self.lenient {
            return None;
        }
        let mut maps = self.maps.borrow_mut();
        let number = maps.iter().position(|known| *known == at).unwrap_or_else(|| {
            maps.push(at);
            maps.len() - 1
        });
        i32::try_from(number).ok()
    }

    fn symbol(&self, name: &str) -> Option<(u32, i32)> {
        let btf = self.builder.kernel.btf(None).ok()??;
        Some((btf.find_by_name(name, TypeKind::Var)?.0, 0))
    }
}

/// What is done instead of an instruction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Macro {
    Context(Reg),
    Number(Reg),
    Block,
    Return,
    Function(Reg),
    Call,
}

fn register(name: &str) -> Option<Reg> {
    let number = name.trim().strip_prefix('r')?.parse().ok()?;
    (number < 10).then(|| Reg::new(number))
}

fn read_macro(line: &str) -> Option<Macro> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    Some(match word {
        "ctx" => Macro::Context(register(rest)?),
        "num" => Macro::Number(register(rest)?),
        "func" => Macro::Function(register(rest)?),
        "block" => Macro::Block,
        "return" => Macro::Return,
        "subprog" => Macro::Call,
        _ => return None,
    })
}

/// The first `[a|b]` that has no other choice in it.
fn free_choice(text: &str) -> Option<(usize, usize)> {
    let opening = text.match_indices('[').map(|(at, _)| at);
    opening.into_iter().find_map(|from| {
        let to = from + text.get(from..)?.find(']')?;
        let inside = text.get(from + 1..to)?;
        (inside.contains('|') && !inside.contains(['[', '{', '}'])).then_some((from, to))
    })
}

/// The first `{right|wrong}`.
fn mistake(text: &str) -> Option<(usize, usize)> {
    let from = text.find('{')?;
    Some((from, from + text.get(from..)?.find('}')?))
}

/// Whether something jumps to where it came from.
fn goes_back(insns: &[Insn]) -> bool {
    let back = |(at, insn): (usize, &Insn)| {
        insn.code != MARK && insn.jump_target(at).is_some_and(|target| target <= at as i64)
    };
    insns.iter().enumerate().any(back)
}

/// Instructions, and what their marks stand for.
pub(super) type Written = (Vec<Insn>, Vec<Macro>);

/// A scene's part with every choice made.
#[derive(Default)]
struct Chosen {
    text: String,
    macros: Vec<Macro>,
}

impl<'a, 'k> Builder<'a, 'k> {
    /// Plays a scene.
    pub(super) fn scene(&mut self) -> bool {
        let possible = !self.locked && self.held == 0 && self.pinned == 0 && self.depth <= 2;
        if !possible {
            return false;
        }
        let all = scenes();
        for _ in 0..12 {
            let Some(scene) = all.get(self.choices.below(all.len())) else { return false };
            if self.play(scene) {
                return true;
            }
        }
        false
    }

    fn suits(&mut self, scene: &Scene) -> bool {
        scene.needs.iter().all(|need| match *need {
            "typed" => self.typed,
            "sleepable" => self.sleepable,
            "nonsleepable" => !self.is_sleepable,
            "perfmon" => self.loader.perfmon,
            // Types of programs; one in some is wrong by mistake.
            _ if self.slips != 0 && self.choices.percent(3) => true,
            "old_loads" => matches!(
                self.kind.row.prog_type,
                ProgType::SOCKET_FILTER | ProgType::SCHED_CLS | ProgType::SCHED_ACT
            ),
            "packet" => matches!(
                self.kind.row.prog_type,
                ProgType::SCHED_CLS | ProgType::SCHED_ACT | ProgType::SK_SKB | ProgType::LWT_XMIT
            ),
            "xdp" => self.kind.row.prog_type == ProgType::XDP,
            "rare" => self.choices.percent(10),
            _ => false,
        })
    }

    fn play(&mut self, scene: &'static Scene) -> bool {
        if !self.suits(scene) {
            return false;
        }
        if !scene.callback.is_empty()
            && (!self.typed || self.pending.len() >= 4 || self.unused_callback().is_none())
        {
            return false;
        }
        let count = scene.mistakes();
        let wrong = self.slips != 0 && self.choices.percent(45) && count > 0;
        let mut wrong = wrong.then(|| self.choices.below(count));
        let main = self.choose(&scene.main, &mut wrong);
        let callback = self.choose(&scene.callback, &mut wrong);
        let lenient = self.slips != 0 && self.choices.percent(3);
        let Some(main) = self.assembled(main, lenient) else { return false };
        // As in `another_loop`.
        let may_loop = self.loader.bpf && self.loader.perfmon;
        if !may_loop && goes_back(&main.0) && !self.slip() {
            return false;
        }
        let callback = match scene.callback.is_empty() {
            true => None,
            false => match self.assembled(callback, lenient) {
                Some(callback) => Some(callback),
                None => return false,
            },
        };
        self.save_context();
        let label = callback.map(|(insns, macros)| {
            let btf = self.unused_callback().unwrap_or_default();
            self.used.push(btf);
            let label = self.pend(Form::Written, btf, [Value::Uninit; 5]);
            self.written.push((label, (insns, macros)));
            label
        });
        let pinned = self.pinned;
        for reg in [Reg::R6, Reg::R7, Reg::R8, Reg::R9] {
            self.pin(reg);
        }
        let reserved = self.reserve(LOWEST, HIGHEST - LOWEST);
        self.held += 1;
        self.perform(&main.0, &main.1, label);
        self.held -= 1;
        self.reserved = reserved;
        self.pinned = pinned;
        for reg in Reg::ALL.into_iter().take(10) {
            self.state.set(reg, Value::Uninit);
        }
        for at in (LOWEST..HIGHEST).step_by(8) {
            self.state.write(at, 8, Value::Uninit);
        }
        self.state.packet_changed();
        true
    }

    /// A body that was written down.
    pub(super) fn written_body(&mut self, label: Label) {
        let Some(at) = self.written.iter().position(|(of, ..)| *of == label) else { return };
        let (_, (insns, macros)) = self.written.swap_remove(at);
        self.perform(&insns, &macros, None);
    }

    /// The context, where the scene does not overwrite it.
    fn save_context(&mut self) {
        let slot = self.state.stack.iter().take(16).any(|slot| slot.value == Value::Ctx);
        if !slot && let Some(reg) = self.find(|value| value == Value::Ctx) {
            let off = self.free_bytes(8);
            self.store_register(off, reg);
        }
    }

    /// Makes every choice in some lines; `wrong` counts the places down to that of the mistake.
    fn choose(&mut self, lines: &[&'static str], wrong: &mut Option<usize>) -> Chosen {
        let mut hit = || match wrong {
            Some(0) => {
                *wrong = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        let mut chosen = Chosen::default();
        for line in lines {
            let line = match line.split_at_checked(1) {
                Some(("?", _)) if hit() => continue,
                Some(("+", rest)) if hit() => rest,
                Some(("+", _)) => continue,
                Some(("~", _)) if self.choices.percent(50) => continue,
                Some(("?" | "~", rest)) => rest,
                _ => line,
            };
            let mut text = line.trim().to_owned();
            while let Some((from, to)) = free_choice(&text) {
                self.settle(&mut text, from, to, None);
            }
            while let Some((from, to)) = mistake(&text) {
                let wrong = hit();
                self.settle(&mut text, from, to, Some(wrong));
            }
            let text = self.with_numbers(text).replace("+ -", "- ").replace("+-", "-");
            if let Some(made) = read_macro(&text) {
                chosen.text.push_str(&format!(".raw {MARK:#x} 0 0 0 {}\n", chosen.macros.len()));
                chosen.macros.push(made);
            } else {
                chosen.text.push_str(&text);
                chosen.text.push('\n');
            }
        }
        chosen
    }

    /// Puts one of the options that stand between two brackets in their place: of a mistake the
    /// first, or one of the others.
    fn settle(&mut self, text: &mut String, from: usize, to: usize, wrong: Option<bool>) {
        let options: Vec<&str> = text.get(from + 1..to).unwrap_or_default().split('|').collect();
        let at = match wrong {
            Some(true) => 1 + self.choices.below(options.len() - 1),
            Some(false) => 0,
            None => self.choices.below(options.len()),
        };
        let option = options.get(at).copied().unwrap_or_default().to_owned();
        text.replace_range(from..=to, &option);
    }

    /// BTF ids and offsets of members in the place of their names.
    fn with_numbers(&self, text: String) -> String {
        if !text.contains('$') {
            return text;
        }
        let btf = self.kernel.btf(None).ok().flatten();
        let find = |name, kind| btf.and_then(|btf| btf.find_by_name(name, kind));
        let task = find("task_struct", TypeKind::Struct);
        let mm = task.and_then(|id| {
            let ty = btf?.type_by_id(id).ok()?;
            ty.members().iter().find(|member| member.name() == "mm").map(|mm| mm.byte_offset())
        });
        let id = |id: Option<TypeId>| id.map_or(0, |id| id.0);
        [
            ("$node", self.pool.node.id),
            ("$pair", self.pool.pair),
            ("$int", self.pool.int),
            ("$task.mm", mm.unwrap_or_default()),
            ("$task", id(task)),
            ("$skb", id(find("sk_buff", TypeKind::Struct))),
            ("$cast_int", id(find("int", TypeKind::Int))),
        ]
        .iter()
        .fold(text, |text, (name, number)| text.replace(name, &number.to_string()))
    }

    fn assembled(&mut self, chosen: Chosen, lenient: bool) -> Option<Written> {
        let names = Names { builder: self, lenient, maps: RefCell::new(self.maps.clone()) };
        let made = asm::assemble(&chosen.text, &names);
        let maps = names.maps.into_inner();
        let program = made.ok()?;
        self.maps = maps;
        Some((program.insns, chosen.macros))
    }

    /// Puts instructions into the program, and what their marks stand for.
    fn perform(&mut self, insns: &[Insn], macros: &[Macro], callback: Option<Label>) {
        let mut labels = vec![None; insns.len() + 1];
        for (at, insn) in insns.iter().enumerate() {
            let target = insn.jump_target(at).or_else(|| insn.subprog_target(at));
            let target =
                target.filter(|_| insn.code != MARK).and_then(|to| usize::try_from(to).ok());
            if let Some(place) = target.and_then(|target| labels.get_mut(target))
                && place.is_none()
            {
                *place = Some(self.code.label());
            }
        }
        let mut second = false;
        for (at, insn) in insns.iter().enumerate() {
            if let Some(label) = labels.get(at).copied().flatten() {
                self.code.bind(label);
            }
            if insn.code == MARK && !second {
                let made = usize::try_from(insn.imm).ok().and_then(|at| macros.get(at));
                if let Some(made) = made {
                    self.expand(*made, callback);
                }
                continue;
            }
            let target = insn.jump_target(at).or_else(|| insn.subprog_target(at));
            let label = target
                .filter(|_| !second)
                .and_then(|to| labels.get(usize::try_from(to).ok()?).copied().flatten());
            self.code.raw(*insn, label);
            // What was in the registers before the scene is there no longer.
            if !second && insn.class() == BPF_JMP {
                self.state.call(Value::Uninit);
            } else if !second && insn.dst() < 10 {
                self.state.set(Reg::new(insn.dst()), Value::Uninit);
            }
            second = !second && insn.is_ldimm64();
        }
        if let Some(label) = labels.last().copied().flatten() {
            self.code.bind(label);
        }
    }

    fn expand(&mut self, made: Macro, callback: Option<Label>) {
        match made {
            Macro::Context(reg) => {
                // A function without a context gets a number, which is as good a mistake as any.
                if !self.context_into(reg) {
                    self.constant(reg, 0);
                }
            }
            Macro::Number(reg) => {
                match self.find(|value| matches!(value, Value::Scalar(r) if r.known().is_none())) {
                    Some(src) if src != reg => self.mov(reg, src),
                    Some(_) => {}
                    None => self.any_number(reg),
                }
            }
            Macro::Block => {
                let before: State = self.state.clone();
                for reg in [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
                    self.state.set(reg, Value::Uninit);
                }
                let count = 1 + self.choices.below(2);
                self.inner_block(count);
                self.state.join(&before);
            }
            Macro::Return => self.exit(),
            Macro::Function(reg) => {
                if let Some(label) = callback {
                    self.code.func(reg, label);
                }
            }
            Macro::Call => {
                if let Some(label) = callback {
                    self.code.call(label);
                }
            }
        }
        // Nothing else is known of the registers between the instructions of a scene.
        for reg in Reg::ALL.into_iter().take(10) {
            self.state.set(reg, Value::Uninit);
        }
    }

    /// A number that no verifier knows, or else some constant.
    fn any_number(&mut self, reg: Reg) {
        let slot = self.state.stack.iter().position(|slot| {
            matches!(slot.value, Value::Scalar(range) if range.known().is_none())
                && slot.written == 0xff
        });
        match slot {
            Some(slot) => self.load_slot(reg, slot),
            None if self.context_into(reg) && self.scalar_context_load(reg) => {}
            None => {
                let value = self.choices.pick([0, 1, 7, 16, 100, -1]);
                self.constant(reg, value);
            }
        }
    }
}

/// The stack that scenes use, from the frame pointer: below what generated statements use.
const LOWEST: i32 = -256;
const HIGHEST: i32 = -160;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use veristable_isa::asm;
    use veristable_profiles::open;

    use super::{Names, scenes};
    use crate::build::{Builder, Plan};
    use crate::choices::Choices;
    use crate::kinds::kinds;
    use crate::loader::Loader;
    use crate::pool::Pool;

    #[test]
    fn every_scene_assembles_in_every_way() {
        let kernel = open("6.18.15").unwrap();
        let kinds = kinds(&kernel);
        let pool = Pool::new(&["__sk_buff"]);
        let loader = Loader::of(veristable_program::Capabilities::all());
        let plan =
            Plan { typed: true, loader, sleepable: false, strict: false, budget: 100, slips: 10 };
        let mut failed = Vec::new();
        assert!(scenes().len() > 70, "{}", scenes().len());
        for scene in scenes() {
            for wrong in 0..=scene.mistakes() {
                let seed = wrong as u64;
                let choices = Choices::seeded(seed, seed);
                let mut builder = Builder::new(&pool, &kernel, &kinds[0], choices, plan);
                for lines in [&scene.main, &scene.callback] {
                    let chosen = builder.choose(lines, &mut Some(wrong));
                    let maps = RefCell::default();
                    let names = Names { builder: &builder, lenient: true, maps };
                    let made = asm::assemble(&chosen.text, &names);
                    if let Err(error) = made {
                        let line = chosen.text.lines().nth(error.line - 1).unwrap_or_default();
                        failed.push(format!("{line}: {error}"));
                    }
                }
            }
        }
        failed.sort();
        failed.dedup();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }

    /// The program that is nothing but a scene.
    fn alone<'k>(
        pool: &Pool,
        kernel: &'k veristable_kernel::Profile,
        kind: &crate::kinds::Kind<'k>,
        scene: &'static super::Scene,
        seed: u64,
    ) -> Option<veristable_program::LoadRequest> {
        let loader = Loader::of(veristable_program::Capabilities::all());
        let sleepable = kind.row.flags.contains(veristable_program::ProgFlags::SLEEPABLE);
        let plan = Plan { typed: true, loader, sleepable, strict: false, budget: 0, slips: 0 };
        let mut builder = Builder::new(pool, kernel, kind, Choices::seeded(1, seed), plan);
        builder.starts.push((0, pool.main));
        builder.state.set(veristable_isa::Reg::R1, crate::value::Value::Ctx);
        builder.mov(veristable_isa::Reg::R6, veristable_isa::Reg::R1);
        if !builder.play(scene) {
            return None;
        }
        builder.exit();
        for number in 0..builder.pending.len() {
            builder.function(number);
        }
        Some(crate::program::request(builder, veristable_program::Capabilities::all()))
    }

    #[test]
    fn every_scene_loads_as_it_stands() {
        let kernel = open("6.18.15").unwrap();
        let kinds = kinds(&kernel);
        let mut contexts: Vec<&str> = kinds.iter().filter_map(|kind| kind.context).collect();
        contexts.sort_unstable();
        contexts.dedup();
        let pool = Pool::new(&contexts);
        let options = veristable_verifier::Options::default();
        let mut failed = Vec::new();
        for scene in scenes() {
            let (mut made, mut loaded, mut said) = (0, 0, std::collections::BTreeMap::new());
            for (seed, kind) in (0..).zip(&kinds) {
                let Some(request) = alone(&pool, &kernel, kind, scene, seed) else { continue };
                made += 1;
                let mut log = veristable_verifier::log::KernelLog::new(
                    veristable_program::LogRequest { level: 1, size: 1 << 20 },
                    veristable_verifier::Dialect::of(veristable_kernel::Kernel::design(&kernel)),
                );
                let outcome = veristable_verifier::verify(&request, &kernel, &options, &mut log);
                if matches!(outcome, veristable_verifier::Outcome::Accepted(_)) {
                    loaded += 1;
                } else {
                    let text =
                        String::from_utf8_lossy(&log.buffer().pieces().concat()).into_owned();
                    let last: Vec<&str> = text.lines().rev().take(4).collect();
                    *said
                        .entry(format!("{:?}: {last:?}", kind.row.prog_type.name()))
                        .or_insert(0) += 1;
                }
            }
            println!("{made} made, {loaded} loaded: {}", scene.main.join("; "));
            for (what, count) in said {
                println!("    {count} {what}");
            }
            if loaded == 0 {
                failed.push(scene.main.join("\n"));
            }
        }
        assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    }
}
