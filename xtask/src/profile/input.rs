// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The decoded facts of a kernel as files.

use anyhow::Context;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use veristable_kernel::profile::Input;

/// Everything that was decoded of one kernel.
pub(crate) struct Decoded {
    pub(crate) helpers: Helpers,
    pub(crate) typehelpers: TypeHelpers,
    pub(crate) kfuncs: Kfuncs,
    pub(crate) ctx_offline: CtxOffline,
    pub(crate) ctx: CtxGuest,
    pub(crate) guest: Guest,
    pub(crate) structops: Option<StructOpsFile>,
    pub(crate) tables: Tables,
    pub(crate) inputs: Vec<Input>,
}

/// `helpers.json`
#[derive(Deserialize)]
pub(crate) struct Helpers {
    pub(crate) undecoded: Vec<serde_json::Value>,
    pub(crate) enum_bpf_type_flag: BTreeMap<String, u32>,
    pub(crate) enum_bpf_arg_type: BTreeMap<String, u32>,
    pub(crate) enum_bpf_return_type: BTreeMap<String, u32>,
    pub(crate) func_ids: BTreeMap<u32, String>,
    pub(crate) protos: BTreeMap<String, Proto>,
}

#[derive(Deserialize)]
pub(crate) struct Proto {
    pub(crate) symbol: String,
    pub(crate) func: Option<String>,
    #[serde(default)]
    pub(crate) gpl_only: bool,
    #[serde(default)]
    pub(crate) pkt_access: bool,
    #[serde(default)]
    pub(crate) might_sleep: bool,
    #[serde(default)]
    pub(crate) allow_fastcall: bool,
    pub(crate) ret_type: String,
    pub(crate) ret_raw: u32,
    pub(crate) args: [String; 5],
    pub(crate) args_raw: [u32; 5],
    #[serde(default)]
    pub(crate) arg_btf: BTreeMap<u8, BtfPointer>,
    #[serde(default)]
    pub(crate) arg_size: BTreeMap<u8, u32>,
    pub(crate) ret_btf: Option<BtfPointer>,
    pub(crate) allowed: Option<String>,
}

/// A pointer to a BTF id, or the name of the poison value.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum BtfPointer {
    Poison(String),
    Id { id_symbol: String, btf_id: Option<u32>, r#type: Option<String> },
}

/// `typehelpers.json`
#[derive(Deserialize)]
pub(crate) struct TypeHelpers {
    pub(crate) verifier_ops: BTreeMap<String, BTreeMap<String, Option<String>>>,
    pub(crate) variants: BTreeMap<String, TypeVariant>,
}

#[derive(Deserialize)]
pub(crate) struct TypeVariant {
    pub(crate) prog_type: Option<u32>,
    pub(crate) expected_attach_type: Option<u32>,
    pub(crate) prog_flags: Option<u32>,
    pub(crate) attach_func: Option<String>,
    pub(crate) helpers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(crate) failed: Vec<serde_json::Value>,
}

/// `kfuncs.json`
#[derive(Deserialize)]
pub(crate) struct Kfuncs {
    #[serde(default)]
    pub(crate) hooks: BTreeMap<String, Vec<String>>,
    pub(crate) kfuncs: BTreeMap<String, KfuncEntry>,
    #[serde(default)]
    pub(crate) btf_id_sets: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(crate) btf_id_lists: BTreeMap<String, Vec<Option<String>>>,
    #[serde(default)]
    pub(crate) flag_bits: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) dtors: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) struct_ops: Vec<StructOpsDesc>,
    #[serde(default)]
    pub(crate) struct_ops_kfuncs: BTreeMap<String, Vec<MemberKfuncs>>,
}

impl Kfuncs {
    /// Whether a member of one of these groups may call a kfunc. Only the kfuncs of the hook
    /// `STRUCT_OPS` were tried for each member; the others (hook `COMMON`, which has no filter) are
    /// as for the one struct_ops program of `allowed_types`.
    pub(crate) fn member_may_call(&self, group: &MemberKfuncs, kfunc: &String) -> bool {
        let tried = self.hooks.get("STRUCT_OPS").is_some_and(|hook| hook.contains(kfunc));
        if tried {
            return group.kfuncs.contains(kfunc);
        }
        let entry = self.kfuncs.get(kfunc);
        entry.is_some_and(|entry| entry.allowed_types.iter().any(|ty| ty == "STRUCT_OPS"))
    }
}

#[derive(Deserialize)]
pub(crate) struct KfuncEntry {
    pub(crate) flags: Vec<String>,
    pub(crate) flags_raw: u32,
    pub(crate) btf_id: Option<u32>,
    #[serde(default)]
    pub(crate) allowed_types: Vec<String>,
    #[serde(default)]
    pub(crate) allowed_variants_differ: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct StructOpsDesc {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) value_id: String,
    pub(crate) verifier_ops: Option<String>,
    pub(crate) check_member: Option<String>,
    #[serde(default)]
    pub(crate) ops: Vec<(String, bool)>,
}

