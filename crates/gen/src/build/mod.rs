// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Builds one program: statements in blocks, while the builder tracks what every place holds.

mod branches;
mod context;
mod functions;
mod helpers;
mod kfuncs;
mod loops;
mod memory;
mod numbers;
mod objects;
mod packet;
mod resources;
mod scenes;
mod stack;

use veristable_isa::{AluOp, CallKind, Imm64, Op, Operand, Reg, Wide, Width};
use veristable_kernel::{Kernel, ProgType, ReturnRange};

use crate::choices::Choices;
use crate::code::{Code, Label};
use crate::kinds::{Facts, Kind};
use crate::loader::Loader;
use crate::pool::Pool;
use crate::value::{Range, State, Value};
use functions::{Form, Pending};
use scenes::Written;

/// Statements inside one another at most.
const DEPTH: u32 = 5;

/// What a program is built from and with.
pub(crate) struct Builder<'a, 'k> {
    pub(crate) pool: &'a Pool,
    pub(crate) kernel: &'k dyn Kernel,
    pub(crate) kind: &'a Kind<'k>,
    pub(crate) facts: &'a Facts<'k>,
    pub(crate) choices: Choices<'a>,
    pub(crate) code: Code,
    pub(crate) state: State,
    /// Maps of the pool that the program names, in the order of the request.
    pub(crate) maps: Vec<usize>,
    /// Functions in the order of the text: slot and BTF id.
    pub(crate) starts: Vec<(usize, u32)>,
    /// Whether the program has BTF.
    pub(crate) typed: bool,
    pub(crate) loader: Loader,
    /// Whether it is loaded with BPF_F_SLEEPABLE.
    pub(crate) is_sleepable: bool,
    /// Whether unaligned accesses are refused.
    pub(crate) strict: bool,
    /// Whether it may sleep at this place.
    sleepable: bool,
    /// In a section of RCU.
    in_rcu: bool,
    /// Functions that are called and not yet built.
    pending: Vec<Pending>,
    /// Bodies of those of them that scenes brought along.
    written: Vec<(Label, Written)>,
    form: Form,
    /// Registers that are not to be overwritten, a bit each.
    pinned: u16,
    /// Stack slots that are not to be overwritten, a bit each.
    reserved: u64,
    /// Dynptrs on the stack, by their offsets.
    dynptrs: Vec<i32>,
    /// What has to be given back before the program may end.
    held: u32,
    /// In a section where nothing may be called.
    locked: bool,
    /// Loops so far: many of them one after the other make the verifier's work explode.
    loops: u32,
    /// Statements around this one.
    depth: u32,
    /// The program is not to grow beyond so many slots.
    budget: usize,
    /// Only statements that use no maps, functions and resources.
    calm: bool,
    /// A rule is broken in so many of a thousand places.
    slips: u32,
    /// References and pointers that may be NULL, counted.
    numbers: u32,
    /// Global and callback functions that were used, by BTF id.
    used: Vec<u32>,
}

/// How a program is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) typed: bool,
    pub(crate) loader: Loader,
    pub(crate) sleepable: bool,
    pub(crate) strict: bool,
    pub(crate) budget: usize,
    pub(crate) slips: u32,
}

/// A statement; false if it does not fit here.
type Make<'a, 'k> = fn(&mut Builder<'a, 'k>) -> bool;

impl<'a, 'k> Builder<'a, 'k> {
    pub(crate) fn new(
        pool: &'a Pool,
        kernel: &'k dyn Kernel,
        kind: &'a Kind<'k>,
        choices: Choices<'a>,
        plan: Plan,
    ) -> Self {
        Self {
            pool,
            kernel,
            kind,
            facts: kind.facts(kernel, plan.loader),
            choices,
            code: Code::default(),
            state: State::new(),
            maps: Vec::new(),
            starts: Vec::new(),
            typed: plan.typed,
            loader: plan.loader,
            is_sleepable: plan.sleepable,
            strict: plan.strict,
            sleepable: plan.sleepable,
            in_rcu: false,
            pending: Vec::new(),
            written: Vec::new(),
            form: Form::Main,
            pinned: 0,
            reserved: 0,
            dynptrs: Vec::new(),
            held: 0,
            locked: false,
            loops: 0,
            depth: 0,
            budget: plan.budget,
            calm: false,
            slips: plan.slips,
            numbers: 0,
            used: Vec::new(),
        }
    }

    /// Builds the main function and all that it calls.
    pub(crate) fn program(&mut self) {
        self.starts.push((0, self.pool.main));
        self.state.set(Reg::R1, Value::Ctx);
        self.prologue();
        self.body();
        // Functions that these call come last and are few.
        let mut built = 0;
        while built < self.pending.len() && built < 8 {
            self.function(built);
            built += 1;
        }
    }

    /// Saves the context where calls leave it alone.
    fn prologue(&mut self) {
        if self.choices.percent(88) {
            let saved = self.choices.pick([Reg::R6, Reg::R6, Reg::R7, Reg::R8, Reg::R9]);
            self.mov(saved, Reg::R1);
        } else if self.choices.percent(60) {
            let off = self.choices.pick([-8, -16, -64]);
            self.store_register(off, Reg::R1);
        }
    }

