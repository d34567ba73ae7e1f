use crate::{Carrier, Method, Peer};
use std::{
    any::Any,
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    str::FromStr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// What is known about a call besides its message: deadline, method, peer, request id, and values.
///
/// It is handed on explicitly, immutable, and cheap to clone; an empty one allocates nothing.
///
/// ```
/// use purlin_endpoint::Context;
///
/// #[derive(Debug, PartialEq)]
/// struct Tenant(&'static str);
///
/// let context = Context::default().with(Tenant("acme"));
/// assert_eq!(context.get::<Tenant>(), Some(&Tenant("acme")));
/// assert_eq!(context.outgoing().get::<Tenant>(), None);
/// ```
#[derive(Clone, Default)]
pub struct Context {
    facts: Option<Arc<Facts>>,
    values: Option<Arc<Node<dyn Any + Send + Sync>>>,
}

#[derive(Clone, Default)]
struct Facts {
    deadline: Option<Instant>,
    method: Option<&'static Method>,
    peer: Option<Peer>,
    request_id: Option<RequestId>,
    attempt: u32,
    criticality: Criticality,
    reply: Reply,
}

/// A value of the user's, in front of those that were there before it.
struct Node<T: ?Sized> {
    next: Option<Arc<Node<dyn Any + Send + Sync>>>,
    value: T,
}

static EMPTY_REPLY: Reply = Reply(None);

impl Context {
    /// A context that knows nothing.
    pub const fn new() -> Self {
        Self { facts: None, values: None }
    }

    /// Adds a value, in front of an earlier one of the same type.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.values = Some(Arc::new(Node { next: self.values.take(), value }));
        self
    }

    /// The value of this type that was added last.
    pub fn get<T: Any>(&self) -> Option<&T> {
        let mut next = self.values.as_deref();
        while let Some(node) = next {
            if let Some(value) = node.value.downcast_ref() {
                return Some(value);
            }
            next = node.next.as_deref();
        }
        None
    }

    fn facts_mut(&mut self) -> &mut Facts {
        Arc::make_mut(self.facts.get_or_insert_default())
    }

    /// When the call must have ended. Nothing later than an earlier deadline is accepted.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        let deadline = self.deadline().map_or(deadline, |known| known.min(deadline));
        self.facts_mut().deadline = Some(deadline);
        self
    }

    /// Sets the deadline to so long from now, unless there is an earlier one.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        // A time too far away to be told is as good as none.
        match Instant::now().checked_add(timeout) {
            Some(deadline) => self.with_deadline(deadline),
            None => self,
        }
    }

    /// Names the method that is called.
    #[must_use]
    pub fn with_method(mut self, method: &'static Method) -> Self {
        self.facts_mut().method = Some(method);
        self
    }

    /// Says where the call comes from.
    #[must_use]
    pub fn with_peer(mut self, peer: Peer) -> Self {
        self.facts_mut().peer = Some(peer);
        self
    }

    /// Gives the call its id.
    #[must_use]
    pub fn with_request_id(mut self, id: RequestId) -> Self {
        self.facts_mut().request_id = Some(id);
        self
    }

    /// Says how many attempts at the same call came before this one.
    #[must_use]
    pub fn with_attempt(mut self, previous: u32) -> Self {
        self.facts_mut().attempt = previous;
        self
    }

    /// Says how much the call matters.
    #[must_use]
    pub fn with_criticality(mut self, criticality: Criticality) -> Self {
        self.facts_mut().criticality = criticality;
        self
    }

    /// Gives the call a place for response headers. Only a server's transport does this.
    #[must_use]
    pub fn with_reply(mut self, reply: Reply) -> Self {
        self.facts_mut().reply = reply;
        self
    }

    /// When the call must have ended.
    pub fn deadline(&self) -> Option<Instant> {
        self.facts.as_ref()?.deadline
    }

    /// How long the call may still take at this instant: zero if its deadline has passed.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        Some(self.deadline()?.saturating_duration_since(now))
    }

    /// The method that is called.
    pub fn method(&self) -> Option<&'static Method> {
        self.facts.as_ref()?.method
    }

    /// Where the call comes from.
    pub fn peer(&self) -> Option<&Peer> {
        self.facts.as_ref()?.peer.as_ref()
    }

    /// The id that the call has on every line and every hop.
    pub fn request_id(&self) -> Option<&RequestId> {
        self.facts.as_ref()?.request_id.as_ref()
    }

    /// How many attempts at the same call came before this one: zero for the first.
    pub fn attempt(&self) -> u32 {
        self.facts.as_ref().map_or(0, |facts| facts.attempt)
    }

    /// How much the call matters.
    pub fn criticality(&self) -> Criticality {
        self.facts.as_ref().map_or_else(Criticality::default, |facts| facts.criticality)
    }

    /// Where response headers and trailers can be written.
    ///
    /// Where no server's transport listens, what is written goes nowhere.
    pub fn reply(&self) -> &Reply {
        self.facts.as_ref().map_or(&EMPTY_REPLY, |facts| &facts.reply)
    }

    /// What a call to another service gets from this one.
    ///
    /// The deadline, the request id and the criticality go along; the method, the peer, the
    /// attempt, the reply and all values stay behind, so that nothing is passed on by accident.
    pub fn outgoing(&self) -> Self {
        let Some(facts) = &self.facts else { return Self::new() };
        Self {
            facts: Some(Arc::new(Facts {
                deadline: facts.deadline,
                request_id: facts.request_id.clone(),
                criticality: facts.criticality,
                ..Facts::default()
            })),
            values: None,
        }
    }
}

