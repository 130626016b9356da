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

/* Wrong on purpose: reads a stack slot that nothing wrote. Accepted only because a privileged
 * program may read uninitialised stack. */
SEC("socket")
int uninitialised_stack(void *ctx)
{
	__u64 value;

	asm volatile("%0 = *(u64 *)(r10 - 8)" : "=r"(value));
	return value & 1;
}

/* Wrong on purpose: R3 is never written. */
SEC("socket")
int uninitialised_register(void *ctx)
{
	int value;

	asm volatile("%0 = r3" : "=r"(value));
	return value;
}

/* Wrong on purpose: writes above the frame. */
SEC("socket")
int stack_out_of_bounds(void *ctx)
{
	asm volatile("r1 = 0; *(u64 *)(r10 + 8) = r1" ::: "r1");
	return 0;
}

/* Wrong on purpose: never ends. */
SEC("socket")
int endless(void *ctx)
{
	asm volatile("r0 = 0; 1: if r0 == 0 goto 1b" ::: "r0");
	return 0;
}
