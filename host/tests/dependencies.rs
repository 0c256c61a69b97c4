//! What we depend on: licences we may ship under Apache-2.0, and nothing that nobody uses.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failing step is the test's failure")]
#![expect(clippy::disallowed_methods, reason = "cargo names itself in the environment")]

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Licences that ask for no more than a notice.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    // The Mozilla root certificates of webpki-roots: data.
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_unset| "cargo".to_owned());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let told = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output();
    let told = told.expect("cargo starts");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_slice(&told.stdout).unwrap()
}

/// Whether an SPDX expression lets us choose allowed licences: of alternatives one, of conjuncts all.
fn allowed(expression: &str) -> bool {
    let expression = expression.trim();
    for (word, any) in [(" OR ", true), ("/", true), (" AND ", false)] {
        let parts = split(expression, word);
        if parts.len() > 1 {
            return if any {
                parts.iter().any(|part| allowed(part))
            } else {
                parts.iter().all(|part| allowed(part))
            };
        }
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => allowed(inner),
        None => ALLOWED.contains(&expression),
    }
}

/// Splits at a word outside of brackets.
fn split<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    let (mut parts, mut from, mut depth) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        let rest = text.get(at..).unwrap_or_default();
        if depth == 0 && at >= from && rest.starts_with(word) {
            parts.extend(text.get(from..at));
            from = at + word.len();
        }
    }
    parts.extend(text.get(from..));
    parts
}

#[test]
fn every_dependency_has_a_licence_we_may_ship() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100);
    let faults: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(allowed))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert!(faults.is_empty(), "not in the list of tests/dependencies.rs:\n{}", faults.join("\n"));
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    assert!(
        allowed("MIT OR GPL-3.0-only")
            && allowed("(MIT OR Apache-2.0) AND Unicode-3.0")
            && allowed("MIT/Apache-2.0")
    );
    assert!(allowed("ISC AND (Apache-2.0 OR ISC)") && allowed("Apache-2.0 WITH LLVM-exception OR LGPL-3.0"));
    assert!(!allowed("MIT AND GPL-3.0-only") && !allowed("GPL-3.0-only") && !allowed(""));
    assert!(!allowed("MIT AND (GPL-2.0-only OR AGPL-3.0-only)"));
}

/// Whether a word stands in a Rust file under a folder.
fn names(folder: &Path, word: &str) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return path.file_name().is_none_or(|name| name != "target") && names(&path, word);
        }
        path.extension().is_some_and(|end| end == "rs")
            && fs::read_to_string(&path).unwrap().match_indices(word).any(|(at, _)| {
                let text = fs::read_to_string(&path).unwrap();
                let letter = |c: char| c.is_alphanumeric() || c == '_';
                let before = text.get(..at).and_then(|it| it.chars().next_back());
                let after = text.get(at + word.len()..).and_then(|it| it.chars().next());
                !before.is_some_and(letter) && !after.is_some_and(letter)
            })
    })
}

#[test]
fn every_dependency_is_used() {
    let metadata = metadata();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let members = metadata["workspace_members"].as_array().unwrap();
    let mut faults = Vec::new();
    let mut used = Vec::new();
    for package in metadata["packages"].as_array().unwrap().iter().filter(|it| members.contains(&it["id"])) {
        let folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap();
            used.push(name.to_owned());
            let word = dependency["rename"].as_str().unwrap_or(name).replace('-', "_");
            // A file that is shared by `#[path]` stands beside the folder.
            let shared = || names(folder, "path") && names(folder.parent().unwrap(), &word);
            if !names(folder, &word) && !shared() {
                faults.push(format!("{} depends on {name} and does not name it", package["name"]));
            }
        }
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    for name in manifest["workspace"]["dependencies"].as_table().unwrap().keys() {
        if !used.contains(name) {
            faults.push(format!("[workspace.dependencies] has {name}, and no member uses it"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
