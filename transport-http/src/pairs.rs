//! Names and values, as in a query, a form or a path, decoded into a struct.

use purlin_endpoint::{Code, Error};
use serde::{
    de::{
        self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer as _, MapAccess,
        SeqAccess, Unexpected, VariantAccess, Visitor, value::CowStrDeserializer,
    },
    forward_to_deserialize_any,
};
use std::{borrow::Cow, fmt};

/// Where the pairs come from, for the words of an error.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Query,
    Form,
}

/// How many pairs are looked at. Nobody writes more by hand.
const MOST: usize = 1024;

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Decodes `a=1&b=2`.
pub(crate) fn from_urlencoded<T: DeserializeOwned>(text: &[u8], part: Part) -> Result<T, Error> {
    let mut pairs = Vec::new();
    for pair in text.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
        if pairs.len() == MOST {
            let what = match part {
                Part::Query => "parameters",
                Part::Form => "fields",
            };
            return Err(Error::of(Code::InvalidArgument).public(format!("more than {MOST} {what}")));
        }
        let mut sides = pair.splitn(2, |b| *b == b'=');
        let (name, value) = (sides.next().unwrap_or_default(), sides.next().unwrap_or_default());
        let name = unescape(name, true).ok_or_else(|| {
            Error::of(Code::InvalidArgument).public("a parameter's name is not valid UTF-8")
        })?;
        let value = unescape(value, true).ok_or_else(|| not_text(&name))?;
        pairs.push((name, value));
    }
    decode(pairs)
}

/// Decodes parameters of a path, which are still escaped.
pub(crate) fn from_path<T: DeserializeOwned>(params: &[(String, String)]) -> Result<T, Error> {
    let unescaped = params.iter().map(|(name, value)| {
        let value = unescape(value.as_bytes(), false).ok_or_else(|| not_text(name))?;
        Ok((Cow::Borrowed(&**name), value))
    });
    decode(unescaped.collect::<Result<_, Error>>()?)
}

fn not_text(name: &str) -> Error {
    Error::invalid(name.to_owned(), "is not valid UTF-8")
}

fn decode<T: DeserializeOwned>(mut pairs: Vec<Pair<'_>>) -> Result<T, Error> {
    // All values of a name come together, in their order.
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    T::deserialize(Pairs(&pairs)).map_err(|Wrong { field, why }| match field {
        Some(field) => Error::invalid(field, why),
        None => Error::of(Code::InvalidArgument).public(why),
    })
}

/// Undoes percent-encoding; `None` if what comes out is not text. A percent sign that escapes
/// nothing stands for itself, as in browsers.
fn unescape(text: &[u8], plus_is_space: bool) -> Option<Cow<'_, str>> {
    if !text.iter().any(|b| *b == b'%' || (plus_is_space && *b == b'+')) {
        return std::str::from_utf8(text).ok().map(Cow::Borrowed);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, others)) = rest.split_first() {
        let digits = others.first_chunk().and_then(|[high, low]| {
            let digit = |b: u8| char::from(b).to_digit(16);
            u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
        });
        match (first, digits) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &others[2..];
                continue;
            }
            (b'+', _) if plus_is_space => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
        rest = others;
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// What is wrong, and with which field.
#[derive(Debug)]
struct Wrong {
    field: Option<String>,
    why: String,
}

impl Wrong {
    fn new(why: impl Into<String>) -> Self {
        Self { field: None, why: why.into() }
    }

    fn of(self, field: &str) -> Self {
        Self { field: Some(self.field.unwrap_or_else(|| field.to_owned())), ..self }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Wrong {}

/// The default texts quote the input; these don't.
impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(format!("is invalid: {message}"))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("must be {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("must be {expected}"))
    }

    fn invalid_length(_: usize, expected: &dyn de::Expected) -> Self {
        Self::new(format!("must be {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("must be one of {}", expected.join(", ")))
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        // A name is repeated so that the caller sees which one it is, unless it is a nuisance.
        let fits = field.len() <= 64 && !field.contains(char::is_control);
        Self { field: fits.then(|| field.to_owned()), why: "is not known".to_owned() }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new("is missing").of(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new("is given more than once").of(field)
    }
}

/// All pairs, sorted by their names.
struct Pairs<'a, 'de>(&'a [Pair<'de>]);

impl<'de> de::Deserializer<'de> for Pairs<'_, 'de> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_map(Groups { rest: self.0, values: &[] })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        option seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// One name after the other, each with all its values.
struct Groups<'a, 'de> {
    rest: &'a [Pair<'de>],
    values: &'a [Pair<'de>],
}

impl<'de> MapAccess<'de> for Groups<'_, 'de> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        let Some((name, _)) = self.rest.first() else { return Ok(None) };
        let count = self.rest.iter().take_while(|(other, _)| other == name).count();
        (self.values, self.rest) = self.rest.split_at(count);
        let name: CowStrDeserializer<'_, Wrong> = Cow::Borrowed(&**name).into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let name = self.values.first().map_or("", |(name, _)| name);
        seed.deserialize(Values(self.values)).map_err(|wrong| wrong.of(name))
    }
}

/// All values of one name.
struct Values<'a, 'de>(&'a [Pair<'de>]);

impl<'a, 'de> Values<'a, 'de> {
    fn single(&self) -> Result<&'a Cow<'de, str>, Wrong> {
        match self.0 {
            [(_, value)] => Ok(value),
            _ => Err(Wrong::new("is given more than once")),
        }
    }