#[derive(Deserialize)]
pub(crate) struct MemberKfuncs {
    pub(crate) members: Vec<String>,
    pub(crate) kfuncs: Vec<String>,
}

/// `ctx_offline.json`
#[derive(Deserialize)]
pub(crate) struct CtxOffline {
    pub(crate) variants: BTreeMap<String, CtxVariant>,
}

#[derive(Deserialize)]
pub(crate) struct CtxVariant {
    pub(crate) accepted: Option<Vec<CtxRow>>,
    #[serde(default)]
    pub(crate) failed: Vec<serde_json::Value>,
}

/// Offset, size, direction, register type, and what else the check sets.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum CtxRow {
    Plain(u32, u8, String, String),
    Extra(u32, u8, String, String, CtxExtra),
}

#[derive(Deserialize, Default, Clone)]
pub(crate) struct CtxExtra {
    /// Shares its place with a pointer to a BTF (a union in `struct bpf_insn_access_aux`), so that
    /// it means nothing where there is a BTF type.
    #[serde(default)]
    ctx_field_size: u32,
    pub(crate) btf: Option<String>,
    #[serde(default)]
    pub(crate) is_retval: u8,
}

impl CtxExtra {
    /// `ctx_field_size` where it is one.
    pub(crate) fn field_size(&self) -> u32 {
        if self.btf.is_some() { 0 } else { self.ctx_field_size }
    }
}

/// A row of [`CtxOffline`] in one form.
pub(crate) struct CtxCell<'a> {
    pub(crate) offset: u32,
    pub(crate) size: u8,
    pub(crate) write: bool,
    pub(crate) ty: &'a str,
    pub(crate) extra: CtxExtra,
}

impl CtxRow {
    pub(crate) fn cell(&self) -> CtxCell<'_> {
        let (offset, size, direction, ty, extra) = match self {
            Self::Plain(offset, size, direction, ty) => {
                (offset, size, direction, ty, CtxExtra::default())
            }
            Self::Extra(offset, size, direction, ty, extra) => {
                (offset, size, direction, ty, extra.clone())
            }
        };
        CtxCell { offset: *offset, size: *size, write: direction == "w", ty, extra }
    }
}

/// `ctx.json`
#[derive(Deserialize)]
pub(crate) struct CtxGuest {
    pub(crate) variants: BTreeMap<String, GuestVariant>,
}

#[derive(Deserialize)]
pub(crate) struct GuestVariant {
    pub(crate) ctx: Option<String>,
    pub(crate) ctx_size: Option<u32>,
    pub(crate) programs: Option<u32>,
    pub(crate) read: Option<Vec<(u32, u8, Option<String>)>>,
    pub(crate) write: Option<Vec<(u32, u8)>>,
}

/// `guest.json`
#[derive(Deserialize)]
pub(crate) struct Guest {
    pub(crate) r#return: BTreeMap<String, String>,
    pub(crate) sleepable: BTreeMap<String, YesOr>,
    pub(crate) lsm: BTreeMap<String, GuestLsm>,
    #[serde(default)]
    pub(crate) kfunc_allowed: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(crate) kfunc_undetermined: BTreeMap<String, Vec<String>>,
}

/// `true`, or the kernel's message.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum YesOr {
    Flag(bool),
    Message(String),
}

impl YesOr {
    pub(crate) fn is_yes(&self) -> bool {
        matches!(self, Self::Flag(true))
    }
}

#[derive(Deserialize)]
pub(crate) struct GuestLsm {
    pub(crate) attach: YesOr,
    pub(crate) sleepable: bool,
    pub(crate) ret: String,
    pub(crate) lsm_cgroup: YesOr,
}

/// `structops.json`
#[derive(Deserialize)]
pub(crate) struct StructOpsFile {
    pub(crate) ops: BTreeMap<String, StructOpsEntry>,
}

#[derive(Deserialize)]
pub(crate) struct StructOpsEntry {
    pub(crate) helper_sets: Vec<BTreeMap<String, String>>,
    pub(crate) members: BTreeMap<String, MemberEntry>,
}

#[derive(Deserialize)]
pub(crate) struct MemberEntry {
    pub(crate) index: u16,
    pub(crate) args: Vec<MemberArg>,
    pub(crate) helper_set: usize,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum MemberArg {
    Plain(u16, String),
    Typed(u16, String, String),
}

/// `tables.json`
#[derive(Deserialize)]
pub(crate) struct Tables {
    #[serde(default)]
    pub(crate) raw_tp_null_args: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) raw_tp: BTreeMap<String, RawTp>,
    #[serde(default)]
    pub(crate) tracepoints_btf: BTreeMap<String, Vec<(String, String)>>,
    #[serde(default)]
    pub(crate) map_types: Vec<MapTypeEntry>,
    #[serde(default)]
    pub(crate) fmodret_kfunc_set: Vec<String>,
    #[serde(default)]
    pub(crate) security_functions: Vec<String>,
    pub(crate) reg2btf_ids: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    pub(crate) compatible_reg_types: BTreeMap<String, Compat>,
    #[serde(default)]
    pub(crate) lsm: BTreeMap<String, TableLsm>,
}

