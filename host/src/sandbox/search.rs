//! `POST /contacts/search`: filters, sort and paging over the search index, with rows in the index's own shape.

use super::caller::Caller;
use super::contacts::take_location;
use super::refusal::Refusal;
use super::state::{Object, State};
use crate::domain::Timestamp;
use axum::Json;
use axum::extract::State as Extract;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use std::sync::Arc;

/// Rows of a page at the most.
const MOST_ROWS: usize = 500;
/// Rows that pages by number reach; beyond it `searchAfter` is the only way.
const MOST_BY_PAGE: usize = 10_000;
/// Characters of a query or of a filter's value at the most.
const LONGEST: usize = 75;

/// What a search asks for, the location aside.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Asked {
    page_limit: Option<usize>,
    page: Option<usize>,
    search_after: Option<Vec<Value>>,
    query: String,
    filters: Vec<Filter>,
    sort: Vec<Sort>,
}

/// One sort field and its direction.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sort {
    field: String,
    direction: Direction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Asc,
    Desc,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Filter {
    Group {
        group: String,
        filters: Vec<Filter>,
    },
    Field {
        field: String,
        operator: String,
        #[serde(default)]
        value: Value,
    },
}

const DATES: &[&str] = &["dateAdded", "dateUpdated", "lastEmailClickedDate", "lastEmailOpenedDate"];
const EXACT: &[&str] =
    &["email", "state", "country", "assignedTo", "source", "dnd", "contactName", "tags", "id", "followers"];
const TEXTS: &[&str] = &[
    "firstNameLowerCase",
    "lastNameLowerCase",
    "phone",
    "address",
    "city",
    "postalCode",
    "companyName",
    "businessName",
];
const SORTS: &[&str] =
    &["email", "dnd", "source", "firstNameLowerCase", "lastNameLowerCase", "dateAdded", "dateUpdated"];

fn invalid(what: impl Into<String>) -> Refusal {
    Refusal::Invalid(vec![what.into()])
}

fn text(object: &Object, name: &str) -> String {
    object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A moment as GHL takes it in filters: a text or milliseconds.
fn moment(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => Timestamp::parse(text).map(Timestamp::millis),
        _ => None,
    }
}

/// Rows of search differ from GET's: `address` in place of `address1`, the birthday in milliseconds, names in lower case
/// besides, and where the next page begins.
pub(super) fn search_row(mut contact: Object, sort: &[Sort]) -> Object {
    let address = contact.remove("address1");
    contact.insert("address".into(), address.unwrap_or_default());
    let (first, last) = (text(&contact, "firstName"), text(&contact, "lastName"));
    contact.insert("contactName".into(), json!(format!("{first} {last}").trim()));
    contact.insert("firstNameLowerCase".into(), json!(first.to_lowercase()));
    contact.insert("lastNameLowerCase".into(), json!(last.to_lowercase()));
    let birthday = contact
        .get("dateOfBirth")
        .and_then(Value::as_str)
        .and_then(|day| moment(&json!(day)).or_else(|| moment(&json!(format!("{day}T00:00:00Z")))));
    contact.insert("dateOfBirth".into(), json!(birthday));
    for name in ["phoneLabel", "validEmail", "businessName"] {
        contact.entry(name).or_insert(Value::Null);
    }
    for name in ["additionalEmails", "additionalPhones", "followers", "opportunities"] {
        contact.entry(name).or_insert(json!([]));
    }
    let after = key(&contact, sort);
    contact.insert("searchAfter".into(), Value::Array(after));
    contact
}

/// Where a contact stands in this order: the sorted fields, then its id.
fn key(contact: &Object, sort: &[Sort]) -> Vec<Value> {
    let mut key: Vec<Value> = sort.iter().map(|by| sortable(contact, &by.field)).collect();
    key.push(contact.get("id").cloned().unwrap_or_default());
    key
}

fn sortable(contact: &Object, field: &str) -> Value {
    match field {
        "firstNameLowerCase" => json!(text(contact, "firstName").to_lowercase()),
        "lastNameLowerCase" => json!(text(contact, "lastName").to_lowercase()),
        date if DATES.contains(&date) => json!(contact.get(date).and_then(moment)),
        "dnd" => json!(contact.get("dnd") == Some(&json!(true))),
        other => json!(text(contact, other)),
    }
}

