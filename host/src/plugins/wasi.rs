//! The dead world: what a guest built for WASI 0.2 finds in place of a machine. No files, no network, no environment;
//! the event's time and seed for clocks and random numbers; what it prints goes to the run's log.
//!
//! Each function is linked under the exact name the component asks for, so any 0.2 version is served. All resources are
//! of one host type, because WASI's interfaces hand each other's resources on.

use super::imports::charge;
use super::state::RunState;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType,
};
use wasmtime::{Engine, StoreContextMut};

/// The interfaces that are served.
const SERVED: &[&str] = &[
    "io/error",
    "io/poll",
    "io/streams",
    "cli/environment",
    "cli/exit",
    "cli/stdin",
    "cli/stdout",
    "cli/stderr",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "cli/terminal-stderr",
    "clocks/wall-clock",
    "clocks/monotonic-clock",
    "random/random",
    "random/insecure",
    "random/insecure-seed",
];

/// Random bytes given at once; a guest needs a few dozen for a hash map's seed.
const RANDOM_BYTES: u64 = 64 * 1024;
/// Bytes a guest may write at once.
const WRITE_BYTES: u64 = 4096;
/// The streams' numbers.
const STDIN: u32 = 0;
const STDOUT: u32 = 1;
pub(super) const STDERR: u32 = 2;

/// Why an interface, named without `wasi:`, is not served.
pub(super) fn refusal(name: &str) -> Option<&'static str> {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    if !(version.starts_with("0.2.") || version == "0.2") {
        return Some("only WASI 0.2 is served: build for wasm32-wasip2 or wasm32-unknown-unknown");
    }
    if SERVED.contains(&interface) {
        return None;
    }
    Some(match interface.split('/').next().unwrap_or_default() {
        "filesystem" => "a plugin has no files",
        "sockets" => "a plugin has no network: ask for effects or reads instead",
        "http" => "a plugin has no network: ask for effects or reads instead, and build without http",
        _ => "not served: of WASI only io, cli, clocks and random are",
    })
}

/// Whatever a guest holds a handle to.
struct Dead;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<Dead>),
    #[component(name = "closed")]
    Closed,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

type Store<'a> = StoreContextMut<'a, RunState>;
type Streamed<T> = wasmtime::Result<(Result<T, StreamError>,)>;

