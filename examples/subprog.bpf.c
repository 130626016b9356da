/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* A static subprogram, and a global one, which is verified on its own. */
#include "bpf.h"

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

__noinline int square(int value)
{
	return value * value;
}

SEC("socket")
int calls_global(void *ctx)
{
	return square(3);
}
