// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What all phases of one verification share.

use crate::analysis::btf_info::FuncInfo;
use crate::analysis::calls::KnownHelpers;
use crate::analysis::graph::Graph;
use crate::analysis::kfuncs::Kfunc;
use crate::analysis::maps::{MapBtf, UsedBtf, UsedMap};
use crate::analysis::record::Records;
use crate::design::Dialect;
use crate::domain::Rules;
use crate::errno::Errno;
use crate::log::state::StateNames;
use crate::mem::{Budget, List, SmallList, Text};
use crate::messages::{Message, Path};
use crate::options::{Machine, Meter, Options};
use crate::outcome::{Abort, Feature, Stats, Step, Stop};
use crate::prune::Concerns;
use crate::state::BtfRef;
use crate::target::TargetProgram;
use crate::trace::{Event, Level, Observer};
use veristable_btf::{Btf, TypeId};
use veristable_isa::{Insn, Op};
use veristable_kernel::{AttachType, Behaviour, Behaviours, Kernel, ProgContext, ProgType};
use veristable_program::{Attach, Capabilities, LoadRequest, MapDesc, ProgFlags};

/// One verification: the request, the kernel, and what the phases found out so far.
///
/// The fields are public to this crate: phases own what they fill, and the comments say which one
/// does. `'a` outlives the verification.
pub struct Env<'a, O: Observer> {
    /// What is to be loaded.
    pub request: &'a LoadRequest,
    /// Which kernel loads it.
    pub kernel: &'a dyn Kernel,
    /// How that kernel's verifier behaves, where it differs from others in a detail.
    pub behaviours: Behaviours,
    /// The same for its arithmetic on abstract values.
    pub rules: Rules,
    /// Settings of the machine.
    pub machine: Machine,
    /// Whose words messages are in.
    pub dialect: Dialect,
    /// Counts memory.
    pub budget: Budget,
    /// Counts work; see [`Env::tick`].
    pub(crate) meter: Meter<'a>,
    /// Who watches.
    pub observer: &'a mut O,
    /// What the loading process may do, as the verifier asks.
    pub privileges: Privileges,
    /// The program as a whole.
    pub prog: Prog<'a>,
    /// Its instructions.
    pub code: Code,
    /// Its subprograms, by where they start (`add_subprog_and_kfunc`).
    pub subprogs: List<Subprog>,
    /// The subprogram that handles exceptions.
    pub exception_callback: Option<SubprogId>,
    /// Set by the simulation: an exception is thrown somewhere (`seen_exception`).
    pub seen_exception: bool,
    /// Rewriting added a subprogram that handles exceptions (`add_hidden_subprog`).
    pub hidden_subprogram: bool,
    /// The kfuncs that the instructions call (`add_subprog_and_kfunc`), sorted by id, then
    /// offset.
    pub kfuncs: List<Kfunc<'a>>,
    /// Whether kfuncs may be called at all; tested at the first call.
    pub(crate) kfuncs_allowed: bool,
    /// Helpers that the analyses asked for.
    pub(crate) known_helpers: KnownHelpers<'a>,
    /// The maps in use, in the order in which they were met (`resolve_pseudo_ldimm64`).
    pub used_maps: List<UsedMap>,
    /// Special fields of map values and of allocated objects, as they are asked for.
    pub records: Records,
    /// The BTFs in use besides.
    pub used_btfs: List<UsedBtf<'a>>,
    /// The slot index of the instruction that is being looked at.
    pub insn: Option<u32>,
    /// The statistics so far; the simulation counts here.
    pub stats: Stats,
    /// Messages since the last instruction, state or source line.
    messages: SmallMessages,
    /// The line info record that was printed last (`prev_linfo`).
    pub(crate) last_line: Option<u32>,
}

type SmallMessages = List<Message>;

/// The five privilege bits of `struct bpf_verifier_env`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Privileges {
    /// `bpf_capable`: `CAP_BPF`.
    pub bpf_capable: bool,
    /// `allow_ptr_leaks`: `CAP_PERFMON`.
    pub allow_ptr_leaks: bool,
    /// `allow_uninit_stack`: `CAP_PERFMON`.
    pub allow_uninit_stack: bool,
    /// `bypass_spec_v1`: no speculative paths, no masking.
    pub bypass_spec_v1: bool,
    /// `bypass_spec_v4`: no barriers after stack stores.
    pub bypass_spec_v4: bool,
}

