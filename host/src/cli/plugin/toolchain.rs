//! Where the WebAssembly target comes from: what is there, else rustup, else Debian's packages in a private prefix.

use crate::cli::output;
use crate::config::variable;
use anyhow::{Context as _, bail};
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TARGET: &str = "wasm32-unknown-unknown";

/// Where to look for the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Toolchain {
    /// The first that works of the others.
    Auto,
    /// The target's standard library is installed beside the compiler.
    Installed,
    /// `rustup target add`.
    Rustup,
    /// Debian's or Ubuntu's packages, unpacked into a cache folder; nothing is installed.
    Debian,
}

/// A toolchain that can build plugins.
#[derive(Debug)]
pub(crate) enum Ready {
    /// The compiler has the target.
    Installed,
    /// Debian's compiler in this prefix.
    Debian(PathBuf),
}

impl Toolchain {
    /// What is ready on this machine, fetching nothing.
    pub(crate) fn found() -> Option<String> {
        if installed() {
            return Some(format!("rustc has the target {TARGET}"));
        }
        let prefix = prefix().ok().filter(|prefix| prefix.join("complete").is_file())?;
        Some(format!("Debian's compiler for the target is in {}", prefix.display()))
    }

    /// Makes the toolchain ready, telling what it does.
    pub(crate) fn ready(self) -> anyhow::Result<Ready> {
        match self {
            Self::Installed if installed() => Ok(Ready::Installed),
            Self::Installed => bail!("the target {TARGET} is not installed beside rustc"),
            Self::Rustup => rustup(),
            Self::Debian => debian(),
            Self::Auto => {
                if installed() {
                    return Ok(Ready::Installed);
                }
                rustup().or_else(|first| debian().map_err(|second| (first, second))).map_err(|(first, second)| {
                    anyhow::anyhow!(
                        "no WebAssembly target for plugins. Either run `rustup target add {TARGET}`, or on Debian and \
                         Ubuntu `apt-get update` and this command again.\n  rustup: {first:#}\n  Debian: {second:#}"
                    )
                })
            }
        }
    }
}

fn installed() -> bool {
    Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|said| {
            said.status.success()
                && Path::new(String::from_utf8_lossy(&said.stdout).trim())
                    .join("")
                    .read_dir()
                    .is_ok_and(|mut files| files.next().is_some())
        })
}

fn rustup() -> anyhow::Result<Ready> {
    output::complain(&format!("the target {TARGET} is missing: rustup target add {TARGET}"));
    let said = Command::new("rustup")
        .args(["target", "add", TARGET])
        .output()
        .context("rustup could not be started")?;
    if !said.status.success() {
        bail!(
            "{}",
            String::from_utf8_lossy(&said.stderr).trim().lines().last().unwrap_or("it failed").to_owned()
        );
    }
    if !installed() {
        bail!("rustup added the target, but rustc does not have it: is rustc another installation's?");
    }
    Ok(Ready::Installed)
}

/// Where Debian's compiler is unpacked.
fn prefix() -> anyhow::Result<PathBuf> {
    let cache = variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(cache.join("mapwright/rustc-web"))
}

fn debian() -> anyhow::Result<Ready> {
    let prefix = prefix()?;
    if prefix.join("complete").is_file() {
        return Ok(Ready::Debian(prefix));
    }
    output::complain(&format!(
        "unpacking Debian's WebAssembly compiler into {} (about 860 MB)",
        prefix.display()
    ));
    let downloads = prefix.join("downloads");
    std::fs::create_dir_all(&downloads).with_context(|| format!("{} can't be made", downloads.display()))?;
    let versioned = |stem: &str| {
        newest(stem).with_context(|| format!("apt knows no package {stem}…; run `apt-get update` first"))
    };
    let packages = [
        "rustc-web".to_owned(),
        "rust-web-src".to_owned(),
        "libstd-rust-web-dev".to_owned(),
        versioned("libstd-rust-web-1.")?,
        "rust-web-llvm".to_owned(),
        versioned("libllvm")?,
        versioned("lld-")?,
    ];
    let mut download = Command::new("apt-get");
    download.arg("download").args(&packages).current_dir(&downloads).stdout(Stdio::null());
    if !download.status().context("apt-get could not be started")?.success() {
        bail!("apt-get download {} failed", packages.join(" "));
    }
    for file in std::fs::read_dir(&downloads).context("the downloads can't be listed")? {
        let file = file.context("the downloads can't be listed")?.path();
        let unpacked = Command::new("dpkg")
            .arg("-x")
            .arg(&file)
            .arg(&prefix)
            .status()
            .context("dpkg could not be started")?;
        if !unpacked.success() {
            bail!("dpkg -x {} failed", file.display());
        }
    }
    std::fs::remove_dir_all(&downloads).context("the downloads can't be removed")?;
    std::fs::write(prefix.join("complete"), "").context("the prefix can't be marked complete")?;
    Ok(Ready::Debian(prefix))
}

/// The newest package whose name is the stem and a number: `libllvm22` of `libllvm`.
fn newest(stem: &str) -> Option<String> {
    let said = Command::new("apt-cache").args(["pkgnames", stem]).output().ok()?;
    let names = String::from_utf8_lossy(&said.stdout).into_owned();
    names
        .lines()
        .filter_map(|name| Some((name.strip_prefix(stem)?.parse::<u32>().ok()?, name)))
        .max()
        .map(|(_, name)| name.to_owned())
}

impl Ready {
    /// What it is, for the person at the terminal.
    pub(crate) fn says(&self) -> String {
        match self {
            Self::Installed => format!("the installed target {TARGET}"),
            Self::Debian(prefix) => format!("Debian's compiler in {}", prefix.display()),
        }
    }

    /// `cargo build --release`, set up for this toolchain.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new("cargo");
        command.args(["build", "--release"]);
        if let Self::Debian(prefix) = self {
            let linker = std::fs::read_dir(prefix.join("usr/bin"))
                .ok()
                .and_then(|files| {
                    files.filter_map(Result::ok).map(|file| file.path()).find(|path| {
                        path.file_name()
                            .and_then(|name| name.to_str())
                            .is_some_and(|name| name.starts_with("wasm-ld-"))
                    })
                })
                .unwrap_or_else(|| prefix.join("usr/bin/wasm-ld"));
            command
                .env("RUSTC", prefix.join("usr/bin/rustc"))
                .env("LD_LIBRARY_PATH", prefix.join("usr/lib/x86_64-linux-gnu"))
                .env("RUSTC_BOOTSTRAP", "1")
                .args(["-Z", "build-std=std,panic_abort", "--config"])
                .arg(format!("target.{TARGET}.linker='{}'", linker.display()));
        }
        command
    }
}
