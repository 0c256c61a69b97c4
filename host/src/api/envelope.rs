//! What every request gets before anything else looks at it: an id, a span in the log, its client's address, and a
//! time limit.

use super::problem::Problem;
use super::state::ApiState;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tracing::Instrument as _;

/// The header that carries a request's id, in and out.
const HEADER: &str = "x-request-id";
/// Longest id that is taken from a caller, characters.
const LONGEST_ID: usize = 128;

tokio::task_local! {
    static REQUEST_ID: Arc<str>;
}

/// The id of the request that is being answered; none outside of one.
pub(super) fn request_id() -> Option<String> {
    REQUEST_ID.try_with(|id| id.to_string()).ok()
}

/// The other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Whom the request comes from: the peer, or whom a trusted proxy names.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientAddress(pub(super) IpAddr);

/// Wraps a request.
pub(super) async fn wrap(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let id = taken_id(request.headers());
    let limit = state.door.request_timeout;
    if let Some(Peer(peer)) = request.extensions().get::<Peer>() {
        let address = client_address(peer.ip(), request.headers(), &state.door.trusted_proxies);
        request.extensions_mut().insert(ClientAddress(address));
    }
    // The query is left out: it may name a person.
    let span = tracing::info_span!("request", request.id = %id, method = %request.method(), path = request.uri().path());
    let began = state.clock.machine_now();
    let answering = REQUEST_ID.scope(Arc::clone(&id), next.run(request)).instrument(span.clone());
    let mut response = match state.clock.within(limit, answering).await {
        Some(response) => response,
        None => REQUEST_ID.sync_scope(Arc::clone(&id), || Problem::timed_out(limit).into_response()),
    };
    let status = response.status().as_u16();
    tracing::debug!(parent: &span, status, took = ?began.elapsed(), "answered {status}");
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, id);
    }
    response
}

/// The caller's id where it is well formed, so that its log and ours can be read together; else a new one.
fn taken_id(headers: &HeaderMap) -> Arc<str> {
    let well_formed = |id: &&str| {
        (1..=LONGEST_ID).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
    };
    let given = headers.get(HEADER).and_then(|value| value.to_str().ok()).filter(well_formed);
    given.map_or_else(|| Arc::from(format!("rq_{}", uuid::Uuid::now_v7().simple())), Arc::from)
}

/// Whom a request comes from. Only what a trusted proxy wrote counts: from the right, the first address that is none
/// of them; anyone could have written what stands left of it.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut client = peer.to_canonical();
    if !is_trusted(&client) {
        return client;
    }
    for named in named_addresses(headers).into_iter().rev() {
        let Some(named) = named else { return client };
        client = named;
        if !is_trusted(&client) {
            break;
        }
    }
    client
}

/// The addresses that `X-Forwarded-For` names, else those of `Forwarded` (RFC 7239), in their order.
fn named_addresses(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let all = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(|one| one.trim().to_owned()).collect()
    };
    let simple = all("x-forwarded-for");
    if !simple.is_empty() {
        return simple.iter().map(|one| address_in(one)).collect();
    }
    let of_element = |element: &String| {
        let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
        let (_, node) = pairs.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
        address_in(node.trim_matches('"'))
    };
    all("forwarded").iter().map(of_element).collect()
}

/// An address as proxies write it: with or without port, version 6 in brackets.
fn address_in(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    let bare = text.strip_prefix('[')?.strip_suffix(']')?;
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn headers(name: &'static str, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn client(peer: &str, headers: &HeaderMap) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), headers, &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let forged = headers("x-forwarded-for", &["1.2.3.4"]);
        assert_eq!(client("203.0.113.9", &forged), "203.0.113.9");
        assert_eq!(client("10.1.1.1", &forged), "1.2.3.4");
        assert_eq!(client("::ffff:10.1.1.1", &forged), "1.2.3.4");
    }

    #[test]
    fn what_a_client_wrote_itself_is_passed_over() {
        let chain = headers("x-forwarded-for", &["6.6.6.6, 203.0.113.9", "10.0.0.7"]);
        assert_eq!(client("10.1.1.1", &chain), "203.0.113.9");
        let broken = headers("x-forwarded-for", &["6.6.6.6, nonsense, 10.0.0.7"]);
        assert_eq!(client("10.1.1.1", &broken), "10.0.0.7");
    }

    #[test]
    fn both_headers_are_read_with_ports_and_brackets() {
        assert_eq!(client("10.1.1.1", &headers("x-forwarded-for", &["203.0.113.9:4711"])), "203.0.113.9");
        let standard = headers("forwarded", &["for=1.1.1.1;proto=https, For=\"[2001:db8::7]:4711\";by=x"]);
        assert_eq!(client("fd00::1", &standard), "2001:db8::7");
        assert_eq!(client("10.1.1.1", &HeaderMap::new()), "10.1.1.1");
    }

    #[test]
    fn an_id_is_taken_over_if_it_is_well_formed() {
        assert_eq!(&*taken_id(&headers(HEADER, &["abc-1.2_3~4"])), "abc-1.2_3~4");
        assert!(taken_id(&headers(HEADER, &["a b\"c"])).starts_with("rq_"));
        assert!(taken_id(&HeaderMap::new()).starts_with("rq_"));
        assert_ne!(taken_id(&HeaderMap::new()), taken_id(&HeaderMap::new()));
    }
}
