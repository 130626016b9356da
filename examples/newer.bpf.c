/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Programs that need what came between Linux 6.12 and 6.18: `veristable needs` names it, and
 * `veristable check` with both kernels says which of them refuses what. */
#include "bpf.h"

struct task_struct {
	int pid;
	void *perf_ctx_data;
} __core;

extern int bpf_strlen(const char *text) __ksym;
extern int bpf_strcmp(const char *a, const char *b) __ksym __weak;

const char text[8] = "text";
const void *volatile seen;

/* A kfunc of 6.17. */
SEC("syscall")
int kfunc(void *ctx)
{
	return bpf_strlen(text);
}

/* One that the program does without. */
SEC("syscall")
int optional_kfunc(void *ctx)
{
	return bpf_strcmp ? bpf_strcmp(text, text) : 0;
}

/* A field of 6.15. */
SEC("tp_btf/sched_process_exec")
int field(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];

	seen = task->perf_ctx_data;
	return 0;
}

/* A tracepoint of 6.14. */
SEC("tp_btf/cap_capable")
int tracepoint(__u64 *ctx)
{
	return 0;
}

/* Load-acquire, an instruction of 6.15: r0 = load_acquire((u64 *)(r10 - 8)). */
SEC("socket")
int load_acquire(void *ctx)
{
	asm volatile("*(u64 *)(r10 - 8) = %0\n"
		     ".byte 0xdb, 0xa0, 0xf8, 0xff, 0x00, 0x01, 0x00, 0x00" ::"r"(0)
		     : "r0", "memory");
	return 0;
}

/* `may_goto +0`, which 6.12 refuses: a behaviour of the verifier. */
SEC("socket")
int may_goto_next(void *ctx)
{
	asm volatile(".byte 0xe5, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00");
	return 0;
}
