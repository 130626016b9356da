// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
/*
 * Second half of a program that prints the raw verifier tests as one JSON object a line. The task
 * puts in front of it: the tree's own test_verifier.c with its main() renamed, and macros HAVE_* and
 * FIXUPS(x) for what that tree's struct bpf_test holds. Nothing of libbpf is linked and no system
 * call of BPF is made.
 */
#undef main

static void print_fixup(const char *name, const int *list, int *any)
{
	if (!list[0])
		return;
	printf("%s\"%s\":[", (*any)++ ? "," : "", name);
	for (int i = 0; i < MAX_FIXUPS && list[i]; i++)
		printf("%s%d", i ? "," : "", list[i]);
	putchar(']');
}

static int used(const struct bpf_insn *insns, int max)
{
	while (max > 0 && !insns[max - 1].code && !insns[max - 1].imm)
		max--;
	return max;
}

static void print_test(struct bpf_test *test, const char *file)
{
	const struct bpf_insn *insns = test->insns;
	int len, any = 0;

	/* Some programs hold pseudo-random numbers: always the same ones. */
	srand(1);
	if (test->fill_helper) {
		test->fill_insns = calloc(MAX_TEST_INSNS, sizeof(struct bpf_insn));
		if (!test->fill_insns)
			exit(2);
		test->fill_helper(test);
		insns = test->fill_insns;
		len = test->prog_len;
	} else {
		len = probe_filter_length(test->insns);
	}
	printf("{\"filled\":%s", test->fill_helper ? "true" : "false");
	print_text("file", file);
	print_text("descr", test->descr);
	printf(",\"prog_type\":%u,\"expected_attach_type\":%u,\"flags\":%u", test->prog_type,
	       test->expected_attach_type, test->flags);
	printf(",\"result\":%u,\"result_unpriv\":%u,\"runs\":%d,\"retval\":%u", test->result,
	       test->result_unpriv, test->runs, test->retval);
	printf(",\"insn_processed\":%u", test->insn_processed);
	print_text("errstr", test->errstr);
	print_text("errstr_unpriv", test->errstr_unpriv);
	print_text("attach", test->kfunc);
	printf(",\"fixups\":{");
#define FIXUP(name) print_fixup(#name, test->fixup_##name, &any);
	FIXUPS(FIXUP)
	putchar('}');
#ifdef HAVE_KFUNCS
	printf(",\"kfuncs\":[");
	for (int i = 0; i < MAX_FIXUPS && test->fixup_kfunc_btf_id[i].kfunc; i++)
		printf("%s[%d,\"%s\"]", i ? "," : "", test->fixup_kfunc_btf_id[i].insn_idx,
		       test->fixup_kfunc_btf_id[i].kfunc);
	putchar(']');
#endif
#ifdef HAVE_FUNC_INFO
	print_hex("func_info", test->func_info,
		  sizeof(test->func_info[0]) * test->func_info_cnt);
#endif
#ifdef HAVE_BTF_TYPES
	if (test->btf_types[0]) {
		int count = 0;

		while (count < MAX_BTF_TYPES && test->btf_types[count] != BTF_END_RAW)
			count++;
		print_hex("btf_types", test->btf_types, count * sizeof(test->btf_types[0]));
		print_hex("btf_strings", test->btf_strings, sizeof(test->btf_strings));
	}
#endif
#ifdef HAVE_EXPECTED_INSNS
	print_hex("expected_insns", test->expected_insns,
		  sizeof(struct bpf_insn) * used(test->expected_insns, MAX_EXPECTED_INSNS));
	print_hex("unexpected_insns", test->unexpected_insns,
		  sizeof(struct bpf_insn) * used(test->unexpected_insns, MAX_UNEXPECTED_INSNS));
#endif
	print_hex("insns", insns, sizeof(struct bpf_insn) * len);
	puts("}");
	free(test->fill_insns);
	test->fill_insns = NULL;
}

int main(void)
{
	const char *file = "";

	/* The BTF of the maps with special fields. */
	printf("{\"format\":1");
	print_hex("map_btf_types", btf_raw_types, sizeof(btf_raw_types));
	print_hex("map_btf_strings", btf_str_sec, sizeof(btf_str_sec));
	puts("}");
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		/* The task marks where each file begins. */
		if (!strncmp(tests[i].descr, "@file:", 6))
			file = tests[i].descr + 6;
		else
			print_test(&tests[i], file);
	}
	return fflush(stdout) ? 1 : 0;
}
