/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* bpf_loop with a callback. */
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
