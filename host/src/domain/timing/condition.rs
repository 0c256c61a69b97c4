//! Conditions on the fields of a contact's record.

use crate::domain::time::Timestamp;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How a field is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// It is `value`, or a list with it.
    Equals,
    /// It is not `value`, and no list with it.
    Not,
    /// It is one of the list `value`, or a list with one of them.
    In,
    /// It has a value; none is given.
    Exists,
    /// It has no value; none is given.
    Missing,
    /// It is a time longer ago than `value`, such as `30d`.
    Older,
    /// It is a time less long ago than `value`, or one to come.
    Newer,
}

/// A condition on one field of a contact's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The field, by Rankr's name.
    pub field: String,
    /// How it is tested.
    pub is: Test,
    /// Against what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// A condition that was checked.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Check {
    OneOf(Vec<Value>),
    NoneOf(Vec<Value>),
    Exists,
    Missing,
    Before(SignedDuration),
    Since(SignedDuration),
}

impl Condition {
    /// The check, or what is wrong with the condition.
    pub(super) fn check(&self) -> Result<(String, Check), String> {
        let wrong = |why: &str| format!("the condition on {:?} {why}", self.field);
        if self.field.is_empty() {
            return Err("a condition names no field".to_owned());
        }
        let check = match (self.is, &self.value) {
            (Test::Exists, None) => Check::Exists,
            (Test::Missing, None) => Check::Missing,
            (Test::Exists | Test::Missing, Some(_)) => return Err(wrong("takes no value")),
            (_, None) => return Err(wrong("needs a value")),
            (Test::Equals, Some(value)) if !value.is_array() => Check::OneOf(vec![value.clone()]),
            (Test::Not, Some(value)) if !value.is_array() => Check::NoneOf(vec![value.clone()]),
            (Test::Equals | Test::Not, Some(_)) => {
                return Err(wrong("compares with a list; use `in`"));
            }
            (Test::In, Some(Value::Array(list))) if !list.is_empty() => Check::OneOf(list.clone()),
            (Test::In, Some(_)) => return Err(wrong("needs a list of values, such as [\"vip\", \"gold\"]")),
            (Test::Older | Test::Newer, Some(value)) => {
                let span = value.as_str().ok_or_else(|| wrong("needs a span, such as \"30d\""))?;
                let span = super::plan::span(span).map_err(|why| wrong(&format!("has the value {why}")))?;
                if self.is == Test::Older { Check::Before(span) } else { Check::Since(span) }
            }
        };
        Ok((self.field.clone(), check))
    }
}

impl Check {
    /// Whether it holds for the field of that record at that moment.
    pub(super) fn holds(&self, field: &str, fields: &Map<String, Value>, at: Timestamp) -> bool {
        let value = fields.get(field).filter(|value| !value.is_null());
        match self {
            Self::Exists => value.is_some(),
            Self::Missing => value.is_none(),
            Self::OneOf(wanted) => value.is_some_and(|value| is_one_of(value, wanted)),
            Self::NoneOf(unwanted) => value.is_none_or(|value| !is_one_of(value, unwanted)),
            Self::Before(span) => value.and_then(moment).is_some_and(|moment| moment < ago(at, *span)),
            Self::Since(span) => value.and_then(moment).is_some_and(|moment| moment >= ago(at, *span)),
        }
    }
}

fn is_one_of(value: &Value, wanted: &[Value]) -> bool {
    let same = |value: &Value| wanted.iter().any(|wanted| equal(value, wanted));
    match value {
        Value::Array(items) => items.iter().any(same),
        one => same(one),
    }
}

/// Equal as people see it: 1 and 1.0 are the same number.
fn equal(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.to_bits() == other.to_bits(),
        _ => one == other,
    }
}

fn ago(at: Timestamp, span: SignedDuration) -> Timestamp {
    let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.millis().saturating_sub(millis))
}

/// A field's value as a moment: RFC 3339, a date (its beginning in UTC), or milliseconds since 1970.
fn moment(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(number) => number.as_i64().map(Timestamp::from_millis),
        Value::String(text) => text_as_moment(text),
        _ => None,
    }
}

/// A text as a moment; without a zone it is UTC.
pub(super) fn text_as_moment(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|| {
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        let at = jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?;
        Some(Timestamp::from_millis(at.as_millisecond()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(condition: Value, fields: &Value) -> bool {
        let condition: Condition = serde_json::from_value(condition).unwrap();
        let (field, check) = condition.check().unwrap();
        let now = Timestamp::parse("2026-03-01T00:00:00Z").unwrap();
        check.holds(&field, fields.as_object().unwrap(), now)
    }

    #[test]
    fn each_test_says_what_its_name_says() {
        let record = json!({"city": "Ulm", "tags": ["vip", "run"], "score": 7, "gone": null,
            "seen": "2026-02-20T00:00:00Z", "born": "1990-05-01"});
        assert!(holds(json!({"field": "city", "is": "equals", "value": "Ulm"}), &record));
        assert!(!holds(json!({"field": "city", "is": "equals", "value": "ulm"}), &record));
        assert!(holds(json!({"field": "tags", "is": "equals", "value": "vip"}), &record));
        assert!(!holds(json!({"field": "tags", "is": "not", "value": "vip"}), &record));
        assert!(holds(json!({"field": "unknown", "is": "not", "value": "vip"}), &record));
        assert!(holds(json!({"field": "tags", "is": "in", "value": ["gold", "run"]}), &record));
        assert!(holds(json!({"field": "score", "is": "equals", "value": 7.0}), &record));
        assert!(holds(json!({"field": "score", "is": "exists"}), &record));
        assert!(holds(json!({"field": "gone", "is": "missing"}), &record));
        assert!(holds(json!({"field": "seen", "is": "older", "value": "7d"}), &record));
        assert!(!holds(json!({"field": "seen", "is": "older", "value": "30d"}), &record));
        assert!(holds(json!({"field": "seen", "is": "newer", "value": "30d"}), &record));
        assert!(holds(json!({"field": "born", "is": "older", "value": "1d"}), &record));
        assert!(!holds(json!({"field": "city", "is": "newer", "value": "30d"}), &record));
    }

    #[test]
    fn a_wrong_condition_names_its_field() {
        for (condition, why) in [
            (json!({"field": "a", "is": "equals"}), "needs a value"),
            (json!({"field": "a", "is": "exists", "value": 1}), "takes no value"),
            (json!({"field": "a", "is": "in", "value": "x"}), "needs a list"),
            (json!({"field": "a", "is": "equals", "value": ["x"]}), "use `in`"),
            (json!({"field": "a", "is": "older", "value": "soon"}), "soon"),
            (json!({"field": "", "is": "exists"}), "names no field"),
        ] {
            let condition: Condition = serde_json::from_value(condition).unwrap();
            let fault = condition.check().unwrap_err();
            assert!(fault.contains(why), "{fault}");
        }
    }
}
