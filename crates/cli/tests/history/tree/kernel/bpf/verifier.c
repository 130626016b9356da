// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
static int own(void)
{
	return other_one(1) + table[0];
}
