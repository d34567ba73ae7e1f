use crate::{Writes, noon};
use proptest::prelude::*;
use purlin_log::{Format, Logger};

/// Texts with much of what could break a line in them.
fn nasty() -> impl Strategy<Value = String> {
    let specials = prop::sample::select(vec![
        '\n', '\r', '\t', '\0', '\x1b', '\x7f', '"', '\'', '\\', ' ', '=', '{', '}', ',', ':',
        '\u{85}', '\u{9b}', '\u{a0}', '\u{ad}', '\u{61c}', '\u{200f}', '\u{2028}', '\u{2029}',
        '\u{202e}', '\u{2066}', '\u{feff}', 'é', '…', '😀',
    ]);
    prop::collection::vec(prop_oneof![specials, any::<char>(), prop::char::range('a', 'z')], 0..12)
        .prop_map(|chars| chars.into_iter().collect())
}

fn write(
    format: Format,
    message: &str,
    with: &(String, String),
    field: &(String, String),
) -> String {
    let writes = Writes::default();
    Logger::new(format, writes.clone())
        .clock(noon)
        .with(&with.0, &*with.1)
        .info(message)
        .field(&field.0, &*field.1)
        .field(&field.0, &field.1)
        .send();
    writes.line()
}

/// Whether nothing in the line could break it, speak to a terminal or turn the text around, but for
/// colours of our own.
pub(crate) fn is_safe(format: Format, line: &str) -> bool {
    let mut line = line.to_owned();
    if format == Format::Color {
        for color in ["0", "2", "31", "32", "33", "34", "1;31"] {
            line = line.replace(&format!("\x1b[{color}m"), "");
        }
    }
    line.chars().all(|c| {
        !c.is_control()
            && !matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_logged_is_one_safe_line_in_every_format(
        message in nasty(), with in (nasty(), nasty()), field in (nasty(), nasty())
    ) {
        for format in [Format::Logfmt, Format::Json, Format::Pretty, Format::Color] {
            let line = write(format, &message, &with, &field);
            prop_assert!(is_safe(format, &line), "{format}: {line:?}");
        }
    }

    #[test]
    fn a_json_line_parses_back_to_what_was_logged(
        message in nasty(), with in (nasty(), nasty()), field in (nasty(), nasty())
    ) {
        let (with, field) = ((format!("a{}", with.0), with.1), (format!("b{}", field.0), field.1));
        let line = write(Format::Json, &message, &with, &field);
        let parsed: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(parsed["msg"].as_str(), Some(&*message));
        prop_assert_eq!(parsed[&with.0].as_str(), Some(&*with.1));
        prop_assert_eq!(parsed[&field.0].as_str(), Some(&*field.1));
        prop_assert_eq!(parsed.len(), 5);
    }

    #[test]
    fn a_logfmt_line_splits_back_into_the_values_that_were_logged(
        message in nasty(), with in (nasty(), nasty()), field in (nasty(), nasty())
    ) {
        let line = write(Format::Logfmt, &message, &with, &field);
        let pairs = split(&line);
        let values: Vec<&str> = pairs.iter().skip(2).map(|(_, value)| &**value).collect();
        prop_assert_eq!(values, [&*message, &*with.1, &*field.1, &*field.1]);
        prop_assert!(pairs.iter().all(|(key, _)| !key.is_empty()));
    }
}

/// Reads logfmt: pairs between spaces, values bare or in quotes with the escapes of JSON.
fn split(line: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').unwrap();
        let length = if after.starts_with('"') {
            quoted(after)
        } else {
            after.find(' ').unwrap_or(after.len())
        };
        let (value, after) = after.split_at(length);
        let value = match value.starts_with('"') {
            true => serde_json::from_str(value).unwrap(),
            false => value.to_owned(),
        };
        assert!(!key.contains([' ', '"']), "{key:?}");
        pairs.push((key.to_owned(), value));
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    pairs
}

/// How long a text in quotes is, its quotes included.
fn quoted(text: &str) -> usize {
    let mut escaped = true;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return at + 1,
            '\\' if !escaped => escaped = true,
            _ => escaped = false,
        }
    }
    panic!("the quotes of {text:?} are open");
}
