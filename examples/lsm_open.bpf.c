/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* LSM: refuses to open files by flags. */
#include "bpf.h"

struct file {
	unsigned int f_flags;
} __core;

SEC("lsm/file_open")
int refuse_direct(__u64 *ctx)
{
	struct file *file = (void *)ctx[0];

	return file->f_flags & 040000 ? -1 : 0;
}

/* Wrong on purpose: an LSM hook returns 0 or a negative error number. */
SEC("lsm/file_open")
int positive_result(__u64 *ctx)
{
	return 1;
}
