/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Iterator: prints every task. */
#include "bpf.h"

struct seq_file {
	int dummy___unused;
} __core;

struct bpf_iter_meta {
	struct seq_file *seq;
} __core;

struct task_struct {
	int pid;
} __core;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} __core;

static const char fmt[] = "%d\n";

SEC("iter/task")
int dump_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u64 args[1];

	if (!task)
		return 0;
	args[0] = task->pid;
	bpf_seq_printf(ctx->meta->seq, fmt, sizeof(fmt), args, sizeof(args));
	return 0;
}
