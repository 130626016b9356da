/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Traffic control: marks a packet by its length. */
#include "bpf.h"

struct __sk_buff {
	__u32 len, pkt_type, mark, queue_mapping, protocol;
};

SEC("tc")
int mark_large(struct __sk_buff *skb)
{
	if (skb->len > 1000)
		skb->mark = 7;
	return 0;
}

/* Wrong on purpose: pkt_type cannot be written. */
SEC("tc")
int write_read_only_field(struct __sk_buff *skb)
{
	skb->len = 1;
	return 0;
}
