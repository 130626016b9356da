// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Names of things: git objects, mails, paths.

use core::fmt;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// The id of a git object: 20 bytes in repositories of SHA-1, 32 in those of SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    bytes: [u8; 32],
    len: u8,
}

impl ObjectId {
    /// Reads 40 or 64 hexadecimal digits of either case.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let len = match text.len() {
            40 => 20,
            64 => 32,
            _ => return None,
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = (nibble(*high)? << 4) | nibble(*low)?;
        }
        Some(Self { bytes, len })
    }

    /// The id that git gives to nothing; `None` as it stands in output of git for "no such object".
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.bytes == [0; 32]
    }

    /// Twelve digits, as commits are quoted in messages of the kernel.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(12);
        text
    }

    /// The digit at `index`, counted from the left.
    fn digit(&self, index: usize) -> Option<u8> {
        if index >= usize::from(self.len) * 2 {
            return None;
        }
        let byte = *self.bytes.get(index / 2)?;
        Some(if index.is_multiple_of(2) { byte >> 4 } else { byte & 15 })
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.iter().take(usize::from(self.len)).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ObjectId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ObjectId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::from_hex(&text).ok_or_else(|| D::Error::custom("not the id of a git object"))
    }
}

/// The first digits of an object's id, as messages quote it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IdPrefix(Box<str>);

impl IdPrefix {
    /// Fewest digits that are taken for an id. git itself never abbreviates to fewer.
    pub const SHORTEST: usize = 7;

    /// Takes 7 to 64 hexadecimal digits.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let good = (Self::SHORTEST..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        good.then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `id` begins so.
    #[must_use]
    pub fn matches(&self, id: &ObjectId) -> bool {
        self.0.bytes().enumerate().all(|(index, digit)| id.digit(index) == nibble(digit))
    }

    /// The smallest id that begins so, for a search in sorted ones.
    fn floor(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (index, digit) in self.0.bytes().enumerate() {
            if let (Some(byte), Some(value)) = (bytes.get_mut(index / 2), nibble(digit)) {
                *byte |= if index.is_multiple_of(2) { value << 4 } else { value };
            }
        }
        bytes
    }
}

impl fmt::Display for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for IdPrefix {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

/// What the first digits of an id lead to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found<T> {
    /// Nothing that is known.
    Nothing,
    /// One object.
    One(T),
    /// Several.
    Ambiguous,
}

impl<T> Found<T> {
    /// The one object.
    pub fn one(self) -> Option<T> {
        match self {
            Self::One(value) => Some(value),
            Self::Nothing | Self::Ambiguous => None,
        }
    }
}

/// Objects by the first digits of their ids.
#[derive(Clone, Debug)]
pub struct IdIndex<T> {
    sorted: Vec<(ObjectId, T)>,
}

impl<T> Default for IdIndex<T> {
    fn default() -> Self {
        Self { sorted: Vec::new() }
    }
}

impl<T: Copy> FromIterator<(ObjectId, T)> for IdIndex<T> {
    /// Of pairs with the same id the first is kept.
    fn from_iter<I: IntoIterator<Item = (ObjectId, T)>>(pairs: I) -> Self {
        let mut sorted: Vec<(ObjectId, T)> = pairs.into_iter().collect();
        sorted.sort_by_key(|pair| pair.0);
        sorted.dedup_by_key(|pair| pair.0);
        Self { sorted }
    }
}

impl<T: Copy> IdIndex<T> {
    /// Looks up a whole id.
    #[must_use]
    pub fn get(&self, id: &ObjectId) -> Option<T> {
        let at = self.sorted.binary_search_by_key(id, |pair| pair.0).ok()?;
        self.sorted.get(at).map(|pair| pair.1)
    }

    /// Looks up the beginning of an id.
    #[must_use]
    pub fn find(&self, prefix: &IdPrefix) -> Found<T> {
        let floor = prefix.floor();
        let from = self.sorted.partition_point(|pair| pair.0.bytes < floor);
        let mut hits = self.sorted.iter().skip(from).take_while(|pair| prefix.matches(&pair.0));
        match (hits.next(), hits.next()) {
            (None, _) => Found::Nothing,
            (Some(pair), None) => Found::One(pair.1),
            (Some(_), Some(_)) => Found::Ambiguous,
        }
    }
}

/// The id of a mail, without its angle brackets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct MessageId(Arc<str>);