impl Privileges {
    /// As `bpf_check` computes them (`include/linux/bpf.h`: `bpf_allow_ptr_leaks` and the others),
    /// but for what the JIT contributes: the load gate adds that.
    #[must_use]
    pub fn of(capabilities: Capabilities, machine: Machine) -> Self {
        let perfmon = capabilities.allows(Capabilities::PERFMON);
        let bypass = machine.mitigations_off || perfmon;
        Self {
            bpf_capable: capabilities.allows(Capabilities::BPF),
            allow_ptr_leaks: perfmon,
            allow_uninit_stack: perfmon,
            bypass_spec_v1: bypass,
            bypass_spec_v4: bypass,
        }
    }
}

/// What the caller opened of the program and of the one that it attaches to.
#[derive(Clone, Copy)]
pub(crate) struct Programs<'a> {
    /// The program's BTF.
    pub(crate) btf: Option<&'a Btf<'a>>,
    /// The target.
    pub(crate) target: Option<&'a TargetProgram<'a>>,
    /// BTF of maps that is not the program's.
    pub(crate) map_btfs: &'a [MapBtf<'a>],
}

/// The program as a whole.
#[derive(Clone, Copy)]
pub struct Prog<'a> {
    /// Its type as loaded.
    pub prog_type: ProgType,
    /// The type whose rules apply: the target's, for a replacement of another program's function
    /// (`resolve_prog_type`).
    pub rules: ProgType,
    /// Its expected attach type after the load gate's corrections.
    pub attach_type: AttachType,
    /// Its load flags.
    pub flags: ProgFlags,
    /// Whether it may sleep.
    pub sleepable: bool,
    /// Whether its license allows functions for GPL programs only.
    pub gpl_compatible: bool,
    /// `strict_alignment`.
    pub strict_alignment: bool,
    /// `test_state_freq`.
    pub test_state_freq: bool,
    /// `test_reg_invariants`.
    pub test_reg_invariants: bool,
    /// Its own BTF, if it brings any.
    pub btf: Option<&'a Btf<'a>>,
    /// BTF of maps that another loader made.
    pub(crate) map_btfs: &'a [MapBtf<'a>],
    /// The program that it attaches to, if it does (`dst_prog`).
    pub(crate) target: Option<&'a TargetProgram<'a>>,
    /// The BTF in which [`Prog::attach_btf_id`] counts (the kernel's or a module's).
    pub attach_btf: Option<&'a Btf<'a>>,
    /// What it attaches to, 0 if nothing.
    pub attach_btf_id: TypeId,
    /// The prototype of what it attaches to (`attach_func_proto`), in [`Prog::attach_btf`] or in
    /// the BTF of the target.
    pub attach_func_proto: Option<TypeId>,
    /// The name of what it attaches to (`attach_func_name`).
    pub attach_func_name: Option<&'a str>,
    /// Whether anything may change packet data (`changes_pkt_data` of the main program).
    pub changes_pkt_data: bool,
    /// Whether anything may sleep (`might_sleep` of the main program).
    pub might_sleep: bool,
}

/// The instructions and what is known of each.
#[derive(Default)]
pub struct Code {
    /// The slots as loaded.
    pub insns: List<Insn>,
    /// What the analyses found out, one per slot.
    pub aux: List<InsnAux>,
    /// All instructions in post-order, grouped by subprogram ([`Subprog::postorder`]).
    pub postorder: List<u32>,
    /// Where each slot stands in [`Code::postorder`]; `u32::MAX` if nothing leads to it.
    pub places: List<u32>,
    /// Where control goes; empty where no post-order is computed.
    pub graph: Graph,
    /// The number of strongly connected components with an id; ids are 1 to this.
    pub scc_count: u32,
    /// Function info, one per subprogram; empty if the program brings none.
    pub func_info: List<FuncInfo>,
    /// How many records of line info the program brings, all tested and ascending.
    pub lines: u32,
}

impl Code {
    /// The number of slots.
    #[must_use]
    pub fn len(&self) -> u32 {
        // The load gate limits programs to a million slots.
        u32::try_from(self.insns.len()).unwrap_or(u32::MAX)
    }

