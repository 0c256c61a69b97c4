//! Guests in this process: read from where `tests/run` built them, or made of WebAssembly text under a guest's contract.

use crate::system::named;
use mapwright::domain::{Answers, Cause, Clock, Effect, Fields, GhlId, ObjectKind, PluginName, Timestamp};
use mapwright::plugins::{
    Limits, LoadedVersion, MappedRecord, ObjectInput, RunContext, RunInput, RunReport, Runtime,
    RuntimeSettings,
};
use std::sync::Arc;

pub(crate) fn runtime() -> Runtime {
    Runtime::new(RuntimeSettings::default(), Clock::system()).unwrap()
}

/// The bytes of a guest.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    std::fs::read(named("MAPWRIGHT_GUESTS").join(format!("{name}.wasm"))).unwrap()
}

/// The bytes of a plugin of the product.
pub(crate) fn plugin(name: &str) -> Vec<u8> {
    std::fs::read(named("MAPWRIGHT_PLUGINS").join(format!("{name}.wasm"))).unwrap()
}

/// A guest checked and loaded.
pub(crate) async fn loaded(runtime: &Runtime, bytes: &[u8]) -> Arc<LoadedVersion> {
    let package = runtime.check(bytes, &Limits::default()).await.unwrap();
    runtime.load(&package.version, &package.component).await.unwrap()
}

/// What a run is called with, beside its version.
pub(crate) struct Call<'a> {
    pub(crate) event_type: &'a str,
    pub(crate) grants: &'a [&'a str],
    pub(crate) answers: Answers,
    pub(crate) limits: Limits,
    pub(crate) now: i64,
    pub(crate) seed: u64,
}

impl<'a> Call<'a> {
    pub(crate) fn of(event_type: &'a str) -> Self {
        Self {
            event_type,
            grants: &[],
            answers: Answers::new(),
            limits: Limits::default(),
            now: 1_767_225_600_123,
            seed: 1,
        }
    }

    fn input<'i>(&'i self, fields: &'i Fields) -> RunInput<'i> {
        let object = ObjectInput {
            kind: ObjectKind::Contact,
            id: "c",
            deleted: false,
            fields,
            changed: Vec::new(),
            previous: Vec::new(),
            echo: Vec::new(),
        };
        RunInput {
            event_id: "1".into(),
            event_type: self.event_type,
            cause: Cause::Test,
            source_time: Timestamp::from_millis(1),
            now: Timestamp::from_millis(self.now),
            seed: self.seed,
            contact: Some("c"),
            object: Some(object),
            raw: "{}",
            current: None,
            before: None,
            context: RunContext {
                grants: Arc::new(self.grants.iter().map(|it| (*it).to_owned()).collect()),
                answers: Arc::new(self.answers.clone()),
                contact: Some(GhlId::from("c")),
                plugin: PluginName::new("guest"),
                state_schema: 1,
            },
            // What the SDK's prepare gives for a configuration of no choices: the mark of the compact form.
            prepared: &[0],
        }
    }

    pub(crate) async fn map(&self, runtime: &Runtime, version: &LoadedVersion) -> RunReport<MappedRecord> {
        runtime.map(version, &self.input(&Fields::new()), &self.limits).await
    }

    pub(crate) async fn react(&self, runtime: &Runtime, version: &LoadedVersion) -> RunReport<Vec<Effect>> {
        runtime.react(version, &self.input(&Fields::new()), &self.limits).await
    }
}

/// A core module of this text under the contract of a guest, whose sections it takes over.
pub(crate) fn core_guest(contract_of: &str, text: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap();
    let donor = guest(contract_of);
    let mut at = 8;
    while at < donor.len() {
        let (id, from) = (donor[at], at);
        let (size, begin) = leb(&donor, at + 1);
        at = begin + size;
        if id == 0 {
            let (length, name) = leb(&donor, begin);
            if donor[name..name + length].starts_with(b"component-type") {
                module.extend_from_slice(&donor[from..at]);
            }
        }
    }
    module
}

/// A LEB128 number and where it ends.
fn leb(bytes: &[u8], mut at: usize) -> (usize, usize) {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = usize::from(bytes[at]);
        number |= (byte & 0x7f) << shift;
        at += 1;
        if byte & 0x80 == 0 {
            return (number, at);
        }
        shift += 7;
    }
}

/// A mapping plugin as a core module: what `describe` and, where there is one, `warm` do, and what else it defines.
pub(crate) fn core_text(describe: &str, extra: &str) -> String {
    format!(
        r#"(module
            (memory (export "memory") 1)
            {extra}
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
            (func (export "mapwright:plugin/descriptor@0.1.0#describe") (result i32) {describe} i32.const 0)
            (func (export "mapwright:plugin/descriptor@0.1.0#prepare") (param i32 i32) (result i32) i32.const 0)
            (func (export "mapwright:plugin/mapping@0.1.0#run") (param i32) (result i32) i32.const 0))"#
    )
}
