// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Debian packages through an apt of our own: own sources, lists and cache, below the product's
//! cache directory. The system's apt is only asked which mirror it uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail};
use veristable_corpus::cache;

use super::tools;

/// Suites of the main archive that the sets draw from.
const SUITES: [&str; 5] = ["bookworm", "trixie", "trixie-backports", "sid", "bullseye"];

/// Suites of the security archive.
const SECURITY_SUITES: [&str; 1] = ["bookworm-security"];

/// Lists older than this are fetched again when the network is there.
const LISTS_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Key ring of the archive, from the package `debian-archive-keyring`.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt whose every directory lies in the cache.
pub(crate) struct Apt {
    dir: PathBuf,
    mirror: Option<Mirrors>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Mirrors {
    main: String,
    security: Option<String>,
}

/// One version of a package in one suite.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Available {
    /// Package name.
    pub(crate) package: String,
    /// Debian version.
    pub(crate) version: String,
    /// Suite, `trixie-backports`.
    pub(crate) suite: String,
}

impl Apt {
    /// Opens the private apt, making and refreshing its lists where needed (`refresh` forces it).
    ///
    /// # Errors
    ///
    /// No Debian mirror among the machine's sources; no network and no lists from earlier.
    pub(crate) fn open(refresh: bool) -> Result<Self> {
        let dir = cache::root()?.join("apt");
        for sub in ["lists/partial", "cache/archives/partial", "packages", "incoming"] {
            let path = dir.join(sub);
            fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        }
        let mirror = mirrors();
        let apt = Self { dir, mirror: mirror.as_ref().ok().cloned() };
        match mirror {
            Ok(found) => {
                cache::write_whole(&apt.dir.join("sources.list"), sources(&found).as_bytes())?
            }
            // What an earlier run fetched is still good.
            Err(error) if !apt.dir.join("sources.list").exists() => return Err(error),
            Err(_) => {}
        }
        apt.refresh(refresh)?;
        Ok(apt)
    }