    /// Statements up to the end of the function.
    fn body(&mut self) {
        let count = 3 + self.choices.below(9);
        self.block(count);
        self.exit();
    }

    /// Some statements.
    fn block(&mut self, count: usize) {
        for _ in 0..count {
            if self.code.len() >= self.budget {
                return;
            }
            self.statement();
        }
    }

    /// A block inside of a statement.
    fn inner_block(&mut self, count: usize) {
        self.depth += 1;
        if self.depth <= DEPTH {
            self.block(count);
        }
        self.depth -= 1;
    }

    /// Statements that leave nothing behind but registers and stack, with the context in R1; false
    /// if that was lost.
    pub(crate) fn calm_prologue(&mut self) -> bool {
        self.calm = true;
        self.state.set(Reg::R1, Value::Ctx);
        self.prologue();
        let count = 1 + self.choices.below(6);
        self.block(count);
        self.context_into(Reg::R1)
    }

    fn calm_statement(&mut self) {
        let all: [(u32, Make<'a, 'k>); 8] = [
            (8, Self::number),
            (16, Self::arithmetic),
            (10, Self::spill_or_fill),
            (8, Self::stack_bytes),
            (3, Self::stack_at_variable),
            (14, Self::branch),
            (8, Self::context_load),
            (5, Self::counted_loop),
        ];
        let made = self.choices.weighted(&all).is_some_and(|make| make(self));
        if !made {
            self.number();
        }
    }

    fn statement(&mut self) {
        if self.calm {
            return self.calm_statement();
        }
        let all: [(u32, Make<'a, 'k>); 35] = [
            (44, Self::scene),
            (10, Self::number),
            (22, Self::arithmetic),
            (10, Self::spill_or_fill),
            (8, Self::stack_bytes),
            (4, Self::stack_at_variable),
            (12, Self::branch),
            (7, Self::context_load),
            (3, Self::context_store),
            (14, Self::map_lookup),
            (6, Self::map_value),
            (14, Self::access),
            (10, Self::object_walk),
            (16, Self::any_helper),
            (6, Self::counted_loop),
            (3, Self::may_goto_loop),
            (8, Self::packet_access),
            (3, Self::packet_load),
            (6, Self::static_call),
            (3, Self::global_call),
            (4, Self::record),
            (3, Self::lock_section),
            (3, Self::socket_lookup),
            (2, Self::tail_call),
            (4, Self::callback_call),
            (3, Self::local_dynptr),
            (2, Self::oddity),
            (12, Self::any_kfunc),
            (4, Self::kfunc_section),
            (4, Self::iterator_loop),
            (1, Self::throw),
            (2, Self::arena),
            (2, Self::kernel_variable),
            (3, Self::own_object),
            (2, Self::pop),
        ];
        for _ in 0..4 {
            let Some(make) = self.choices.weighted(&all) else { return };
            if make(self) {
                return;
            }
        }
        self.number();
    }

    /// Whether to break the rule at hand.
    fn slip(&mut self) -> bool {
        self.slips != 0 && self.choices.below(1000) < self.slips as usize
    }

