// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A program put together with the subprograms that it uses, in the order in which libbpf meets
//! them.

use crate::LinkError;
use crate::info::Collected;
use crate::link::Context;
use crate::object::CALLBACK_TAG;
use crate::program::{Function, PSEUDO_FUNC, Reloc, RelocKind};
use std::collections::HashMap;
use veristable_btf::{Linkage, TypeId};
use veristable_isa::Insn;
use veristable_program::InfoTable;

/// Where a subprogram is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    /// First instruction in the section.
    pub(crate) in_section: u32,
    /// First instruction in the program.
    pub(crate) in_program: u32,
}

/// A program with its subprograms, before data is relocated.
pub(crate) struct Assembled {
    pub(crate) insns: Vec<Insn>,
    /// Relocations, with instructions counted from the program's start.
    pub(crate) relocs: Vec<Reloc>,
    /// In order of their places.
    pub(crate) subprograms: Vec<Placed>,
    pub(crate) func_info: InfoTable,
    pub(crate) line_info: InfoTable,
}

/// A program being put together.
pub(crate) struct Assembler<'c, 'o> {
    context: &'c Context<'o>,
    insns: Vec<Insn>,
    relocs: Vec<Reloc>,
    subprograms: Vec<Placed>,
    /// Places of functions.
    places: HashMap<usize, u32>,
    func: Collected,
    line: Collected,
}

/// A function whose calls are being looked at.
struct Frame {
    function: usize,
    place: u32,
    /// Next instruction, from the function's start.
    next: u32,
}

impl<'c, 'o> Assembler<'c, 'o> {
    pub(crate) fn new(context: &'c Context<'o>) -> Self {
        Self {
            context,
            insns: Vec::new(),
            relocs: Vec::new(),
            subprograms: Vec::new(),
            places: HashMap::new(),
            func: Collected::default(),
            line: Collected::default(),
        }
    }

    /// Puts the program together.
    pub(crate) fn assemble(mut self, main: usize) -> Result<Assembled, LinkError> {
        self.append(main)?;
        self.follow_calls(main, 0)?;
        if let Some(callback) = self.exception_callback(main)?
            && !self.places.contains_key(&callback)
        {
            let place = self.append_subprogram(callback)?;
            self.follow_calls(callback, place)?;
        }
        let (func_info, line_info) = match &self.context.object.infos {
            Some(infos) => (self.func.table(&infos.func), self.line.table(&infos.line)),
            None => Default::default(),
        };
        let Self { insns, relocs, subprograms, .. } = self;
        Ok(Assembled { insns, relocs, subprograms, func_info, line_info })
    }

