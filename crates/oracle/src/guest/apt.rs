// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Debian packages through an apt of our own, whose directories all lie in the cache. The system's
//! apt is only asked which mirror it uses; nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache;
use crate::error::{Doing as _, OracleError};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt for one suite.
pub(super) struct Apt {
    dir: PathBuf,
}

impl Apt {
    /// Makes the directories, and fetches the suite's list of packages.
    pub(super) fn open(cache: &Path, suite: &str) -> Result<Self, OracleError> {
        let dir = cache.join("kernels/apt").join(suite);
        for sub in ["lists/partial", "cache/archives/partial", "incoming"] {
            cache::directory(dir.join(sub))?;
        }
        let apt = Self { dir };
        let mirror = mirror(suite)?;
        let signed = if Path::new(KEYRING).exists() {
            format!("[signed-by={KEYRING}] ")
        } else {
            String::new()
        };
        let source = format!("deb {signed}{mirror} {suite} main\n");
        cache::write_whole(&apt.dir.join("sources.list"), source.as_bytes())?;
        run(apt.command("apt-get").args(["-q", "update"])).map_err(|error| {
            missing(
                format!("the package list of Debian's {suite} cannot be fetched ({error})"),
                "this needs the network and the package debian-archive-keyring",
            )
        })?;
        Ok(apt)
    }

    /// The newest package whose name fits a pattern, by the version in the name.
    pub(super) fn newest(&self, pattern: &str) -> Result<Option<String>, OracleError> {
        let names = run(self.command("apt-cache").arg("pkgnames"))?;
        Ok(names
            .lines()
            .filter(|name| crate::pattern::matches(pattern, name))
            .max_by_key(|name| numbers(name))
            .map(str::to_owned))
    }

    /// Downloads a package; `None` if the suite has none of that name.
    pub(super) fn download(&self, package: &str) -> Result<Option<PathBuf>, OracleError> {
        let known = run(self.command("apt-cache").arg("pkgnames").arg(package))?;
        if !known.lines().any(|name| name == package) {
            return Ok(None);
        }
        let incoming = self.dir.join("incoming");
        let mut download = self.command("apt-get");
        run(download.args(["-q", "download", package]).current_dir(&incoming))?;
        let path = find_package(&incoming, package)?;
        path.map(Some).ok_or_else(|| {
            missing(format!("apt downloaded no {package}"), "try again, or put it into the cache")
        })
    }

    fn command(&self, program: &str) -> Command {
        let dir = self.dir.display();
        let mut command = Command::new(program);
        command.env("LC_ALL", "C.UTF-8");
        for option in [
            format!("Dir::Etc::sourcelist={dir}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            format!("Dir::State::lists={dir}/lists"),
            format!("Dir::Cache={dir}/cache"),
            "Dir::State::status=/dev/null".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            "APT::Architectures=amd64".to_owned(),
            // The cache need not be readable for apt's own user.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }
}

/// A package's file in a directory: `name_version_arch.deb`.
pub(super) fn find_package(dir: &Path, package: &str) -> Result<Option<PathBuf>, OracleError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).doing(|| dir.display().to_string()),
    };
    Ok(entries.flatten().map(|entry| entry.path()).find(|path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.ends_with(".deb") && name.split('_').next() == Some(package))
    }))
}

/// The mirror that this machine's apt uses for Debian, or for its security updates.
fn mirror(suite: &str) -> Result<String, OracleError> {
    let mut ask = Command::new("apt-get");
    let text = run(ask.args(["indextargets", "--format", "$(REPO_URI) $(RELEASE)"]))?;
    choose_mirror(&text, suite.ends_with("-security")).ok_or_else(|| {
        missing(
            format!("this machine's apt sources name no Debian archive that could hold {suite}"),
            "add one (any suite of it will do), or put the kernel package into the cache",
        )
    })
}

fn choose_mirror(text: &str, security: bool) -> Option<String> {
    const SUITES: [&str; 8] =
        ["bullseye", "bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable"];
    text.lines()
        .filter_map(|line| line.trim().split_once(' '))
        .find(|(_, suite)| {
            let base = suite.split(['-', '/']).next().unwrap_or(suite);
            SUITES.contains(&base) && suite.ends_with("-security") == security
        })
        .map(|(uri, _)| uri.to_owned())
}

/// The numbers in a name, for comparing versions.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

fn missing(what: impl Into<String>, help: &str) -> OracleError {
    OracleError::Missing { what: what.into(), help: help.into() }
}

/// Runs a command and returns what it prints.
pub(super) fn run(command: &mut Command) -> Result<String, OracleError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(missing(
                format!("there is no `{name}` on this machine"),
                "run on Debian, or put the kernel package into the cache (docs/oracles.md)",
            ));
        }
        output => output.doing(|| format!("running {name}"))?,
    };
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        return Err(OracleError::Io {
            doing: format!("running {name}"),
            source: std::io::Error::other(format!("{}: {last}", output.status)),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_come_from_debian_suites_only() {
        let text = "http://pkg.example/cloud any\n\
                    http://sec.example/debian-security/ bookworm-security\n\
                    http://mirror.example/debian/ bookworm-updates\n";
        assert_eq!(choose_mirror(text, false).unwrap(), "http://mirror.example/debian/");
        assert_eq!(choose_mirror(text, true).unwrap(), "http://sec.example/debian-security/");
        assert_eq!(choose_mirror("http://pkg.example/cloud nodistro\n", false), None);
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(numbers("linux-image-6.12.117+deb12") > numbers("linux-image-6.12.94+deb12"));
    }
}
