//! JSON as a token may have it: no member comes twice, and nothing is deeper than makes sense.

use serde::{
    Deserialize, Deserializer as _,
    de::{self, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use std::{borrow::Cow, collections::HashSet, fmt, slice};

/// How many levels of objects and arrays there may be, the outermost counted.
const DEEPEST: u8 = 16;

/// From how many members on they are looked up in a table instead of one by one.
const MANY: usize = 16;

/// Takes the members of an object that it knows.
pub(crate) trait Members<'de> {
    /// Takes a member's value, [`once`]; or leaves it, and says that it does not know the member.
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Keeps what must not come twice.
pub(crate) fn once<T, E: de::Error>(place: &mut Option<T>, value: T) -> Result<bool, E> {
    match place.replace(value) {
        None => Ok(true),
        Some(_) => Err(E::custom(TWICE)),
    }
}

const TWICE: &str = "a member comes twice";

/// Reads a text that is one object.
pub(crate) fn read<'de>(text: &'de str, to: &mut impl Members<'de>) -> serde_json::Result<()> {
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(Object(to))?;
    json.end()
}

/// Finds out whether a text is one object that holds to the rules.
pub(crate) fn check(text: &str) -> serde_json::Result<()> {
    struct All;

    impl<'de> Members<'de> for All {
        fn member<A: MapAccess<'de>>(&mut self, _: &str, _: &mut A) -> Result<bool, A::Error> {
            Ok(false)
        }
    }

    read(text, &mut All)
}

struct Object<'a, M>(&'a mut M);

impl<'de, M: Members<'de>> Visitor<'de> for Object<'_, M> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = Names::default();
        while let Some(Text(name)) = map.next_key()? {
            if !self.0.member(&name, &mut map)? {
                names.add(name)?;
                map.next_value_seed(Skim(DEEPEST - 1))?;
            }
        }
        Ok(())
    }
}

/// The names of an object's members so far, but for those that are known.
#[derive(Default)]
struct Names<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Names<'de> {
    fn add<E: de::Error>(&mut self, name: Cow<'de, str>) -> Result<(), E> {
        if self.few.contains(&name) || self.many.contains(&name) {
            return Err(E::custom(TWICE));
        }
        if self.few.len() < MANY {
            if self.few.is_empty() {
                // Most tokens have no more, and grow this once.
                self.few.reserve(8);
            }
            self.few.push(name);
        } else {
            self.many.insert(name);
        }
        Ok(())
    }
}

/// Passes over a value that may have so many more levels.
#[derive(Clone, Copy)]
struct Skim(u8);

impl Skim {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("it is nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Skim {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skim {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while seq.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut names = Names::default();
        while let Some(Text(name)) = map.next_key()? {
            names.add(name)?;
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}

/// A text, which is part of what is read unless it holds escapes.
pub(crate) struct Text<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

/// A text, or an array of texts.
pub(crate) enum Texts<'de> {
    One(Cow<'de, str>),
    Many(Vec<Cow<'de, str>>),
}

impl<'de> Texts<'de> {
    pub(crate) fn all(&self) -> &[Cow<'de, str>] {
        match self {
            Self::One(text) => slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

impl<'de> Deserialize<'de> for Texts<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or an array of texts")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Texts<'de>, E> {
        Ok(Texts::One(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Texts<'de>, E> {
        Ok(Texts::One(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Texts<'de>, A::Error> {
        let mut texts = Vec::new();
        while let Some(Text(text)) = seq.next_element()? {
            texts.push(text);
        }
        Ok(Texts::Many(texts))
    }
}

/// The last second of the year 9999, in seconds since 1970: what comes later is not a date but a
/// way to say "never".
const LAST: u64 = 253_402_300_799;

/// A time in whole seconds since 1970.
pub(crate) struct Seconds(pub(crate) u64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = u64::deserialize(deserializer)?;
        if seconds > LAST {
            return Err(D::Error::custom("a time is after the year 9999"));
        }
        Ok(Self(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_comes_twice_is_found_at_any_depth_and_in_any_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"b":{"a":1,"c":[],"a":1}}"#,
            r#"{"b":[[{"a":{},"a":{}}]]}"#,
        ] {
            assert!(check(text).is_err(), "{text}");
        }
        assert!(check(r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}"#).is_ok());
        let mut many: String = (0..100).map(|n| format!(r#""m{n}":{n},"#)).collect();
        assert!(check(&format!(r#"{{{many}"z":0}}"#)).is_ok());
        many.push_str(r#""m99":0"#);
        assert!(check(&format!("{{{many}}}")).is_err());
    }

    #[test]
    fn sixteen_levels_are_read_and_one_more_is_not() {
        let nested = |levels: usize| {
            format!(r#"{{"a":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1))
        };
        assert!(check(&nested(16)).is_ok());
        assert!(check(&nested(17)).is_err());
        assert!(check(&nested(10_000)).is_err());
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for text in ["", "[]", "1", "\"a\"", "null", "{} {}", "{}x", "{\"a\"}", "{'a':1}", "{a:1}"]
        {
            assert!(check(text).is_err(), "{text}");
        }
        assert!(check(r#"{"a":"\ud800"}"#).is_err());
        assert!(check(r#"{"a":1e400}"#).is_err());
    }
}