    fn function(&self, index: usize) -> Option<&'o Function> {
        self.context.object.functions.list.get(index)
    }

    /// Appends a function's instructions and relocations; returns where they begin.
    fn append(&mut self, index: usize) -> Result<u32, LinkError> {
        let place = u32::try_from(self.insns.len()).map_err(|_| LinkError::TooLarge)?;
        let Some(function) = self.function(index) else { return Ok(place) };
        if let Some(error) = &function.broken {
            return Err(error.clone());
        }
        let changed = self.context.core.of(index)?;
        self.context.take((function.len as usize).saturating_mul(Insn::SIZE))?;
        self.context.take(function.relocs.len().saturating_mul(size_of::<Reloc>()))?;
        self.insns.extend_from_slice(function.insns());
        let own = self.insns.get_mut(place as usize..).unwrap_or(&mut []);
        for (at, insn) in changed.into_iter().flatten() {
            if let Some(slot) = own.get_mut(*at as usize) {
                *slot = *insn;
            }
        }
        for reloc in &function.relocs {
            if let RelocKind::FuncAddress { .. } = reloc.kind
                && let Some(insn) = own.get_mut(reloc.insn as usize)
            {
                insn.regs = (insn.regs & 0xf) | PSEUDO_FUNC << 4;
            }
            self.relocs.push(Reloc { insn: reloc.insn.saturating_add(place), kind: reloc.kind });
        }
        Ok(place)
    }

    fn append_subprogram(&mut self, index: usize) -> Result<u32, LinkError> {
        let place = self.append(index)?;
        let in_section = self.function(index).map_or(0, |function| function.first);
        self.places.insert(index, place);
        self.subprograms.push(Placed { in_section, in_program: place });
        Ok(place)
    }

    /// Appends what a function calls, and what that calls, and so on (`bpf_object__reloc_code` of
    /// libbpf, without its recursion).
    fn follow_calls(&mut self, index: usize, place: u32) -> Result<(), LinkError> {
        self.add_info(index, place)?;
        let mut frames = vec![Frame { function: index, place, next: 0 }];
        while let Some(frame) = frames.last_mut() {
            let (Some(function), at) = (self.function(frame.function), frame.next) else { break };
            if at >= function.len {
                frames.pop();
                continue;
            }
            frame.next += 1;
            let place = frame.place;
            let Some(callee) = self.callee(function, place, at)? else { continue };
            let target = match self.places.get(&callee) {
                Some(target) => *target,
                None => {
                    let target = self.append_subprogram(callee)?;
                    self.add_info(callee, target)?;
                    frames.push(Frame { function: callee, place: target, next: 0 });
                    target
                }
            };
            let slot = place.saturating_add(at);
            if let Some(insn) = self.insns.get_mut(slot as usize) {
                insn.imm = target.wrapping_sub(slot).wrapping_sub(1).cast_signed();
            }
        }
        Ok(())
    }

    /// The subprogram that an instruction calls or takes the address of.
    fn callee(&self, function: &Function, place: u32, at: u32) -> Result<Option<usize>, LinkError> {
        let slot = place.saturating_add(at) as usize;
        let Some(insn) = self.insns.get(slot).copied() else { return Ok(None) };
        self.context.object.functions.callee(function, at, insn).transpose().map_err(|problem| {
            LinkError::Relocation {
                function: function.name.to_string(),
                insn: at,
                symbol: ".text".into(),
                problem: problem.to_owned(),
            }
        })
    }

    /// Appends function and line info (`reloc_prog_func_and_line_info` of libbpf).
    fn add_info(&mut self, index: usize, place: u32) -> Result<(), LinkError> {
        let (Some(infos), Some(function)) = (&self.context.object.infos, self.function(index))
        else {
            return Ok(());
        };
        self.context.take(infos.func.search_cost(function) + infos.line.search_cost(function))?;
        let before = self.func.len() + self.line.len();
        let missing = |what: &'static str| LinkError::MissingInfo {
            function: function.name.to_string(),
            what,
        };
        self.func.add(&infos.func, function, place).map_err(|()| missing("function info"))?;
        self.line.add(&infos.line, function, place).map_err(|()| missing("line info"))?;
        self.context.take(self.func.len() + self.line.len() - before)
    }

    /// The subprogram that a declaration tag makes the program's exception callback
    /// (`bpf_prog_assign_exc_cb` of libbpf).
    fn exception_callback(&self, main: usize) -> Result<Option<usize>, LinkError> {
        let object = self.context.object;
        let (Some(btf), Some(program)) = (&object.btf, self.function(main)) else {
            return Ok(None);
        };
        let mut found = None;
        for tag in object.exception_callbacks.tags_on(&program.name) {
            let Ok(tag) = btf.type_by_id(*tag) else { continue };
            let name = tag.name().strip_prefix(CALLBACK_TAG).unwrap_or_default();
            let error = |problem: &'static str| LinkError::ExceptionCallback {
                callback: name.to_owned(),
                problem,
            };
            let tagged = btf.type_by_id(TypeId(tag.size_or_type())).ok();
            let Some(func) = tagged.and_then(|tagged| tagged.as_func()) else {
                return Err(error("the tag is not on a function"));
            };
            if func.linkage != Linkage::Global {
                return Err(error("the tag is not on the program"));
            }
            // The verifier will complain about the second one.
            if found.is_some() {
                return Ok(None);
            }
            let index = object.exception_callbacks.subprogram(name);
            match index.and_then(|index| Some((index, object.functions.list.get(index)?))) {
                Some((_, f)) if !f.global || f.hidden => {
                    return Err(error("it must be a global function that is not hidden"));
                }
                Some((index, _)) => found = Some(index),
                None => return Err(error("there is no such function")),
            }
        }
        Ok(found)
    }
}