impl MessageId {
    /// The id at the end of a link to an archive of mails, e.g. `https://lore.kernel.org/r/ID`.
    #[must_use]
    pub fn from_url(url: &str) -> Option<Self> {
        let url = url.split(['?', '#']).next()?.trim_end_matches('/');
        let is_web = url.starts_with("https://") || url.starts_with("http://");
        let last = url.rsplit('/').next()?;
        (is_web && last.contains('@')).then(|| Self(last.into()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The series that the mail is part of and its number in there, by the way that git send-email and
    /// b4 make ids: `…-N-ADDRESS`, where `N` counts the mails. An id of another form is its own series.
    #[must_use]
    pub fn series(&self) -> (SeriesKey, Option<u32>) {
        let whole = || (SeriesKey(Arc::clone(&self.0)), None);
        let Some(at) = self.0.rfind('@') else { return whole() };
        let (local, _) = self.0.split_at(at);
        let Some((before, tail)) = local.rsplit_once('-') else { return whole() };
        let Some((series, number)) = before.rsplit_once('-') else { return whole() };
        match number.parse() {
            Ok(number) if number_is_plain(before) => {
                let rest = self.0.get(at..).unwrap_or("");
                (SeriesKey(format!("{series}-{tail}{rest}").into()), Some(number))
            }
            _ => whole(),
        }
    }
}

/// Whether what follows the last `-` are digits only: `parse` would take a sign too.
fn number_is_plain(text: &str) -> bool {
    text.rsplit('-').next().is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// What the ids of the mails of one series have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct SeriesKey(Arc<str>);

impl SeriesKey {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A file's path inside a repository, with `/`. Bytes that are not UTF-8 are replaced.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct FilePath(Arc<str>);

impl FilePath {
    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for FilePath {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Keeps one copy of each path: the same few hundred paths come again in many thousand commits.
#[derive(Default, Debug)]
pub(crate) struct Paths(std::collections::HashSet<Arc<str>>);

impl Paths {
    pub(crate) fn get(&mut self, text: &str) -> FilePath {
        if let Some(known) = self.0.get(text) {
            return FilePath(Arc::clone(known));
        }
        let new: Arc<str> = text.into();
        self.0.insert(Arc::clone(&new));
        FilePath(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn ids_and_their_beginnings() {
        let id = ObjectId::from_hex(ID).unwrap();
        assert_eq!(id.to_string(), ID);
        assert_eq!(id.short(), "0123456789ab");
        assert!(IdPrefix::new("0123456789A").unwrap().matches(&id));
        assert!(!IdPrefix::new("0123456789abd").unwrap().matches(&id));
        assert!(!IdPrefix::new(&ID.repeat(2)[..64]).unwrap().matches(&id));
        for bad in ["", "012345", "012345g", "01234567 "] {
            assert_eq!(IdPrefix::new(bad), None, "{bad}");
        }
        let other = ObjectId::from_hex(&ID.replace("abcdef01234567", "abcdef01234568")).unwrap();
        let index: IdIndex<u32> = [(id, 1), (other, 2)].into_iter().collect();
        assert_eq!(index.find(&IdPrefix::new("0123456").unwrap()), Found::Ambiguous);
        assert_eq!(index.find(&IdPrefix::new("0123457").unwrap()), Found::Nothing);
        assert_eq!(index.find(&IdPrefix::new(&other.to_string()).unwrap()), Found::One(2));
        assert_eq!(index.get(&id), Some(1));
    }

    #[test]
    fn series_of_mails() {
        let check = |url: &str, key: &str, number: Option<u32>| {
            let (series, n) = MessageId::from_url(url).unwrap().series();
            assert_eq!((series.as_str(), n), (key, number), "{url}");
        };
        check("https://x/r/20241210041100.18-3-a@b.com", "20241210041100.18-a@b.com", Some(3));
        check("https://x/r/20240420-wq-v2-13-6c98@k.org/", "20240420-wq-v2-6c98@k.org", Some(13));
        check("https://x/bpf/CAHk-=wg7@mail.com", "CAHk-=wg7@mail.com", None);
        check("http://x/ab.17.git.d@e#t", "ab.17.git.d@e", None);
        assert_eq!(MessageId::from_url("https://github.com/KSPP/linux/issues/7"), None);
        assert_eq!(MessageId::from_url("a@b"), None);
    }
}
