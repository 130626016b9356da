/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* struct_ops: a congestion control that keeps its window. */
#include "bpf.h"

struct sock;

struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
} __core;

SEC("struct_ops")
__u32 fixed_ssthresh(__u64 *ctx)
{
	return 2;
}

SEC("struct_ops")
void fixed_cong_avoid(__u64 *ctx)
{
}

SEC("struct_ops")
__u32 fixed_undo_cwnd(__u64 *ctx)
{
	return 10;
}

SEC(".struct_ops")
struct tcp_congestion_ops fixed = {
	.ssthresh = (void *)fixed_ssthresh,
	.cong_avoid = (void *)fixed_cong_avoid,
	.undo_cwnd = (void *)fixed_undo_cwnd,
	.name = "fixed",
};
