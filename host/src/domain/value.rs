//! Field values of records and of GHL objects, and maps of them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The value of one field. Untagged in JSON, so that people and programs read plain values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
// Read as JSON first: untagged reading makes an error of each case that does not fit before it finds the one that does.
#[serde(untagged, from = "serde_json::Value")]
pub enum Value {
    /// The field is known to be empty.
    Null,
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction; never NaN or infinite.
    Decimal(f64),
    /// Text, dates and times among it (RFC 3339).
    Text(String),
    /// Several texts, in order.
    List(Vec<String>),
    /// Anything the other cases leave out.
    Json(serde_json::Value),
}

impl Value {
    /// The text of a text value.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether the field is known to be empty.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        use serde_json::Value as J;
        match json {
            J::Null => Self::Null,
            J::Bool(it) => Self::Boolean(it),
            J::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Self::Integer(whole),
                (None, Some(fraction)) => Self::Decimal(fraction),
                (None, None) => Self::Json(J::Number(number)),
            },
            J::String(text) => Self::Text(text),
            J::Array(items) if items.iter().all(J::is_string) => Self::List(
                items
                    .into_iter()
                    .filter_map(|item| if let J::String(text) = item { Some(text) } else { None })
                    .collect(),
            ),
            other @ (J::Array(_) | J::Object(_)) => Self::Json(other),
        }
    }
}

/// Fields by name, in the order of their names.
pub type Fields = BTreeMap<String, Value>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_back_keeps_the_value() {
        for text in ["null", "true", "7", "1.5", "\"x\"", "[\"a\",\"b\"]", "{\"a\":1}", "[1,2]"] {
            let json: serde_json::Value = serde_json::from_str(text).unwrap();
            let value = Value::from(json.clone());
            assert_eq!(serde_json::to_value(&value).unwrap(), json);
            assert_eq!(serde_json::from_str::<Value>(text).unwrap(), value);
        }
    }
}
