use std::fmt;

/// A method that can be called, declared once and known to every layer and transport.
///
/// ```
/// use purlin_endpoint::Method;
///
/// static GREETING: Method = Method::unary("greeter.Greeter", "Greeting").idempotent();
///
/// assert_eq!(GREETING.to_string(), "greeter.Greeter/Greeting");
/// assert!(GREETING.is_idempotent());
/// ```
///
/// Labels, rules and limits are keyed by it and never by a raw path, so that no caller can invent
/// new ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method {
    service: &'static str,
    name: &'static str,
    kind: Kind,
    idempotent: bool,
}

/// Which sides of a method are streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// One request, one response.
    Unary,
    /// A stream of requests, one response.
    ClientStreaming,
    /// One request, a stream of responses.
    ServerStreaming,
    /// A stream of requests and a stream of responses.
    Bidirectional,
}

impl Method {
    /// A method that takes one message and returns one.
    pub const fn unary(service: &'static str, name: &'static str) -> Self {
        Self { service, name, kind: Kind::Unary, idempotent: false }
    }

    /// A method that takes a stream and returns one message.
    pub const fn client_streaming(service: &'static str, name: &'static str) -> Self {
        Self { kind: Kind::ClientStreaming, ..Self::unary(service, name) }
    }

    /// A method that takes one message and returns a stream.
    pub const fn server_streaming(service: &'static str, name: &'static str) -> Self {
        Self { kind: Kind::ServerStreaming, ..Self::unary(service, name) }
    }

    /// A method that takes a stream and returns a stream.
    pub const fn bidirectional(service: &'static str, name: &'static str) -> Self {
        Self { kind: Kind::Bidirectional, ..Self::unary(service, name) }
    }

    /// Declares that calling it twice does no more than calling it once, so that it may be retried.
    #[must_use]
    pub const fn idempotent(self) -> Self {
        Self { idempotent: true, ..self }
    }

    /// The full name of the service, as in `greeter.Greeter`.
    pub const fn service(&self) -> &'static str {
        self.service
    }

    /// The name within the service, as in `Greeting`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Which sides are streams.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it may be called again without harm.
    pub const fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// Whether its response is a stream, so that a call lasts longer than its response's head.
    pub const fn streams_response(&self) -> bool {
        matches!(self.kind, Kind::ServerStreaming | Kind::Bidirectional)
    }
}

/// Writes `service/name`.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.name)
    }
}
