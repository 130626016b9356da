// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
/* How the programs that dump test tables print bytes and text as JSON. */
#include <stddef.h>
#include <stdio.h>

static void print_hex(const char *key, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	printf(",\"%s\":\"", key);
	for (size_t i = 0; i < size; i++)
		printf("%02x", bytes[i]);
	putchar('"');
}

static void print_text(const char *key, const char *text)
{
	if (!text)
		return;
	printf(",\"%s\":\"", key);
	for (; *text; text++) {
		unsigned char c = *text;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}
