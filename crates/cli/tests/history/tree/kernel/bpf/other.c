// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
int table[4];
static int hidden(void)
{
	return 0;
}
int other_one(int a)
{
	return a;
}
int unused_one(void)
{
	return 0;
}
