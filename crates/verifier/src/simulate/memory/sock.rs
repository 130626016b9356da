// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Sockets as programs see them, and flow dissector keys (`check_sock_access`,
//! `check_flow_keys_access`).

use super::plain::Part;
use super::{Access, Span};
use crate::design::Design;
use crate::log::state::TypeName;
use crate::messages::Memory;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::{Kind, RegState};
use crate::trace::Observer;

/// `sizeof(struct bpf_flow_keys)` (`include/uapi/linux/bpf.h`)
const FLOW_KEYS_BYTES: i64 = 56;

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// An access to flow dissector keys.
    pub(super) fn access_flow_keys(
        &mut self,
        span: Span,
        pointer: &RegState,
        access: Access,
    ) -> Step {
        if let Access::Write(value) = access {
            self.refuse_leak(value, "flow keys")?;
        }
        let Part { off, size, .. } = Part::of(span, pointer);
        if off < 0 || i64::from(off) + i64::from(size) > FLOW_KEYS_BYTES {
            return self.env.reject(Memory::FlowKeys { off, size });
        }
        self.loaded_unknown(access)
    }

    /// A load from a socket.
    pub(super) fn access_socket(&mut self, span: Span, pointer: &RegState, access: Access) -> Step {
        let (reg, ty) = (span.base.number(), TypeName::of(pointer));
        if matches!(access, Access::Write(_)) {
            return self.env.reject(Memory::ReadOnly { reg, ty: ty.text() });
        }
        if pointer.value.s64.min < 0 {
            return self.env.reject(Memory::NegativeMin { reg });
        }
        let Part { off, size, .. } = Part::of(span, pointer);
        if !has_field(pointer.kind, off, size) {
            return self.env.reject(Memory::Socket { reg, ty: ty.text(), off, size });
        }
        self.loaded_unknown(access)
    }
}

/// Whether a socket's structure can be read there with this size.
fn has_field(kind: Kind, off: i32, size: u32) -> bool {
    let Ok(off) = u32::try_from(off) else { return false };
    if size == 0 || off % size != 0 {
        return false;
    }
    match kind {
        Kind::SockCommon => {
            !full_sock::NOT_COMMON.contains(&off) && full_sock::has_field(off, size)
        }
        Kind::Socket => full_sock::has_field(off, size),
        Kind::TcpSock => tcp_sock::has_field(off, size),
        Kind::XdpSock => off < xdp_sock::END && size == 4,
        _ => false,
    }
}

/// `struct bpf_sock` (`include/uapi/linux/bpf.h`, `bpf_sock_is_valid_access` of
/// `net/core/filter.c`)
mod full_sock {
    use core::ops::Range;

    /// Fields that sockets of other kinds lack: `type` to `priority`.
    pub(super) const NOT_COMMON: Range<u32> = 8..24;
    const END: u32 = 80;
    const DST_PORT: Range<u32> = 48..50;
    const PADDING: Range<u32> = 50..52;
    /// The addresses can be read in part from anywhere.
    const ADDRESSES: [Range<u32>; 4] = [24..28, 28..44, 52..56, 56..72];
    /// Others that can be read in part, from their start: `family`, `type`, `protocol`,
    /// `src_port`, `state`, `rx_queue_mapping`.
    const NARROW: [u32; 6] = [4, 8, 12, 44, 72, 76];

    pub(super) fn has_field(off: u32, size: u32) -> bool {
        if off >= END || PADDING.contains(&off) {
            return false;
        }
        if NARROW.contains(&off) || ADDRESSES.iter().any(|field| field.contains(&off)) {
            return size <= 4;
        }
        if DST_PORT.contains(&off) {
            // Two bytes, and with the padding four for old programs.
            return size <= 2 || size == 4;
        }
        size == 4
    }
}

/// `struct bpf_tcp_sock` (`bpf_tcp_sock_is_valid_access`)
mod tcp_sock {
    const END: u32 = 112;
    /// `bytes_received`, `bytes_acked`
    const LONG: [u32; 2] = [80, 88];

    pub(super) fn has_field(off: u32, size: u32) -> bool {
        off < END && size == if LONG.contains(&off) { 8 } else { 4 }
    }
}

/// `struct bpf_xdp_sock` (`bpf_xdp_sock_is_valid_access`)
mod xdp_sock {
    pub(super) const END: u32 = 4;
}
