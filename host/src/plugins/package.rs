//! Uploaded bytes to a checked component: parsed whole, made a component, held against the contract, imports by name.

use super::bindings::CONTRACT;
use super::describe::Description;
use super::error::PackageError;
use crate::domain::VersionId;
use aws_lc_rs::digest::{SHA256, digest};
use std::fmt::Write as _;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wasmtime::{Engine, Module};
use wit_parser::WorldItem;
use wit_parser::decoding::{DecodedWasm, decode};

/// The largest package: room for guests in other languages, which bring their engine along (12 to 18 MB).
const LARGEST_BYTES: usize = 24 * 1024 * 1024;
/// The prefix of every interface of the contract.
const OURS: &str = "mapwright:plugin/";

/// A checked package.
#[derive(Clone, Debug)]
pub struct Package {
    /// `sha256:` and the hash of the uploaded bytes.
    pub version: VersionId,
    /// What the plugin says of itself.
    pub description: Description,
    /// The component made of the uploaded bytes.
    pub component: Vec<u8>,
    /// Functions it imports, as `interface.function`.
    pub imports: Vec<String>,
}

/// The id of a version: the hash of its uploaded bytes.
#[must_use]
pub fn version_of(uploaded: &[u8]) -> VersionId {
    let mut id = String::from("sha256:");
    for byte in digest(&SHA256, uploaded).as_ref() {
        let _infallible = write!(id, "{byte:02x}");
    }
    VersionId::from(id)
}

/// Makes a component of uploaded bytes, or says why it can't.
pub(super) fn componentize(engine: &Engine, uploaded: &[u8]) -> Result<Vec<u8>, PackageError> {
    if uploaded.len() > LARGEST_BYTES {
        return Err(PackageError::TooLarge { size: uploaded.len(), limit_bytes: LARGEST_BYTES });
    }
    match uploaded.get(..8) {
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => {
            // Parsed whole first: the encoder expects a valid module.
            Module::validate(engine, uploaded)
                .map_err(|error| PackageError::Malformed { detail: format!("{error:#}") })?;
            let mut encoder = wit_component::ComponentEncoder::default();
            let encoder = encoder.module(uploaded).map_err(|error| not_component(format!("{error:#}")))?;
            encoder.validate(true).encode().map_err(|error| not_component(format!("{error:#}")))
        }
        Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => Ok(uploaded.to_vec()),
        _ => Err(PackageError::Malformed {
            detail: "it does not begin as a WebAssembly module or component does".to_owned(),
        }),
    }
}

fn not_component(chain: String) -> PackageError {
    let detail = if chain.contains("__wbindgen") {
        "a dependency expects a browser (wasm-bindgen): switch off its `js` or `wasmbind` feature".to_owned()
    } else if chain.contains("unexpected end")
        || chain.contains("unexpected-eof")
        || chain.contains("out of bounds")
    {
        return PackageError::Malformed { detail: chain };
    } else {
        chain
    };
    PackageError::NotComponent { detail }
}

/// Does work on a stranger's bytes; a parser that panics on them refuses them.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, PackageError>) -> Result<T, PackageError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_panic| {
        Err(PackageError::Malformed { detail: "the parser could not make sense of it".to_owned() })
    })
}

/// Functions the component imports; refuses what is not ours, by name.
pub(super) fn imports(engine: &Engine, component: &Component) -> Result<Vec<String>, PackageError> {
    let (mut ours, mut unknown) = (Vec::new(), Vec::new());
    for (name, item) in component.component_type().imports(engine) {
        let functions: Vec<String> = match item.ty {
            ComponentItem::ComponentInstance(instance) => instance
                .exports(engine)
                .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
                .map(|(function, _)| function.to_owned())
                .collect(),
            _ => vec![String::new()],
        };
        match name.strip_prefix(OURS) {
            Some(interface) => {
                let interface = interface.split('@').next().unwrap_or(interface);
                ours.extend(functions.into_iter().map(|function| format!("{interface}.{function}")));
            }
            None if functions.is_empty() => unknown.push(name.to_owned()),
            None => unknown.extend(
                functions
                    .into_iter()
                    .map(|function| format!("{name}.{function}").trim_end_matches('.').to_owned()),
            ),
        }
    }
    if unknown.is_empty() { Ok(ours) } else { Err(PackageError::UnknownImports { names: unknown }) }
}

/// Holds the component against the contract and explains a difference in the contract's words.
pub(super) fn fits_contract(component: &[u8]) -> Result<(), PackageError> {
    let asked = decode(component).map_err(|error| PackageError::Malformed { detail: error.to_string() })?;
    let DecodedWasm::Component(asked, asked_world) = asked else {
        return Err(PackageError::Mismatch { detail: "it is a WIT package and not a plugin".to_owned() });
    };
    let exported: Vec<String> = asked
        .worlds
        .get(asked_world)
        .map(|world| world.exports.keys().map(|key| asked.name_world_key(key)).collect())
        .unwrap_or_default();
    let strangers: Vec<&String> = exported.iter().filter(|name| !name.starts_with(OURS)).collect();
    if let Some(stranger) = strangers.first() {
        return Err(PackageError::Mismatch {
            detail: format!(
                "it exports {stranger}, which is no interface of mapwright:plugin; was it built for another host?"
            ),
        });
    }
    let offered = decode(CONTRACT).map_err(|error| PackageError::Mismatch { detail: error.to_string() })?;
    let DecodedWasm::WitPackage(mut offered, package) = offered else {
        return Err(PackageError::Mismatch { detail: "the host's contract can't be read".to_owned() });
    };
    let world =
        offered.packages.get(package).and_then(|package| package.worlds.get("plugin").copied()).ok_or_else(
            || PackageError::Mismatch { detail: "the host's contract has no world `plugin`".to_owned() },
        )?;
    let absent: Vec<_> = offered
        .worlds
        .get(world)
        .map(|world| {
            world
                .exports
                .iter()
                .filter(|(_, item)| matches!(item, WorldItem::Interface { .. }))
                .map(|(key, _)| key.clone())
                .collect()
        })
        .unwrap_or_default();
    for key in absent {
        let name = offered.name_world_key(&key);
        if name.contains("/descriptor@") || exported.contains(&name) {
            continue;
        }
        if let Some(world) = offered.worlds.get_mut(world) {
            world.exports.shift_remove(&key);
        }
    }
    wit_component::targets(&offered, world, component, true)
        .map_err(|error| PackageError::Mismatch { detail: format!("{error:#}") })
}
