// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A batch of requests with everything that they share held once.
//!
//! Programs of one object share maps and BTF, and the BTF is by far the largest part of a request.
//! A batch numbers them, so that they travel to a guest once and are created once.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use veristable_program::{Attach, Blob, LoadRequest, MapDesc, MapSpec};

/// How deep targets of programs that attach to programs may nest.
const MAX_TARGET_DEPTH: u32 = 4;

/// Requests, maps and BTF by number.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Batch {
    pub(crate) btfs: Vec<Blob>,
    pub(crate) maps: Vec<MapItem>,
    /// Programs that others attach to.
    pub(crate) targets: Vec<ProgItem>,
    pub(crate) programs: Vec<ProgItem>,
}

/// A map without its BTF.
#[derive(Serialize, Deserialize)]
pub(crate) struct MapItem {
    pub(crate) desc: MapDesc,
    /// Numbers in [`Batch::btfs`].
    pub(crate) btf: Option<u32>,
    pub(crate) inner_btf: Option<u32>,
}

/// A request without its maps and BTF.
#[derive(Serialize, Deserialize)]
pub(crate) struct ProgItem {
    pub(crate) request: LoadRequest,
    /// Numbers in [`Batch::maps`].
    pub(crate) maps: Vec<u32>,
    /// Number in [`Batch::btfs`].
    pub(crate) btf: Option<u32>,
    pub(crate) target: Target,
}

/// What a program attaches to among programs.
#[derive(Serialize, Deserialize)]
pub(crate) enum Target {
    None,
    /// Number in [`Batch::targets`].
    Program(u32),
    /// The target cannot be read.
    Bad(String),
}

/// A map's bytes without BTF, and the numbers of its BTF and its inner map's.
type MapKey = (Vec<u8>, Option<u32>, Option<u32>);

/// Builds a [`Batch`].
#[derive(Default)]
pub(crate) struct Builder {
    batch: Batch,
    btfs: HashMap<Blob, u32>,
    maps: HashMap<MapKey, u32>,
    targets: HashMap<Blob, u32>,
    /// Sharing seen already, by address: spares hashing. The blobs and maps are kept alive, so an
    /// address stays what it was.
    btf_seen: HashMap<usize, (Blob, u32)>,
    map_seen: HashMap<usize, (Arc<MapDesc>, u32)>,
    bytes: usize,
}

impl Builder {
    /// Adds one request.
    pub(crate) fn push(&mut self, request: &LoadRequest) {
        let item = self.item(request, 0);
        self.batch.programs.push(item);
    }

    /// Number of programs so far.
    pub(crate) fn len(&self) -> usize {
        self.batch.programs.len()
    }

