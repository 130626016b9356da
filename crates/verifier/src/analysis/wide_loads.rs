// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! 64-bit immediate loads and what they refer to, and the opcodes (`resolve_pseudo_ldimm64`).

use crate::analysis::maps::{self, UsedBtf};
use crate::env::{Env, KernelVariable, Target};
use crate::mem::Text;
use crate::messages::{Fields, Structure};
use crate::outcome::Step;
use crate::state::BtfRef;
use crate::trace::Observer;
use veristable_btf::{Btf, Kind, TypeId};
use veristable_isa::consts::{
    BPF_LDX, BPF_MEM, BPF_MEMSX, BPF_PSEUDO_BTF_ID, BPF_PSEUDO_FUNC, BPF_PSEUDO_MAP_FD,
    BPF_PSEUDO_MAP_IDX, BPF_PSEUDO_MAP_IDX_VALUE, BPF_PSEUDO_MAP_VALUE, bpf_mode,
};
use veristable_isa::{Insn, OpcodeSet, opcode_in_insntable};
use veristable_kernel::Behaviour;

/// Resolves every 64-bit immediate load, in the order of the instructions.
///
/// # Errors
///
/// The rejection.
pub fn resolve<O: Observer>(env: &mut Env<'_, O>) -> Step {
    // Only what 6.18 brought is asked for: newer kernels have designs that are not built.
    let opcodes = match env.has(Behaviour::LoadAcquireStoreRelease) {
        true => OpcodeSet::LINUX_6_18,
        false => OpcodeSet::LINUX_6_12,
    };
    let mut index = 0;
    while index < env.code.len() {
        env.tick()?;
        env.insn = Some(index);
        let insn = env.code.insn(index)?;
        if insn.class() == BPF_LDX
            && (!matches!(bpf_mode(insn.code), BPF_MEM | BPF_MEMSX) || insn.imm != 0)
        {
            return env.reject(Fields::Ldx);
        }
        if insn.is_ldimm64() {
            resolve_one(env, index, insn)?;
            index += 2;
            continue;
        }
        if !opcode_in_insntable(insn.code, opcodes) {
            return env.reject(Structure::UnknownOpcode { code: insn.code });
        }
        index += 1;
    }
    Ok(())
}

fn resolve_one<O: Observer>(env: &mut Env<'_, O>, index: u32, insn: Insn) -> Step {
    let second = env.code.insns.get(index as usize + 1).copied();
    let Some(second) = second.filter(|s| s.code == 0 && s.regs == 0 && s.off == 0) else {
        return env.reject(Structure::InvalidWideLoad);
    };
    let by_index = matches!(insn.src(), BPF_PSEUDO_MAP_IDX | BPF_PSEUDO_MAP_IDX_VALUE);
    let value = matches!(insn.src(), BPF_PSEUDO_MAP_VALUE | BPF_PSEUDO_MAP_IDX_VALUE);
    match insn.src() {
        // A plain constant; the address of a subprogram, resolved with the subprograms.
        0 | BPF_PSEUDO_FUNC => return Ok(()),
        BPF_PSEUDO_BTF_ID => {
            let variable = resolve_variable(env, index, insn.imm, second.imm)?;
            env.code.aux_mut(index)?.target = Target::KernelVariable(variable);
            return Ok(());
        }
        BPF_PSEUDO_MAP_VALUE | BPF_PSEUDO_MAP_IDX_VALUE => {}
        BPF_PSEUDO_MAP_FD | BPF_PSEUDO_MAP_IDX if second.imm == 0 => {}
        _ => return env.reject(Structure::UnrecognizedWideLoad),
    }
    let known = env.used_maps.len();
    let map =
        if by_index { maps::add_by_index(env, insn.imm)? } else { maps::add_by_fd(env, insn.imm)? };
    let target = if value {
        let offset = second.imm.cast_unsigned();
        maps::check_direct_value(env, map, offset)?;
        Target::MapValue { map, offset }
    } else {
        Target::Map(map)
    };
    if env.used_maps.len() > known && !env.has(Behaviour::MapRulesFirst) {
        maps::assign(env, known)?;
    }
    env.code.aux_mut(index)?.target = target;
    Ok(())
}

/// `check_pseudo_btf_id`
fn resolve_variable<O: Observer>(
    env: &mut Env<'_, O>,
    index: u32,
    btf_id: i32,
    btf_fd: i32,
) -> Step<KernelVariable> {
    let (btf, used) = maps::btf_of_variable(env, index, btf_fd)?;
    let id = TypeId(btf_id.cast_unsigned());
    let Ok(ty) = btf.type_by_id(id) else {
        return env.reject(Structure::InvalidVariableId { btf_id });
    };
    if !matches!(ty.kind(), Kind::Var | Kind::Func) {
        return env.reject(Structure::NotAVariable { btf_id });
    }
    if env.kernel.symbol(ty.name())?.is_none() {
        return env.reject(Structure::NoVariableAddress { name: Text::new(ty.name()) });
    }
    let of = match used {
        UsedBtf::Kernel => BtfRef::Kernel,
        _ => {
            let known = env.used_btfs.iter().position(|entry| *entry == used);
            let index = known.unwrap_or(env.used_btfs.len());
            BtfRef::Module(u32::try_from(index).unwrap_or(u32::MAX))
        }
    };
    let variable = match ty.as_var() {
        None => KernelVariable::Memory { size: 0 },
        Some(var) if is_percpu(btf, id) => {
            KernelVariable::Struct { btf: of, type_id: var.type_id, percpu: true }
        }
        Some(var) => {
            let ty = btf.skip_modifiers(var.type_id).ok();
            if ty.is_some_and(|ty| ty.kind().is_composite()) {
                KernelVariable::Struct { btf: of, type_id: var.type_id, percpu: false }
            } else {
                let Some(size) = ty.and_then(|ty| btf.resolve_size(ty.id()).ok()) else {
                    let name = Text::new(ty.map_or("", |ty| ty.name()));
                    return env.reject(Structure::VariableSize { name, errno: -22 });
                };
                KernelVariable::Memory { size }
            }
        }
    };
    maps::add_btf(env, used)?;
    Ok(variable)
}

/// Whether a variable is in the section of per-CPU variables (`find_btf_percpu_datasec`).
fn is_percpu(btf: &Btf<'_>, var: TypeId) -> bool {
    btf.types_of(Kind::Datasec)
        .find(|ty| ty.name() == ".data..percpu")
        .and_then(|ty| ty.as_datasec())
        .is_some_and(|section| section.vars.into_iter().any(|entry| entry.type_id == var))
}