    fn refresh(&self, force: bool) -> Result<()> {
        let stamp = self.dir.join("lists.stamp");
        let age = fs::metadata(&stamp)
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|time| SystemTime::now().duration_since(time).ok());
        let sources = fs::read(self.dir.join("sources.list")).unwrap_or_default();
        let same_sources = fs::read(&stamp).is_ok_and(|old| old == sources);
        if !force && same_sources && age.is_some_and(|age| age < LISTS_AGE) {
            return Ok(());
        }
        eprintln!("fetching package lists into {}", self.dir.display());
        match tools::output(self.apt("apt-get").args(["-q", "update"])) {
            Ok(_) => cache::write_whole(&stamp, &sources),
            Err(error) if age.is_some() && same_sources => {
                eprintln!("warning: using the lists of an earlier run ({error:#})");
                Ok(())
            }
            Err(error) => Err(error.context(
                "cannot fetch package lists: this needs the network and the package \
                 debian-archive-keyring",
            )),
        }
    }

    /// Every version of a package, newest first within each suite as apt sorts them.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<Available>> {
        let text = tools::output(self.apt("apt-cache").args(["madison", package]))?;
        Ok(String::from_utf8_lossy(&text).lines().filter_map(parse_madison).collect())
    }

    /// The newest version of a package that any suite has; when none has it any more, the one that
    /// an earlier run downloaded.
    ///
    /// # Errors
    ///
    /// Neither exists.
    pub(crate) fn newest(&self, package: &str) -> Result<String> {
        // apt prints the newest version first.
        if let Some(available) = self.versions(package)?.into_iter().next() {
            return Ok(available.version);
        }
        self.kept_version(package)
            .ok_or_else(|| anyhow!("no suite has {package}, and the cache does not have it either"))
    }

    /// The version of a package in the first of some suites that has it.
    ///
    /// # Errors
    ///
    /// None has it, and it was not downloaded earlier.
    pub(crate) fn version_in(&self, package: &str, suites: &[&str]) -> Result<String> {
        let versions = self.versions(package)?;
        let of = |suite: &&str| versions.iter().find(|one| one.suite == **suite);
        match suites.iter().find_map(of) {
            Some(available) => Ok(available.version.clone()),
            None => self
                .kept_version(package)
                .ok_or_else(|| anyhow!("none of {} has {package}", suites.join(", "))),
        }
    }

    /// Version of a package file in the cache, the last by name.
    fn kept_version(&self, package: &str) -> Option<String> {
        let mut versions: Vec<String> = fs::read_dir(self.dir.join("packages"))
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| {
                let (stem, rest) = name.split_once('_')?;
                let version = rest.rsplit_once('_')?.0;
                (stem == package).then(|| version.replace("%3a", ":"))
            })
            .collect();
        versions.sort();
        versions.pop()
    }

    fn kept_file(&self, package: &str, version: &str) -> Option<PathBuf> {
        let version = version.replace(':', "%3a");
        ["amd64", "all"].iter().find_map(|architecture| {
            let name = format!("{package}_{version}_{architecture}.deb");
            Some(self.dir.join("packages").join(name)).filter(|path| path.exists())
        })
    }

    /// The package file of one version, from the cache or the mirror.
    ///
    /// # Errors
    ///
    /// The mirror does not have it, or what it has is not what its lists promise.
    pub(crate) fn package(&self, package: &str, version: &str) -> Result<PathBuf> {
        // A file gets this name only when it is whole.
        if let Some(kept) = self.kept_file(package, version) {
            return Ok(kept);
        }
        let what = format!("{package}={version}");
        let mut print = self.apt("apt-get");
        let line = tools::output(print.args(["-q", "--print-uris", "download", &what]))?;
        let (name, size) = String::from_utf8_lossy(&line)
            .lines()
            .find_map(parse_uri)
            .ok_or_else(|| anyhow!("apt knows no file for {what}"))?;
        let kept = self.dir.join("packages").join(&name);
        let whole = |path: &Path| fs::metadata(path).is_ok_and(|meta| meta.len() == size);
        eprintln!("downloading {name} ({} KiB)", size / 1024);
        let incoming = self.dir.join("incoming");
        let mut download = self.apt("apt-get");
        tools::output(download.args(["-q", "download", &what]).current_dir(&incoming))
            .with_context(|| format!("cannot download {what}"))?;
        let arrived = incoming.join(&name);
        if !whole(&arrived) {
            bail!("{}: not the {size} bytes that the package list promises", arrived.display());
        }
        fs::rename(&arrived, &kept).with_context(|| kept.display().to_string())?;
        Ok(kept)
    }

    /// A file of the main archive that no package list names, such as an upstream tarball whose
    /// source package has been superseded; `path` is relative to the archive (`pool/main/…`).
    ///
    /// # Errors
    ///
    /// The mirror does not have it.
    pub(crate) fn pool_file(&self, path: &str) -> Result<PathBuf> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let kept = self.dir.join("packages").join(name);
        if kept.exists() {
            return Ok(kept);
        }
        let mirror = self.mirror.as_ref().ok_or_else(|| anyhow!("{name}: no mirror is known"))?;
        let url = format!("{}/{path}", mirror.main.trim_end_matches('/'));
        eprintln!("downloading {name}");
        let arrived = self.dir.join("incoming").join(name);
        tools::output(
            Command::new("/usr/lib/apt/apt-helper")
                .args(self.options())
                .args(["download-file", &url])
                .arg(&arrived),
        )
        .with_context(|| format!("cannot download {name}: it may have left the archive"))?;
        fs::rename(&arrived, &kept).with_context(|| kept.display().to_string())?;
        Ok(kept)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(self.options()).env("LC_ALL", "C.UTF-8");
        command
    }

    fn options(&self) -> Vec<String> {
        let dir = self.dir.display();
        [
            format!("Dir::Etc::sourcelist={dir}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            format!("Dir::State::lists={dir}/lists"),
            format!("Dir::Cache={dir}/cache"),
            "Dir::State::status=/dev/null".to_owned(),
            "APT::Get::List-Cleanup=0".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            "APT::Architectures=amd64".to_owned(),
            // The cache need not be readable for apt's own user.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
        ]
        .into_iter()
        .flat_map(|option| ["-o".to_owned(), option])
        .collect()
    }
}

