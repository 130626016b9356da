// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
pub(crate) fn run(_: &super::CompareArgs) -> anyhow::Result<()> {
    Ok(())
}
