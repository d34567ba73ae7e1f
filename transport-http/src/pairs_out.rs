//! A struct as names and values, for a query, a form or a path.

use purlin_endpoint::Error;
use serde::{
    Serialize, Serializer,
    ser::{self, Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple},
};
use std::fmt::{self, Display, Write as _};

/// The fields of a struct or the entries of a map, in their order.
pub(crate) fn pairs<T: Serialize>(value: &T) -> Result<Vec<(String, String)>, Error> {
    let mut pairs = Vec::new();
    value.serialize(Fields { pairs: &mut pairs, name: None }).map_err(Error::internal)?;
    Ok(pairs)
}

/// Appends text with everything percent-encoded that RFC 3986 does not leave as it is anywhere.
pub(crate) fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                // Writing to a string can't fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

#[derive(Debug)]
struct Unfit(String);

impl Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

impl ser::Error for Unfit {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

fn unfit<T>(what: &str) -> Result<T, Unfit> {
    Err(Unfit(format!("{what} can't be a name or a value")))
}

/// Takes fields: of the struct itself while it has no name, then the values of one name.
struct Fields<'a> {
    pairs: &'a mut Vec<(String, String)>,
    name: Option<String>,
}

impl Fields<'_> {
    fn value(self, value: impl Display) -> Result<(), Unfit> {
        match self.name {
            Some(name) => {
                self.pairs.push((name, value.to_string()));
                Ok(())
            }
            None => unfit("a value without a name"),
        }
    }
}

macro_rules! values {
    ($($serialize:ident $type:ty)*) => {$(
        fn $serialize(self, value: $type) -> Result<(), Unfit> {
            self.value(value)
        }
    )*};
}

impl<'a> Serializer for Fields<'a> {
    type Ok = ();
    type Error = Unfit;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Impossible<(), Unfit>;
    type SerializeTupleVariant = Impossible<(), Unfit>;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<(), Unfit>;

    values! {
        serialize_bool bool
        serialize_i8 i8
        serialize_i16 i16
        serialize_i32 i32
        serialize_i64 i64
        serialize_i128 i128
        serialize_u8 u8
        serialize_u16 u16
        serialize_u32 u32
        serialize_u64 u64
        serialize_u128 u128
        serialize_f32 f32
        serialize_f64 f64
        serialize_char char
        serialize_str &str
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Unfit> {
        unfit("bytes")
    }

    fn serialize_none(self) -> Result<(), Unfit> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unfit> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unfit> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unfit> {
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Unfit> {
        self.value(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unfit> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unfit> {
        unfit("a variant with a value")
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unfit> {
        self.name.is_some().then_some(self).ok_or(Unfit("a sequence has no names".to_owned()))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unfit> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Unfit>, Unfit> {
        unfit("a tuple struct")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Unfit>, Unfit> {
        unfit("a variant with values")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unfit> {
        match self.name {
            None => Ok(self),
            Some(_) => unfit("a map inside a struct"),
        }
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unfit> {
        match self.name {
            None => Ok(self),
            Some(_) => unfit("a struct inside a struct"),
        }
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Unfit>, Unfit> {
        unfit("a variant with fields")
    }
}

impl SerializeSeq for Fields<'_> {
    type Ok = ();
    type Error = Unfit;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        value.serialize(Fields { pairs: self.pairs, name: self.name.clone() })
    }

    fn end(self) -> Result<(), Unfit> {
        Ok(())
    }
}

impl SerializeTuple for Fields<'_> {
    type Ok = ();
    type Error = Unfit;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), Unfit> {
        Ok(())
    }
}

impl SerializeMap for Fields<'_> {
    type Ok = ();
    type Error = Unfit;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unfit> {
        let mut keys = Vec::new();
        key.serialize(Fields { pairs: &mut keys, name: Some(String::new()) })?;
        self.name = Some(keys.pop().map(|(_, key)| key).unwrap_or_default());
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        let name = Some(self.name.take().unwrap_or_default());
        value.serialize(Fields { pairs: self.pairs, name })
    }

    fn end(self) -> Result<(), Unfit> {
        Ok(())
    }
}

impl SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = Unfit;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unfit> {
        value.serialize(Fields { pairs: self.pairs, name: Some(name.to_owned()) })
    }

    fn end(self) -> Result<(), Unfit> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::{Part, from_urlencoded};
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct All {
        name: String,
        count: Option<u8>,
        #[serde(default)]
        tag: Vec<String>,
        colour: Colour,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Colour {
        Red,
    }

    #[test]
    fn what_is_written_is_read_back() {
        for name in ["", "Ann", "a b+c&d=e%f", "Zoë\n\0", "{id}"] {
            for (count, tag) in [(None, vec![]), (Some(3), vec!["x".to_owned(), name.to_owned()])] {
                let all = All { name: name.to_owned(), count, tag, colour: Colour::Red };
                let mut text = String::new();
                for (name, value) in pairs(&all).unwrap() {
                    escape(&name, &mut text);
                    text.push('=');
                    escape(&value, &mut text);
                    text.push('&');
                }
                assert_eq!(from_urlencoded::<All>(text.as_bytes(), Part::Query).unwrap(), all);
            }
        }
    }

    #[test]
    fn what_has_no_names_does_not_fit() {
        assert!(pairs(&7).is_err());
        assert!(pairs(&[1, 2]).is_err());
        assert!(pairs(&[("a", 1)]).is_err());
    }
}
