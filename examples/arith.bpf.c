/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Plain arithmetic on the stack and in registers: needs nothing of the kernel. */
#include "bpf.h"

SEC("socket")
int checksum(void *ctx)
{
	volatile __u32 word[4];
	__u32 sum;

	word[0] = 0x1234;
	word[1] = 0x5678;
	word[2] = 0x9abc;
	word[3] = 0xdef0;
	sum = word[0] + word[1] + word[2] + word[3];

	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return ~sum & 0xffff;
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
