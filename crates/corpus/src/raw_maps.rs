// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The maps of the raw tests, by the names of their fix-up lists
//! (`tools/testing/selftests/bpf/test_verifier.c:do_test_fixup`).

use std::sync::Arc;

use veristable_kernel::MapType;
use veristable_program::{Blob, MapDesc, MapFlags, MapSpec};

/// `sizeof(struct test_val)`: an index and eleven integers.
const TEST_VAL: u32 = 48;
/// `TEST_DATA_LEN`.
const TEST_DATA_LEN: u32 = 64;
/// `sizeof(struct bpf_cgroup_storage_key)`.
const CGROUP_STORAGE_KEY: u32 = 16;
/// Page size of the machine, the size of the ring buffer.
const PAGE: u32 = 4096;

/// Ids in the runner's BTF (`btf_raw_types`): the same in every version that has them.
const INT: u32 = 1;
const LOCKED_VALUE: u32 = 3;
const TIMER_VALUE: u32 = 5;
const KPTR_VALUE: u32 = 14;

/// The map that a fix-up list stands for; nothing for a list that is not known. `btf` is the
/// runner's, for maps with special fields.
pub(crate) fn map(kind: &str, btf: &Blob) -> Option<MapDesc> {
    use MapType as T;
    let desc = match kind {
        "map_hash_8b" => plain(T::HASH, 8, 8, 1),
        "map_hash_16b" => plain(T::HASH, 8, 16, 1),
        "map_hash_48b" => plain(T::HASH, 8, TEST_VAL, 1),
        "map_array_48b" => filled(plain(T::ARRAY, 4, TEST_VAL, 1)),
        "map_array_ro" => flagged(filled(plain(T::ARRAY, 4, TEST_VAL, 1)), MapFlags::RDONLY_PROG),
        "map_array_wo" => flagged(filled(plain(T::ARRAY, 4, TEST_VAL, 1)), MapFlags::WRONLY_PROG),
        "map_array_small" => filled(plain(T::ARRAY, 4, 1, 1)),
        "prog1" => plain(T::PROG_ARRAY, 4, 4, 4),
        "prog2" => plain(T::PROG_ARRAY, 4, 4, 8),
        "map_in_map" => MapDesc {
            inner: Some(Arc::new(plain(T::ARRAY, 4, 4, 1).spec)),
            ..plain(T::ARRAY_OF_MAPS, 4, 4, 1)
        },
        "cgroup_storage" => plain(T::CGROUP_STORAGE, CGROUP_STORAGE_KEY, TEST_DATA_LEN, 0),
        "percpu_cgroup_storage" => {
            plain(T::PERCPU_CGROUP_STORAGE, CGROUP_STORAGE_KEY, TEST_DATA_LEN, 0)
        }
        "map_sockmap" => plain(T::SOCKMAP, 4, 4, 1),
        "map_sockhash" => plain(T::SOCKHASH, 4, 4, 1),
        "map_xskmap" => plain(T::XSKMAP, 4, 4, 1),
        "map_stacktrace" => plain(T::STACK_TRACE, 4, 8, 1),
        "map_event_output" => plain(T::PERF_EVENT_ARRAY, 4, 4, 1),
        "map_reuseport_array" => plain(T::REUSEPORT_SOCKARRAY, 4, 8, 1),
        "map_ringbuf" => plain(T::RINGBUF, 0, 0, PAGE),
        "map_spin_lock" => typed(plain(T::ARRAY, 4, 8, 1), LOCKED_VALUE, btf),
        "sk_storage_map" => {
            flagged(typed(plain(T::SK_STORAGE, 4, 8, 0), LOCKED_VALUE, btf), MapFlags::NO_PREALLOC)
        }
        "map_timer" => typed(plain(T::ARRAY, 4, 16, 1), TIMER_VALUE, btf),
        "map_kptr" => typed(plain(T::ARRAY, 4, 24, 1), KPTR_VALUE, btf),
        _ => return None,
    };
    Some(desc)
}

fn plain(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> MapDesc {
    let flags = if map_type == MapType::HASH { MapFlags::NO_PREALLOC } else { MapFlags::empty() };
    let spec = MapSpec { map_type, key_size, value_size, max_entries, flags, ..MapSpec::default() };
    MapDesc { spec, ..MapDesc::default() }
}

fn flagged(mut map: MapDesc, flags: MapFlags) -> MapDesc {
    map.spec.flags |= flags;
    map
}

fn typed(mut map: MapDesc, value: u32, btf: &Blob) -> MapDesc {
    map.spec.name = "test_map".to_owned();
    map.spec.btf_key_type_id = INT;
    map.spec.btf_value_type_id = value;
    map.spec.btf = Some(btf.clone());
    map
}

/// Element 0 as `update_map` writes it: `index` 28, `foo[6]` 0xabcdef12, the rest zero.
fn filled(mut map: MapDesc) -> MapDesc {
    let mut value = vec![0; TEST_VAL as usize];
    value[..4].copy_from_slice(&28_u32.to_le_bytes());
    value[28..32].copy_from_slice(&0xabcd_ef12_u32.to_le_bytes());
    value.truncate(map.spec.value_size as usize);
    map.contents = Some(value.into());
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_contents() {
        let btf = Blob::default();
        let check = |kind: &str, key: u32, value: u32, contents: Option<usize>| {
            let map = map(kind, &btf).unwrap();
            assert_eq!((map.spec.key_size, map.spec.value_size), (key, value), "{kind}");
            assert_eq!(map.contents.map(|bytes| bytes.len()), contents, "{kind}");
        };
        check("map_hash_48b", 8, 48, None);
        check("map_array_48b", 4, 48, Some(48));
        check("map_array_small", 4, 1, Some(1));
        check("map_kptr", 4, 24, None);
        check("map_ringbuf", 0, 0, None);
        assert!(map("map_of_tomorrow", &btf).is_none());
    }
}
