// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Global variables set before linking, in the manner of `veristat -G`.

use crate::LinkError;
use crate::maps::{MapKind, Maps};
use std::collections::HashMap;
use std::str::FromStr;
use veristable_btf::{Btf, Composite, Type, TypeData, TypeId};

/// Most bytes of a map without contents that are allocated to set a variable in it.
const MAX_VALUE: u32 = 64 << 20;
/// Most unnamed structs and unions that are searched for a field.
const MAX_UNNAMED: usize = 1024;

/// A number, or the name of an enum's value.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Value {
    Number(i128),
    Name(String),
}

impl Value {
    fn parse(text: &str) -> Option<Self> {
        if !text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return is_name(text).then(|| Self::Name(text.to_owned()));
        }
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let number = match digits.as_bytes() {
            [b'0', b'x' | b'X', ..] => u64::from_str_radix(digits.get(2..)?, 16),
            [b'0', _, ..] => u64::from_str_radix(digits.get(1..)?, 8),
            _ => digits.parse(),
        };
        let number = i128::from(number.ok()?);
        let number = if negative { -number } else { number };
        (number >= i128::from(i64::MIN)).then_some(Self::Number(number))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A step from a variable to a part of it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Field(String),
    Index(Value),
}

/// A variable, or a part of one, and its value: `name = 3`, `config.limits[2].max = 0x10`,
/// `mode = MODE_FAST`. Values are numbers (decimal, `0x`, leading `0` for octal) or, for enums,
/// names; indexes may be names of any enum's values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Preset {
    expression: String,
    variable: String,
    steps: Vec<Step>,
    value: Value,
}

impl FromStr for Preset {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let expression = text.trim().to_owned();
        let error = |problem: &str| LinkError::Preset {
            expression: expression.clone(),
            problem: problem.to_owned(),
        };
        let (path, value) =
            text.split_once('=').ok_or_else(|| error("expected `variable = value`"))?;
        let value = Value::parse(value.trim())
            .ok_or_else(|| error("the value is neither a number of 64 bits nor a name"))?;
        let mut steps = Vec::new();
        for part in path.split('.') {
            let (name, mut indexes) = part.split_at(part.find('[').unwrap_or(part.len()));
            if !is_name(name.trim()) {
                return Err(error("a name has only letters, digits and `_`"));
            }
            steps.push(Step::Field(name.trim().to_owned()));
            while !indexes.trim().is_empty() {
                let inner = indexes.trim_start().strip_prefix('[');
                let (index, rest) = inner
                    .and_then(|inner| inner.split_once(']'))
                    .ok_or_else(|| error("an index is written `[N]`"))?;
                let index = Value::parse(index.trim())
                    .ok_or_else(|| error("an index is a number or the name of an enum's value"))?;
                steps.push(Step::Index(index));
                indexes = rest;
            }
        }
        let Some(Step::Field(variable)) = steps.first().cloned() else {
            return Err(error("no variable is named"));
        };
        steps.remove(0);
        Ok(Self { expression, variable, steps, value })
    }
}

/// A place in a section: type, offset, size in bytes.
#[derive(Clone, Copy)]
struct Place {
    type_id: TypeId,
    offset: u64,
    size: u32,
}

/// The values of the maps that the presets change, by position in the list of maps.
pub(crate) fn apply(
    presets: &[Preset],
    btf: Option<&Btf<'_>>,
    maps: &Maps,
) -> Result<HashMap<usize, Vec<u8>>, LinkError> {
    let mut changed = HashMap::new();
    for preset in presets {
        apply_one(preset, btf, maps, &mut changed).map_err(|problem| LinkError::Preset {
            expression: preset.expression.clone(),
            problem,
        })?;
    }
    Ok(changed)
}

fn apply_one(
    preset: &Preset,
    btf: Option<&Btf<'_>>,
    maps: &Maps,
    changed: &mut HashMap<usize, Vec<u8>>,
) -> Result<(), String> {
    let btf = btf.ok_or("the object has no BTF")?;
    let (index, mut place) = find_variable(&preset.variable, btf, maps)
        .ok_or_else(|| format!("there is no global variable `{}`", preset.variable))?;
    for step in &preset.steps {
        place = match step {
            Step::Field(name) => field(btf, place, name)?,
            Step::Index(value) => element(btf, place, value)?,
        };
    }
    let bytes = encode(btf, place, &preset.value)?;
    let map = maps.list.get(index).ok_or("its map does not exist")?;
    let value = match changed.entry(index) {
        std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
        std::collections::hash_map::Entry::Vacant(entry) => {
            let value = match &map.contents {
                Some(contents) => contents.to_vec(),
                None if map.spec.value_size <= MAX_VALUE => vec![0; map.spec.value_size as usize],
                None => return Err(format!("its section has {} bytes", map.spec.value_size)),
            };
            entry.insert(value)
        }
    };
    let target = usize::try_from(place.offset)
        .ok()
        .and_then(|start| value.get_mut(start..start.checked_add(place.size as usize)?))
        .ok_or("it reaches past the end of its section")?;
    target.copy_from_slice(bytes.get(..target.len()).ok_or("it is wider than 64 bits")?);
    Ok(())
}