    /// Whether there are none; no program that passed the gate is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.insns.is_empty()
    }

    /// The slot at `index`, which must be one.
    ///
    /// # Errors
    ///
    /// [`Abort::Internal`] if it is not.
    #[inline]
    pub fn insn(&self, index: u32) -> Result<Insn, Abort> {
        self.insns.at(index as usize).copied()
    }

    /// What is known of the slot at `index`, which must be one.
    ///
    /// # Errors
    ///
    /// [`Abort::Internal`] if it is not.
    #[inline]
    pub fn aux(&self, index: u32) -> Result<&InsnAux, Abort> {
        self.aux.at(index as usize)
    }

    /// What is known of the slot at `index`, which must be one.
    ///
    /// # Errors
    ///
    /// [`Abort::Internal`] if it is not.
    #[inline]
    pub fn aux_mut(&mut self, index: u32) -> Result<&mut InsnAux, Abort> {
        self.aux.at_mut(index as usize)
    }
}

bitflags::bitflags! {
    /// Marks on an instruction. Those of the analyses are final when the simulation begins.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct InsnFlags: u16 {
        /// A place where states are compared.
        const PRUNE_POINT = 1 << 0;
        /// A place that the history of jumps records.
        const JMP_POINT = 1 << 1;
        /// A place where a new state is always kept.
        const FORCE_CHECKPOINT = 1 << 2;
        /// Calls a function that calls back synchronously.
        const CALLS_CALLBACK = 1 << 3;
        /// Calls the `next` function of an iterator.
        const ITER_NEXT = 1 << 4;
        /// Part of a spill, call, fill pattern (`fastcall_pattern`).
        const FASTCALL_PATTERN = 1 << 5;
        /// Set by the simulation: reached.
        const SEEN = 1 << 6;
        /// Set by the simulation: a speculation barrier stands before it.
        const NOSPEC = 1 << 7;
        /// Set by the simulation: a speculation barrier stands after it.
        const NOSPEC_RESULT = 1 << 8;
        /// Set by the simulation: the upper half of its result must be cleared by the JIT.
        const ZEXT_DST = 1 << 9;
        /// Set by the simulation: a helper was called with different maps (`bpf_map_ptr_poisoned`).
        const SEVERAL_MAPS = 1 << 10;
        /// Set by the simulation: the call of `bpf_loop` is replaced by instructions
        /// (`fit_for_inline`).
        const INLINE_LOOP = 1 << 11;
        /// A jump or call leads here (`jump_target`).
        const JUMP_TARGET = 1 << 12;
        /// Set by the simulation: a load from an arena that extends the sign.
        const ARENA_SIGN_LOAD = 1 << 13;
    }
}

/// What is known of one slot.
#[derive(Clone, Copy, Debug, Default)]
pub struct InsnAux {
    /// Marks.
    pub flags: InsnFlags,
    /// Bit n: register n is alive before it.
    pub live_regs: u16,
    /// The strongly connected component, 0 if it is in none.
    pub scc: u32,
    /// What must be sought for precision to stop at it.
    pub(crate) concerns: Concerns,
    /// For the call in the middle of a fastcall pattern: how many spills belong to it.
    pub fastcall_spills: u8,
    /// The typed instruction.
    pub op: DecodedOp,
    /// What its reference to something outside stands for.
    pub target: Target,
}

/// A slot, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DecodedOp {
    /// An instruction that starts here.
    Op(Op),
    /// The second slot of a 64-bit immediate load.
    SecondSlot,
    /// No instruction that can be written in types; the kernel refuses it when it simulates it
    /// (`analysis::fields` says with which message).
    #[default]
    Malformed,
}

/// What a 64-bit immediate load or a call refers to, resolved once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Target {
    /// Nothing.
    #[default]
    None,
    /// The map itself.
    Map(MapIndex),
    /// The value of key 0 of the map.
    MapValue {
        /// The map.
        map: MapIndex,
        /// Offset into the value in bytes.
        offset: u32,
    },
    /// A variable or function of the kernel.
    KernelVariable(KernelVariable),
    /// A subprogram, called or taken the address of.
    Subprog(SubprogId),
    /// A kfunc, by its index in [`Env::kfuncs`].
    Kfunc(u32),
}

/// The type of a pseudo BTF id load (`aux->btf_var`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KernelVariable {
    /// A structure: `PTR_TO_BTF_ID`.
    Struct {
        /// Which BTF its type counts in.
        btf: BtfRef,
        /// Its type there.
        type_id: TypeId,
        /// Whether it is per CPU (`MEM_PERCPU`).
        percpu: bool,
    },
    /// Plain memory: `PTR_TO_MEM | MEM_RDONLY`.
    Memory {
        /// Its size in bytes.
        size: u32,
    },
}

