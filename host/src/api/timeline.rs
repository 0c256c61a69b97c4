//! `GET /v1/timeline`: everything that happened, to one contact or to all of a tenant's, with sentences for people.

use super::page::{self, Page};
use super::problem::Problem;
use super::query::{Asked, time};
use super::state::ApiState;
use crate::domain::TenantId;
use crate::store::{TimelineFilter, TimelineListing, TimelineOrder};
use crate::timeline::tell;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

/// Entries read by one statement while a page is filled.
const STEP: i64 = 500;
/// Entries looked at for one page; a page that found less goes on from there.
const MOST: usize = 10_000;

/// Which entries.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct TimelineQuery {
    /// Whose.
    tenant: String,
    /// Only of this contact, by Rankr's id.
    contact: Option<String>,
    /// Only of this contact, by GHL's id.
    ghl_contact: Option<String>,
    /// On which connection `ghl_contact` is meant; needed where two have the same id.
    connection: Option<String>,
    /// Only `event`, `entry` or `effect`.
    kind: Option<String>,
    /// Only of this type of event or entry, or operation of an effect; a `*` at the end stands for anything.
    #[serde(rename = "type")]
    entry_type: Option<String>,
    /// Only what this plugin wrote.
    plugin: Option<String>,
    /// Only sentences with these words, large or small letters alike.
    text: Option<String>,
    /// Not before, RFC 3339.
    from: Option<String>,
    /// Before, RFC 3339.
    to: Option<String>,
    /// `written` (the default: who follows the timeline misses nothing), `newest` or `oldest` by the time of happening.
    order: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// Rows of the page, 1 to 1000; 100 if not given.
    limit: Option<i64>,
}

/// A timeline entry.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(super) struct TimelineEntry {
    #[serde(flatten)]
    listing: TimelineListing,
    /// The same for people.
    sentence: String,
    /// Who did it: `GHL`, `Rankr`, a plugin's name and so on.
    by: String,
}

impl From<TimelineListing> for TimelineEntry {
    fn from(listing: TimelineListing) -> Self {
        let told = tell(&listing.kind, &listing.entry);
        Self { listing, sentence: told.sentence, by: told.by }
    }
}

/// Lists timeline entries. A page may have fewer than asked for, or none, and still a next one.
#[utoipa::path(get, path = "/v1/timeline", tag = "timeline", params(TimelineQuery), security(("key" = [])),
    responses((status = 200, description = "A page of entries", body = Page<TimelineEntry>),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "The key is missing or wrong", body = Problem),
        (status = 403, description = "The key may not do that", body = Problem)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Asked(query): Asked<TimelineQuery>,
) -> Result<Json<Page<TimelineEntry>>, Problem> {
    let limit = page::limit(query.limit)?;
    let tenant = TenantId::from(query.tenant.clone());
    let Some(contact) = contact(&state, &tenant, &query).await? else {
        return Ok(Json(Page { items: Vec::new(), next: None }));
    };
    let order = order(query.order.as_deref())?;
    let mut filter = TimelineFilter {
        contact,
        kind: kind(query.kind.clone())?,
        from: time("from", query.from.as_deref())?,
        to: time("to", query.to.as_deref())?,
        order,
        after: place(order, query.after.as_deref())?,
    };
    let wanted = usize::try_from(limit).unwrap_or_default();
    let plain = query.entry_type.is_none() && query.plugin.is_none() && query.text.is_none();
    let step = if plain { limit } else { STEP };
    let mut items = Vec::new();
    let mut looked = 0;
    loop {
        let rows = state.store.list_timeline(&tenant, &filter, step).await?;
        let last = i64::try_from(rows.len()).is_ok_and(|count| count < step);
        for row in rows {
            looked += 1;
            filter.after = Some((row.millis(), row.id));
            let entry = TimelineEntry::from(row);
            if fits(&entry, &query) {
                items.push(entry);
            }
            if items.len() == wanted {
                return Ok(Json(Page { items, next: filter.after.map(|after| key(order, after)) }));
            }
        }
        if last {
            return Ok(Json(Page { items, next: None }));
        }
        if looked >= MOST {
            return Ok(Json(Page { items, next: filter.after.map(|after| key(order, after)) }));
        }
    }
}

/// The contact that is asked for; the outer none: nobody is called that.
async fn contact(
    state: &ApiState,
    tenant: &TenantId,
    query: &TimelineQuery,
) -> Result<Option<Option<String>>, Problem> {
    let Some(ghl_id) = query.ghl_contact.as_deref() else { return Ok(Some(query.contact.clone())) };
    if query.contact.is_some() {
        return Err(Problem::bad_parameter("give contact or ghl_contact, not both"));
    }
    let mut found = state.store.contacts_called(tenant, ghl_id, query.connection.as_deref()).await?;
    match (found.pop(), found.pop()) {
        (Some(only), None) => Ok(Some(Some(only))),
        (None, _) => Ok(None),
        _ => Err(Problem::bad_parameter(
            "ghl_contact is the id of contacts on several connections: name one as connection",
        )),
    }
}

fn kind(asked: Option<String>) -> Result<Option<String>, Problem> {
    match asked.as_deref() {
        None | Some("event" | "entry" | "effect") => Ok(asked),
        Some(other) => Err(Problem::bad_parameter(format!("kind is {other:?}: give event, entry or effect"))),
    }
}

fn order(asked: Option<&str>) -> Result<TimelineOrder, Problem> {
    match asked {
        None | Some("written") => Ok(TimelineOrder::Written),
        Some("newest") => Ok(TimelineOrder::Newest),
        Some("oldest") => Ok(TimelineOrder::Oldest),
        Some(other) => {
            Err(Problem::bad_parameter(format!("order is {other:?}: give written, newest or oldest")))
        }
    }
}

fn key(order: TimelineOrder, (at, id): (i64, i64)) -> String {
    match order {
        TimelineOrder::Written => id.to_string(),
        TimelineOrder::Newest | TimelineOrder::Oldest => format!("{at}.{id}"),
    }
}

fn place(order: TimelineOrder, after: Option<&str>) -> Result<Option<(i64, i64)>, Problem> {
    let Some(text) = after else { return Ok(None) };
    if order == TimelineOrder::Written {
        return Ok(Some((0, page::after(after)?)));
    }
    let place = text.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
    match place {
        Some(place) => Ok(Some(place)),
        None => Err(Problem::bad_parameter(format!(
            "after is {text:?}: give the `next` of the page before, of the same order"
        ))),
    }
}

/// Whether an entry is of the asked type, by the asked plugin, with the asked words.
fn fits(entry: &TimelineEntry, query: &TimelineQuery) -> bool {
    let content = &entry.listing.entry;
    let of_type = query.entry_type.as_deref().is_none_or(|wanted| {
        let name = ["type", "kind", "op"].iter().find_map(|name| content[*name].as_str()).unwrap_or_default();
        page::is_like(name, wanted)
    });
    let by_plugin = query.plugin.as_deref().is_none_or(|plugin| content["plugin"] == plugin);
    let with_text =
        query.text.as_deref().is_none_or(|text| entry.sentence.to_lowercase().contains(&text.to_lowercase()));
    of_type && by_plugin && with_text
}
