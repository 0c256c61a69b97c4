//! Configuration: its schema, its check with paths, and the compact bytes that runs read.

use crate::plugin::{ConfigError, Plugin};
use schemars::JsonSchema;

/// First byte of prepared bytes: postcard follows.
const COMPACT: u8 = 0;
/// First byte of prepared bytes: JSON follows, for types that postcard can't bring back (untagged enums and such).
const JSON: u8 = 1;

pub(crate) fn schema<C: JsonSchema>() -> String {
    schemars::schema_for!(C).as_value().to_string()
}

pub(crate) fn prepare<T: Plugin>(json: &str) -> Result<Vec<u8>, Vec<ConfigError>> {
    let config = match parse::<T::Config>(json) {
        Ok(config) => config,
        // A plugin without choices is given none: `{}` is what everyone writes for that.
        Err(fault) if json.trim() == "{}" => parse("null").map_err(|_no_unit| vec![fault])?,
        Err(fault) => return Err(vec![fault]),
    };
    let faults = T::check(&config);
    if faults.is_empty() { Ok(pack::<T>(&config)) } else { Err(faults) }
}

fn parse<C: serde::de::DeserializeOwned>(json: &str) -> Result<C, ConfigError> {
    let mut parser = serde_json::Deserializer::from_str(json);
    let config = serde_path_to_error::deserialize(&mut parser)
        .map_err(|error| ConfigError::new(pointer(error.path()), error.inner().to_string()))?;
    parser.end().map_err(|error| ConfigError::new("", error.to_string()))?;
    Ok(config)
}

fn pack<T: Plugin>(config: &T::Config) -> Vec<u8> {
    if let Ok(bytes) = postcard::to_allocvec(config)
        && postcard::from_bytes::<T::Config>(&bytes)
            .is_ok_and(|again| postcard::to_allocvec(&again).as_ref() == Ok(&bytes))
    {
        return [&[COMPACT], &bytes[..]].concat();
    }
    // What was parsed from JSON can be written as JSON; an empty text is refused by the first run, loudly.
    [&[JSON], &serde_json::to_vec(config).unwrap_or_default()[..]].concat()
}

/// Reads what [`prepare`] gave; the host hands over nothing else.
pub(crate) fn read<T: Plugin>(prepared: &[u8]) -> T::Config {
    let read = match prepared.split_first() {
        Some((&COMPACT, bytes)) => postcard::from_bytes(bytes).ok(),
        Some((&JSON, bytes)) => serde_json::from_slice(bytes).ok(),
        _ => None,
    };
    #[expect(clippy::expect_used, reason = "a panic is this run's outcome; there is nothing to go on with")]
    read.expect("the prepared configuration was not made by this version's prepare")
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => "/?".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Config {
        names: Vec<String>,
        #[serde(default)]
        limit: Option<u32>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
    }

    macro_rules! plugin {
        ($name:ident, $config:ty) => {
            struct $name;
            impl Plugin for $name {
                type Config = $config;
                const NAME: &'static str = "x";
                const VERSION: &'static str = "1.0.0";
                const SUMMARY: &'static str = "x";
                const EVENTS: &'static [&'static str] = &["*"];
            }
        };
    }
    plugin!(Plain, Config);
    plugin!(Untagged, Either);
    plugin!(Nothing, ());

    #[test]
    fn a_configuration_comes_back_from_its_bytes() {
        let bytes = prepare::<Plain>(r#"{"names":["a"],"limit":3}"#).unwrap();
        assert_eq!(bytes[0], COMPACT);
        assert_eq!(read::<Plain>(&bytes), Config { names: vec!["a".into()], limit: Some(3) });
        let bytes = prepare::<Untagged>("\"t\"").unwrap();
        assert_eq!(bytes[0], JSON);
        assert_eq!(read::<Untagged>(&bytes), Either::Text("t".into()));
        prepare::<Nothing>("null").unwrap();
        prepare::<Nothing>("{}").unwrap();
        assert_eq!(prepare::<Plain>("{}").unwrap_err().len(), 1);
    }

    #[test]
    fn mistakes_name_their_place() {
        let fault = |json| prepare::<Plain>(json).unwrap_err().remove(0);
        assert_eq!(fault(r#"{"names":["a",2]}"#).path, "/names/1");
        assert!(fault(r#"{"names":[],"lim":1}"#).message.contains("unknown field `lim`"));
        assert!(fault(r#"{"names":[]} x"#).message.contains("trailing"));
    }
}
