use std::fmt::Write as _;

/// What a component shows of itself on an admin page.
///
/// Layers, registries and servers implement it; `main` collects them by hand.
pub trait Inspect: Send + Sync {
    /// What it is called on the page: `ratelimit`, `breaker greeter.Greeter/Greeting`.
    fn name(&self) -> String;

    /// Its state just now, as one JSON value.
    ///
    /// It is asked for while calls run, so it takes no lock that a call waits for.
    fn snapshot(&self) -> String;
}

/// Adds a text to JSON, with its quotes and escapes: for a [snapshot](Inspect::snapshot).
///
/// ```
/// let mut json = String::from("{\"key\":");
/// purlin_endpoint::quote_json(&mut json, "say \"hi\"\n");
/// assert_eq!(json, r#"{"key":"say \"hi\"\u000a""#);
/// ```
pub fn quote_json(json: &mut String, text: &str) {
    json.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => json.extend(['\\', char]),
            // Writing to a string can't fail.
            _ if char.is_control() => drop(write!(json, "\\u{:04x}", u32::from(char))),
            _ => json.push(char),
        }
    }
    json.push('"');
}
