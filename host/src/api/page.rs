//! Pages of listings: how many rows at most, and where the next page begins.

use super::problem::Problem;
use serde::Serialize;

/// Rows of a page when none is asked for.
const DEFAULT: i64 = 100;
/// Rows of a page at the most; larger ones cost memory and gain nothing.
const MOST: i64 = 1000;

/// A page of a listing.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Page<T> {
    /// The rows.
    pub(super) items: Vec<T>,
    /// Give this as `after` for the next page; null on the last.
    pub(super) next: Option<String>,
}

impl<T> Page<T> {
    /// A page of up to `limit` rows; full pages have a next one, after the key of their last row.
    pub(super) fn new(items: Vec<T>, limit: i64, key: fn(&T) -> String) -> Self {
        let full = i64::try_from(items.len()).is_ok_and(|count| count >= limit);
        let next = if full { items.last().map(key) } else { None };
        Self { items, next }
    }
}

/// The asked number of rows, within its bounds.
pub(super) fn limit(asked: Option<i64>) -> Result<i64, Problem> {
    match asked {
        None => Ok(DEFAULT),
        Some(limit @ 1..=MOST) => Ok(limit),
        Some(other) => Err(Problem::bad_parameter(format!("limit is {other}: give 1 to {MOST}"))),
    }
}

/// The number after which the page begins; 0 when none is given.
pub(super) fn after(asked: Option<&str>) -> Result<i64, Problem> {
    let Some(text) = asked else { return Ok(0) };
    text.parse().map_err(|_no_number| {
        Problem::bad_parameter(format!(
            "after is {text:?}: give the `next` of the page before, a whole number"
        ))
    })
}

/// Whether a name is the wanted one; a `*` at its end stands for anything.
pub(super) fn is_like(name: &str, wanted: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == wanted,
    }
}

/// A number in a path.
pub(super) fn number(name: &str, text: &str) -> Result<i64, Problem> {
    text.parse()
        .map_err(|_no_number| Problem::bad_parameter(format!("{name} is {text:?}: give a whole number")))
}
