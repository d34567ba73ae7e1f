use bytes::{BufMut as _, Bytes, BytesMut};
use purlin_endpoint::Error;
use serde::{Serialize, de::DeserializeOwned};
use std::{borrow::Cow, time::Duration};

/// A [server-sent event](https://html.spec.whatwg.org/multipage/server-sent-events.html).
///
/// ```
/// use purlin_transport_http::Event;
///
/// let event = Event::new("first\nsecond").name("greeting").id("7");
/// assert_eq!(event.to_bytes(), "event: greeting\nid: 7\ndata: first\ndata: second\n\n");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// What kind of event it is; none is `message`.
    pub name: Option<Cow<'static, str>>,
    /// What a client that connects again sends back as `last-event-id`.
    pub id: Option<Cow<'static, str>>,
    /// How long a client is to wait before it connects again, in whole milliseconds.
    pub retry: Option<Duration>,
    /// What it says.
    pub data: Cow<'static, str>,
}

impl Event {
    /// An event that says this.
    pub fn new(data: impl Into<Cow<'static, str>>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// An event that says this value, as JSON.
    ///
    /// # Errors
    ///
    /// If the value can't be serialized: an internal error.
    pub fn json<T: Serialize>(value: &T) -> Result<Self, Error> {
        serde_json::to_string(value).map(Self::new).map_err(Error::internal)
    }

    /// Sets the kind. Line ends in it are left out, as they would end it.
    #[must_use]
    pub fn name(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: Some(one_line(name.into())), ..self }
    }

    /// Sets the id. Line ends and zeros in it are left out, as they would end or void it.
    #[must_use]
    pub fn id(self, id: impl Into<Cow<'static, str>>) -> Self {
        Self { id: Some(one_line(id.into())), ..self }
    }

    /// Sets how long a client is to wait before it connects again.
    #[must_use]
    pub fn retry(self, delay: Duration) -> Self {
        Self { retry: Some(delay), ..self }
    }

    /// The value that its data is as JSON.
    ///
    /// # Errors
    ///
    /// What is wrong with the data.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        crate::json::from_slice(self.data.as_bytes())
    }

    /// The event on the wire.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.data.len() + 32);
        if let Some(name) = &self.name {
            line(&mut out, "event: ", &one_line(Cow::Borrowed(name)));
        }
        if let Some(id) = &self.id {
            line(&mut out, "id: ", &one_line(Cow::Borrowed(id)));
        }
        if let Some(delay) = self.retry {
            line(&mut out, "retry: ", &delay.as_millis().to_string());
        }
        // A lone carriage return ends a line too.
        for text in self
            .data
            .split('\n')
            .flat_map(|text| text.strip_suffix('\r').unwrap_or(text).split('\r'))
        {
            line(&mut out, "data: ", text);
        }
        out.put_u8(b'\n');
        out.freeze()
    }
}

fn line(out: &mut BytesMut, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(value.as_bytes());
    out.put_u8(b'\n');
}

fn one_line(text: Cow<'_, str>) -> Cow<'_, str> {
    match text.contains(['\r', '\n', '\0']) {
        true => Cow::Owned(text.replace(['\r', '\n', '\0'], "")),
        false => text,
    }
}