/// An index into [`Env::used_maps`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MapIndex(pub u32);

/// An index into [`Env::subprogs`]; 0 is the main program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SubprogId(pub u32);

impl SubprogId {
    /// The main program.
    pub const MAIN: Self = Self(0);
}

bitflags::bitflags! {
    /// What is known of a subprogram.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct SubprogFlags: u16 {
        /// Contains a tail call.
        const HAS_TAIL_CALL = 1 << 0;
        /// Contains a classic packet load.
        const HAS_LD_ABS = 1 << 1;
        /// It or a callee may change packet data.
        const CHANGES_PKT_DATA = 1 << 2;
        /// It or a callee may sleep.
        const MIGHT_SLEEP = 1 << 3;
        /// A tail call can be reached from it.
        const TAIL_CALL_REACHABLE = 1 << 4;
        /// Set by the simulation: called back synchronously.
        const IS_CALLBACK = 1 << 5;
        /// Set by the simulation: called back asynchronously.
        const IS_ASYNC_CALLBACK = 1 << 6;
        /// The handler of exceptions.
        const IS_EXCEPTION_CALLBACK = 1 << 7;
        /// A global function, by its BTF.
        const IS_GLOBAL = 1 << 8;
        /// Set by the simulation: fastcall spills of it are read elsewhere and must stay.
        const KEEP_FASTCALL_STACK = 1 << 9;
        /// Set by the simulation: called, so that a global function must be checked.
        const CALLED = 1 << 10;
        /// Set by the simulation: checked as a global function.
        const VERIFIED = 1 << 11;
        /// Never reached, and removed after the program was accepted.
        const REMOVED = 1 << 12;
        /// Set by the simulation: its BTF is not what it takes (`unreliable`).
        const UNRELIABLE = 1 << 13;
    }
}

/// A subprogram.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subprog {
    /// Its first slot.
    pub start: u32,
    /// The slot after its last.
    pub end: u32,
    /// Where it stands in [`Code::postorder`]: from the first to before the second.
    pub postorder: (u32, u32),
    /// Stack bytes in use; the simulation raises it.
    pub stack_depth: u16,
    /// Lowest stack offset of fastcall spills, 0 if there are none (`fastcall_stack_off`).
    pub fastcall_stack_off: i16,
    /// What is known of it.
    pub flags: SubprogFlags,
}

impl<'a, O: Observer> Env<'a, O> {
    /// Sets up a verification. What is opened of programs is the caller's.
    pub(crate) fn new(
        request: &'a LoadRequest,
        kernel: &'a dyn Kernel,
        options: &Options<'a>,
        dialect: Dialect,
        programs: Programs<'a>,
        observer: &'a mut O,
    ) -> Self {
        let privileges = Privileges::of(request.capabilities, options.machine);
        Self {
            request,
            kernel,
            behaviours: *kernel.behaviours(),
            rules: arithmetic(kernel.behaviours()),
            machine: options.machine,
            dialect,
            budget: Budget::new(options.memory),
            meter: Meter::new(options),
            observer,
            privileges,
            prog: Prog::new(request, privileges, programs),
            code: Code::default(),
            subprogs: List::new(),
            exception_callback: None,
            seen_exception: false,
            hidden_subprogram: false,
            kfuncs: List::new(),
            kfuncs_allowed: false,
            known_helpers: KnownHelpers::default(),
            used_maps: List::new(),
            records: Records::default(),
            used_btfs: List::new(),
            insn: None,
            stats: Stats::default(),
            messages: List::new(),
            last_line: None,
        }
    }

    /// Whether the kernel's verifier behaves so.
    #[inline]
    #[must_use]
    pub fn has(&self, behaviour: Behaviour) -> bool {
        self.behaviours.has(behaviour)
    }

