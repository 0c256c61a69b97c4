//! Calendar patterns: croner searches, over our own times, so that there is one time zone database.
//!
//! A fixed time that daylight saving leaves out comes at the first moment after the gap, one that comes twice counts
//! once; `*` and steps follow the wall clock, both times.

use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDate, CivilDateTime, CivilTime, Cron, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;
use jiff::{SignedDuration, ZonedDateTime};
use std::cmp::Ordering;

/// Minute, hour, day of month, month, day of week; or what is wrong with it.
pub(super) fn parse(pattern: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(pattern).map_err(|error| error.to_string())
}

/// The first match after that moment.
pub(super) fn next(cron: &Cron, after: &ZonedDateTime) -> Option<ZonedDateTime> {
    cron.find_next_occurrence(&Wall(after.clone()), false).ok().map(|found| found.0)
}

/// The last match up to and with that moment.
pub(super) fn previous(cron: &Cron, upto: &ZonedDateTime) -> Option<ZonedDateTime> {
    cron.find_previous_occurrence(&Wall(upto.clone()), true).ok().map(|found| found.0)
}

/// A moment in its time zone, as croner walks over it.
#[derive(Clone)]
struct Wall(ZonedDateTime);

fn unsigned(number: i8) -> u32 {
    u32::from(number.unsigned_abs())
}

fn signed(number: u32) -> i8 {
    i8::try_from(number).unwrap_or(i8::MAX)
}

impl CronDateTime for Wall {
    fn to_civil(&self) -> CivilDateTime {
        let at = self.0.datetime();
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(i32::from(at.year()), unsigned(at.month()), unsigned(at.day())),
            CivilTime::from_parts_unchecked(
                unsigned(at.hour()),
                unsigned(at.minute()),
                unsigned(at.second()),
            ),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(unsigned(self.0.weekday().to_sunday_zero_offset()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, croner::errors::CronError> {
        let invalid = |_beyond| croner::errors::CronError::InvalidDate;
        let at = DateTime::new(
            i16::try_from(civil.year()).map_err(|_beyond| croner::errors::CronError::InvalidDate)?,
            signed(civil.month()),
            signed(civil.day()),
            signed(civil.hour()),
            signed(civil.minute()),
            signed(civil.second()),
            0,
        )
        .map_err(invalid)?;
        let found = self.0.time_zone().to_ambiguous_zoned_datetime(at);
        Ok(match found.offset() {
            AmbiguousOffset::Unambiguous { .. } => {
                Resolution::Single(Self(found.unambiguous().map_err(invalid)?))
            }
            AmbiguousOffset::Fold { .. } => Resolution::Ambiguous(
                Self(found.clone().earlier().map_err(invalid)?),
                Self(found.later().map_err(invalid)?),
            ),
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pattern: &str, start: &str, count: usize) -> Vec<String> {
        let cron = parse(pattern).unwrap();
        let mut at: ZonedDateTime = start.parse().unwrap();
        let mut found = Vec::new();
        for _ in 0..count {
            at = next(&cron, &at).unwrap();
            assert_eq!(previous(&cron, &at).unwrap(), at);
            found.push(at.strftime("%Y-%m-%d %H:%M %:z").to_string());
        }
        found
    }

    #[test]
    fn a_fixed_time_in_the_spring_gap_comes_once_right_after_it() {
        let found = from("30 2 * * *", "2026-03-28T12:00:00+01:00[Europe/Berlin]", 2);
        assert_eq!(found, ["2026-03-29 03:00 +02:00", "2026-03-30 02:30 +02:00"]);
    }

    #[test]
    fn a_fixed_time_in_the_repeated_hour_comes_once() {
        let found = from("30 2 * * *", "2026-10-24T12:00:00+02:00[Europe/Berlin]", 2);
        assert_eq!(found, ["2026-10-25 02:30 +02:00", "2026-10-26 02:30 +01:00"]);
    }

    #[test]
    fn an_hourly_pattern_follows_the_clock_through_both_changes() {
        let spring = from("0 * * * *", "2026-03-29T00:30:00+01:00[Europe/Berlin]", 3);
        assert_eq!(spring, ["2026-03-29 01:00 +01:00", "2026-03-29 03:00 +02:00", "2026-03-29 04:00 +02:00"]);
        let autumn = from("0 * * * *", "2026-10-25T01:30:00+02:00[Europe/Berlin]", 3);
        assert_eq!(autumn, ["2026-10-25 02:00 +02:00", "2026-10-25 02:00 +01:00", "2026-10-25 03:00 +01:00"]);
    }

    #[test]
    fn a_year_ends_and_a_leap_day_comes_every_four_years() {
        let found = from("0 0 * * *", "2026-12-30T23:59:59+00:00[UTC]", 3);
        assert_eq!(found, ["2026-12-31 00:00 +00:00", "2027-01-01 00:00 +00:00", "2027-01-02 00:00 +00:00"]);
        let leap = from("0 9 29 2 *", "2026-01-01T00:00:00+00:00[UTC]", 2);
        assert_eq!(leap, ["2028-02-29 09:00 +00:00", "2032-02-29 09:00 +00:00"]);
    }

    #[test]
    fn seconds_and_nonsense_are_refused() {
        for wrong in ["0 0 9 * * *", "61 * * * *", "every day", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
