//! A rule that was checked: when its slots are, and for whom.

use super::condition::Check;
use super::{Missed, TimingKind, TimingSpec, cron};
use crate::domain::ids::ConnectionId;
use crate::domain::time::Timestamp;
use croner::Cron;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, ToSpan as _, ZonedDateTime};
use serde_json::{Map, Value};

/// The longest span a rule may name: five years.
const LONGEST: SignedDuration = SignedDuration::from_hours(5 * 366 * 24);
/// Conditions of one rule.
const MOST_CONDITIONS: usize = 20;

/// When a rule comes due.
#[derive(Clone, Debug)]
pub enum When {
    /// At the matches of a calendar pattern.
    Pattern(Box<Cron>),
    /// So long after each object's moment; negative: before.
    Offset(SignedDuration),
    /// At an hour of the day, so many days after each object's moment; negative: before.
    Daily {
        /// Calendar days.
        days: i32,
        /// The hour.
        at: Time,
    },
}

/// A rule that was checked.
#[derive(Clone, Debug)]
pub struct TimingPlan {
    /// What it looks at.
    pub kind: TimingKind,
    /// When it comes due.
    pub when: When,
    /// The type of its events.
    pub event_type: String,
    /// What becomes of missed slots.
    pub missed: Missed,
    /// Only contacts of this connection.
    pub connection: Option<ConnectionId>,
    zone: TimeZone,
    conditions: Vec<(String, Check)>,
}

impl TimingSpec {
    /// Checks the rule.
    ///
    /// # Errors
    /// Everything that is wrong with it, by name.
    pub fn plan(&self) -> Result<TimingPlan, Vec<String>> {
        let mut faults = Vec::new();
        let mut keep = |fault: String| faults.push(fault);
        if self.name.trim().is_empty() || self.name.len() > 200 {
            keep("name: give 1 to 200 bytes".to_owned());
        }
        let zone = TimeZone::get(&self.time_zone).unwrap_or_else(|_unknown| {
            keep(format!("time_zone is {:?}: give an IANA name, such as Europe/Berlin", self.time_zone));
            TimeZone::UTC
        });
        let event_type = self.event_type.clone().unwrap_or_else(|| format!("timing.{}", self.kind.as_str()));
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
        if !event_type.starts_with("timing.")
            || event_type.len() <= "timing.".len()
            || event_type.len() > 128
            || !event_type.bytes().all(plain)
        {
            keep(format!(
                "event_type is {event_type:?}: give `timing.` and lower-case letters, digits, dots, hyphens"
            ));
        }
        if self.contacts.len() > MOST_CONDITIONS {
            keep(format!("contacts has {} conditions: give at most {MOST_CONDITIONS}", self.contacts.len()));
        }
        let mut conditions = Vec::with_capacity(self.contacts.len());
        for condition in &self.contacts {
            match condition.check() {
                Ok(check) => conditions.push(check),
                Err(fault) => keep(format!("contacts: {fault}")),
            }
        }
        let when = match self.when() {
            Ok(when) => when,
            Err(fault) => {
                keep(fault);
                When::Offset(SignedDuration::ZERO)
            }
        };
        if faults.is_empty() {
            Ok(TimingPlan {
                kind: self.kind,
                when,
                event_type,
                missed: self.missed,
                connection: self.connection.as_deref().map(ConnectionId::new),
                zone,
                conditions,
            })
        } else {
            Err(faults)
        }
    }

