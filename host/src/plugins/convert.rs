//! Between the contract's types and the domain's.

use super::bindings::types;
use super::error::RunFailure;
use super::limits::Limits;
use crate::domain::{Cause, Fields, ObjectKind, Value};

pub(super) fn value_to_wit(value: &Value) -> types::Value {
    match value {
        Value::Null => types::Value::Null,
        Value::Boolean(it) => types::Value::Boolean(*it),
        Value::Integer(it) => types::Value::Integer(*it),
        Value::Decimal(it) => types::Value::Decimal(*it),
        Value::Text(it) => types::Value::Text(it.clone()),
        Value::List(it) => types::Value::Texts(it.clone()),
        Value::Json(it) => types::Value::Json(it.to_string()),
    }
}

pub(super) fn fields_to_wit(fields: &Fields) -> Vec<types::Field> {
    fields.iter().map(|(name, value)| field_to_wit(name, value)).collect()
}

pub(super) fn field_to_wit(name: &str, value: &Value) -> types::Field {
    types::Field { name: name.to_owned(), value: value_to_wit(value) }
}

fn value_from_wit(name: &str, value: types::Value) -> Result<Value, RunFailure> {
    let bad = |detail: String| Err(RunFailure::BadOutput { detail });
    Ok(match value {
        types::Value::Null => Value::Null,
        types::Value::Boolean(it) => Value::Boolean(it),
        types::Value::Integer(it) => Value::Integer(it),
        types::Value::Decimal(it) if it.is_finite() => Value::Decimal(it),
        types::Value::Decimal(_) => return bad(format!("field {name} is not a finite number")),
        types::Value::Text(it) => Value::Text(it),
        types::Value::Texts(it) => Value::List(it),
        types::Value::Json(it) => match serde_json::from_str::<serde_json::Value>(&it) {
            Ok(json) => Value::from(json),
            Err(_) => return bad(format!("field {name} is no valid JSON")),
        },
    })
}

/// About the bytes a value takes in the guest; texts and lists by their lengths.
pub(super) fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Text(it) => it.len(),
        Value::List(it) => it.iter().map(|text| text.len() + 8).sum(),
        Value::Json(it) => it.to_string().len(),
        Value::Null | Value::Boolean(_) | Value::Integer(_) | Value::Decimal(_) => 8,
    }
}

fn size(value: &types::Value) -> usize {
    match value {
        types::Value::Text(it) | types::Value::Json(it) => it.len(),
        types::Value::Texts(it) => it.iter().map(|text| text.len() + 8).sum(),
        types::Value::Null
        | types::Value::Boolean(_)
        | types::Value::Integer(_)
        | types::Value::Decimal(_) => 8,
    }
}

/// A mapping's fields, checked against the limits.
pub(super) fn fields_from_wit(fields: Vec<types::Field>, limits: &Limits) -> Result<Fields, RunFailure> {
    if fields.len() > limits.output_fields {
        let detail = format!("{} fields, {} are allowed", fields.len(), limits.output_fields);
        return Err(RunFailure::OutputTooLarge { detail });
    }
    let total: usize = fields.iter().map(|field| field.name.len() + size(&field.value)).sum();
    if total > limits.output_bytes {
        let detail = format!("{total} bytes, {} are allowed", limits.output_bytes);
        return Err(RunFailure::OutputTooLarge { detail });
    }
    let mut converted = Fields::new();
    for field in fields {
        if field.name.is_empty() || field.name.len() > 128 {
            return Err(RunFailure::BadOutput {
                detail: "a field's name must have 1 to 128 bytes".to_owned(),
            });
        }
        let value = value_from_wit(&field.name, field.value)?;
        if converted.insert(field.name.clone(), value).is_some() {
            return Err(RunFailure::BadOutput { detail: format!("field {} is named twice", field.name) });
        }
    }
    Ok(converted)
}

pub(super) fn cause_to_wit(cause: Cause) -> types::Cause {
    match cause {
        Cause::Live => types::Cause::Live,
        Cause::Rankr => types::Cause::Rankr,
        Cause::Timing => types::Cause::Timing,
        Cause::Schedule => types::Cause::Schedule,
        Cause::Backfill => types::Cause::Backfill,
        Cause::Reconcile => types::Cause::Reconcile,
        Cause::Test => types::Cause::Test,
    }
}