/// The variable's map and place.
fn find_variable(name: &str, btf: &Btf<'_>, maps: &Maps) -> Option<(usize, Place)> {
    let has_variables =
        |kind: &MapKind| matches!(kind, MapKind::Data | MapKind::Bss | MapKind::Rodata);
    let sections = maps.list.iter().enumerate().filter(|(_, map)| has_variables(&map.kind));
    for (index, map) in sections {
        let section = btf.type_by_id(TypeId(map.spec.btf_value_type_id)).ok();
        let section = section.and_then(|ty| ty.as_datasec());
        for var in section.into_iter().flat_map(|section| section.vars) {
            let Ok(ty) = btf.type_by_id(var.type_id) else { continue };
            let Some(variable) = ty.as_var().filter(|_| ty.name() == name) else { continue };
            let offset = u64::from(var.offset);
            return Some((index, Place { type_id: variable.type_id, offset, size: var.size }));
        }
    }
    None
}

fn element(btf: &Btf<'_>, place: Place, value: &Value) -> Result<Place, String> {
    let ty = btf.skip_modifiers(place.type_id).map_err(|e| e.to_string())?;
    let array = ty.as_array().ok_or_else(|| format!("a {} has no elements", ty.kind()))?;
    let index = match value {
        Value::Number(number) => *number,
        Value::Name(name) => {
            any_enum_value(btf, name).ok_or_else(|| format!("no enum has a value `{name}`"))?
        }
    };
    let index = u32::try_from(index).ok().filter(|index| *index < array.count);
    let index = index.ok_or_else(|| format!("the array has {} elements", array.count))?;
    let size = btf.resolve_size(array.element).map_err(|e| e.to_string())?;
    let offset = place.offset + u64::from(size) * u64::from(index);
    Ok(Place { type_id: array.element, offset, size })
}

fn field(btf: &Btf<'_>, place: Place, name: &str) -> Result<Place, String> {
    let ty = btf.skip_modifiers(place.type_id).map_err(|e| e.to_string())?;
    let composite = ty.as_composite().ok_or_else(|| format!("a {} has no fields", ty.kind()))?;
    let mut open: Vec<(u64, Composite<'_>)> = vec![(0, composite)];
    let mut unnamed = 0;
    while let Some((base, composite)) = open.pop() {
        for member in composite.members {
            let bits = base + u64::from(member.bit_offset);
            if member.name() == name {
                if member.is_bitfield() {
                    return Err(format!("field `{name}` is a bit-field"));
                }
                let size = btf.resolve_size(member.type_id).map_err(|e| e.to_string())?;
                let offset = place.offset + bits / 8;
                return Ok(Place { type_id: member.type_id, offset, size });
            }
            let inner = btf.skip_modifiers(member.type_id).ok().and_then(|ty| ty.as_composite());
            if let (true, Some(inner)) = (member.name_offset == 0, inner) {
                unnamed += 1;
                if unnamed > MAX_UNNAMED {
                    return Err("too many unnamed structs".into());
                }
                open.push((bits, inner));
            }
        }
    }
    Err(format!("there is no field `{name}`"))
}

fn any_enum_value(btf: &Btf<'_>, name: &str) -> Option<i128> {
    btf.types().find_map(|ty| enum_value(&ty, name))
}

fn enum_value(ty: &Type<'_>, name: &str) -> Option<i128> {
    let data = ty.as_enum()?;
    let value = data.values.iter().find(|value| value.name() == name)?.value;
    Some(if data.signed { i128::from(value) } else { i128::from(value.cast_unsigned()) })
}

/// The value's bytes, checked against the type.
fn encode(btf: &Btf<'_>, place: Place, value: &Value) -> Result<[u8; 8], String> {
    let ty = btf.skip_modifiers(place.type_id).map_err(|e| e.to_string())?;
    let signed = match ty.data() {
        TypeData::Int(int) => int.is_signed(),
        TypeData::Enum(data) | TypeData::Enum64(data) => data.signed,
        _ => return Err(format!("it is a {}; only integers and enums can be set", ty.kind())),
    };
    let number = match value {
        Value::Number(number) => *number,
        Value::Name(name) => {
            enum_value(&ty, name).ok_or_else(|| format!("its type has no value named `{name}`"))?
        }
    };
    let bits = place.size.saturating_mul(8);
    if bits < 64 {
        // As veristat: negative numbers are taken for unsigned types too.
        let max = 1i128 << if signed { bits.saturating_sub(1) } else { bits };
        if number >= max || number < -max {
            return Err(format!("{number} does not fit {} bytes", place.size));
        }
    }
    let low = u64::try_from(number & i128::from(u64::MAX)).unwrap_or(0);
    Ok(low.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::Preset;

    #[test]
    fn expressions() {
        for (text, good) in [
            ("a=1", true),
            (" a = -0x10 ", true),
            ("a.b[2].c = 017", true),
            ("a[ENUM_VALUE] = NAME", true),
            ("a = 18446744073709551615", true),
            ("a", false),
            ("= 1", false),
            ("a = ", false),
            ("a = 1x", false),
            ("a[1 = 2", false),
            ("a..b = 1", false),
            ("a b = 1", false),
            ("a = -9223372036854775809", false),
        ] {
            assert_eq!(text.parse::<Preset>().is_ok(), good, "{text}");
        }
    }
}