    fn parse<T: std::str::FromStr>(&self, expected: &str) -> Result<T, Wrong> {
        self.single()?.parse().map_err(|_| Wrong::new(format!("must be {expected}")))
    }
}

macro_rules! parsed {
    ($($deserialize:ident $visit:ident $expected:literal)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            visitor.$visit(self.parse($expected)?)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Values<'_, 'de> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_str(self.single()?)
    }

    parsed! {
        deserialize_bool visit_bool "true or false"
        deserialize_i8 visit_i8 "a whole number from -128 to 127"
        deserialize_i16 visit_i16 "a whole number of 16 bits"
        deserialize_i32 visit_i32 "a whole number of 32 bits"
        deserialize_i64 visit_i64 "a whole number of 64 bits"
        deserialize_i128 visit_i128 "a whole number of 128 bits"
        deserialize_u8 visit_u8 "a whole number from 0 to 255"
        deserialize_u16 visit_u16 "a whole number from 0 to 65535"
        deserialize_u32 visit_u32 "a whole number of 32 bits, not negative"
        deserialize_u64 visit_u64 "a whole number of 64 bits, not negative"
        deserialize_u128 visit_u128 "a whole number of 128 bits, not negative"
        deserialize_f32 visit_f32 "a number"
        deserialize_f64 visit_f64 "a number"
        deserialize_char visit_char "a single character"
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_seq(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_seq(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_enum(Named(self.single()?))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        str string bytes byte_buf unit unit_struct tuple_struct map struct identifier
    }
}

impl<'de> SeqAccess<'de> for Values<'_, 'de> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Wrong> {
        let Some((first, rest)) = self.0.split_at_checked(1) else { return Ok(None) };
        self.0 = rest;
        seed.deserialize(Values(first)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// A variant without fields, by its name.
struct Named<'a>(&'a str);

impl<'de> EnumAccess<'de> for Named<'_> {
    type Error = Wrong;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Wrong> {
        let name: CowStrDeserializer<'_, Wrong> = Cow::Borrowed(self.0).into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Named<'_> {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Wrong> {
        Err(Wrong::new("must be a variant without a value"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Wrong> {
        Err(Wrong::new("must be a variant without a value"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Wrong> {
        Err(Wrong::new("must be a variant without a value"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct All {
        name: String,
        count: Option<u8>,
        price: f64,
        on: bool,
        tag: Vec<String>,
        colour: Option<Colour>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
        Blue,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        name: String,
    }

    fn query<T: DeserializeOwned>(text: &str) -> Result<T, String> {
        from_urlencoded(text.as_bytes(), Part::Query).map_err(|error: Error| error.to_string())
    }

    #[test]
    fn values_of_every_kind_are_read() {
        let all = query::<All>(
            "name=Ann+L%C3%BCders%26&count=3&price=1.5&on=true&tag=b&colour=blue&tag=a&other=1&other=2",
        );
        let expected = All {
            name: "Ann Lüders&".into(),
            count: Some(3),
            price: 1.5,
            on: true,
            tag: vec!["b".into(), "a".into()],
            colour: Some(Colour::Blue),
        };
        assert_eq!(all, Ok(expected));
        assert_eq!(query::<All>("&&name=100%&"), Ok(All { name: "100%".into(), ..All::default() }));
        assert_eq!(query::<Strict>("name"), Ok(Strict { name: String::new() }));
    }

    #[test]
    fn what_is_wrong_is_said_of_the_parameter() {
        for (text, message) in [
            ("", "name is missing"),
            ("name=a&name=b", "name is given more than once"),
            ("name=a&nome=b", "nome is not known"),
            ("name=%FF", "name is not valid UTF-8"),
        ] {
            assert_eq!(query::<Strict>(text), Err(message.to_owned()), "{text}");
        }
        for (text, message) in [
            ("count=secret", "count must be a whole number from 0 to 255"),
            ("count=1&count=2", "count is given more than once"),
            ("on=yes", "on must be true or false"),
            ("colour=secret", "colour must be one of red, blue"),
        ] {
            assert_eq!(query::<All>(text), Err(message.to_owned()), "{text}");
        }
    }

    #[test]
    fn the_name_of_the_parameter_is_the_violated_field() {
        let error = from_urlencoded::<Strict>(b"", Part::Query).unwrap_err();
        assert_eq!(error.violations()[0].field, "name");
        assert_eq!(error.violations()[0].description, "is missing");
    }

    #[test]
    fn a_path_keeps_its_plus_signs() {
        let params = [("name".to_owned(), "a+b%20c".to_owned())];
        assert_eq!(from_path::<Strict>(&params).unwrap().name, "a+b c");
    }

    #[test]
    fn no_garbage_makes_it_panic() {
        let mut state = 7_u64;
        for _ in 0..20_000 {
            let mut text = Vec::new();
            for _ in 0..state % 40 {
                // Numerical Recipes' generator: any will do.
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                text.push(b"&=%+an0FfZ\xff\xc3tagnmeco"[(state >> 33) as usize % 20]);
            }
            state = state.wrapping_add(1);
            let _ = from_urlencoded::<All>(&text, Part::Form);
            let _ = from_urlencoded::<Strict>(&text, Part::Query);
        }
    }
}
