/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Ring buffer: reserve and submit; one program forgets to submit. */
#include "bpf.h"

struct event {
	__u64 time;
	__u64 pid_tgid;
};

struct {
	__uint(type, MAP_RINGBUF);
	__uint(max_entries, 65536);
} events SEC(".maps");

SEC("raw_tp/sys_enter")
int send_event(void *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return 0;
	event->time = bpf_ktime_get_ns();
	event->pid_tgid = bpf_get_current_pid_tgid();
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* Wrong on purpose: the reserved record is never given back. */
SEC("raw_tp/sys_enter")
int leak_event(void *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (event)
		event->time = 0;
	return 0;
}
