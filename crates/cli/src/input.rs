// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! From files to load requests.

use crate::args::LinkArgs;
use crate::verdicts::{self, Digest};
use anyhow::{Context, bail};
use std::path::Path;
use std::sync::Arc;
use veristable_kernel::{Kernel, Profile};
use veristable_needs::Needs;
use veristable_object::{LinkError, LinkOptions, Object, TargetProgram};
use veristable_program::{Capabilities, LoadRequest};

/// One program of a file, linked for one kernel.
pub(crate) struct Unit {
    /// Program name.
    pub(crate) program: String,
    /// ELF section.
    pub(crate) section: String,
    /// The request, or why it cannot be linked.
    pub(crate) request: Result<LoadRequest, LinkError>,
}

/// A program that one of an object's programs attaches to.
pub(crate) struct Target {
    /// The program that attaches.
    by: String,
    /// The object that has the target.
    object: Object,
    /// The target.
    program: String,
    /// The function of it, if not the section is to name it.
    func: Option<String>,
}

impl Target {
    /// Reads `PROG=OBJECT:TARGET[:FUNCTION]`.
    fn read(setting: &str) -> anyhow::Result<Self> {
        let parts = || {
            let (by, target) = setting.split_once('=')?;
            let mut parts = target.split(':');
            Some((by, parts.next()?, parts.next()?, parts.next(), parts.next().is_none()))
        };
        let Some((by, path, program, func, true)) = parts() else {
            bail!("expected PROG=OBJECT:TARGET[:FUNCTION]");
        };
        let bytes = std::fs::read(path).with_context(|| path.to_owned())?;
        let object = Object::parse(&bytes, path).with_context(|| path.to_owned())?;
        let func = func.map(str::to_owned);
        Ok(Self { by: by.to_owned(), object, program: program.to_owned(), func })
    }

    /// The target, linked for a kernel.
    fn link(&self, kernel: &dyn Kernel) -> anyhow::Result<TargetProgram> {
        let programs = Some([self.program.clone()].into());
        let options = LinkOptions { programs, ..LinkOptions::default() };
        let linked = self.object.link(kernel, &options).programs.into_iter().next();
        let (_, request) = linked.with_context(|| format!("no program named {}", self.program))?;
        let request = request.with_context(|| format!("target {}", self.program))?;
        Ok(TargetProgram { request: Arc::new(request), func: self.func.clone() })
    }
}

/// A file that was read.
pub(crate) enum Input {
    /// An ELF object, which is linked once per kernel.
    Object {
        /// The parsed object.
        object: Box<Object>,
        /// The digest of its bytes.
        digest: Digest,
        /// How to link it.
        options: Box<LinkOptions>,
        /// Only programs of these names, if any are given.
        only: Vec<String>,
        /// Capabilities of the loader, if not all.
        caps: Option<Capabilities>,
        /// What its programs attach to.
        targets: Vec<Target>,
    },
    /// Requests that another loader wrote; they are linked already.
    Requests(Vec<LoadRequest>),
}

/// Opens a kernel by the name given on the command line.
pub(crate) fn open_kernel(name: &str) -> anyhow::Result<Profile> {
    Ok(veristable_profiles::open(name)?)
}

/// Reads a file.
pub(crate) fn read(path: &Path, link: &LinkArgs) -> anyhow::Result<Input> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    parse(&bytes, &name, link).with_context(|| path.display().to_string())
}

