// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The history of a verifier: which of its changes could be carried over, and what stable trees lack.
//!
//! Two questions of LSFMM+BPF 2025 are answered from a git repository: which changes of the verifier could
//! be shipped in one outside of the kernel's tree (Daniel Xu), and which fixes reached a stable tree without
//! their tests, or not at all (Shung-Hsi Yu).
//!
//! ```text
//! ids glob model    names, patterns, commits and patch sets
//! message patch     what messages and diffs say
//! data git          where commits come from: JSON, a repository
//! boundary figures  what is inside, what one more file would let through, Xu's figures
//! series verdict    what came together, and whether a commit could be shipped
//! symbols           what of C a patch changes and uses
//! tree cve version  stable trees, and vulnerabilities in them
//! fixes presence    what mends what, and what of it a tree has
//! audit trial       fixes and tests that a tree lacks, whether they would apply
//! prerequisites     what they need before
//! csource           names in C sources
//! references        symbols of the kernel that a verifier refers to
//! load              what a command line names
//! analysis report   all of it together
//! ```

pub mod analysis;
pub mod audit;
pub mod boundary;
mod csource;
pub mod cve;
pub mod data;
pub mod figures;
pub mod fixes;
pub mod git;
pub mod glob;
pub mod ids;
pub mod load;
pub mod message;
pub mod model;
pub mod patch;
mod prerequisites;
pub mod presence;
pub mod references;
pub mod report;
pub mod series;
pub mod symbols;
pub mod tree;
mod tree_analysis;
pub mod trial;
pub mod verdict;
pub mod version;