/// Links what the component asks of WASI; whether it asks for anything.
pub(super) fn link(
    linker: &mut Linker<RunState>,
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<bool> {
    let mut any = false;
    for (name, item) in component.component_type().imports(engine) {
        let Some(wasi) = name.strip_prefix("wasi:") else { continue };
        let ComponentItem::ComponentInstance(asked) = item.ty else { continue };
        any = true;
        let interface = wasi.split('@').next().unwrap_or(wasi);
        let mut linked = linker.instance(name)?;
        for (function, item) in asked.exports(engine) {
            match item.ty {
                ComponentItem::Resource(_) => {
                    linked.resource(function, ResourceType::host::<Dead>(), |_, _| Ok(()))?;
                }
                ComponentItem::ComponentFunc(_) => serve(&mut linked, interface, function)?,
                _ => {}
            }
        }
    }
    Ok(any)
}

fn serve(linked: &mut LinkerInstance<'_, RunState>, interface: &str, function: &str) -> wasmtime::Result<()> {
    match interface {
        "io/streams" | "io/poll" | "io/error" => io(linked, function),
        "clocks/wall-clock" | "clocks/monotonic-clock" => clock(linked, interface, function),
        "random/random" | "random/insecure" | "random/insecure-seed" => random(linked, function),
        _ => cli(linked, interface, function),
    }
}

/// What a newer 0.2 brought along and nobody knew here: a trap that says its name.
fn unknown(linked: &mut LinkerInstance<'_, RunState>, function: &str) -> wasmtime::Result<()> {
    let name = function.to_owned();
    linked.func_new(function, move |_, _, _, _| {
        Err(wasmtime::Error::msg(format!("it called WASI's {name}, which is not served")))
    })
}

fn io(linked: &mut LinkerInstance<'_, RunState>, function: &str) -> wasmtime::Result<()> {
    match function {
        "[method]output-stream.check-write" => {
            linked.func_wrap(function, |mut store: Store<'_>, (_,): (Resource<Dead>,)| -> Streamed<u64> {
                charge(&mut store)?;
                Ok((Ok(WRITE_BYTES),))
            })
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => linked.func_wrap(
            function,
            |mut store: Store<'_>, (stream, bytes): (Resource<Dead>, Vec<u8>)| -> Streamed<()> {
                charge(&mut store)?;
                let level = if stream.rep() == STDERR { "error" } else { "info" };
                store.data_mut().print(level, &bytes);
                Ok((Ok(()),))
            },
        ),
        "[method]output-stream.write-zeroes" | "[method]output-stream.blocking-write-zeroes-and-flush" => {
            linked.func_wrap(
                function,
                |mut store: Store<'_>, (_, _): (Resource<Dead>, u64)| -> Streamed<()> {
                    charge(&mut store)?;
                    Ok((Ok(()),))
                },
            )
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            linked.func_wrap(function, |mut store: Store<'_>, (_,): (Resource<Dead>,)| -> Streamed<()> {
                charge(&mut store)?;
                Ok((Ok(()),))
            })
        }
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => linked.func_wrap(
            function,
            |mut store: Store<'_>, (_, _): (Resource<Dead>, u64)| -> Streamed<Vec<u8>> {
                charge(&mut store)?;
                Ok((Err(StreamError::Closed),))
            },
        ),
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => linked.func_wrap(
            function,
            |mut store: Store<'_>, (_, _): (Resource<Dead>, u64)| -> Streamed<u64> {
                charge(&mut store)?;
                Ok((Err(StreamError::Closed),))
            },
        ),
        "[method]output-stream.splice" | "[method]output-stream.blocking-splice" => linked.func_wrap(
            function,
            |mut store: Store<'_>, (_, _, _): (Resource<Dead>, Resource<Dead>, u64)| -> Streamed<u64> {
                charge(&mut store)?;
                Ok((Err(StreamError::Closed),))
            },
        ),
        "[method]output-stream.subscribe" | "[method]input-stream.subscribe" => {
            linked.func_wrap(function, |mut store: Store<'_>, (_,): (Resource<Dead>,)| {
                charge(&mut store)?;
                Ok((Resource::<Dead>::new_own(0),))
            })
        }
        "[method]pollable.ready" => {
            linked.func_wrap(function, |mut store: Store<'_>, (_,): (Resource<Dead>,)| {
                charge(&mut store)?;
                Ok((true,))
            })
        }
        // Time stands still, so there is nothing to wait for.
        "[method]pollable.block" => {
            linked.func_wrap(function, |mut store: Store<'_>, (_,): (Resource<Dead>,)| charge(&mut store))
        }
        "poll" => linked.func_wrap(function, |mut store: Store<'_>, (all,): (Vec<Resource<Dead>>,)| {
            charge(&mut store)?;
            let ready: Vec<u32> = (0..u32::try_from(all.len())?).collect();
            Ok((ready,))
        }),
        "[method]error.to-debug-string" => {
            linked.func_wrap(function, |mut store: Store<'_>, (_,): (Resource<Dead>,)| {
                charge(&mut store)?;
                Ok((String::from("closed"),))
            })
        }
        _ => unknown(linked, function),
    }
}

fn clock(linked: &mut LinkerInstance<'_, RunState>, interface: &str, function: &str) -> wasmtime::Result<()> {
    match (interface, function) {
        ("clocks/wall-clock", "now") => linked.func_wrap(function, |mut store: Store<'_>, ()| {
            charge(&mut store)?;
            let millis = u64::try_from(store.data().moment.now.millis()).unwrap_or(0);
            let nanoseconds = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
            Ok((Datetime { seconds: millis / 1000, nanoseconds },))
        }),
        ("clocks/wall-clock", "resolution") => linked.func_wrap(function, |mut store: Store<'_>, ()| {
            charge(&mut store)?;
            Ok((Datetime { seconds: 0, nanoseconds: 1_000_000 },))
        }),
        (_, "now") => linked.func_wrap(function, |mut store: Store<'_>, ()| {
            charge(&mut store)?;
            let millis = u64::try_from(store.data().moment.now.millis()).unwrap_or(0);
            Ok((millis.saturating_mul(1_000_000),))
        }),
        (_, "resolution") => linked.func_wrap(function, |mut store: Store<'_>, ()| {
            charge(&mut store)?;
            Ok((1_000_000_u64,))
        }),
        (_, "subscribe-instant" | "subscribe-duration") => {
            linked.func_wrap(function, |mut store: Store<'_>, (_,): (u64,)| {
                charge(&mut store)?;
                Ok((Resource::<Dead>::new_own(0),))
            })
        }
        _ => unknown(linked, function),
    }
}

