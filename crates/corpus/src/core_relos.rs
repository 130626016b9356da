// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! CO-RE relocations in rule files, which the kernel is to apply.
//!
//! ```text
//! ; func: main global int(struct __sk_buff *)
//!     r1 = 1      ; core: type_exists 0 struct task_struct
//!     r2 = 8      ; core: byte_off 0:1 struct own
//! ```
//!
//! A kind as the kernel writes it (or its number), an access string (`""` if it is empty, `_` stands
//! for a space), and a type as in prototypes (see `prototypes.rs`) or `id NUMBER`. Several for one
//! instruction are joined by `and`.

use anyhow::{Result, anyhow};
use veristable_btf::TypeId;
use veristable_btf::relo::RelocKind;
use veristable_program::{InfoTable, LoadRequest};

use crate::prototypes;
use crate::structs::Structs;

/// Bytes of a slot.
const SLOT: u32 = 8;

/// Adds the relocations, each beside the slot of its instruction, to a request.
///
/// # Errors
///
/// The first that cannot be read.
pub(crate) fn apply(
    request: &mut LoadRequest,
    structs: &mut Structs,
    relos: &[(u32, String)],
) -> Result<()> {
    let mut bytes = Vec::new();
    for (slot, text) in relos {
        for text in text.split(" and ") {
            let [kind, id, access] = read(structs, text.trim())?;
            bytes.extend([slot * SLOT, id, access, kind].into_iter().flat_map(u32::to_le_bytes));
        }
    }
    if !bytes.is_empty() {
        let count = u32::try_from(bytes.len() / 16)?;
        request.core_relos = InfoTable { rec_size: 16, count, bytes: bytes.into() };
    }
    Ok(())
}

/// Kind, type and access string.
fn read(structs: &mut Structs, text: &str) -> Result<[u32; 3]> {
    let bad = || anyhow!("{text:?}: not a kind, an access string and a type");
    let (word, rest) = text.split_once(' ').ok_or_else(bad)?;
    let (access, ty) = rest.trim().split_once(' ').ok_or_else(bad)?;
    let mut kinds = (0..).map_while(RelocKind::from_number);
    let kind = kinds.find(|kind| kind.to_string() == word).map(RelocKind::number);
    let kind = kind.or_else(|| word.parse().ok()).ok_or_else(bad)?;
    let id = match ty.trim().strip_prefix("id ") {
        Some(id) => TypeId(id.parse()?),
        None => prototypes::add_type(structs, ty)?,
    };
    let access = access.trim_matches('"').replace('_', " ");
    Ok([kind, id.0, structs.writer().string(&access)])
}
