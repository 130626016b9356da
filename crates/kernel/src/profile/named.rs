// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Tables by name that are not shared with the other facts: configuration and symbols.

use crate::{StrId, Strings};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A kernel's configuration: the options that are set.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Config {
    /// Names without `CONFIG_`.
    names: Strings,
    /// For each name its value.
    values: Vec<StrId>,
    /// The values.
    texts: Strings,
}

impl Config {
    /// Reads the text of a `.config`: lines `CONFIG_NAME=value`; others are not looked at.
    /// `None` if it is longer than 4 GiB.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let option = |line| str::strip_prefix(line, "CONFIG_")?.split_once('=');
        Self::new(text.lines().filter_map(option).map(|(name, value)| (name, value.trim_end())))
    }

    fn new<'a>(options: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Option<Self> {
        let names = Strings::new(options.clone().map(|(name, _)| name))?;
        let texts = Strings::new(options.clone().map(|(_, value)| value))?;
        let mut values = alloc::vec![StrId(0); usize::try_from(names.len()).ok()?];
        for (name, value) in options {
            let at = usize::try_from(names.find(name)?.0).ok()?;
            *values.get_mut(at)? = texts.find(value)?;
        }
        Some(Self { names, values, texts })
    }

    /// The value of an option, whose name is given without `CONFIG_`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = usize::try_from(self.names.find(name)?.0).ok()?;
        // Number 0 is the empty string, which is no option's name.
        self.values.get(at).filter(|_| at != 0).map(|value| self.texts.get(*value))
    }

    /// The options that are set, by name without `CONFIG_`, and their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let numbers = (0..self.names.len()).map(StrId);
        let options = numbers.map(|id| self.names.get(id)).zip(&self.values);
        options.skip(1).map(|(name, value)| (name, self.texts.get(*value)))
    }

    /// How many options are set.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.names.len().saturating_sub(1)
    }

    /// Whether no option is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A kernel's symbols. Of several of one name the first counts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Symbols {
    names: Strings,
    addresses: Vec<u64>,
}

impl Symbols {
    /// Reads the text of `/proc/kallsyms`: address, type and name; those of modules are left out.
    /// `None` if it is longer than 4 GiB.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lines = || text.lines().filter_map(parse_symbol);
        let names = Strings::new(lines().map(|(name, _)| name))?;
        let mut addresses = alloc::vec![None; usize::try_from(names.len()).ok()?];
        for (name, address) in lines() {
            let at = usize::try_from(names.find(name)?.0).ok()?;
            addresses.get_mut(at)?.get_or_insert(address);
        }
        let addresses = addresses.into_iter().map(|address| address.unwrap_or(0)).collect();
        Some(Self { names, addresses })
    }

    /// The address of a symbol; 0 if addresses are hidden from the user.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        let at = usize::try_from(self.names.find(name)?.0).ok()?;
        self.addresses.get(at).filter(|_| at != 0).copied()
    }

    /// Keeps the names alone; every address becomes 0, which stands for unknown.
    pub fn forget_addresses(&mut self) {
        self.addresses.fill(0);
    }

    /// How many symbols there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.names.len().saturating_sub(1)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Name and address of a line of `/proc/kallsyms`.
fn parse_symbol(line: &str) -> Option<(&str, u64)> {
    let mut words = line.split_ascii_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let (_kind, name) = (words.next()?, words.next()?);
    // The module in brackets.
    words.next().is_none().then_some((name, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_is_found_by_name() {
        let text = "# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_HZ=250\nCONFIG_S=\"a b\"\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.len(), 3);
        assert_eq!(config.get("B"), Some("y"));
        assert_eq!(config.get("S"), Some("\"a b\""));
        assert_eq!((config.get("A"), config.get("")), (None, None));
    }

    #[test]
    fn symbols_are_found_by_name() {
        let text = "ffffffff81000000 T _text\n0000000000000010 d x\tsome\nffffffff81000008 t f\n\
                    ffffffff81000009 t f\nffffffffc0000000 t g\t[module]\n";
        let symbols = Symbols::parse(text).unwrap();
        assert_eq!(symbols.get("_text"), Some(0xffff_ffff_8100_0000));
        assert_eq!(symbols.get("f"), Some(0xffff_ffff_8100_0008));
        assert_eq!((symbols.get("g"), symbols.get("")), (None, None));
    }
}