fn parse(bytes: &[u8], name: &str, link: &LinkArgs) -> anyhow::Result<Input> {
    if bytes.starts_with(b"VSTLOAD\0") {
        return Ok(Input::Requests(select(vec![LoadRequest::from_bytes(bytes)?], link)));
    }
    let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
    if first == Some(&b'{') {
        let text = std::str::from_utf8(bytes).context("JSON that is not UTF-8")?;
        return Ok(Input::Requests(select(json(text)?, link)));
    }
    let object = Object::parse(bytes, name)?;
    let mut options = LinkOptions::default();
    if !link.programs.is_empty() {
        options.programs = Some(link.programs.iter().cloned().collect());
    }
    for setting in &link.globals {
        options.presets.push(setting.parse().with_context(|| format!("--set {setting}"))?);
    }
    for setting in &link.map_size {
        let (map, entries) = setting
            .split_once('=')
            .and_then(|(map, n)| Some((map, n.parse::<u32>().ok()?)))
            .with_context(|| format!("--map-size {setting}: expected MAP=NUMBER"))?;
        options.max_entries.insert(map.to_owned(), entries);
    }
    let target =
        |setting: &String| Target::read(setting).with_context(|| format!("--target {setting}"));
    Ok(Input::Object {
        object: Box::new(object),
        digest: verdicts::digest(bytes),
        options: Box::new(options),
        only: link.programs.clone(),
        caps: link.caps,
        targets: link.targets.iter().map(target).collect::<anyhow::Result<_>>()?,
    })
}

/// One request, over any number of lines, or one a line.
fn json(text: &str) -> anyhow::Result<Vec<LoadRequest>> {
    if let Ok(request) = LoadRequest::from_json(text) {
        return Ok(vec![request]);
    }
    let lines: Vec<(usize, &str)> =
        text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()).collect();
    match lines.as_slice() {
        [(_, only)] => Ok(vec![LoadRequest::from_json(only)?]),
        lines => lines
            .iter()
            .map(|(at, line)| {
                LoadRequest::from_json(line).with_context(|| format!("line {}", at + 1))
            })
            .collect(),
    }
}

fn select(mut requests: Vec<LoadRequest>, link: &LinkArgs) -> Vec<LoadRequest> {
    if !link.programs.is_empty() {
        requests.retain(|r| link.programs.contains(&r.name));
    }
    if let Some(caps) = link.caps {
        requests.iter_mut().for_each(|request| request.capabilities = caps);
    }
    requests
}

impl Input {
    /// The programs of this file for one kernel.
    pub(crate) fn link(&self, kernel: &dyn Kernel) -> anyhow::Result<Vec<Unit>> {
        match self {
            Self::Requests(requests) => Ok(requests
                .iter()
                .map(|r| Unit {
                    program: r.name.clone(),
                    section: r.section.clone(),
                    request: Ok(r.clone()),
                })
                .collect()),
            Self::Object { object, options, only, caps, targets, .. } => {
                let lowered = |mut request: LoadRequest| {
                    request.capabilities = caps.unwrap_or(request.capabilities);
                    request
                };
                let mut options = options.clone();
                for target in targets {
                    options.targets.insert(target.by.clone(), target.link(kernel)?);
                }
                let units: Vec<Unit> = object
                    .link(kernel, &options)
                    .programs
                    .into_iter()
                    .map(|(info, request)| Unit {
                        program: info.name,
                        section: info.section,
                        request: request.map(lowered),
                    })
                    .collect();
                if units.is_empty() && !only.is_empty() {
                    bail!("no program named {}", only.join(" or "));
                }
                Ok(units)
            }
        }
    }

    /// The object, if it is one.
    pub(crate) fn object(&self) -> Option<&Object> {
        match self {
            Self::Object { object, .. } => Some(object),
            Self::Requests(_) => None,
        }
    }

    /// The digest of the object, if it is one.
    pub(crate) fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Object { digest, .. } => Some(digest),
            Self::Requests(_) => None,
        }
    }

    /// What the programs of this file need.
    pub(crate) fn needs(&self) -> anyhow::Result<Needs> {
        let needs = match self {
            Self::Object { object, only, .. } => Needs::of_object(object, only),
            Self::Requests(requests) => Needs::of_requests(requests),
        };
        if let (true, Self::Object { only, .. }) = (needs.programs.is_empty(), self)
            && !only.is_empty()
        {
            bail!("no program named {}", only.join(" or "));
        }
        Ok(needs)
    }
}