impl fmt::Debug for Context {
    /// Shows the facts; values are the user's and may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Context");
        if let Some(facts) = &self.facts {
            out.field("deadline", &facts.deadline)
                .field("method", &facts.method.map(ToString::to_string))
                .field("peer", &facts.peer)
                .field("request_id", &facts.request_id)
                .field("attempt", &facts.attempt)
                .field("criticality", &facts.criticality);
        }
        out.finish_non_exhaustive()
    }
}

/// How much a call matters when not all can be served.
///
/// The four levels are those of Google's
/// [Handling Overload](https://sre.google/sre-book/handling-overload/); the least critical is
/// refused first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Criticality {
    /// May be refused often: background work that is tried again later.
    Sheddable,
    /// May be refused at times: batch work.
    SheddablePlus,
    /// Refusing it is seen by a user. What nobody has said is this.
    #[default]
    Critical,
    /// Refusing it is an incident.
    CriticalPlus,
}

impl Criticality {
    /// The name on the wire, as in `SHEDDABLE_PLUS`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sheddable => "SHEDDABLE",
            Self::SheddablePlus => "SHEDDABLE_PLUS",
            Self::Critical => "CRITICAL",
            Self::CriticalPlus => "CRITICAL_PLUS",
        }
    }

    /// The criticality with this name on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Sheddable, Self::SheddablePlus, Self::Critical, Self::CriticalPlus]
            .into_iter()
            .find(|criticality| criticality.as_str() == name)
    }
}

/// The longest id that fits without an allocation: a UUID with its hyphens.
const INLINE: usize = 36;

/// The id that a call keeps on every hop and every log line.
///
/// It is one to 128 letters, digits, dots, hyphens or underscores, so that it can stand in any
/// header and any log as it is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Id);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Id {
    Inline { length: u8, bytes: [u8; INLINE] },
    Shared(Arc<str>),
}

impl RequestId {
    /// A new id: 32 hexadecimal digits, unique within the process and, by a random part, without.
    pub fn generate() -> Self {
        static START: OnceLock<([u8; INLINE], AtomicU64)> = OnceLock::new();
        let (process, count) = START.get_or_init(|| {
            let random = || RandomState::new().build_hasher().finish();
            let mut process = [0; INLINE];
            write_hex(&mut process[..16], random());
            (process, AtomicU64::new(random()))
        });
        // An odd stride visits every number once, and neighbours share no visible digits.
        let count = count.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mut bytes = *process;
        write_hex(&mut bytes[16..32], count);
        Self(Id::Inline { length: 32, bytes })
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever stored.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The id as ASCII, which costs less than [`as_str`](Self::as_str).
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Id::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Id::Shared(text) => text.as_bytes(),
        }
    }
}

