/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* kprobe: per-process count of opened files. */
#include "bpf.h"

struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
} __core;

struct {
	__uint(type, MAP_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} opened SEC(".maps");

SEC("kprobe/do_sys_openat2")
int count_open(struct pt_regs *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u64 one = 1, *count;

	if ((int)ctx->di == -1)
		return 0;
	count = bpf_map_lookup_elem(&opened, &pid);
	if (count)
		*count += 1;
	else
		bpf_map_update_elem(&opened, &pid, &one, 0);
	return 0;
}

/* Wrong on purpose: the result of a lookup may be NULL. */
SEC("kprobe/do_sys_openat2")
int no_null_check(void *ctx)
{
	__u32 pid = 0;
	__u64 *count = bpf_map_lookup_elem(&opened, &pid);

	*count = 0;
	return 0;
}
