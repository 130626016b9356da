/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Plain arithmetic on the stack and in registers: needs nothing of the kernel. */
#include "bpf.h"

SEC("socket")
int checksum(void *ctx)
{
	volatile __u32 word[4] = { 0x1234, 0x5678, 0x9abc, 0xdef0 };
	__u32 sum = word[0] + word[1] + word[2] + word[3];

	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return ~sum & 0xffff;
}

static __noinline int clamp(int value, int low, int high)
{
	if (value < low)
		return low;
	return value > high ? high : value;
}

SEC("socket")
int calls(void *ctx)
{
	volatile int value = 300;

	return clamp(value, 0, 255);
}
