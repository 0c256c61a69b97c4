//! Uploaded bytes held against the contract, before anything of them is compiled or run. What does not fit is said in
//! the contract's words.

use super::bindings::CONTRACT;
use super::error::PackageError;
use super::limits::Limits;
use super::{warm, wasi};
use wasmparser::{Parser, Payload};
use wasmtime::{Engine, Module};
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{InterfaceId, Resolve, WorldId, WorldItem, WorldKey};

/// The prefix of every interface of the contract.
const OURS: &str = "mapwright:plugin/";
/// The prefix of every interface of WASI.
const WASI: &str = "wasi:";
/// How the sections begin in which a core module carries its contract.
const CONTRACT_SECTION: &str = "component-type";
/// World-level functions a plugin may export.
const FUNCTIONS: &[&str] = &[warm::EXPORT];

/// A component that fits the contract.
pub(super) struct Fitting {
    pub(super) component: Vec<u8>,
    /// Functions of the contract it imports, as `interface.function`.
    pub(super) imports: Vec<String>,
    /// Whether it was made of a core module that has a `warm`.
    pub(super) warms: bool,
}

/// Makes a component of uploaded bytes and holds it against the contract.
pub(super) fn fit(engine: &Engine, uploaded: &[u8], limits: &Limits) -> Result<Fitting, PackageError> {
    if uploaded.len() > limits.upload_bytes {
        return Err(PackageError::TooLarge { size: uploaded.len(), limit_bytes: limits.upload_bytes });
    }
    let core = match uploaded.get(..8) {
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => true,
        Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => false,
        _ => {
            return Err(malformed("it does not begin as a WebAssembly module or component does"));
        }
    };
    let parts = parts(uploaded, limits)?;
    let component = if core {
        // Parsed whole first: the encoder expects a valid module.
        Module::validate(engine, uploaded).map_err(|error| malformed(format!("{error:#}")))?;
        if !parts.contract {
            return Err(PackageError::NoContract);
        }
        speaks_our_version(uploaded)?;
        componentize(uploaded)?
    } else {
        uploaded.to_vec()
    };
    let (imports, warms) = held(&component)?;
    Ok(Fitting { component, imports, warms: warms && core })
}

/// Makes a component of a core module that carries its contract.
pub(super) fn componentize(core: &[u8]) -> Result<Vec<u8>, PackageError> {
    let mut encoder = wit_component::ComponentEncoder::default();
    let encoder = encoder.module(core).map_err(|error| not_component(format!("{error:#}")))?;
    encoder.validate(true).encode().map_err(|error| not_component(format!("{error:#}")))
}

fn malformed(detail: impl Into<String>) -> PackageError {
    PackageError::Malformed { detail: detail.into() }
}

fn not_component(chain: String) -> PackageError {
    if chain.contains("__wbindgen") {
        let detail =
            "a dependency expects a browser (wasm-bindgen): switch off its `js` or `wasmbind` feature"
                .to_owned();
        return PackageError::NotComponent { detail };
    }
    if ["unexpected end", "unexpected-eof", "out of bounds"].iter().any(|word| chain.contains(word)) {
        return malformed(chain);
    }
    PackageError::NotComponent { detail: chain }
}

/// What a walk over all parts of the bytes found.
struct Parts {
    /// Whether a contract is embedded.
    contract: bool,
}