    /// The part of the program that the kernel's answers depend on.
    #[must_use]
    pub fn context(&self) -> ProgContext<'a> {
        let mut context = self.request.context();
        context.prog_type = self.prog.rules;
        context.expected_attach_type = self.prog.attach_type;
        if let Attach::Program { btf_id, .. } = &self.request.attach {
            context.attach_name = match (self.prog.rules, self.prog.attach_type) {
                (ProgType::TRACING, AttachType::TRACE_ITER) => {
                    self.prog.attach_func_name.and_then(|name| name.strip_prefix("bpf_iter_"))
                }
                // What asks for the target by its id takes it for one of the kernel's.
                (ProgType::TRACING | ProgType::LSM, _) => {
                    let kernel = self.kernel.btf(None).ok().flatten();
                    let ty = kernel.and_then(|btf| btf.type_by_id(TypeId(*btf_id)).ok());
                    Some(ty.map_or("", |ty| ty.name()))
                }
                _ => None,
            };
        }
        context
    }

    /// Whether the program replaces a function of another (`BPF_PROG_TYPE_EXT`).
    pub(crate) fn replaces(&self) -> bool {
        self.prog.prog_type == ProgType::EXT
    }

    /// Whether the program replaces a function of a struct_ops program: then the rules of its
    /// structure hold no more, only the empty ones of the type (`bpf_struct_ops_verifier_ops`).
    pub(crate) fn replaces_struct_ops(&self) -> bool {
        (self.prog.prog_type, self.prog.rules) == (ProgType::EXT, ProgType::STRUCT_OPS)
    }

    /// One step of work; every loop whose length the input decides calls it.
    ///
    /// # Errors
    ///
    /// If the fuel is used up or the caller cancelled.
    #[inline]
    pub fn tick(&mut self) -> Result<(), Abort> {
        self.meter.tick()
    }

    /// Where names in a state's text come from, and who gets the text.
    pub(crate) fn names_and_observer(&mut self) -> (StateNames<'_>, &mut O) {
        let names = StateNames {
            request: self.request,
            used_maps: &self.used_maps,
            kernel: self.kernel,
            program: self.prog.btf,
            map_btfs: self.prog.map_btfs,
            used_btfs: &self.used_btfs,
        };
        (names, self.observer)
    }

    /// Whether events of this level are wanted.
    #[inline]
    pub fn wants(&self, level: Level) -> bool {
        O::LEVEL >= level && self.observer.wants(level)
    }

    /// Emits an event; check [`Env::wants`] first unless the event costs nothing to build.
    #[inline]
    pub fn emit(&mut self, event: Event<'_>) {
        if O::LEVEL > Level::None {
            self.observer.event(event);
        }
    }

    /// Says something that rejects nothing, or not yet.
    ///
    /// # Errors
    ///
    /// If memory does not suffice.
    pub fn say(&mut self, message: impl Into<Message>) -> Result<(), Abort> {
        let message = message.into();
        if self.wants(Level::Messages) {
            self.observer.event(Event::Message(&message));
        }
        self.messages.push(&self.budget, message)
    }

    /// Says why the program is refused: `return env.reject(Structure::…)`.
    ///
    /// # Errors
    ///
    /// Always: the rejection, with the errno of the message table.
    pub fn reject<T>(&mut self, message: impl Into<Message>) -> Step<T> {
        let message = message.into();
        let errno = message.errno().unwrap_or(Errno::EINVAL);
        self.reject_with(errno, message)
    }

    /// Refuses for a reason that cannot occur in the kernel without a bug there.
    pub(crate) fn bug<T>(&mut self, what: core::fmt::Arguments<'_>) -> Step<T> {
        self.reject(Path::Bug { what: Text::format(what) })
    }

    /// Whether an instruction has a mark.
    #[inline]
    pub(crate) fn has_flag(&self, insn: u32, flag: InsnFlags) -> Result<bool, Abort> {
        Ok(self.code.aux(insn)?.flags.contains(flag))
    }

    /// As [`Env::reject`], with another errno than the table's.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn reject_with<T>(&mut self, errno: Errno, message: impl Into<Message>) -> Step<T> {
        self.say(message)?;
        Err(Stop::Rejected(errno))
    }

    /// Stops because something is not built: `return env.unsupported("helper call", name)`. The
    /// place is the current instruction.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn unsupported<T>(&self, name: &'static str, detail: impl Into<Text>) -> Step<T> {
        Err(Stop::Unsupported(Feature { name, detail: detail.into(), insn: self.insn }))
    }

    /// Forgets the messages said so far: they belong to earlier lines. Called when an
    /// instruction, state or source line begins.
    #[inline]
    pub fn forget_messages(&mut self) {
        self.messages.clear();
    }

    /// The messages since the last instruction, state or source line.
    pub(crate) fn take_messages(&mut self) -> alloc::vec::Vec<Message> {
        core::mem::take(&mut self.messages).into_vec(&self.budget)
    }

    /// The map in use, which must exist.
    ///
    /// # Errors
    ///
    /// [`Abort::Internal`] if it does not.
    pub fn map(&self, index: MapIndex) -> Result<&'a MapDesc, Abort> {
        let request: &'a LoadRequest = self.request;
        let used = self.used_maps.at(index.0 as usize)?;
        let desc = request.maps.get(used.request as usize);
        desc.map(|desc| &**desc).ok_or(Abort::Internal("no such map"))
    }

    /// The subprogram, which must exist.
    ///
    /// # Errors
    ///
    /// [`Abort::Internal`] if it does not.
    pub fn subprog(&self, id: SubprogId) -> Result<&Subprog, Abort> {
        self.subprogs.at(id.0 as usize)
    }

    /// The subprogram, which must exist.
    ///
    /// # Errors
    ///
    /// [`Abort::Internal`] if it does not.
    pub fn subprog_mut(&mut self, id: SubprogId) -> Result<&mut Subprog, Abort> {
        self.subprogs.at_mut(id.0 as usize)
    }

    /// The subprogram that starts at this slot (`find_subprog`).
    #[must_use]
    pub fn subprog_at(&self, start: u32) -> Option<SubprogId> {
        let index = self.subprogs.binary_search_by_key(&start, |subprog| subprog.start).ok()?;
        u32::try_from(index).ok().map(SubprogId)
    }

    /// The subprogram that a slot belongs to (`bpf_find_containing_subprog`).
    #[must_use]
    pub fn subprog_of(&self, index: u32) -> SubprogId {
        let after = self.subprogs.partition_point(|subprog| subprog.start <= index);
        SubprogId(u32::try_from(after.saturating_sub(1)).unwrap_or(0))
    }
}

