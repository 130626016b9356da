// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
/*
 * Second half of a program that prints the tests of function and line information as one JSON
 * object a line. The task puts in front of it: the macros, the structure and the table, cut out of
 * the tree's own prog_tests/btf.c. Nothing of libbpf is linked and no system call of BPF is made.
 */
/* Bytes in front of the last end mark; the tables are filled up with zeroes. */
static size_t marked(const __u32 *words, size_t count)
{
	while (count > 0 && words[count - 1] != BTF_END_RAW)
		count--;
	return count ? (count - 1) * sizeof(words[0]) : 0;
}

/* The bytes that the kernel is told to read, as far as the structure holds them. */
static size_t func_info_size(const struct prog_info_raw_test *test)
{
	size_t room = sizeof(*test) - offsetof(struct prog_info_raw_test, func_info);
	size_t told = (size_t)test->func_info_rec_size * test->func_info_cnt;

	return told < room ? told : room;
}

static void print_test(const struct prog_info_raw_test *test)
{
	size_t insns = MAX_INSNS;

	while (insns > 1 && !test->insns[insns - 1].code && !test->insns[insns - 1].imm)
		insns--;
	printf("{\"prog_type\":%u,\"fails\":%s", test->prog_type,
	       test->expected_prog_load_failure ? "true" : "false");
	printf(",\"func_info_rec_size\":%u,\"func_info_cnt\":%u,\"line_info_rec_size\":%u",
	       test->func_info_rec_size, test->func_info_cnt, test->line_info_rec_size);
	print_text("descr", test->descr);
	print_text("message", test->err_str);
	print_hex("types", test->raw_types, marked(test->raw_types, MAX_NR_RAW_U32));
	print_hex("strings", test->str_sec, test->str_sec_size);
	print_hex("func_info", test->func_info, func_info_size(test));
	print_hex("line_info", test->line_info, marked(test->line_info, MAX_NR_RAW_U32));
	print_hex("insns", test->insns, insns * sizeof(test->insns[0]));
	puts("}");
}

int main(void)
{
	printf("{\"format\":1,\"btf_header_len\":%zu}\n", sizeof(struct btf_header));
	for (size_t i = 0; i < sizeof(info_raw_tests) / sizeof(info_raw_tests[0]); i++)
		print_test(&info_raw_tests[i]);
	return fflush(stdout) ? 1 : 0;
}