fn random(linked: &mut LinkerInstance<'_, RunState>, function: &str) -> wasmtime::Result<()> {
    match function {
        "get-random-bytes" | "get-insecure-random-bytes" => {
            linked.func_wrap(function, |mut store: Store<'_>, (length,): (u64,)| {
                charge(&mut store)?;
                if length > RANDOM_BYTES {
                    return Err(wasmtime::Error::msg(format!(
                        "it asked for {length} random bytes; {RANDOM_BYTES} are given at once"
                    )));
                }
                let mut bytes = Vec::new();
                while u64::try_from(bytes.len())? < length {
                    bytes.extend(store.data_mut().moment.random().to_le_bytes());
                }
                bytes.truncate(usize::try_from(length)?);
                Ok((bytes,))
            })
        }
        "get-random-u64" | "get-insecure-random-u64" => {
            linked.func_wrap(function, |mut store: Store<'_>, ()| {
                charge(&mut store)?;
                Ok((store.data_mut().moment.random(),))
            })
        }
        "insecure-seed" => linked.func_wrap(function, |mut store: Store<'_>, ()| {
            charge(&mut store)?;
            let moment = &mut store.data_mut().moment;
            Ok(((moment.random(), moment.random()),))
        }),
        _ => unknown(linked, function),
    }
}

fn cli(linked: &mut LinkerInstance<'_, RunState>, interface: &str, function: &str) -> wasmtime::Result<()> {
    let stream = |linked: &mut LinkerInstance<'_, RunState>, number: u32| {
        linked.func_wrap(function, move |mut store: Store<'_>, ()| {
            charge(&mut store)?;
            Ok((Resource::<Dead>::new_own(number),))
        })
    };
    match (interface, function) {
        ("cli/stdin", "get-stdin") => stream(linked, STDIN),
        ("cli/stdout", "get-stdout") => stream(linked, STDOUT),
        ("cli/stderr", "get-stderr") => stream(linked, STDERR),
        ("cli/environment", "get-environment") => linked.func_wrap(function, |mut store: Store<'_>, ()| {
            charge(&mut store)?;
            Ok((Vec::<(String, String)>::new(),))
        }),
        ("cli/environment", "get-arguments") => linked.func_wrap(function, |mut store: Store<'_>, ()| {
            charge(&mut store)?;
            Ok((Vec::<String>::new(),))
        }),
        ("cli/environment", "initial-cwd") => linked.func_wrap(function, |mut store: Store<'_>, ()| {
            charge(&mut store)?;
            Ok((None::<String>,))
        }),
        ("cli/exit", "exit") => {
            linked.func_wrap(function, |_: Store<'_>, (status,): (Result<(), ()>,)| -> wasmtime::Result<()> {
                Err(exited(if status.is_ok() { "0" } else { "1" }))
            })
        }
        ("cli/exit", "exit-with-code") => linked
            .func_wrap(function, |_: Store<'_>, (code,): (u8,)| -> wasmtime::Result<()> {
                Err(exited(&code.to_string()))
            }),
        (_, "get-terminal-stdin" | "get-terminal-stdout" | "get-terminal-stderr") => {
            linked.func_wrap(function, |mut store: Store<'_>, ()| {
                charge(&mut store)?;
                Ok((None::<Resource<Dead>>,))
            })
        }
        _ => unknown(linked, function),
    }
}

fn exited(code: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!("it called exit with {code}; a plugin returns, or answers with an error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_served_is_refused_with_its_reason() {
        assert_eq!(refusal("io/streams@0.2.6"), None);
        assert_eq!(refusal("clocks/wall-clock@0.2.0"), None);
        assert!(refusal("sockets/tcp@0.2.6").unwrap().contains("no network"));
        assert!(refusal("http/types@0.2.0").unwrap().contains("no network"));
        assert!(refusal("filesystem/preopens@0.2.3").unwrap().contains("no files"));
        assert!(refusal("keyvalue/store@0.2.0").unwrap().contains("only io, cli, clocks and random"));
        for version in ["0.3.0", "0.1.0", "1.0.0", "0.20.0"] {
            assert!(
                refusal(&format!("io/streams@{version}")).unwrap().contains("only WASI 0.2"),
                "{version}"
            );
        }
    }
}
