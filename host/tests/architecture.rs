//! The architecture as a test: imports go down, fences hold, every file says what it is.
//!
//! The two tables below are the ones that `host/ARCHITECTURE.md` quotes; the last test compares them.
#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test reads its own source tree, at places it found"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by rank: a room imports rooms of a lower rank only.
const RANK: &[(&str, u8)] = &[
    ("cli", 9),
    ("app", 8),
    ("api", 7),
    ("sandbox", 7),
    ("pipeline", 6),
    ("schedule", 6),
    ("sync", 6),
    ("effects", 5),
    ("webhooks", 5),
    ("accounts", 4),
    ("tenants", 4),
    ("ghl", 3),
    ("plugins", 3),
    ("backup", 3),
    ("timeline", 3),
    ("outbound", 2),
    ("store", 2),
    ("config", 1),
    ("telemetry", 1),
    ("vault", 1),
    ("domain", 0),
];

/// Outside crates and std paths that only some rooms may name.
const FENCE: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("reqwest", &["outbound"]),
    ("wasmtime", &["plugins"]),
    ("wit_component", &["plugins"]),
    ("wit_parser", &["plugins"]),
    ("axum", &["api", "sandbox"]),
    ("std::env::", &["config"]),
    ("Instant::now", &["domain"]),
    ("SystemTime::now", &["domain"]),
    ("tokio::time", &["domain"]),
    ("anyhow", &["cli", "app"]),
];

/// Modules of more lines than this are looked at again; none may pass it.
const MAX_LINES: usize = 450;

fn source_files() -> Vec<(String, PathBuf)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&root).unwrap();
            let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
            (first.trim_end_matches(".rs").to_owned(), path)
        })
        .collect()
}

fn rank(room: &str) -> Option<u8> {
    RANK.iter().find(|(name, _)| *name == room).map(|(_, rank)| *rank)
}

/// Rooms that a line of code names as `crate::room`, also in groups such as `use crate::{a::X, b}`.
fn rooms_named(text: &str) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let line = text[..at].lines().count();
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0_i32;
            let mut item = String::new();
            for letter in group.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => named.push((line, std::mem::take(&mut item))),
                    _ if depth == 0 => item.push(letter),
                    _ => {}
                }
            }
            named.push((line, item));
        } else {
            named.push((line, rest.to_owned()));
        }
    }
    named
        .into_iter()
        .map(|(line, item)| {
            let item = item.trim_start();
            let end =
                item.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(item.len());
            (line, item[..end].to_owned())
        })
        .filter(|(_, room)| !room.is_empty())
        .collect()
}

fn without_comments(text: &str) -> String {
    text.lines()
        .map(|line| if line.trim_start().starts_with("//") { "" } else { line })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn imports_go_down() {
    let mut faults = Vec::new();
    for (room, path) in source_files() {
        if room == "lib" || room == "main" {
            continue;
        }
        let own =
            rank(&room).unwrap_or_else(|| panic!("{room} has no rank: add it to RANK and ARCHITECTURE.md"));
        for (line, other) in rooms_named(&without_comments(&fs::read_to_string(&path).unwrap())) {
            match rank(&other) {
                None => faults.push(format!("{}:{line}: crate::{other} is no room", path.display())),
                Some(theirs) if other != room && theirs >= own => {
                    faults.push(format!("{}:{line}: {room} -> {other} goes up", path.display()));
                }
                Some(_) => {}
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn fences_hold() {
    let mut faults = Vec::new();
    for (room, path) in source_files() {
        let text = without_comments(&fs::read_to_string(&path).unwrap());
        for (fenced, rooms) in FENCE {
            if rooms.contains(&room.as_str()) {
                continue;
            }
            for (number, line) in text.lines().enumerate() {
                let named = line.match_indices(fenced).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    let after = line[at + fenced.len()..].chars().next();
                    before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
                        && after.is_none_or(|c| {
                            fenced.ends_with(':') || (!c.is_alphanumeric() && c != '_' && c != '-')
                        })
                });
                if named && !line.contains('"') {
                    faults.push(format!("{}:{}: {fenced} belongs to {rooms:?}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_is_and_stays_readable() {
    let mut faults = Vec::new();
    for (_, path) in source_files() {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("//!") {
            faults.push(format!("{}: does not begin with //!", path.display()));
        }
        let lines = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().lines().count();
        if lines > MAX_LINES {
            faults.push(format!("{}: {lines} lines; split it by meaning", path.display()));
        }
        if without_comments(&text).contains("super::super") {
            faults.push(format!("{}: super::super", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn architecture_md_quotes_the_tables() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    for (room, rank) in RANK {
        assert!(
            page.contains(&format!("| `{room}` | {rank} |")),
            "ARCHITECTURE.md lacks the row of {room} at rank {rank}"
        );
    }
    for (fenced, rooms) in FENCE {
        let row = format!(
            "| `{fenced}` | {} |",
            rooms.iter().map(|room| format!("`{room}`")).collect::<Vec<_>>().join(", ")
        );
        assert!(page.contains(&row), "ARCHITECTURE.md lacks the fence {row}");
    }
}

#[test]
fn groups_are_read_too() {
    let found = rooms_named("use crate::{domain::{Clock, ids}, store::Store};\nuse crate::ghl;");
    let rooms: Vec<_> = found.iter().map(|(_, room)| room.as_str()).collect();
    assert_eq!(rooms, ["domain", "store", "ghl"]);
}
