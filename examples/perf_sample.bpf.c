/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Perf event: sends a sample through a perf event array; the loader chooses the sizes of both maps. */
#include "bpf.h"

struct sample {
	__u64 time;
	__u32 pid;
	__s32 stack;
};

struct {
	__uint(type, MAP_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} samples SEC(".maps");

struct {
	__uint(type, MAP_STACK_TRACE);
	__uint(key_size, 4);
} stacks SEC(".maps");

SEC("perf_event")
int on_sample(void *ctx)
{
	struct sample s = { .time = bpf_ktime_get_ns() };

	s.pid = bpf_get_current_pid_tgid() >> 32;
	s.stack = bpf_get_stackid(ctx, &stacks, 0);
	bpf_perf_event_output(ctx, &samples, 0xffffffffULL, &s, sizeof(s));
	return 0;
}
