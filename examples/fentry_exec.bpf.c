/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* fentry: walks kernel structures with CO-RE. */
#include "bpf.h"

struct task_struct {
	int pid, tgid;
	struct task_struct *real_parent;
} __core;

struct linux_binprm {
	const char *filename;
} __core;

int last_parent;

SEC("fentry/bprm_execve")
int on_exec(__u64 *ctx)
{
	struct linux_binprm *bprm = (void *)ctx[0];
	char name[16];

	bpf_probe_read_kernel(name, sizeof(name), bprm->filename);
	last_parent = name[0];
	return 0;
}

SEC("tp_btf/sched_process_exec")
int on_process_exec(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];

	last_parent = task->real_parent->pid;
	return 0;
}