    /// About how many bytes the serialised batch has.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn finish(self) -> Batch {
        self.batch
    }

    fn item(&mut self, request: &LoadRequest, depth: u32) -> ProgItem {
        let maps = request.maps.iter().map(|map| self.map(map)).collect();
        let btf = request.btf.as_ref().map(|btf| self.btf(btf));
        let target = match &request.attach {
            Attach::Program { target, .. } => self.target(target, depth),
            _ => Target::None,
        };
        self.bytes += 512
            + 8 * request.insns.len()
            + request.func_info.bytes.len()
            + request.line_info.bytes.len()
            + request.core_relos.bytes.len();
        let mut bare = LoadRequest { maps: Vec::new(), btf: None, ..request.clone() };
        if let Attach::Program { target, .. } = &mut bare.attach {
            *target = Blob::default();
        }
        ProgItem { request: bare, maps, btf, target }
    }

    fn target(&mut self, bytes: &Blob, depth: u32) -> Target {
        if let Some(&number) = self.targets.get(bytes) {
            return Target::Program(number);
        }
        if depth >= MAX_TARGET_DEPTH {
            return Target::Bad(format!("more than {MAX_TARGET_DEPTH} targets nest"));
        }
        let request = match LoadRequest::from_bytes(bytes) {
            Ok(request) => request,
            Err(error) => return Target::Bad(error.to_string()),
        };
        let item = self.item(&request, depth + 1);
        let number = number_of(&self.batch.targets);
        self.batch.targets.push(item);
        self.targets.insert(bytes.clone(), number);
        Target::Program(number)
    }

    fn btf(&mut self, btf: &Blob) -> u32 {
        let address = btf.as_ptr().addr();
        if let Some((same, number)) = self.btf_seen.get(&address)
            && same.len() == btf.len()
        {
            return *number;
        }
        let number = *self.btfs.entry(btf.clone()).or_insert_with(|| {
            self.bytes += btf.len();
            self.batch.btfs.push(btf.clone());
            number_of(&self.batch.btfs) - 1
        });
        self.btf_seen.insert(address, (btf.clone(), number));
        number
    }

    fn map(&mut self, map: &Arc<MapDesc>) -> u32 {
        let address = Arc::as_ptr(map).addr();
        if let Some((_, number)) = self.map_seen.get(&address) {
            return *number;
        }
        let btf = map.spec.btf.as_ref().map(|btf| self.btf(btf));
        let inner_btf =
            map.inner.as_ref().and_then(|inner| inner.btf.as_ref()).map(|btf| self.btf(btf));
        let bare = |spec: &MapSpec| MapSpec { btf: None, ..spec.clone() };
        let desc = MapDesc {
            spec: bare(&map.spec),
            inner: map.inner.as_ref().map(|inner| Arc::new(bare(inner))),
            ..MapDesc::clone(map)
        };
        // Serialising plain data into memory does not fail; if it did, maps would go unshared.
        let key = postcard::to_stdvec(&desc).unwrap_or_default();
        let known = (!key.is_empty()).then(|| self.maps.get(&(key.clone(), btf, inner_btf)));
        let number = known.flatten().copied().unwrap_or_else(|| {
            self.bytes += key.len();
            self.batch.maps.push(MapItem { desc, btf, inner_btf });
            number_of(&self.batch.maps) - 1
        });
        self.maps.insert((key, btf, inner_btf), number);
        self.map_seen.insert(address, (Arc::clone(map), number));
        number
    }
}

fn number_of<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_parts_are_held_once() {
        let spec = |name: &str| MapSpec {
            name: name.into(),
            btf: Some(Blob::from(vec![1, 2, 3])),
            ..MapSpec::default()
        };
        let map = |name: &str| Arc::new(MapDesc { spec: spec(name), ..MapDesc::default() });
        let (a, b) = (map("a"), map("b"));
        let request = |maps: &[&Arc<MapDesc>]| LoadRequest {
            maps: maps.iter().map(|map| Arc::clone(map)).collect(),
            btf: Some(Blob::from(vec![1, 2, 3])),
            ..LoadRequest::default()
        };
        let mut builder = Builder::default();
        for maps in [&[&a, &b][..], &[&b], &[&map("a")]] {
            builder.push(&request(maps));
        }
        let batch = builder.finish();
        assert_eq!((batch.btfs.len(), batch.maps.len()), (1, 2));
        let maps: Vec<_> = batch.programs.iter().map(|item| item.maps.clone()).collect();
        assert_eq!(maps, [vec![0, 1], vec![1], vec![0]]);
        assert!(batch.programs.iter().all(|item| item.btf == Some(0)));
    }

    #[test]
    fn targets_nest_only_so_deep() {
        let mut request = LoadRequest::default();
        for _ in 0..10 {
            let target = Blob::from(request.to_bytes().unwrap());
            request.attach = Attach::Program { target, func: "f".into(), btf_id: 1 };
        }
        let mut builder = Builder::default();
        builder.push(&request);
        let batch = builder.finish();
        assert_eq!(batch.targets.len(), MAX_TARGET_DEPTH as usize);
        assert!(batch.targets.iter().any(|item| matches!(item.target, Target::Bad(_))));
    }
}
