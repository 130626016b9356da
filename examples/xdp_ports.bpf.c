/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* XDP: parses Ethernet, IPv4 and UDP, counts packets by destination port. */
#include "bpf.h"

struct xdp_md {
	__u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

struct eth {
	__u8 dst[6], src[6];
	__u16 proto;
} __attribute__((packed));

struct ip4 {
	__u8 version_ihl, tos;
	__u16 len, id, frag;
	__u8 ttl, proto;
	__u16 check;
	__u32 src, dst;
};

struct udp {
	__u16 src, dst, len, check;
};

enum { XDP_ABORTED, XDP_DROP, XDP_PASS };

struct {
	__uint(type, MAP_HASH);
	__uint(max_entries, 1024);
	__type(key, __u16);
	__type(value, __u64);
} ports SEC(".maps");

const volatile __u16 blocked_port = 0;

SEC("xdp")
int count_ports(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct eth *eth = data;
	struct ip4 *ip = (void *)(eth + 1);
	struct udp *udp;
	__u64 one = 1, *count;
	__u16 port;

	if ((void *)(ip + 1) > end || eth->proto != __builtin_bswap16(0x0800) || ip->proto != 17)
		return XDP_PASS;
	udp = (void *)ip + (ip->version_ihl & 15) * 4;
	if ((void *)(udp + 1) > end)
		return XDP_PASS;
	port = __builtin_bswap16(udp->dst);
	if (blocked_port && port == blocked_port)
		return XDP_DROP;
	count = bpf_map_lookup_elem(&ports, &port);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&ports, &port, &one, 0);
	return XDP_PASS;
}

/* Wrong on purpose: reads the header without comparing with data_end. */
SEC("xdp")
int no_bounds_check(struct xdp_md *ctx)
{
	struct eth *eth = (void *)(long)ctx->data;

	return eth->proto ? XDP_PASS : XDP_DROP;
}