/// Walks over all parts, core modules inside a component among them; a function that would keep the compiler busy for
/// too long is refused here.
fn parts(uploaded: &[u8], limits: &Limits) -> Result<Parts, PackageError> {
    let mut found = Parts { contract: false };
    for payload in Parser::new(0).parse_all(uploaded) {
        match payload.map_err(|error| malformed(error.to_string()))? {
            Payload::CustomSection(section) if section.name().starts_with(CONTRACT_SECTION) => {
                found.contract = true;
            }
            Payload::CodeSectionEntry(body) => {
                let range = body.range();
                let size = range.end.saturating_sub(range.start);
                if size > limits.function_bytes {
                    return Err(PackageError::FunctionTooLarge { size, limit_bytes: limits.function_bytes });
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// A core module's contract is looked at before the encoder, whose words for another version nobody understands.
fn speaks_our_version(core: &[u8]) -> Result<(), PackageError> {
    let (_, contract) =
        wit_component::metadata::decode(core).map_err(|error| not_component(format!("{error:#}")))?;
    Contract { resolve: &contract.resolve, world: contract.world }.version_fits(&offered()?)
}

/// The host's side of the contract.
struct Offered {
    resolve: Resolve,
    world: WorldId,
}

fn offered() -> Result<Offered, PackageError> {
    let host = |detail: &str| PackageError::Mismatch { detail: detail.to_owned() };
    let decoded = decode(CONTRACT).map_err(|error| host(&error.to_string()))?;
    let DecodedWasm::WitPackage(resolve, package) = decoded else {
        return Err(host("the host's contract can't be read"));
    };
    let world = resolve.packages.get(package).and_then(|package| package.worlds.get("plugin").copied());
    Ok(Offered { world: world.ok_or_else(|| host("the host's contract has no world `plugin`"))?, resolve })
}

/// One side of a contract: what a world imports and exports.
struct Contract<'a> {
    resolve: &'a Resolve,
    world: WorldId,
}

impl Offered {
    fn contract(&self) -> Contract<'_> {
        Contract { resolve: &self.resolve, world: self.world }
    }

    /// `0.1.0`.
    fn version(&self) -> String {
        let ours = self.contract().items(Side::Export).find_map(|(name, _)| {
            name.strip_prefix(OURS)
                .and_then(|rest| rest.split_once('@'))
                .map(|(_, version)| version.to_owned())
        });
        ours.unwrap_or_default()
    }
}

#[derive(Clone, Copy)]
enum Side {
    Import,
    Export,
}

impl<'a> Contract<'a> {
    /// Names of the world's items, with the interface where it is one.
    fn items(&self, side: Side) -> impl Iterator<Item = (String, Option<InterfaceId>)> + use<'a> {
        let resolve = self.resolve;
        let items = resolve.worlds.get(self.world).map(|world| match side {
            Side::Import => &world.imports,
            Side::Export => &world.exports,
        });
        items.into_iter().flatten().map(move |(key, item)| {
            let interface = match (key, item) {
                (WorldKey::Interface(id), _) | (_, WorldItem::Interface { id, .. }) => Some(*id),
                _ => None,
            };
            (resolve.name_world_key(key), interface)
        })
    }

    fn functions(&self, interface: InterfaceId) -> Vec<String> {
        let interface = self.resolve.interfaces.get(interface);
        interface.map(|it| it.functions.keys().cloned().collect()).unwrap_or_default()
    }

    /// An interface's functions by its name without a version.
    fn functions_of(&self, name: &str) -> Option<Vec<String>> {
        let of = |side| self.items(side).find(|(other, _)| unversioned(other) == name).and_then(|(_, id)| id);
        of(Side::Import).or_else(|| of(Side::Export)).map(|id| self.functions(id))
    }

    fn version_fits(&self, offered: &Offered) -> Result<(), PackageError> {
        let ours = offered.version();
        let theirs = self.items(Side::Export).chain(self.items(Side::Import)).find_map(|(name, _)| {
            let (_, version) = name.strip_prefix(OURS)?.split_once('@')?;
            (!same_line(version, &ours)).then(|| version.to_owned())
        });
        match theirs {
            Some(theirs) => Err(PackageError::OtherVersion { theirs, ours }),
            None => Ok(()),
        }
    }
}

fn unversioned(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

/// Whether two versions are of one line: the same major, before 1.0.0 the same minor.
fn same_line(one: &str, other: &str) -> bool {
    let line = |version: &str| {
        let mut parts = version.split('.').map(str::to_owned);
        let major = parts.next().unwrap_or_default();
        let minor = if major == "0" { parts.next() } else { None };
        (major, minor)
    };
    line(one) == line(other)
}

/// Holds a component against the contract: its imports of the contract's functions, and whether it has a `warm`.
fn held(component: &[u8]) -> Result<(Vec<String>, bool), PackageError> {
    let decoded = decode(component).map_err(|error| malformed(format!("{error:#}")))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(mismatch("it is a WIT package and not a plugin".to_owned()));
    };
    let asked = Contract { resolve: &resolve, world };
    let offered = offered()?;
    foreign_imports(&asked)?;
    asked.version_fits(&offered)?;
    let imports = known_imports(&asked, &offered)?;
    let exports: Vec<String> = asked.items(Side::Export).map(|(name, _)| name).collect();
    known_exports(&exports, &offered)?;
    let warms = exports.iter().any(|name| name == warm::EXPORT);
    types_fit(component, &resolve, world, offered, &exports)?;
    Ok((imports, warms))
}

fn mismatch(detail: String) -> PackageError {
    PackageError::Mismatch { detail }
}

/// Refuses imports that are neither the contract's nor served by the dead world, by name.
fn foreign_imports(asked: &Contract<'_>) -> Result<(), PackageError> {
    let (mut unknown, mut refused) = (Vec::new(), Vec::new());
    for (name, interface) in asked.items(Side::Import) {
        let functions = interface.map(|id| asked.functions(id)).unwrap_or_default();
        if name.starts_with(OURS) {
            continue;
        }
        if let Some(wasi) = name.strip_prefix(WASI) {
            match wasi::refusal(wasi) {
                None => {}
                Some(why) => refused.push(format!("{} ({why})", called(&name, &functions))),
            }
        } else {
            unknown.push(called(&name, &functions));
        }
    }
    if !unknown.is_empty() {
        return Err(PackageError::UnknownImports { names: unknown });
    }
    if refused.is_empty() { Ok(()) } else { Err(PackageError::Wasi { names: refused }) }
}

fn called(name: &str, functions: &[String]) -> String {
    match functions {
        [] => name.to_owned(),
        functions => functions.iter().map(|it| format!("{name}.{it}")).collect::<Vec<_>>().join(", "),
    }
}

/// The contract's functions it imports; refuses those that there are not.
fn known_imports(asked: &Contract<'_>, offered: &Offered) -> Result<Vec<String>, PackageError> {
    let mut imports = Vec::new();
    for (name, interface) in asked.items(Side::Import) {
        let Some(short) = unversioned(&name).strip_prefix(OURS) else { continue };
        let functions = interface.map(|id| asked.functions(id)).unwrap_or_default();
        let Some(known) = offered.contract().functions_of(unversioned(&name)) else {
            return Err(PackageError::Unknown {
                asked: short.to_owned(),
                ours: offered.version(),
                there_are: interfaces(offered, Side::Import),
            });
        };
        if let Some(unknown) = functions.iter().find(|it| !known.contains(it)) {
            return Err(PackageError::Unknown {
                asked: format!("{short}.{unknown}"),
                ours: offered.version(),
                there_are: known.iter().map(|it| format!("{short}.{it}")).collect(),
            });
        }
        imports.extend(functions.into_iter().map(|function| format!("{short}.{function}")));
    }
    Ok(imports)
}

fn interfaces(offered: &Offered, side: Side) -> Vec<String> {
    let short = |(name, _): (String, _)| unversioned(&name).strip_prefix(OURS).map(str::to_owned);
    offered.contract().items(side).filter_map(short).collect()
}

/// Refuses exports that are not the contract's, and a plugin without descriptor.
fn known_exports(exports: &[String], offered: &Offered) -> Result<(), PackageError> {
    let known = interfaces(offered, Side::Export);
    for name in exports {
        if FUNCTIONS.contains(&name.as_str()) {
            continue;
        }
        match unversioned(name).strip_prefix(OURS) {
            None => {
                return Err(mismatch(format!(
                    "it exports {name}, which is no interface of mapwright:plugin; was it built for another host?"
                )));
            }
            Some(short) if !known.iter().any(|it| it == short) => {
                return Err(PackageError::Unknown {
                    asked: short.to_owned(),
                    ours: offered.version(),
                    there_are: known,
                });
            }
            Some(_) => {}
        }
    }
    let descriptor = format!("{OURS}descriptor");
    if exports.iter().any(|name| unversioned(name) == descriptor) {
        return Ok(());
    }
    Err(mismatch(format!(
        "it exports no descriptor ({descriptor}@{}), so nobody knows what it is; the SDK's export_plugin! exports one",
        offered.version()
    )))
}

/// Compares the types of everything it imports and exports.
fn types_fit(
    component: &[u8],
    asked: &Resolve,
    asked_world: WorldId,
    mut offered: Offered,
    exports: &[String],
) -> Result<(), PackageError> {
    let key_names: Vec<_> = offered
        .resolve
        .worlds
        .get(offered.world)
        .map(|world| {
            world.exports.keys().map(|key| (key.clone(), offered.resolve.name_world_key(key))).collect()
        })
        .unwrap_or_default();
    let wanted: Vec<&str> = exports.iter().map(|name| unversioned(name)).collect();
    for (key, name) in key_names {
        // What it need not export and does not is not looked for.
        if !wanted.contains(&unversioned(&name))
            && let Some(world) = offered.resolve.worlds.get_mut(offered.world)
        {
            world.exports.shift_remove(&key);
        }
    }
    offer_wasi(&mut offered, asked, asked_world)?;
    wit_component::targets(&offered.resolve, offered.world, component, true)
        .map_err(|error| mismatch(in_short(&format!("{error:#}"))))
}

/// The dead world's interfaces are offered as the component asks for them: their types are held against ours when it
/// is linked.
fn offer_wasi(offered: &mut Offered, asked: &Resolve, asked_world: WorldId) -> Result<(), PackageError> {
    let Some(world) = asked.worlds.get(asked_world) else { return Ok(()) };
    let mut wasi: Vec<WorldItem> = world
        .imports
        .iter()
        .filter(|(key, _)| asked.name_world_key(key).starts_with(WASI))
        .map(|(_, item)| item.clone())
        .collect();
    if wasi.is_empty() {
        return Ok(());
    }
    let merged = offered.resolve.merge(asked.clone()).map_err(|error| mismatch(format!("{error:#}")))?;
    for item in &mut wasi {
        let WorldItem::Interface { id, .. } = item else { continue };
        let Some(known) = merged.interfaces.get(id.index()).copied().flatten() else { continue };
        *id = known;
        if let Some(world) = offered.resolve.worlds.get_mut(offered.world) {
            world.imports.insert(WorldKey::Interface(known), item.clone());
        }
    }
    Ok(())
}

/// Without the parts that speak of the comparison instead of what was compared.
fn in_short(chain: &str) -> String {
    let chain = chain.strip_prefix("failed to validate encoded bytes: ").unwrap_or(chain);
    let end = chain.rfind(" (at offset ").unwrap_or(chain.len());
    let lines = chain.get(..end).unwrap_or(chain).lines();
    lines.filter(|line| *line != "type mismatch for import `plugin`").collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_one_line_go_together() {
        for (one, other) in [("0.1.0", "0.1.7"), ("1.0.0", "1.4.2"), ("2.0.0", "2.0.0")] {
            assert!(same_line(one, other), "{one} and {other}");
        }
        for (one, other) in [("0.1.0", "0.3.0"), ("1.0.0", "2.0.0"), ("0.1.0", "1.1.0")] {
            assert!(!same_line(one, other), "{one} and {other}");
        }
    }

    #[test]
    fn the_contract_knows_its_version_and_functions() {
        let offered = offered().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(offered.version(), "0.1.0");
        let crm = offered.contract().functions_of("mapwright:plugin/crm").unwrap();
        assert!(crm.contains(&"find-contacts".to_owned()));
    }
}
