//! x
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {}
pub(super) async fn run(_args: DemoArgs) -> anyhow::Result<()> { Ok(()) }
