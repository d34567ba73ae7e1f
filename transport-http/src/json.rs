//! JSON with errors that name the place and repeat nothing of the input.

use purlin_endpoint::{Code, Error};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// The value that these bytes stand for.
pub(crate) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| explain::<T>(bytes, &error))
}

/// Says what is wrong. Only now, when something is, is the value read again with its path.
#[cold]
fn explain<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Error {
    let invalid = |text: String| Error::of(Code::InvalidArgument).public(text);
    let place = format!("line {} column {}", error.line(), error.column());
    match error.classify() {
        _ if bytes.is_empty() => invalid("the body is empty".to_owned()),
        Category::Syntax => invalid(format!("the body is not valid JSON at {place}")),
        Category::Eof => invalid(format!("the body ends too early, at {place}")),
        Category::Io => invalid("the body can't be read".to_owned()),
        Category::Data => {
            let mut deserializer = serde_json::Deserializer::from_slice(bytes);
            let path = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
                Err(error) => error.path().to_string(),
                Ok(_) => ".".to_owned(),
            };
            // Keys of the input are part of it. They show where to look, unless they are a nuisance.
            let fits = path != "." && path.len() <= 128 && !path.contains(char::is_control);
            let path = if fits { path } else { String::new() };
            let text = error.to_string();
            let text = text.strip_suffix(&format!(" at {place}")).unwrap_or(&text);
            let (field, why) = locate(path, text);
            match field.is_empty() {
                true => invalid(format!("the body {why}")),
                false => Error::invalid(field, why),
            }
        }
    }
}

/// The field and what is wrong with it, from serde's own words for it.
///
/// Those quote the input, so only what they say about the type is taken over.
fn locate(path: String, text: &str) -> (String, String) {
    let child = |name: &str| match path.is_empty() {
        true => name.to_owned(),
        false => format!("{path}.{name}"),
    };
    let quoted = |prefix| text.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('`'));
    if let Some(name) = quoted("missing field `") {
        return (child(name), "is missing".to_owned());
    }
    if let Some(name) = quoted("duplicate field `") {
        return (child(name), "is given more than once".to_owned());
    }
    if text.starts_with("unknown field `") {
        let why = if path.is_empty() { "has a field that is not known" } else { "is not known" };
        return (path, why.to_owned());
    }
    let quotes = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant `"];
    match text.rsplit_once(", expected ") {
        Some((_, expected)) if quotes.iter().any(|quote| text.starts_with(quote)) => {
            (path, format!("must be {expected}"))
        }
        _ if quotes.iter().any(|quote| text.starts_with(quote)) => (path, "is invalid".to_owned()),
        _ => (path, format!("is invalid: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what can't be read is looked at")]
    struct Order {
        items: Vec<Item>,
        colour: Option<Colour>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only what can't be read is looked at")]
    struct Item {
        price: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
        Blue,
    }

    #[track_caller]
    fn refused(body: &str, message: &str) {
        let error = from_slice::<Order>(body.as_bytes()).unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::InvalidArgument, message), "{body}");
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn an_error_names_the_place_and_repeats_nothing() {
        refused("", "the body is empty");
        refused("{\"items\"", "the body ends too early, at line 1 column 8");
        refused("{\"items\":secret}", "the body is not valid JSON at line 1 column 10");
        refused("{}", "items is missing");
        refused("{\"items\":[],\"items\":[]}", "items is given more than once");
        refused("{\"items\":[{\"price\":1},{}]}", "items[1].price is missing");
        refused("{\"items\":[{\"price\":\"secret\"}]}", "items[0].price must be u32");
        refused("{\"items\":[{\"price\":\"secret, expected a\"}]}", "items[0].price must be u32");
        refused("{\"items\":[{\"price\":-1}]}", "items[0].price must be u32");
        refused("{\"items\":[],\"colour\":\"secret\"}", "colour must be `red` or `blue`");
        refused("\"secret\"", "the body must be struct Order");
        refused("{\"items\":[],\"item\":1}", "item is not known");
        refused("{\"items\":[],\"\\nsecret\":1}", "the body has a field that is not known");
    }
}
