/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What every verifier refuses, and what only an unprivileged program may not do. */
#include "bpf.h"

/* Reads a stack slot that nothing wrote, which is accepted only because a privileged program may
 * read uninitialised stack. */
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