    fn when(&self) -> Result<When, String> {
        let kind = self.kind.as_str();
        let refuse = |given: &Option<String>, name: &str, instead: &str| match given {
            Some(_) => Err(format!("{name} is not for {kind}: {instead}")),
            None => Ok(()),
        };
        if self.kind == TimingKind::Cron {
            refuse(&self.before, "before", "its pattern says when")?;
            refuse(&self.after, "after", "its pattern says when")?;
            refuse(&self.at, "at", "its pattern says when")?;
            let pattern = self.cron.as_deref().ok_or("cron needs a pattern, such as `0 9 * * MON-FRI`")?;
            let cron = cron::parse(pattern).map_err(|why| {
                format!("cron is {pattern:?}: {why}; give minute, hour, day of month, month, day of week")
            })?;
            return Ok(When::Pattern(Box::new(cron)));
        }
        refuse(&self.cron, "cron", "give `before`, `after` or `at`")?;
        let (name, given, sign) = match self.kind {
            TimingKind::ContactIdle | TimingKind::TaskOverdue => {
                refuse(&self.before, "before", "give `after`")?;
                ("after", self.after.as_deref(), 1)
            }
            TimingKind::TaskDue | TimingKind::AppointmentUpcoming | TimingKind::Cron => {
                refuse(&self.after, "after", "give `before`")?;
                ("before", self.before.as_deref(), -1)
            }
        };
        let given = match (given, self.kind) {
            (Some(given), _) => given,
            (None, TimingKind::ContactIdle) => return Err(format!("{kind} needs `after`, such as \"30d\"")),
            (None, TimingKind::AppointmentUpcoming) => "1d",
            (None, TimingKind::TaskOverdue) if self.at.is_some() => "1d",
            (None, _) => "0s",
        };
        let span = span(given).map_err(|why| format!("{name} is {why}"))?;
        if self.kind == TimingKind::ContactIdle && span.is_zero() {
            return Err("after is \"0s\": give the time a contact is idle".to_owned());
        }
        let Some(at) = self.at.as_deref() else { return Ok(When::Offset(span * sign)) };
        let hour = at
            .parse::<Time>()
            .map_err(|_no_time| format!("at is {at:?}: give an hour of the day, such as 09:00"))?;
        let days = span.as_hours() / 24;
        if SignedDuration::from_hours(days * 24) != span {
            return Err(format!("{name} is {given:?}: with `at`, give whole days"));
        }
        if sign > 0 && days == 0 {
            return Err(format!("{name} is {given:?}: with `at`, give at least 1d"));
        }
        let days = i32::try_from(days).map_err(|_beyond| format!("{name} is too long"))?;
        Ok(When::Daily { days: days * sign, at: hour })
    }
}

/// A span as people write it: `30d`, `1d 2h`, `90m`; a day has 24 hours.
pub(super) fn span(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("{text:?}: give a span, such as 30d, 36h or 1d 2h");
    let span: Span = text.parse().map_err(|_no_span| wrong())?;
    if span.is_negative() || span.get_years() != 0 || span.get_months() != 0 {
        return Err(format!("{text:?}: give weeks, days, hours, minutes or seconds"));
    }
    let days = i64::from(span.get_weeks()) * 7 + i64::from(span.get_days());
    let seconds = days
        .checked_mul(86_400)
        .and_then(|all| all.checked_add(i64::from(span.get_hours()) * 3600))
        .and_then(|all| all.checked_add(span.get_minutes().checked_mul(60)?))
        .and_then(|all| all.checked_add(span.get_seconds()))
        .ok_or_else(wrong)?;
    let span = SignedDuration::from_secs(seconds);
    if span > LONGEST {
        return Err(format!("{text:?}: give at most five years"));
    }
    Ok(span)
}

impl TimingPlan {
    /// Whether the rule's slots are its own, the same for all contacts.
    #[must_use]
    pub fn is_calendar(&self) -> bool {
        !matches!(self.when, When::Offset(_))
    }

    /// The rule's own first slot after that moment; none for rules whose slots are their objects'.
    #[must_use]
    pub fn next_slot(&self, after: Timestamp) -> Option<Timestamp> {
        let after = self.zoned(after)?;
        let found = match &self.when {
            When::Offset(_) => None,
            When::Pattern(cron) => cron::next(cron, &after),
            When::Daily { at, .. } => {
                let days = [0, 1, 2];
                days.into_iter().filter_map(|day| self.at_day(&after, day, *at)).find(|slot| *slot > after)
            }
        };
        found.map(|slot| stamp(&slot))
    }

