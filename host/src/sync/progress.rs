//! How far the polling of a connection goes: watermarks and cursors, kept with the events they stand for.

use crate::domain::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// All of it; what a version of the host does not know yet begins anew.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Progress {
    /// When polling began; what was so before is no news.
    pub(super) since: Timestamp,
    /// Contacts by when they changed.
    pub(super) changed: Changed,
    /// All contacts, to see which are gone.
    pub(super) contacts: Round,
    /// All tasks of the location.
    pub(super) tasks: Round,
    /// All appointments in the window.
    pub(super) appointments: Round,
    /// Passes in a row that found nothing.
    pub(super) quiet: u32,
}

/// The listing of contacts by when they changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Changed {
    /// The greatest change a complete listing showed.
    pub(super) watermark: Option<Timestamp>,
    /// The greatest change so far.
    pub(super) newest: Option<Timestamp>,
    /// Where the listing under way began, by its filter.
    pub(super) from: Option<Timestamp>,
    /// When it began.
    pub(super) began_at: Option<Timestamp>,
    /// Where its next page begins.
    pub(super) after: Option<Json>,
    /// When the last complete one began.
    pub(super) complete_at: Option<Timestamp>,
}

impl Changed {
    /// Begins a listing, unless one is under way; gives where it begins.
    pub(super) fn begin(&mut self, now: Timestamp, overlap: std::time::Duration) -> Option<Timestamp> {
        if self.began_at.is_none() {
            self.began_at = Some(now);
            self.from = self.watermark.map(|watermark| watermark.minus(overlap));
            self.after = None;
        }
        self.from
    }

    /// Takes a page; whether it was the last.
    pub(super) fn take(&mut self, newest: Option<Timestamp>, next: Option<Json>) -> bool {
        self.newest = self.newest.max(newest);
        self.after = next;
        let last = self.after.is_none();
        if last {
            self.watermark = self.newest;
            self.complete_at = self.began_at.take();
        }
        last
    }
}

/// Listings of everything of a kind, one after the other: what one does not show is looked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Round {
    /// Complete listings so far.
    pub(super) complete: i64,
    /// When the listing under way began.
    pub(super) began_at: Option<Timestamp>,
    /// Where its next page begins.
    pub(super) after: Option<Json>,
    /// When the last complete listing began.
    pub(super) complete_at: Option<Timestamp>,
    /// What was gone before this moment has been found gone.
    pub(super) covers: Option<Timestamp>,
}

impl Round {
    /// The number of the listing under way, or of the next.
    pub(super) fn number(&self) -> i64 {
        self.complete + 1
    }

    /// Begins a listing, unless one is under way.
    pub(super) fn begin(&mut self, now: Timestamp) {
        if self.began_at.is_none() {
            self.began_at = Some(now);
            self.after = None;
        }
    }

    /// Takes a page; whether it was the last.
    pub(super) fn take(&mut self, next: Option<Json>) -> bool {
        self.after = next;
        let last = self.after.is_none();
        if last {
            self.complete += 1;
            self.complete_at = self.began_at.take();
        }
        last
    }

    /// Everything the last complete listing did not show has been looked for.
    pub(super) fn confirmed(&mut self) {
        self.covers = self.complete_at;
    }

    /// Whether there is something to look for.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.complete_at > self.covers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn a_listing_that_was_interrupted_goes_on_where_it_was() {
        let at = |seconds: i64| Some(Timestamp::from_millis(seconds * 1000));
        let mut changed = Changed { watermark: at(1000), newest: at(1000), ..Changed::default() };
        let overlap = Duration::from_secs(100);
        assert_eq!(changed.begin(Timestamp::from_millis(5_000_000), overlap), at(900));
        assert!(!changed.take(at(2000), Some(json!(["x"]))));
        let text = serde_json::to_string(&changed).unwrap();
        let mut changed: Changed = serde_json::from_str(&text).unwrap();
        assert_eq!(changed.begin(Timestamp::from_millis(9_000_000), overlap), at(900));
        assert_eq!(changed.after, Some(json!(["x"])));
        assert!(changed.take(at(1500), None));
        assert_eq!((changed.watermark, changed.complete_at), (at(2000), at(5000)));
    }

    #[test]
    fn what_a_complete_listing_did_not_show_is_looked_for_once() {
        let mut round = Round::default();
        round.begin(Timestamp::from_millis(10));
        assert_eq!(round.number(), 1);
        assert!(round.take(None) && round.is_unconfirmed());
        round.confirmed();
        assert!(!round.is_unconfirmed());
        assert_eq!((round.complete, round.number(), round.covers), (1, 2, Some(Timestamp::from_millis(10))));
    }
}