/// The mirrors that this machine's own apt is configured with.
fn mirrors() -> Result<Mirrors> {
    let mut ask = Command::new("apt-get");
    let text = tools::output(ask.args(["indextargets", "--format", "$(REPO_URI) $(RELEASE)"]))?;
    parse_mirrors(&String::from_utf8_lossy(&text)).ok_or_else(|| {
        anyhow!(
            "this machine's apt sources name no Debian archive; add one (any suite will do) to \
             /etc/apt/sources.list.d, or run this on Debian"
        )
    })
}

fn parse_mirrors(text: &str) -> Option<Mirrors> {
    let pairs = || text.lines().filter_map(|line| line.trim().split_once(' '));
    let debian = |suite: &str| {
        let base = suite.split('-').next().unwrap_or(suite);
        SUITES.contains(&base) || matches!(base, "stable" | "testing" | "unstable" | "forky")
    };
    let security = pairs().find(|(_, suite)| debian(suite) && suite.ends_with("-security"));
    let main = pairs().find(|(_, suite)| debian(suite) && !suite.ends_with("-security"))?;
    Some(Mirrors { main: main.0.to_owned(), security: security.map(|(uri, _)| uri.to_owned()) })
}

fn sources(mirrors: &Mirrors) -> String {
    let signed =
        if Path::new(KEYRING).exists() { format!(" [signed-by={KEYRING}]") } else { String::new() };
    let main = SUITES.iter().map(|suite| (&mirrors.main, suite));
    let security =
        mirrors.security.iter().flat_map(|uri| SECURITY_SUITES.iter().map(move |s| (uri, s)));
    main.chain(security).map(|(uri, suite)| format!("deb{signed} {uri} {suite} main\n")).collect()
}

/// `pkg | version | uri suite/main amd64 Packages`
fn parse_madison(line: &str) -> Option<Available> {
    let mut columns = line.split('|').map(str::trim);
    let (package, version, source) = (columns.next()?, columns.next()?, columns.next()?);
    let mut words = source.split_whitespace();
    let (_, place) = (words.next()?, words.next()?);
    if words.last()? != "Packages" {
        return None;
    }
    Some(Available {
        package: package.to_owned(),
        version: version.to_owned(),
        suite: place.split('/').next()?.to_owned(),
    })
}

/// `'uri' file-name size hash`
fn parse_uri(line: &str) -> Option<(String, u64)> {
    let mut words = line.split_whitespace();
    words.next().filter(|uri| uri.starts_with('\''))?;
    let name = words.next().filter(|name| !name.contains('/'))?;
    Some((name.to_owned(), words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_come_from_debian_suites_only() {
        let text = "http://pkg.example/cloud any\n\
                    http://mirror.example/debian/ bookworm-updates\n\
                    http://sec.example/debian-security/ bookworm-security\n";
        let expected = Mirrors {
            main: "http://mirror.example/debian/".to_owned(),
            security: Some("http://sec.example/debian-security/".to_owned()),
        };
        assert_eq!(parse_mirrors(text), Some(expected));
        assert_eq!(parse_mirrors("http://pkg.example/cloud nodistro\n"), None);
    }

    #[test]
    fn lines_of_apt() {
        let line = " xdp-tools |    1.5.4-1 | http://m/debian trixie/main amd64 Packages";
        let available = parse_madison(line).unwrap();
        assert_eq!((&*available.version, &*available.suite), ("1.5.4-1", "trixie"));
        assert_eq!(parse_madison("x | 1 | http://m/debian trixie/main Sources"), None);
        let line = "'http://m/s_8%2b2_amd64.deb' s_1%3a8+2_amd64.deb 4500868 SHA256:e638";
        assert_eq!(parse_uri(line), Some(("s_1%3a8+2_amd64.deb".to_owned(), 4_500_868)));
        assert_eq!(parse_uri("W: something"), None);
    }
}