pub(super) fn kind_to_wit(kind: ObjectKind) -> types::ObjectKind {
    match kind {
        ObjectKind::Contact => types::ObjectKind::Contact,
        ObjectKind::Task => types::ObjectKind::Task,
        ObjectKind::Note => types::ObjectKind::Note,
        ObjectKind::Appointment => types::ObjectKind::Appointment,
        ObjectKind::Opportunity => types::ObjectKind::Opportunity,
        ObjectKind::Message => types::ObjectKind::Message,
        ObjectKind::Other => types::ObjectKind::Other,
    }
}

pub(super) fn kind_from_wit(kind: types::ObjectKind) -> ObjectKind {
    match kind {
        types::ObjectKind::Contact => ObjectKind::Contact,
        types::ObjectKind::Task => ObjectKind::Task,
        types::ObjectKind::Note => ObjectKind::Note,
        types::ObjectKind::Appointment => ObjectKind::Appointment,
        types::ObjectKind::Opportunity => ObjectKind::Opportunity,
        types::ObjectKind::Message => ObjectKind::Message,
        types::ObjectKind::Other => ObjectKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::plugins::state::Moment;

    #[test]
    fn fields_come_back_as_they_went() {
        let fields = Fields::from([
            ("a".into(), Value::Null),
            ("b".into(), Value::Integer(i64::MIN)),
            ("c".into(), Value::Decimal(0.5)),
            ("d".into(), Value::Text("ü".into())),
            ("e".into(), Value::List(vec!["x".into()])),
            ("f".into(), Value::Json(serde_json::json!({"k": [1, 2]}))),
            ("g".into(), Value::Boolean(true)),
        ]);
        assert_eq!(fields_from_wit(fields_to_wit(&fields), &Limits::default()), Ok(fields));
    }

    fn any_text(chance: &mut Moment) -> String {
        let letters = ['a', 'ß', '\u{0}', '"', '\\', '\n', '😀', '\u{202e}'];
        let index = |number: u64| usize::try_from(number % 8).unwrap();
        (0..index(chance.random())).map(|_| letters[index(chance.random())]).collect()
    }

    fn any_value(chance: &mut Moment) -> Value {
        match chance.random() % 7 {
            0 => Value::Null,
            1 => Value::Boolean(chance.random().is_multiple_of(2)),
            2 => Value::Integer(chance.random().cast_signed()),
            3 => {
                let number = f64::from_bits(chance.random());
                Value::Decimal(if number.is_finite() { number } else { -0.0 })
            }
            4 => Value::Text(any_text(chance)),
            5 => Value::List((0..chance.random() % 4).map(|_| any_text(chance)).collect()),
            _ => Value::Json(serde_json::json!({"k": [any_text(chance), chance.random()]})),
        }
    }

    #[test]
    fn whatever_fields_there_are_come_back_as_they_went() {
        for seed in 0..2000 {
            let mut chance = Moment::new(Timestamp::from_millis(0), seed);
            let fields: Fields = (0..chance.random() % 12)
                .map(|number| (format!("{number} {}", any_text(&mut chance)), any_value(&mut chance)))
                .collect();
            let back = fields_from_wit(fields_to_wit(&fields), &Limits::default());
            assert_eq!(back, Ok(fields), "seed {seed}");
        }
    }

    #[test]
    fn what_no_record_can_hold_is_refused() {
        let one = |value| vec![types::Field { name: "x".into(), value }];
        let refuse = |fields| fields_from_wit(fields, &Limits::default()).unwrap_err().outcome();
        assert_eq!(refuse(one(types::Value::Decimal(f64::NAN))), "bad-output");
        assert_eq!(refuse(one(types::Value::Json("{".into()))), "bad-output");
        assert_eq!(refuse(one(types::Value::Text("x".repeat(2 * 1024 * 1024)))), "output-too-large");
        assert_eq!(refuse([one(types::Value::Null), one(types::Value::Null)].concat()), "bad-output");
        let many =
            (0..1001).map(|n| types::Field { name: n.to_string(), value: types::Value::Null }).collect();
        assert_eq!(refuse(many), "output-too-large");
    }
}
