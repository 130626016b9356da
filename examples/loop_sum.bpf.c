/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* bpf_loop with a callback, and a bounded loop without one. */
#include "bpf.h"

struct sum {
	__u64 total;
};

static long add(__u32 index, struct sum *sum)
{
	sum->total += index;
	return 0;
}

SEC("syscall")
int sum_with_callback(void *ctx)
{
	struct sum sum = {};

	bpf_loop(1000, add, &sum, 0);
	return sum.total == 499500;
}

SEC("socket")
int bounded_loop(void *ctx)
{
	volatile __u32 total = 0;
	int i;

#pragma clang loop unroll(disable)
	for (i = 0; i < 32; i++)
		total += i;
	return total;
}
