//! What the runtime's limits and conversions cost: a bare wasmtime loop and our runs, over the same component, engine
//! and pool, in turn.

use super::bindings::types;
use super::calls::event_to_wit;
use super::error::RunFailure;
use super::limits::Limits;
use super::run::{ObjectInput, RunContext, RunInput};
use super::runtime::{LoadedVersion, Runtime};
use super::state::{Moment, RunState};
use crate::domain::{Cause, Fields, ObjectKind, Timestamp, Value};
use std::time::Duration;
use wasmtime::Store;

/// Runs of one side before the other has its turn, so that both see the machine as it drifts.
const TURN: usize = 100;

/// The times of both sides, each sorted.
#[derive(Clone, Debug)]
pub struct PluginBench {
    /// The bare loop's.
    pub baseline: Vec<Duration>,
    /// Ours.
    pub ours: Vec<Duration>,
    /// Fields of the contact.
    pub fields_in: usize,
    /// Fields of the record.
    pub fields_out: usize,
}

impl Runtime {
    /// Maps a contact of 25 fields `rounds` times bare and `rounds` times under all limits.
    ///
    /// # Errors
    /// When the version can't map a contact.
    pub async fn bench(
        &self,
        version: &LoadedVersion,
        prepared: &[u8],
        rounds: usize,
    ) -> Result<PluginBench, RunFailure> {
        let fields = contact()?;
        let limits = Limits::default();
        let input = input(&fields, prepared);
        let event = event_to_wit(&input);
        let mapped = self.map(version, &input, &limits).await.outcome?;
        let mut bench = PluginBench {
            baseline: Vec::with_capacity(rounds),
            ours: Vec::with_capacity(rounds),
            fields_in: fields.len(),
            fields_out: mapped.fields.len(),
        };
        while bench.ours.len() < rounds {
            for _ in 0..TURN {
                let began = self.clock.machine_now();
                self.bare(version, &event, prepared)
                    .await
                    .map_err(|error| RunFailure::Host(format!("{error:#}")))?;
                bench.baseline.push(began.elapsed());
            }
            for _ in 0..TURN {
                let began = self.clock.machine_now();
                self.map(version, &input, &limits).await.outcome?;
                bench.ours.push(began.elapsed());
            }
        }
        bench.baseline.sort_unstable();
        bench.ours.sort_unstable();
        Ok(bench)
    }

    /// What anyone would write: a store, an instance, a call.
    async fn bare(
        &self,
        version: &LoadedVersion,
        event: &types::Event,
        prepared: &[u8],
    ) -> wasmtime::Result<()> {
        let state = RunState::new(&Limits::default(), RunContext::default(), Moment::default());
        let mut store = Store::new(&self.engine, state);
        // The engine counts fuel and epochs; a store without any would trap at once.
        store.set_fuel(u64::MAX)?;
        store.set_epoch_deadline(1_000_000);
        let instance = version.pre.instantiate_async(&mut store).await?;
        let Some(indices) = &version.mapping else { return Ok(()) };
        let guest = indices.load(&mut store, &instance)?;
        drop(std::hint::black_box(guest.call_run(&mut store, event, None, prepared).await?));
        Ok(())
    }
}

fn input<'a>(fields: &'a Fields, prepared: &'a [u8]) -> RunInput<'a> {
    RunInput {
        event_id: "1".to_owned(),
        event_type: "ContactUpdate",
        cause: Cause::Live,
        source_time: Timestamp::from_millis(1_767_225_600_000),
        now: Timestamp::from_millis(1_767_225_601_000),
        seed: 7,
        contact: Some("contact0000000000001"),
        object: Some(ObjectInput {
            kind: ObjectKind::Contact,
            id: "contact0000000000001",
            deleted: false,
            fields,
            changed: vec!["city"],
            previous: vec![("city", &PREVIOUS)],
            echo: Vec::new(),
        }),
        raw: "{}",
        current: None,
        before: None,
        context: RunContext::default(),
        prepared,
    }
}

/// The contact of 25 fields that the plugin's native example maps too.
const CONTACT: &str = include_str!("../../../plugins/contact-profile/fixtures/contact.json");

/// What it was before.
const PREVIOUS: Value = Value::Null;

fn contact() -> Result<Fields, RunFailure> {
    serde_json::from_str(CONTACT).map_err(|error| RunFailure::Host(format!("the bench's contact: {error}")))
}