fn write_hex(room: &mut [u8], number: u64) {
    for (pair, byte) in room.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
}

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, InvalidRequestId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > 128 || !text.bytes().all(allowed) {
            return Err(InvalidRequestId);
        }
        let mut bytes = [0; INLINE];
        Ok(Self(match bytes.get_mut(..text.len()) {
            Some(room) => {
                room.copy_from_slice(text.as_bytes());
                // It fits, so its length is at most INLINE.
                Id::Inline { length: text.len() as u8, bytes }
            }
            None => Id::Shared(text.into()),
        }))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The text is not a [`RequestId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRequestId;

impl fmt::Display for InvalidRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request id is 1 to 128 letters, digits, dots, hyphens or underscores")
    }
}

impl std::error::Error for InvalidRequestId {}

/// A write-only place for a response's headers and trailers.
///
/// A server's transport makes one for each call; a handler or a layer writes into it by way of
/// [`Context::reply`].
#[derive(Clone, Default)]
pub struct Reply(Option<Arc<Mutex<ReplyParts>>>);

/// What was written into a [`Reply`], in its order.
#[derive(Debug, Default)]
pub struct ReplyParts {
    /// Headers, each a lower-case name and a value.
    pub headers: Vec<(String, String)>,
    /// Trailers, each a lower-case name and a value.
    pub trailers: Vec<(String, String)>,
}

impl Reply {
    /// A place that its transport will read.
    pub fn open() -> Self {
        Self(Some(Arc::default()))
    }

    fn write(&self, write: impl FnOnce(&mut ReplyParts)) {
        if let Some(parts) = &self.0 {
            write(&mut parts.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Adds a header, behind others of its name. It must be written before the response begins.
    pub fn header(&self, name: &str, value: impl Into<String>) {
        self.write(|parts| parts.headers.push((name.to_ascii_lowercase(), value.into())));
    }

    /// Adds a trailer, behind others of its name.
    pub fn trailer(&self, name: &str, value: impl Into<String>) {
        self.write(|parts| parts.trailers.push((name.to_ascii_lowercase(), value.into())));
    }

    /// Takes what was written so far. This is for transports.
    pub fn take(&self) -> ReplyParts {
        let mut taken = ReplyParts::default();
        self.write(|parts| taken = std::mem::take(parts));
        taken
    }
}

/// Writes headers: so what [`Carrier`]s inject can go into a response too.
impl Carrier for ReplyParts {
    fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    fn get_all<'a>(&'a self, name: &str) -> Vec<&'a str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| &**value).collect()
    }

    fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| known != name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_later_value_hides_an_earlier_one_of_its_type_only() {
        let context = Context::default().with(1_u8).with("text").with(2_u8);
        assert_eq!(context.get::<u8>(), Some(&2));
        assert_eq!(context.get::<&str>(), Some(&"text"));
        assert_eq!(context.get::<u16>(), None);
    }

    #[test]
    fn a_deadline_only_ever_comes_nearer() {
        let now = Instant::now();
        let context = Context::default().with_deadline(now + SECOND);
        assert_eq!(context.clone().with_deadline(now + 2 * SECOND).remaining(now), Some(SECOND));
        assert_eq!(context.with_deadline(now).remaining(now + SECOND), Some(Duration::ZERO));
    }

    #[test]
    fn a_change_is_not_seen_through_an_older_clone() {
        let first = Context::default().with_attempt(1);
        let second = first.clone().with_attempt(2);
        assert_eq!((first.attempt(), second.attempt()), (1, 2));
    }

    #[test]
    fn what_goes_out_is_the_deadline_the_request_id_and_the_criticality() {
        static METHOD: Method = Method::unary("a.B", "C");
        let deadline = Instant::now();
        let context = Context::default()
            .with_deadline(deadline)
            .with_method(&METHOD)
            .with_peer(Peer::Memory)
            .with_request_id("abc".parse().unwrap())
            .with_attempt(3)
            .with_criticality(Criticality::Sheddable)
            .with_reply(Reply::open());
        context.reply().header("X-A", "1");
        let outgoing = context.outgoing();
        assert_eq!(outgoing.deadline(), Some(deadline));
        assert_eq!(outgoing.request_id().unwrap().as_str(), "abc");
        assert_eq!(outgoing.criticality(), Criticality::Sheddable);
        assert_eq!((outgoing.method(), outgoing.peer(), outgoing.attempt()), (None, None, 0));
        outgoing.reply().header("x-b", "2");
        assert_eq!(context.reply().take().headers, [("x-a".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn a_request_id_holds_nothing_that_a_header_or_a_log_could_trip_over() {
        for bad in ["", "a b", "a\n", "é", "a\"b", &"x".repeat(129)] {
            assert_eq!(bad.parse::<RequestId>(), Err(InvalidRequestId), "{bad:?}");
        }
        for good in ["a", "A.b_c-9", &"x".repeat(36), &"x".repeat(37), &"x".repeat(128)] {
            assert_eq!(good.parse::<RequestId>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn generated_ids_are_valid_and_differ() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| RequestId::generate()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.as_str().parse::<RequestId>().as_ref() == Ok(id)));
    }
}
