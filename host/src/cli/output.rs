//! The only place that writes to standard output and standard error directly.

use comfy_table::{Table, presets};
use serde_json::Value;

/// Columns of a table: heading, and where its value is in a row (`a` or `a/b`).
pub(super) type Columns = &'static [(&'static str, &'static str)];

/// Writes a line of data to standard output.
#[expect(clippy::print_stdout, reason = "standard output is where a command's data goes")]
pub(super) fn say(line: &str) {
    println!("{line}");
}

/// Writes a line for the person at the terminal to standard error.
#[expect(clippy::print_stderr, reason = "standard error is where a command speaks to its person")]
pub(super) fn complain(line: &str) {
    eprintln!("{line}");
}

/// Prints a page of a listing (`{"items": […], "next": …}`): a table for people, or its JSON for programs.
pub(super) fn table(page: &Value, columns: Columns, json: bool) {
    if json {
        say(&page.to_string());
        return;
    }
    let none = Vec::new();
    let rows = page.get("items").and_then(Value::as_array).unwrap_or(&none);
    if rows.is_empty() {
        complain("There are none.");
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns.iter().map(|(heading, _)| *heading));
    for row in rows {
        table.add_row(columns.iter().map(|(_, path)| cell(row.pointer(&format!("/{path}")))));
    }
    say(&table.trim_fmt());
    if let Some(next) = page.get("next").and_then(Value::as_str) {
        complain(&format!("There are more; the next page begins after {next}."));
    }
}

/// Prints one thing: a line for each key for people, or its JSON for programs.
pub(super) fn thing(thing: &Value, json: bool) {
    let Some(fields) = thing.as_object().filter(|_| !json) else {
        if !thing.is_null() {
            say(&thing.to_string());
        }
        return;
    };
    let widest = fields.keys().map(|key| key.chars().count()).max().unwrap_or_default();
    for (key, value) in fields {
        say(&format!("{key:widest$}  {}", cell(Some(value))));
    }
}

/// Prints lines under a heading; nothing where there are none.
pub(super) fn part(heading: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    say(&format!("\n{heading}:"));
    for line in lines {
        say(&format!("  {line}"));
    }
}

/// A value as a person reads it.
pub(super) fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    };
    // What came from elsewhere must not move the cursor or change a colour of the terminal.
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cells_are_what_a_person_reads() {
        assert_eq!(cell(None), "-");
        assert_eq!(cell(Some(&json!("a"))), "a");
        assert_eq!(cell(Some(&json!(["a", 1]))), "a, 1");
        assert_eq!(cell(Some(&json!({"a": 1}))), r#"{"a":1}"#);
    }

    #[test]
    fn what_came_from_elsewhere_can_not_write_to_the_terminal() {
        assert_eq!(cell(Some(&json!("a\u{1b}[31mb\nc"))), "a [31mb c");
    }
}
