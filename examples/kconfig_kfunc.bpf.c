/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Externs: kernel version and configuration, a kfunc that exists, and a weak one that does not. */
#include "bpf.h"

extern int LINUX_KERNEL_VERSION __kconfig;
extern unsigned int CONFIG_HZ __kconfig __weak;

struct task_struct {
	int pid;
} __core;

extern struct task_struct *bpf_task_from_pid(int pid) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;
extern void veristable_no_such_kfunc(void) __ksym __weak;

SEC("socket")
int version(void *ctx)
{
	return LINUX_KERNEL_VERSION >= 0x060c00 ? (int)CONFIG_HZ : 0;
}

SEC("syscall")
int find_init(void *ctx)
{
	struct task_struct *init;

	if (veristable_no_such_kfunc)
		veristable_no_such_kfunc();
	init = bpf_task_from_pid(1);
	if (!init)
		return 1;
	bpf_task_release(init);
	return 0;
}

/* Wrong on purpose: the reference is not released. */
SEC("syscall")
int leak_task(void *ctx)
{
	return !bpf_task_from_pid(1);
}
