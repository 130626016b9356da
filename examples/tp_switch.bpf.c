/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Tracepoint: context switches per CPU array slot. */
#include "bpf.h"

struct sched_switch_args {
	__u64 common;
	char prev_comm[16];
	__s32 prev_pid, prev_prio;
	__u64 prev_state;
	char next_comm[16];
	__s32 next_pid, next_prio;
};

struct {
	__uint(type, MAP_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} switches SEC(".maps");

SEC("tracepoint/sched/sched_switch")
int on_switch(struct sched_switch_args *ctx)
{
	__u32 slot = ctx->next_pid == 0;
	__u64 *count = bpf_map_lookup_elem(&switches, &slot);

	if (count)
		*count += 1;
	return 0;
}