    /// The rule's own last slot up to and with that moment.
    #[must_use]
    pub fn last_slot(&self, upto: Timestamp) -> Option<Timestamp> {
        let upto = self.zoned(upto)?;
        let found = match &self.when {
            When::Offset(_) => None,
            When::Pattern(cron) => cron::previous(cron, &upto),
            When::Daily { at, .. } => {
                let days = [0, -1, -2];
                days.into_iter().filter_map(|day| self.at_day(&upto, day, *at)).find(|slot| *slot <= upto)
            }
        };
        found.map(|slot| stamp(&slot))
    }

    fn at_day(&self, near: &ZonedDateTime, days: i32, at: Time) -> Option<ZonedDateTime> {
        let date = near.date().checked_add(days.days()).ok()?;
        date.to_datetime(at).to_zoned_datetime(self.zone.clone()).ok()
    }

    /// The slot of an object whose moment that is; none where slots don't depend on objects.
    #[must_use]
    pub fn slot_of(&self, moment: Timestamp) -> Option<Timestamp> {
        match &self.when {
            When::Pattern(_) => None,
            When::Offset(offset) => Some(shift(moment, *offset)),
            When::Daily { days, at } => {
                let slot = self.at_day(&self.zoned(moment)?, *days, *at)?;
                Some(stamp(&slot))
            }
        }
    }

    /// Between which moments (with the first, without the second) objects have that slot of a daily rule.
    #[must_use]
    pub fn moments_of(&self, slot: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let When::Daily { days, .. } = &self.when else { return None };
        let date = self.zoned(slot)?.date().checked_sub(days.days()).ok()?;
        let begin = date.to_zoned_datetime(self.zone.clone()).ok()?;
        let end = date.tomorrow().ok()?.to_zoned_datetime(self.zone.clone()).ok()?;
        Some((stamp(&begin), stamp(&end)))
    }

    /// How long after an object's moment its slot is; nothing for rules with slots of their own.
    #[must_use]
    pub fn offset_millis(&self) -> i64 {
        match &self.when {
            When::Offset(offset) => i64::try_from(offset.as_millis()).unwrap_or(0),
            When::Pattern(_) | When::Daily { .. } => 0,
        }
    }

    /// Whether a contact with these record fields is selected.
    #[must_use]
    pub fn selects(&self, fields: &Map<String, Value>, at: Timestamp) -> bool {
        self.conditions.iter().all(|(field, check)| check.holds(field, fields, at))
    }

    fn zoned(&self, at: Timestamp) -> Option<ZonedDateTime> {
        // Whole seconds: patterns know no smaller ones.
        let at = jiff::Timestamp::from_second(at.millis().div_euclid(1000)).ok()?;
        Some(at.to_zoned_datetime(self.zone.clone()))
    }
}

fn stamp(at: &ZonedDateTime) -> Timestamp {
    Timestamp::from_millis(at.timestamp().as_millisecond())
}

