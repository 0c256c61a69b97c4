//! `mapwright plugin check`: what a deployment would say, without one.

use crate::cli::output;
use crate::domain::Clock;
use crate::plugins::{Limits, Runtime, RuntimeSettings};
use crate::timeline;
use anyhow::Context as _;
use clap::Args;
use std::path::PathBuf;

/// Which file.
#[derive(Debug, Args)]
#[command(after_help = "Example: mapwright plugin check target/plugins/contact-profile.wasm")]
pub(crate) struct CheckArgs {
    /// The .wasm file.
    file: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let bytes =
        std::fs::read(&args.file).with_context(|| format!("{} can't be read", args.file.display()))?;
    let runtime =
        Runtime::new(RuntimeSettings { concurrent_runs: 1, ..RuntimeSettings::default() }, Clock::system())?;
    let package =
        runtime.check(&bytes, &Limits::default()).await.with_context(|| args.file.display().to_string())?;
    let description = &package.description;
    let notes = unknown_events(&description.events);
    if args.json {
        let report = serde_json::json!({
            "version_id": package.version.as_str(), "description": description, "imports": package.imports,
            "component_bytes": package.component.len(), "notes": notes,
        });
        output::say(&report.to_string());
        return Ok(());
    }
    output::say(&format!("{} {}: {}", description.name, description.version, description.summary));
    output::say(&format!("id       {}", package.version));
    output::say(&format!("exports  {}", description.interfaces.join(", ")));
    output::say(&format!("events   {}", description.events.join(", ")));
    output::say(&format!("imports  {}", package.imports.join(", ")));
    for asked in &description.capabilities {
        output::say(&format!("asks for {}: {}", asked.name, asked.reason));
    }
    for note in &notes {
        output::say(&format!("note     {note}"));
    }
    Ok(())
}

/// Event types that nobody knows. They are taken, since GHL adds types; more often they are misspelt.
fn unknown_events(events: &[String]) -> Vec<String> {
    let known = |name: &&String| {
        *name == "*"
            || name.starts_with("rankr.")
            || name.starts_with("timing.")
            || timeline::phrase_of(name).is_some()
    };
    let note = |name: &String| {
        format!("{name} is no event type that GHL documents or the host makes: is it spelt as it should be?")
    };
    events.iter().filter(|name| !known(name)).map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_event_type_is_noted() {
        let events =
            ["*", "ContactUpdate", "schedule", "rankr.race-finished", "timing.cron", "ContactUpdatee"];
        let notes = unknown_events(&events.map(str::to_owned));
        assert_eq!(notes.len(), 1);
        assert!(notes[0].starts_with("ContactUpdatee "), "{notes:?}");
    }
}