#[derive(Deserialize)]
pub(crate) struct TableLsm {
    #[serde(default)]
    pub(crate) untrusted: bool,
    #[serde(default)]
    pub(crate) d_inode_locked: bool,
}

#[derive(Deserialize)]
pub(crate) struct RawTp {
    pub(crate) num_args: u8,
    pub(crate) writable_size: u16,
}

#[derive(Deserialize)]
pub(crate) struct MapTypeEntry {
    pub(crate) value: u32,
    pub(crate) ops_symbol: String,
    /// `null`: set, and no symbol is there.
    pub(crate) ops: BTreeMap<String, Option<String>>,
}

#[derive(Deserialize)]
pub(crate) struct Compat {
    pub(crate) types: Vec<String>,
    pub(crate) btf: Option<String>,
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Decoded {
    /// Reads the files of a directory.
    pub(crate) fn read(directory: &Path) -> anyhow::Result<Self> {
        let mut inputs = Vec::new();
        let mut bytes = |name: &str, origin: &str| -> anyhow::Result<Vec<u8>> {
            let path = directory.join(name);
            let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
            inputs.push(Input {
                name: name.to_owned(),
                sha256: sha256(&bytes),
                origin: origin.to_owned(),
            });
            Ok(bytes)
        };
        const IMAGE: &str = "decoded from the kernel's image through its own BTF";
        const RUN: &str = "the kernel's own functions, run on a memory dump of the idle guest";
        const GUEST: &str = "measured by loads in the guest";
        let helpers = json(&bytes("helpers.json", IMAGE)?, "helpers.json")?;
        let typehelpers = json(&bytes("typehelpers.json", RUN)?, "typehelpers.json")?;
        let kfuncs = json(&bytes("kfuncs.json", "image and memory dump")?, "kfuncs.json")?;
        let ctx_offline = json(&bytes("ctx_offline.json", RUN)?, "ctx_offline.json")?;
        let ctx = json(&bytes("ctx.json", GUEST)?, "ctx.json")?;
        let guest = json(&bytes("guest.json", GUEST)?, "guest.json")?;
        let tables = json(&bytes("tables.json", "image and memory dump")?, "tables.json")?;
        let structops = directory
            .join("structops.json")
            .exists()
            .then(|| json(&bytes("structops.json", RUN)?, "structops.json"));
        let structops = structops.transpose()?;
        let mut typehelpers: TypeHelpers = typehelpers;
        let repaired = repair(&mut typehelpers);
        if let Some(input) = inputs.iter_mut().find(|input| input.name == "typehelpers.json") {
            repaired.iter().for_each(|note| input.origin.push_str(&format!("; {note}")));
        }
        Ok(Self {
            helpers,
            typehelpers,
            kfuncs,
            ctx_offline,
            ctx,
            guest,
            structops,
            tables,
            inputs,
        })
    }
}

/// A prototype that the emulation gave as a number is no symbol of the kernel. It is taken from the
/// other variants if all of them name the same one. Returns what was done.
fn repair(typehelpers: &mut TypeHelpers) -> Vec<String> {
    let mut notes = Vec::new();
    let is_number = |proto: &String| proto.starts_with("0x");
    let all = typehelpers.variants.iter().flat_map(|(variant, row)| {
        row.helpers.iter().flatten().map(move |(helper, proto)| (variant, helper, proto))
    });
    let all: Vec<_> = all.map(|(v, h, p)| (v.clone(), h.clone(), p.clone())).collect();
    for (variant, helper, proto) in all.iter().filter(|(_, _, proto)| is_number(proto)) {
        let others: BTreeSet<&String> = all
            .iter()
            .filter(|(_, other, proto)| other == helper && !is_number(proto))
            .map(|(_, _, proto)| proto)
            .collect();
        let cell = typehelpers.variants.get_mut(variant).and_then(|row| row.helpers.as_mut());
        if let (Some(set), [only]) = (cell, &others.into_iter().collect::<Vec<_>>()[..]) {
            set.insert(helper.clone(), (*only).clone());
            notes.push(format!("{variant}/{helper} said {proto}, taken to be {only}"));
        }
    }
    notes
}

fn json<T: DeserializeOwned>(bytes: &[u8], name: &str) -> anyhow::Result<T> {
    serde_json::from_slice(bytes).with_context(|| name.to_owned())
}
