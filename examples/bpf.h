/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* What the examples need of the BPF interface, and no more: they compile without any other header. */
#ifndef EXAMPLES_BPF_H
#define EXAMPLES_BPF_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed int __s32;
typedef signed long long __s64;

#define SEC(name) __attribute__((section(name), used))
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
#define __ksym __attribute__((section(".ksyms")))
#define __kconfig __attribute__((section(".kconfig")))
#define __weak __attribute__((weak))
/* Field accesses become CO-RE relocations. */
#define __core __attribute__((preserve_access_index))

/* BTF-defined maps. */
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name
#define __array(name, value) typeof(value) *name[]

enum {
	MAP_HASH = 1,
	MAP_ARRAY = 2,
	MAP_PERF_EVENT_ARRAY = 4,
	MAP_PERCPU_ARRAY = 6,
	MAP_STACK_TRACE = 7,
	MAP_ARRAY_OF_MAPS = 12,
	MAP_RINGBUF = 27,
};

/* Helpers by their number (enum bpf_func_id). */
static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value,
					 __u64 flags) = (void *)2;
static __u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static long (*const bpf_trace_printk)(const char *fmt, __u32 size, ...) = (void *)6;
static __u64 (*const bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*const bpf_perf_event_output)(void *ctx, void *map, __u64 flags, void *data,
					   __u64 size) = (void *)25;
static long (*const bpf_get_stackid)(void *ctx, void *map, __u64 flags) = (void *)27;
static long (*const bpf_probe_read_kernel)(void *dst, __u32 size, const void *src) = (void *)113;
static long (*const bpf_seq_printf)(void *seq, const char *fmt, __u32 size, const void *data,
				    __u32 data_len) = (void *)126;
static long (*const bpf_ringbuf_output)(void *map, void *data, __u64 size, __u64 flags) =
	(void *)130;
static void *(*const bpf_ringbuf_reserve)(void *map, __u64 size, __u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, __u64 flags) = (void *)132;
static long (*const bpf_loop)(__u32 count, void *callback, void *ctx, __u64 flags) = (void *)181;

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#endif
