//! What GHL said, fit to be shown and kept: tokens, codes and secrets are replaced, and it is cut short.

use serde_json::Value;

/// Characters that are kept.
const MOST: usize = 400;
/// In place of a secret.
const STARS: &str = "***";
/// Runs of letters and digits this long are taken for secrets, whatever they are called; ids are shorter.
const SECRET_LENGTH: usize = 37;

/// The body without secrets; `secrets` are those that were sent and might be sent back.
pub(super) fn redacted(body: &[u8], secrets: &[&str]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(mut json) => {
            hide(&mut json);
            json.to_string()
        }
        Err(_no_json) => String::from_utf8_lossy(body).into_owned(),
    };
    let text = secrets
        .iter()
        .filter(|secret| !secret.is_empty())
        .fold(text, |text, secret| text.replace(secret, STARS));
    without_long_words(&text).chars().take(MOST).collect()
}

fn hide(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.to_lowercase();
                let secret = name.contains("token")
                    || name.contains("secret")
                    || name == "code"
                    || name == "authorizationcode";
                if secret && value.is_string() {
                    *value = Value::from(STARS);
                } else {
                    hide(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn without_long_words(text: &str) -> String {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut kept = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if part(c) {
            word.push(c);
            continue;
        }
        kept.push_str(if word.len() >= SECRET_LENGTH { STARS } else { &word });
        word.clear();
        kept.push(c);
    }
    kept.pop();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_and_the_rest_stays() {
        let body = r#"{"message":"no, not s3cr3t","access_token":"abc","meta":[{"refreshToken":"def"}],"statusCode":401}"#;
        let shown = redacted(body.as_bytes(), &["s3cr3t"]);
        assert!(!shown.contains("abc") && !shown.contains("def") && !shown.contains("s3cr3t"), "{shown}");
        assert!(shown.contains("no, not ***") && shown.contains("401"), "{shown}");
        let page = format!("<html>{}</html>", "x".repeat(60));
        assert_eq!(redacted(page.as_bytes(), &[]), "<html>***</html>");
        assert!(redacted("a b ".repeat(1000).as_bytes(), &[]).len() <= MOST);
    }
}