    fn fresh(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    fn op(&mut self, op: Op) {
        self.code.op(op);
    }

    fn mov(&mut self, dst: Reg, src: Reg) {
        self.op(Op::Alu { op: AluOp::Mov, width: Width::W64, dst, src: Operand::Reg(src) });
        self.state.set(dst, self.state.reg(src));
    }

    /// Loads a constant, in one of the ways that there are.
    fn constant(&mut self, dst: Reg, value: i64) {
        let short = i32::try_from(value);
        match short {
            Ok(imm) if self.choices.percent(92) => {
                let narrow = imm >= 0 && self.choices.percent(30);
                let width = if narrow { Width::W32 } else { Width::W64 };
                self.op(Op::Alu { op: AluOp::Mov, width, dst, src: Operand::Imm(imm) });
            }
            _ => {
                let value = Imm64::Value(Wide::new(value.cast_unsigned()));
                self.op(Op::LoadImm64 { dst, value });
            }
        }
        self.state.set(dst, Value::Scalar(Range::of(value)));
    }

    fn add_imm(&mut self, dst: Reg, imm: i32) {
        self.op(Op::Alu { op: AluOp::Add, width: Width::W64, dst, src: Operand::Imm(imm) });
    }

    /// A pointer to the function's own stack.
    fn frame_pointer(&mut self, dst: Reg, off: i32) {
        self.mov(dst, Reg::R10);
        if off != 0 {
            self.add_imm(dst, off);
        }
        self.state.set(dst, Value::Frame(off));
    }

    fn load_map(&mut self, dst: Reg, map: usize) {
        let fd = self.map_number(map);
        self.op(Op::LoadImm64 { dst, value: Imm64::MapFd { fd } });
        self.state.set(dst, Value::Map(map));
    }

    /// The number of a map of the pool in the request.
    fn map_number(&mut self, map: usize) -> i32 {
        let at = self.maps.iter().position(|known| *known == map).unwrap_or_else(|| {
            self.maps.push(map);
            self.maps.len() - 1
        });
        at as i32
    }

    fn call_helper(&mut self, id: i32, result: Value) {
        self.op(Op::Call(CallKind::Helper { id }));
        self.state.call(result);
    }

    /// The number of a helper by its name, if the program has it.
    fn helper_id(&self, name: &str) -> Option<i32> {
        self.facts.helpers.iter().find(|helper| helper.name == name).map(|helper| helper.id)
    }

    fn is_pinned(&self, reg: Reg) -> bool {
        self.pinned & 1 << reg.number() != 0
    }

    fn pin(&mut self, reg: Reg) {
        self.pinned |= 1 << reg.number();
    }

    fn unpin(&mut self, reg: Reg) {
        self.pinned &= !(1 << reg.number());
    }

    /// A register that holds what is wanted.
    fn find(&mut self, wanted: impl Fn(Value) -> bool) -> Option<Reg> {
        self.find_with(|_, value| wanted(value))
    }

    /// As [`Builder::find`], for what depends on the program.
    fn find_with(&mut self, wanted: impl Fn(&Self, Value) -> bool) -> Option<Reg> {
        let mut found = [Reg::R0; 10];
        let mut count = 0;
        for reg in Reg::ALL.into_iter().take(10) {
            if wanted(self, self.state.reg(reg)) {
                found[count] = reg;
                count += 1;
            }
        }
        self.choices.of(found.get(..count).unwrap_or_default())
    }

    /// A register to write to: often one that holds nothing.
    fn dest(&mut self) -> Reg {
        let free = |this: &Self, reg: Reg| !this.is_pinned(reg);
        let mut last = Reg::R0;
        for _ in 0..12 {
            let reg = Reg::new(self.choices.below(10) as u8);
            if !free(self, reg) {
                continue;
            }
            last = reg;
            let value = self.state.reg(reg);
            if value == Value::Uninit || (value.is_scalar() && self.choices.percent(50)) {
                return reg;
            }
        }
        if free(self, last) {
            return last;
        }
        Reg::ALL.into_iter().take(10).find(|reg| free(self, *reg)).unwrap_or(Reg::R0)
    }

    /// A register that calls leave alone.
    fn saved_dest(&mut self) -> Option<Reg> {
        let all = [Reg::R6, Reg::R7, Reg::R8, Reg::R9];
        let first = self.choices.below(4);
        let free = |reg: &Reg| !self.is_pinned(*reg);
        let order = (0..4).filter_map(|at| all.get((first + at) % 4).copied());
        let mut free: Vec<Reg> = order.filter(free).collect();
        // What holds the only way to the context goes last.
        free.sort_by_key(|reg| self.state.reg(*reg) == Value::Ctx);
        free.first().copied()
    }

    /// Puts the context into a register; false if the function has lost it.
    fn context_into(&mut self, dst: Reg) -> bool {
        if let Some(reg) = self.find(|value| value == Value::Ctx) {
            if reg != dst {
                self.mov(dst, reg);
            }
            return true;
        }
        let slot = self.state.stack.iter().position(|slot| slot.value == Value::Ctx);
        let Some(slot) = slot else { return false };
        self.load_slot(dst, slot);
        true
    }

    /// What the function returns to whom it concerns, and the end.
    fn exit(&mut self) {
        if !(self.slip()) {
            let (low, high) = match self.form {
                Form::Main => match self.facts.returns {
                    ReturnRange::Within(low, high) => (low, high),
                    ReturnRange::Any => (0, 1),
                },
                _ => (0, 1),
            };
            // 6.18.15 dies of a struct_ops program that ends with what a dynptr's slice was in R0,
            // even where it was NULL (`check_return_code` looks into a union).
            let fatal = self.kind.row.prog_type == ProgType::STRUCT_OPS;
            let keep = !fatal
                && match self.state.reg(Reg::R0) {
                    Value::Scalar(range) => {
                        let any = self.form == Form::Main && self.facts.returns == ReturnRange::Any;
                        any || (range.min >= low.into() && range.max <= high.into())
                    }
                    _ => false,
                };
            if !keep || self.choices.percent(30) {
                let value = if self.choices.percent(80) {
                    low.max(0).min(high)
                } else {
                    self.choices.within(low, high)
                };
                self.constant(Reg::R0, value.into());
            }
        }
        self.op(Op::Exit);
    }

    /// Something that is wrong by its form.
    fn oddity(&mut self) -> bool {
        if !self.slip() {
            return false;
        }
        let reg = Reg::new(self.choices.below(12) as u8);
        match self.choices.below(5) {
            0 => self.mov(Reg::R0, reg),
            1 => self.op(Op::Alu {
                op: AluOp::Mov,
                width: Width::W64,
                dst: Reg::R10,
                src: Operand::Imm(1),
            }),
            2 => {
                let id = self.choices.within(-1, 230);
                self.call_helper(id, Value::ANY);
            }
            3 => {
                let label = self.code.here();
                self.code.goto(label, false);
            }
            _ => self.op(Op::Exit),
        }
        true
    }
}
