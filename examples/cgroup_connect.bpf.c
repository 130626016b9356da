/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* cgroup: refuses connections to one port; the egress program lets everything pass. */
#include "bpf.h"

struct bpf_sock_addr {
	__u32 user_family, user_ip4, user_ip6[4], user_port;
};

SEC("cgroup/connect4")
int no_telnet(struct bpf_sock_addr *ctx)
{
	return ctx->user_port != __builtin_bswap16(23);
}

SEC("cgroup_skb/egress")
int pass_all(void *ctx)
{
	return 1;
}

/* Wrong on purpose: connect hooks return 0 or 1. */
SEC("cgroup/connect4")
int result_out_of_range(void *ctx)
{
	return 2;
}