fn shift(at: Timestamp, by: SignedDuration) -> Timestamp {
    let millis = i64::try_from(by.as_millis()).unwrap_or(0);
    Timestamp::from_millis(at.millis().saturating_add(millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(json: Value) -> TimingSpec {
        serde_json::from_value(json).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn an_object_has_its_slot_a_span_from_its_moment() {
        let idle = spec(json!({"name": "n", "kind": "contact-idle", "after": "30d"})).plan().unwrap();
        assert_eq!(idle.slot_of(at("2026-01-01T10:00:00Z")), Some(at("2026-01-31T10:00:00Z")));
        assert_eq!(
            (idle.next_slot(at("2026-01-01T10:00:00Z")), idle.event_type.as_str()),
            (None, "timing.contact-idle")
        );
        let soon =
            spec(json!({"name": "n", "kind": "appointment-upcoming", "before": "1d 2h"})).plan().unwrap();
        assert_eq!(soon.slot_of(at("2026-01-03T10:00:00Z")), Some(at("2026-01-02T08:00:00Z")));
    }

    #[test]
    fn with_an_hour_of_the_day_calendar_days_count_over_daylight_saving() {
        let rule = json!({"name": "n", "kind": "task-overdue", "after": "1d", "at": "09:00", "time_zone": "Europe/Berlin"});
        let plan = spec(rule).plan().unwrap();
        // Due in the evening before the clocks go forward; a day later nine o'clock is an hour earlier in UTC.
        let slot = plan.slot_of(at("2026-03-28T20:00:00Z")).unwrap();
        assert_eq!(slot, at("2026-03-29T07:00:00Z"));
        assert_eq!(plan.next_slot(at("2026-03-28T08:00:00Z")), Some(slot));
        assert_eq!(plan.last_slot(slot), Some(slot));
        let (from, to) = plan.moments_of(slot).unwrap();
        assert_eq!((from, to), (at("2026-03-27T23:00:00Z"), at("2026-03-28T23:00:00Z")));
        assert_eq!(plan.slot_of(from), Some(slot));
        assert_ne!(plan.slot_of(to), Some(slot));
    }

    #[test]
    fn every_moment_of_two_years_lies_in_the_range_of_its_daily_slot() {
        for zone in ["Europe/Berlin", "America/New_York", "Pacific/Apia", "Asia/Kathmandu"] {
            let rule =
                json!({"name": "n", "kind": "task-due", "before": "2d", "at": "02:30", "time_zone": zone});
            let plan = spec(rule).plan().unwrap();
            let mut moment = at("2026-01-01T00:17:00Z");
            while moment < at("2028-01-01T00:00:00Z") {
                let slot = plan.slot_of(moment).unwrap();
                let (from, to) = plan.moments_of(slot).unwrap();
                assert!(from <= moment && moment < to, "{zone}: {moment} has {slot}, of {from} to {to}");
                assert_eq!(plan.last_slot(slot), Some(slot));
                moment = Timestamp::from_millis(moment.millis() + 7 * 3_600_000);
            }
        }
    }

    #[test]
    fn a_calendar_pattern_is_read_in_its_zone() {
        let rule =
            json!({"name": "n", "kind": "cron", "cron": "0 9 * * MON-FRI", "time_zone": "Europe/Berlin"});
        let plan = spec(rule).plan().unwrap();
        // Friday evening to Monday morning.
        assert_eq!(plan.next_slot(at("2026-01-02T20:00:00.500Z")), Some(at("2026-01-05T08:00:00Z")));
        assert_eq!(plan.last_slot(at("2026-01-04T20:00:00Z")), Some(at("2026-01-02T08:00:00Z")));
        assert_eq!(plan.slot_of(at("2026-01-04T20:00:00Z")), None);
    }

    #[test]
    fn a_wrong_rule_is_refused_by_name_all_at_once() {
        let faults = |rule: Value| spec(rule).plan().unwrap_err().join("; ");
        let all =
            faults(json!({"name": "", "kind": "contact-idle", "time_zone": "Mars", "event_type": "Idle"}));
        for part in ["name", "time_zone", "event_type", "`after`"] {
            assert!(all.contains(part), "{all}");
        }
        for (rule, why) in [
            (json!({"name": "n", "kind": "cron"}), "needs a pattern"),
            (json!({"name": "n", "kind": "cron", "cron": "99 * * * *"}), "99 * * * *"),
            (
                json!({"name": "n", "kind": "cron", "cron": "* * * * *", "after": "1d"}),
                "after is not for cron",
            ),
            (json!({"name": "n", "kind": "task-due", "after": "1d"}), "give `before`"),
            (json!({"name": "n", "kind": "task-overdue", "before": "1d"}), "give `after`"),
            (json!({"name": "n", "kind": "contact-idle", "after": "1 month"}), "weeks, days"),
            (json!({"name": "n", "kind": "contact-idle", "after": "20y"}), "weeks, days"),
            (json!({"name": "n", "kind": "contact-idle", "after": "400w"}), "five years"),
            (json!({"name": "n", "kind": "contact-idle", "after": "0s"}), "idle"),
            (json!({"name": "n", "kind": "task-due", "before": "2h", "at": "09:00"}), "whole days"),
            (json!({"name": "n", "kind": "task-overdue", "after": "0d", "at": "09:00"}), "at least 1d"),
            (json!({"name": "n", "kind": "task-due", "at": "nine"}), "hour of the day"),
        ] {
            let fault = faults(rule);
            assert!(fault.contains(why), "{fault} lacks {why}");
        }
    }
}