fn compare(one: &[Value], other: &[Value], sort: &[Sort]) -> Ordering {
    for (place, (one, other)) in one.iter().zip(other).enumerate() {
        let order = match (one, other) {
            (Value::String(one), Value::String(other)) => one.cmp(other),
            (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
            (one, other) => one.as_i64().cmp(&other.as_i64()),
        };
        let order = match sort.get(place) {
            Some(Sort { direction: Direction::Desc, .. }) => order.reverse(),
            _ => order,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

impl Filter {
    fn check(&self) -> Result<(), Refusal> {
        match self {
            Self::Group { group, filters } if matches!(group.as_str(), "AND" | "OR") => {
                filters.iter().try_for_each(Self::check)
            }
            Self::Group { .. } => Err(invalid("group must be one of AND, OR")),
            Self::Field { field, operator, value } => {
                let allowed: &[&str] = match field.as_str() {
                    name if DATES.contains(&name) => &["range", "exists", "not_exists"],
                    "id" => &["eq", "not_eq"],
                    name if EXACT.contains(&name) => &["eq", "not_eq", "exists", "not_exists"],
                    name if TEXTS.contains(&name) || name.starts_with("customFields.") => {
                        &["eq", "not_eq", "exists", "not_exists", "contains", "not_contains"]
                    }
                    name => return Err(invalid(format!("filters: {name} is not a field to filter by"))),
                };
                if !allowed.contains(&operator.as_str()) {
                    return Err(invalid(format!("filters: {field} does not know the operator {operator}")));
                }
                if value.as_str().is_some_and(|text| text.chars().count() > LONGEST) {
                    return Err(invalid(format!(
                        "filters: the value of {field} is longer than {LONGEST} characters"
                    )));
                }
                Ok(())
            }
        }
    }

    fn fits(&self, contact: &Object) -> bool {
        match self {
            Self::Group { group, filters } if group == "OR" => {
                filters.iter().any(|filter| filter.fits(contact))
            }
            Self::Group { filters, .. } => filters.iter().all(|filter| filter.fits(contact)),
            Self::Field { field, operator, value } => {
                let known = match field.as_str() {
                    "address" => contact.get("address1").cloned().unwrap_or_default(),
                    "contactName" => {
                        json!(format!("{} {}", text(contact, "firstName"), text(contact, "lastName")))
                    }
                    "firstNameLowerCase" | "lastNameLowerCase" => sortable(contact, field),
                    other => contact.get(other).cloned().unwrap_or_default(),
                };
                let equal = match &known {
                    Value::Array(all) => all.contains(value),
                    one => one == value,
                };
                let holds = || match (known.as_str(), value.as_str()) {
                    (Some(known), Some(part)) => known.to_lowercase().contains(&part.to_lowercase()),
                    _ => false,
                };
                match operator.as_str() {
                    "eq" => equal,
                    "not_eq" => !equal,
                    "exists" => !known.is_null() && known != "",
                    "not_exists" => known.is_null() || known == "",
                    "contains" => holds(),
                    "not_contains" => !holds(),
                    _ => in_range(&known, value),
                }
            }
        }
    }
}

fn in_range(known: &Value, range: &Value) -> bool {
    let Some(known) = moment(known) else { return false };
    let bound = |name: &str| range.get(name).and_then(moment);
    bound("gte").is_none_or(|from| known >= from)
        && bound("gt").is_none_or(|from| known > from)
        && bound("lte").is_none_or(|to| known <= to)
        && bound("lt").is_none_or(|to| known < to)
}

impl Asked {
    /// Checks the request; gives the rows of a page and how many rows come before it by number.
    fn check(&self) -> Result<(usize, usize), Refusal> {
        let Some(limit) = self.page_limit else { return Err(invalid("pageLimit should not be empty")) };
        if limit == 0 || limit > MOST_ROWS {
            return Err(invalid(format!("pageLimit must be between 1 and {MOST_ROWS}")));
        }
        if self.query.chars().count() > LONGEST {
            return Err(invalid(format!("query must not be longer than {LONGEST} characters")));
        }
        if let Some(sort) = self.sort.iter().find(|sort| !SORTS.contains(&sort.field.as_str())) {
            return Err(invalid(format!("sort: {} is not a field to sort by", sort.field)));
        }
        self.filters.iter().try_for_each(Filter::check)?;
        match (self.page, &self.search_after) {
            (Some(_), Some(_)) => Err(invalid("page and searchAfter can not be used together")),
            (Some(0), None) => Err(invalid("page must not be less than 1")),
            (Some(page), None) if page * limit > MOST_BY_PAGE => {
                Err(invalid(format!("page reaches the first {MOST_BY_PAGE} records only; use searchAfter")))
            }
            (page, _) => Ok((limit, page.map_or(0, |page| (page - 1) * limit))),
        }
    }

    fn fits(&self, contact: &Object) -> bool {
        let query = self.query.to_lowercase();
        let found = query.is_empty()
            || ["firstName", "lastName", "email", "phone", "companyName"]
                .iter()
                .any(|name| text(contact, name).to_lowercase().contains(&query));
        found && self.filters.iter().all(|filter| filter.fits(contact))
    }
}

pub(super) async fn search(
    Extract(state): Extract<Arc<State>>,
    caller: Caller,
    Json(mut body): Json<Map<String, Value>>,
) -> Result<Json<Value>, Refusal> {
    caller.needs("contacts.readonly")?;
    take_location(&caller, &mut body)?;
    let asked: Asked =
        serde_json::from_value(Value::Object(body)).map_err(|error| invalid(error.to_string()))?;
    let (limit, before) = asked.check()?;
    let mut found: Vec<Object> =
        state.searchable(&caller.location).into_iter().filter(|contact| asked.fits(contact)).collect();
    found.sort_by(|one, other| compare(&key(one, &asked.sort), &key(other, &asked.sort), &asked.sort));
    let total = found.len();
    let rows: Vec<Object> = found
        .into_iter()
        .filter(|contact| {
            asked
                .search_after
                .as_ref()
                .is_none_or(|after| compare(&key(contact, &asked.sort), after, &asked.sort).is_gt())
        })
        .skip(before)
        .take(limit)
        .map(|contact| search_row(contact, &asked.sort))
        .collect();
    Ok(Json(json!({"contacts": rows, "total": total, "traceId": uuid::Uuid::new_v4().to_string()})))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(id: &str, updated: &str, city: &str) -> Object {
        json!({"id": id, "dateUpdated": updated, "city": city, "address1": "1 Road", "dateOfBirth": "1990-09-25"})
            .as_object()
            .cloned()
            .unwrap()
    }

    fn asked(body: Value) -> Asked {
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn a_page_ends_where_the_next_begins() {
        let sort = asked(json!({"sort": [{"field": "dateUpdated", "direction": "asc"}]})).sort;
        let one = search_row(contact("b", "2026-01-01T00:00:01.000Z", "Ulm"), &sort);
        assert_eq!(one["searchAfter"], json!([1_767_225_601_000_i64, "b"]));
        assert_eq!((one.get("address1"), &one["address"]), (None, &json!("1 Road")));
        assert_eq!(one["dateOfBirth"], json!(654_220_800_000_i64));
        let after = one["searchAfter"].as_array().unwrap().clone();
        let next = |id: &str| key(&contact(id, "2026-01-01T00:00:01.000Z", "Ulm"), &sort);
        assert!(compare(&next("c"), &after, &sort).is_gt() && compare(&next("a"), &after, &sort).is_lt());
    }

    #[test]
    fn filters_are_anded_and_ranges_take_texts_and_numbers() {
        let both = asked(json!({"pageLimit": 10, "filters": [
            {"field": "dateUpdated", "operator": "range", "value": {"gte": "2026-01-01T00:00:00Z", "lt": 1_767_225_700_000_i64}},
            {"group": "OR", "filters": [{"field": "city", "operator": "eq", "value": "Ulm"}, {"field": "city", "operator": "contains", "value": "om"}]},
        ]}));
        assert!(both.check().is_ok());
        assert!(both.fits(&contact("a", "2026-01-01T00:00:01Z", "Rom")));
        assert!(!both.fits(&contact("a", "2025-01-01T00:00:01Z", "Rom")));
        assert!(!both.fits(&contact("a", "2026-01-01T00:00:01Z", "Bonn")));
    }

    #[test]
    fn what_ghl_does_not_take_is_refused() {
        for wrong in [
            json!({}),
            json!({"pageLimit": 501}),
            json!({"pageLimit": 10, "page": 1, "searchAfter": ["x"]}),
            json!({"pageLimit": 500, "page": 21}),
            json!({"pageLimit": 10, "sort": [{"field": "city", "direction": "asc"}]}),
            json!({"pageLimit": 10, "filters": [{"field": "dateAdded", "operator": "eq", "value": 1}]}),
            json!({"pageLimit": 10, "filters": [{"field": "shoe", "operator": "eq", "value": 1}]}),
        ] {
            assert!(asked(wrong.clone()).check().is_err(), "{wrong}");
        }
        assert!(serde_json::from_value::<Asked>(json!({"limit": 10})).is_err());
    }
}
