//! The committed `OpenAPI` document is the one that the code makes.

use std::path::Path;

#[test]
fn the_committed_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let made = serde_json::to_string_pretty(&mapwright::api::openapi()).unwrap() + "\n";
    #[expect(clippy::disallowed_methods, reason = "how the document is brought up to date")]
    if std::env::var("MAPWRIGHT_UPDATE").is_ok() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "host/docs/openapi.json is not current: run MAPWRIGHT_UPDATE=1 cargo nextest run --release -p mapwright --test openapi"
    );
}