impl<'a> Prog<'a> {
    fn new(request: &'a LoadRequest, privileges: Privileges, programs: Programs<'a>) -> Self {
        let flags = request.flags;
        Self {
            prog_type: request.prog_type,
            rules: request.prog_type,
            attach_type: request.expected_attach_type,
            flags,
            sleepable: flags.contains(ProgFlags::SLEEPABLE),
            gpl_compatible: crate::analysis::gate::license_is_gpl_compatible(&request.license),
            strict_alignment: flags.contains(ProgFlags::STRICT_ALIGNMENT)
                && !flags.contains(ProgFlags::ANY_ALIGNMENT),
            test_state_freq: privileges.bpf_capable && flags.contains(ProgFlags::TEST_STATE_FREQ),
            test_reg_invariants: flags.contains(ProgFlags::TEST_REG_INVARIANTS),
            btf: programs.btf,
            map_btfs: programs.map_btfs,
            target: programs.target,
            attach_btf: None,
            attach_btf_id: TypeId(0),
            attach_func_proto: None,
            attach_func_name: None,
            changes_pkt_data: false,
            might_sleep: false,
        }
    }
}

/// The registers of a small set, in ascending order: for masks such as [`InsnAux::live_regs`].
pub fn registers(mask: u16) -> impl Iterator<Item = u8> {
    (0..16u8).filter(move |register| mask & (1 << register) != 0)
}

/// A short row of instruction indexes, e.g. successors.
pub type InsnList = SmallList<u32, 2>;

/// The behaviours that concern arithmetic on abstract values.
fn arithmetic(behaviours: &Behaviours) -> Rules {
    [
        (Behaviour::SignCrossingLowHalf, Rules::SIGN_CROSSING_LOW_HALF),
        (Behaviour::SignedLowHalf, Rules::SIGNED_LOW_HALF),
        (Behaviour::BothEndsWrap, Rules::BOTH_ENDS_WRAP),
        (Behaviour::SignedProducts, Rules::SIGNED_PRODUCTS),
        (Behaviour::UnionProduct, Rules::UNION_PRODUCT),
        (Behaviour::AnyDistance, Rules::SYNCED_LINKS),
        (Behaviour::SingleMember, Rules::SINGLE_MEMBER),
        (Behaviour::NegativeShiftBy32, Rules::NEGATIVE_SHIFT_BY_32),
    ]
    .into_iter()
    .filter(|(behaviour, _)| behaviours.has(*behaviour))
    .fold(Rules::empty(), |rules, (_, rule)| rules | rule)
}
