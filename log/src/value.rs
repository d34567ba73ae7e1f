use std::{fmt, time::Duration};

/// What a field says: a number, a truth, a text, or anything that can be displayed.
///
/// Numbers, truths, texts and durations come by value; whatever else implements
/// [`Display`](fmt::Display) comes as a reference and is written as a text. Nothing is written,
/// and so nothing is displayed, unless the line is.
///
/// ```
/// use purlin_log::Value;
///
/// let address = std::net::SocketAddr::from(([127, 0, 0, 1], 9110));
/// let values: [Value<'_>; 4] = [7.into(), "seven".into(), (&address).into(), None::<u8>.into()];
/// assert_eq!(format!("{values:?}"), r#"[7, "seven", "127.0.0.1:9110", null]"#);
/// ```
#[derive(Clone, Copy)]
pub struct Value<'a>(pub(crate) Kind<'a>);

#[derive(Clone, Copy)]
pub(crate) enum Kind<'a> {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a str),
    Display(&'a dyn fmt::Display),
    /// A duration as a text, as in `250ms`.
    Duration(Duration),
}

macro_rules! from {
    ($($kind:ident: $($from:ty)*;)*) => {
        $($(impl From<$from> for Value<'_> {
            fn from(value: $from) -> Self {
                Self(Kind::$kind(value as _))
            }
        })*)*
    };
}

from! {
    Bool: bool;
    Signed: i8 i16 i32 i64 isize;
    Unsigned: u8 u16 u32 u64 usize;
    Float: f32 f64;
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self(Kind::Text(text))
    }
}

impl<'a, T: fmt::Display> From<&'a T> for Value<'a> {
    fn from(value: &'a T) -> Self {
        Self(Kind::Display(value))
    }
}

/// A text such as `250ms`.
impl From<Duration> for Value<'_> {
    fn from(duration: Duration) -> Self {
        Self(Kind::Duration(duration))
    }
}

/// `None` is `null`.
impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self(Kind::Null), Into::into)
    }
}

/// Shows the value as JSON.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        crate::Format::Json.value(&mut out, *self);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}
