//! The connections' parts, put together: apps, tokens, the transport to GHL, and the way in for people.

use crate::config::{ConnectionKind, Settings};
use crate::domain::{Clock, ConnectionId, TenantId};
use crate::ghl::{Ghl, Oauth, Tokens};
use crate::outbound::{Client, ClientSettings};
use crate::store::Store;
use crate::tenants::{
    Addresses, ConnectionParts, Connections, CredentialParts, Credentials, DirectoryCell, Registrations,
};
use crate::vault::Vault;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The connections, their tokens, and the transport to GHL over them.
pub(super) async fn connections(
    settings: &Settings,
    (store, vault): (&Store, &Vault),
    (directory, clock): (&DirectoryCell, &Clock),
    planned: &Arc<Notify>,
) -> anyhow::Result<(Connections, Arc<Credentials>)> {
    let place = |url: &str| Arc::from(url.trim_end_matches('/'));
    let addresses = Addresses {
        live: place(&settings.ghl.live_url),
        sandbox: place(&settings.ghl.sandbox_url),
        live_authorize: Arc::from(settings.ghl.authorize_url("live")),
        sandbox_authorize: Arc::from(settings.ghl.authorize_url("sandbox")),
        public: place(&settings.http.public_url),
    };
    let client = Client::new(ClientSettings::default())?;
    let oauth = Oauth::new(client.clone(), clock.clone());
    let registrations = Registrations::new(store.clone(), vault.clone(), addresses);
    let refresh_ahead = Duration::from_secs(settings.ghl.refresh_ahead_seconds);
    let credentials = Arc::new(Credentials::new(CredentialParts {
        store: store.clone(),
        clock: clock.clone(),
        vault: vault.clone(),
        directory: directory.clone(),
        registrations: registrations.clone(),
        oauth: oauth.clone(),
        refresh_ahead,
    }));
    let fixed = settings.connections.iter().filter(|connection| connection.kind == ConnectionKind::Fixed);
    for connection in fixed {
        let (tenant, id) = (TenantId::new(&connection.tenant), ConnectionId::new(&connection.id));
        credentials.put_fixed(&tenant, &id, &connection.access_token).await?;
    }
    let connections = Connections::new(ConnectionParts {
        store: store.clone(),
        clock: clock.clone(),
        vault: vault.clone(),
        oauth,
        ghl: Ghl::new(client, clock.clone(), Arc::clone(&credentials) as Arc<dyn Tokens>),
        registrations,
        directory: directory.clone(),
        credentials: Arc::clone(&credentials),
        planned: Arc::clone(planned),
        wake: Arc::new(Notify::new()),
        link_life: Duration::from_secs(settings.ghl.authorize_minutes.saturating_mul(60)),
        refresh_ahead,
    });
    Ok((connections, credentials))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;
    use crate::domain::{AppId, ClockRate, LocationId};
    use crate::outbound::{Method, Reply, Request};
    use crate::sandbox::{Sandbox, SandboxSettings};
    use crate::store::StoreSettings;
    use crate::tenants::{Callback, ConnectRequest, apply_settings};
    use futures_util::future::join_all;
    use secrecy::{ExposeSecret as _, SecretString};
    use serde_json::{Value, json};
    use std::path::Path;
    use tokio_util::sync::CancellationToken;

    const LOCATION: &str = "locExample0000000001";

    /// A sandbox, and two hosts' worth of rooms over one database.
    struct Two {
        folder: tempfile::TempDir,
        sandbox: String,
        clock: Clock,
        rooms: Vec<(Connections, Arc<Credentials>)>,
    }

    impl Two {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let clock = Clock::at_rate(ClockRate { rate: 60.0, origin_millis: 1_767_225_600_000 });
            let settings =
                SandboxSettings { listen: "127.0.0.1:0".to_owned(), folder: folder.path().join("sandbox") };
            let client = Client::new(ClientSettings::default()).unwrap();
            let sandbox = Sandbox::bind(&settings, clock.clone(), client).await.unwrap();
            let url = format!("http://{}", sandbox.address());
            tokio::spawn(sandbox.serve(CancellationToken::new()));
            let app = json!({
                "app_id": "demo", "webhook_url": "http://127.0.0.1:9/", "client_id": "client", "client_secret": "secret",
                "redirect_uris": ["http://127.0.0.1:7800/oauth/callback/demo"], "scopes": "contacts.readonly",
            });
            send(&url, Method::POST, "/_sandbox/apps", Some(app)).await;
            let text = format!(
                "[ghl]\nsandbox_url = \"{url}\"\n[[app]]\nid = \"demo\"\nenvironment = \"sandbox\"\nghl_app_id = \"demo\"\n\
                 client_id = \"client\"\nclient_secret = \"secret\"\ned25519_keys = []\n[[tenant]]\nid = \"t\"\nname = \"T\"\n"
            );
            let settings = load_text(&text).unwrap();
            let data = folder.path().join("host");
            let store = Store::open(&StoreSettings::in_folder(&data)).await.unwrap();
            let vault = Vault::open(&data).unwrap();
            apply_settings(&store, &settings, &vault, clock.now()).await.unwrap();
            let mut rooms = Vec::new();
            for _ in 0..2 {
                let directory = DirectoryCell::default();
                let planned = Arc::new(Notify::new());
                let made = connections(&settings, (&store, &vault), (&directory, &clock), &planned).await;
                rooms.push(made.unwrap());
            }
            Self { folder, sandbox: url, clock, rooms }
        }

        /// Connects the location; gives the connection's id.
        async fn connect(&self) -> ConnectionId {
            let (connections, _) = &self.rooms[0];
            let request =
                ConnectRequest { tenant: TenantId::from("t"), app: AppId::from("demo"), scopes: None };
            let link = connections.authorize(request).await.unwrap();
            let path = link.url.strip_prefix(&self.sandbox).unwrap();
            let reply = send(&self.sandbox, Method::GET, &format!("{path}&approve={LOCATION}"), None).await;
            let back = reply.header("location").unwrap().to_owned();
            let part = |name: &str| {
                let (_, rest) = back.split_once(&format!("{name}=")).unwrap();
                let value = rest.split('&').next().unwrap();
                percent_encoding::percent_decode_str(value).decode_utf8().unwrap().into_owned()
            };
            let callback = Callback {
                app: AppId::from("demo"),
                code: Some(SecretString::from(part("code"))),
                state: Some(part("state")),
                error: None,
            };
            let finished = connections.finish(callback).await.unwrap();
            assert_eq!(finished.locations[0].location, LocationId::from(LOCATION));
            finished.locations[0].connection.clone()
        }

        fn refreshes(&self) -> usize {
            let journal =
                std::fs::read_to_string(Path::new(self.folder.path()).join("sandbox/journal.jsonl")).unwrap();
            let lines = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines.filter(|line| line["op"] == "issued" && line["grant"] == "refresh_token").count()
        }
    }

    async fn send(base: &str, method: Method, path: &str, body: Option<Value>) -> Reply {
        let client = Client::new(ClientSettings::default()).unwrap();
        let request = Request {
            method,
            url: format!("{base}{path}"),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.map(|body| body.to_string().into_bytes()),
        };
        let reply = client.send(request).await.unwrap();
        assert!(reply.status < 400, "{path}: {} {}", reply.status, String::from_utf8_lossy(&reply.body));
        reply
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_processes_with_one_dead_token_refresh_once_between_them() {
        let two = Two::new().await;
        let id = two.connect().await;
        let (_, first) = &two.rooms[0];
        let token = first.access(&id).await.unwrap().token;
        // A younger token is not suspected.
        two.clock.sleep(Duration::from_secs(61)).await;
        let revoke = json!({"location_id": LOCATION});
        send(&two.sandbox, Method::POST, "/_sandbox/oauth/revoke", Some(revoke)).await;
        let calls = (0..20).map(|number| {
            let (_, credentials) = &two.rooms[number % 2];
            credentials.rejected(&id, &token)
        });
        assert!(join_all(calls).await.into_iter().all(|renewed| renewed));
        assert_eq!(two.refreshes(), 1);
        let mut tokens = Vec::new();
        for (_, credentials) in &two.rooms {
            tokens.push(credentials.access(&id).await.unwrap().token.expose_secret().to_owned());
        }
        assert_eq!(tokens[0], tokens[1]);
        assert_ne!(tokens[0], token.expose_secret());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_process_sees_at_once_what_another_renewed() {
        let two = Two::new().await;
        let id = two.connect().await;
        let [(_, first), (_, second)] = two.rooms.as_slice() else { panic!("there are two") };
        let before = second.access(&id).await.unwrap().token;
        two.clock.sleep(Duration::from_secs(61)).await;
        assert!(first.rejected(&id, &before).await);
        // No restart, no waiting for its own failure: the row says that there is another.
        let after = second.access(&id).await.unwrap().token;
        assert_ne!(before.expose_secret(), after.expose_secret());
        assert!(second.rejected(&id, &before).await, "there is another already");
        assert_eq!(two.refreshes(), 1);
    }
}
