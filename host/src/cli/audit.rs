//! `mapwright audit`: who changed what.

use super::client::{HostArgs, Shown, with_host};
use super::output::Columns;
use clap::Args;

/// Which changes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mapwright audit --config host.toml
  mapwright audit --action key --result refused --limit 20 --json")]
pub(super) struct AuditArgs {
    /// Only to this tenant's things.
    #[arg(long)]
    tenant: Option<String>,
    /// Only by this actor: host-key, local, or key: and a key's id.
    #[arg(long)]
    actor: Option<String>,
    /// Only this verb, such as tenant.pause, or all of a noun, such as tenant.
    #[arg(long)]
    action: Option<String>,
    /// Only to the thing of this id.
    #[arg(long)]
    object: Option<String>,
    /// Only with this result: done, refused or failed.
    #[arg(long)]
    result: Option<String>,
    /// Only from this moment on, RFC 3339.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only before this moment, RFC 3339.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// At most so many, the newest.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    host: HostArgs,
}

const COLUMNS: Columns = &[
    ("AT", "at"),
    ("ACTOR", "actor"),
    ("ADDRESS", "address"),
    ("ACTION", "action"),
    ("OBJECT", "object"),
    ("TENANT", "tenant"),
    ("RESULT", "result"),
];

/// Lists changes.
pub(super) async fn run(args: AuditArgs) -> anyhow::Result<()> {
    with_host(&args.host, async |host| {
        let query = [
            ("tenant", args.tenant.as_deref()),
            ("actor", args.actor.as_deref()),
            ("action", args.action.as_deref()),
            ("object", args.object.as_deref()),
            ("result", args.result.as_deref()),
            ("from", args.from.as_deref()),
            ("to", args.to.as_deref()),
        ];
        Ok(Shown::Table(host.pages("/v1/audit", &query, Some(args.limit)).await?, COLUMNS))
    })
    .await
}
