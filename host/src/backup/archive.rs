//! The file's form: a tar archive of `manifest.json`, `mapwright.db` and, if asked for, `vault.key`. Any tar opens it.

use super::error::BackupError;
use super::manifest::{FORMAT, Manifest};
use aws_lc_rs::digest::{Context, SHA256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use zeroize::Zeroizing;

const MANIFEST: &str = "manifest.json";
const DATABASE: &str = "mapwright.db";
const KEY: &str = "vault.key";
/// Bytes read at once.
const CHUNK: usize = 1 << 20;
/// A manifest is a page of text; one that is longer is none.
const LONGEST_MANIFEST: u64 = 1 << 20;

/// Opens a new file that its owner alone can read, since it holds personal data.
pub(super) fn new_file(path: &Path) -> Result<File, BackupError> {
    File::options().write(true).create_new(true).mode(0o600).open(path).map_err(BackupError::file(path))
}

/// Copies everything and gives the count and the SHA-256, hexadecimal.
pub(super) fn copy_hashed(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<(u64, String)> {
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        let read = from.read(&mut buffer)?;
        let chunk = buffer.get(..read).unwrap_or_default();
        if chunk.is_empty() {
            break;
        }
        hash.update(chunk);
        to.write_all(chunk)?;
        bytes += u64::try_from(read).unwrap_or(u64::MAX);
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finish().as_ref() {
        let _ignored_infallible = write!(text, "{byte:02x}");
    }
    Ok((bytes, text))
}

/// Writes the archive and syncs it.
pub(super) fn write(
    file: File,
    manifest: &Manifest,
    database: &Path,
    key: Option<&Zeroizing<Vec<u8>>>,
) -> std::io::Result<u64> {
    let mut archive = tar::Builder::new(BufWriter::with_capacity(CHUNK, file));
    let text = serde_json::to_vec_pretty(manifest).map_err(std::io::Error::other)?;
    archive.append_data(&mut header(text.len())?, MANIFEST, text.as_slice())?;
    archive.append_path_with_name(database, DATABASE)?;
    if let Some(key) = key {
        archive.append_data(&mut header(key.len())?, KEY, key.as_slice())?;
    }
    let file = archive.into_inner()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

fn header(length: usize) -> std::io::Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    header.set_size(u64::try_from(length).map_err(std::io::Error::other)?);
    header.set_mode(0o600);
    Ok(header)
}

/// Reads the manifest alone, which stands first.
pub(super) fn manifest(path: &Path) -> Result<Manifest, BackupError> {
    let not_a_backup =
        || BackupError::NotABackup { path: path.to_owned(), why: "it has no manifest".to_owned() };
    let mut archive = tar::Archive::new(File::open(path).map_err(BackupError::file(path))?);
    let mut entries = archive.entries().map_err(BackupError::file(path))?;
    let mut first = entries.next().ok_or_else(not_a_backup)?.map_err(BackupError::file(path))?;
    let mut text = Vec::new();
    first.by_ref().take(LONGEST_MANIFEST).read_to_end(&mut text).map_err(BackupError::file(path))?;
    parse(&text).ok_or_else(not_a_backup)
}

/// What was taken out of an archive.
pub(super) struct Unpacked {
    pub(super) manifest: Manifest,
    /// Bytes and SHA-256 of the database as it was read.
    pub(super) database: (u64, String),
    pub(super) key: Option<Zeroizing<Vec<u8>>>,
}

/// Reads an archive and writes its database to `database`.
pub(super) fn read(path: &Path, database: &Path) -> Result<Unpacked, BackupError> {
    let not_a_backup = |why: &str| BackupError::NotABackup { path: path.to_owned(), why: why.to_owned() };
    let unreadable = |error: std::io::Error| not_a_backup(&format!("it can't be read to its end ({error})"));
    let mut archive = tar::Archive::new(File::open(path).map_err(BackupError::file(path))?);
    let (mut manifest, mut found, mut key) = (None, None, None);
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let name = entry.path().map_err(unreadable)?.to_string_lossy().into_owned();
        match name.as_str() {
            MANIFEST => {
                let mut text = Vec::new();
                entry.by_ref().take(LONGEST_MANIFEST).read_to_end(&mut text).map_err(unreadable)?;
                manifest = Some(parse(&text).ok_or_else(|| not_a_backup("its manifest can't be read"))?);
            }
            DATABASE => {
                let mut to = new_file(database)?;
                let copied = copy_hashed(&mut entry, &mut to).map_err(unreadable)?;
                to.sync_all().map_err(BackupError::file(database))?;
                found = Some(copied);
            }
            KEY => {
                let mut bytes = Zeroizing::new(Vec::with_capacity(64));
                entry.by_ref().take(64).read_to_end(&mut bytes).map_err(unreadable)?;
                key = Some(bytes);
            }
            other => return Err(not_a_backup(&format!("it holds {other:?}, which no backup does"))),
        }
    }
    let manifest: Manifest = manifest.ok_or_else(|| not_a_backup("it has no manifest.json"))?;
    if manifest.format != FORMAT {
        return Err(BackupError::TooNew { made_by: manifest.made_by, own: env!("CARGO_PKG_VERSION") });
    }
    let database = found.ok_or_else(|| not_a_backup("it has no mapwright.db"))?;
    Ok(Unpacked { manifest, database, key })
}

fn parse(text: &[u8]) -> Option<Manifest> {
    serde_json::from_slice(text).ok()
}
