use crate::{Baggage, Criticality, Identity, Method, Notes, Peer, Reply, RequestId, Trace};
use std::{any::Any, fmt, marker::PhantomData, sync::Arc, time::Duration};
use tokio::time::Instant;

/// What is known about a call besides its message: deadline, method, peer, ids, and values.
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
    peer_identity: Option<Identity>,
    request_id: Option<RequestId>,
    trace: Option<Trace>,
    baggage: Baggage,
    attempt: u32,
    criticality: Criticality,
    reply: Reply,
    notes: Notes,
}

/// A value of the user's, in front of those that were there before it.
struct Node<T: ?Sized> {
    next: Option<Arc<Node<dyn Any + Send + Sync>>>,
    value: T,
}

/// Stands in front of values that are there no more: others may still have the nodes behind it.
struct Gone<T>(PhantomData<fn() -> T>);

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

    /// Takes away all values of this type.
    #[must_use]
    pub fn without<T: Any>(self) -> Self {
        match self.get::<T>() {
            Some(_) => self.with(Gone::<T>(PhantomData)),
            None => self,
        }
    }

    /// The value of this type that was added last.
    pub fn get<T: Any>(&self) -> Option<&T> {
        let mut next = self.values.as_deref();
        while let Some(node) = next {
            if let Some(value) = node.value.downcast_ref() {
                return Some(value);
            }
            if node.value.is::<Gone<T>>() {
                return None;
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

    /// Says who the peer is. Only a server's transport does this.
    #[must_use]
    pub fn with_peer_identity(mut self, identity: Identity) -> Self {
        self.facts_mut().peer_identity = Some(identity);
        self
    }

    /// Gives the call its id.
    #[must_use]
    pub fn with_request_id(mut self, id: RequestId) -> Self {
        self.facts_mut().request_id = Some(id);
        self
    }

    /// Says where the call stands in a distributed trace.
    #[must_use]
    pub fn with_trace(mut self, trace: Trace) -> Self {
        self.facts_mut().trace = Some(trace);
        self
    }

    /// Gives the call names and values to hand on.
    #[must_use]
    pub fn with_baggage(mut self, baggage: Baggage) -> Self {
        self.facts_mut().baggage = baggage;
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

    /// Has the layers further in write down what they do. Only who reads it does this.
    #[must_use]
    pub fn with_notes(mut self, notes: Notes) -> Self {
        self.facts_mut().notes = notes;
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

    /// Who the peer is, if its connection has shown that: see [`Identity`].
    pub fn peer_identity(&self) -> Option<&Identity> {
        self.facts.as_ref()?.peer_identity.as_ref()
    }

    /// The id that the call has on every line and every hop.
    pub fn request_id(&self) -> Option<&RequestId> {
        self.facts.as_ref()?.request_id.as_ref()
    }

    /// Where the call stands in a distributed trace, if it is traced.
    pub fn trace(&self) -> Option<&Trace> {
        self.facts.as_ref()?.trace.as_ref()
    }

    /// The names and values that travel with the call.
    pub fn baggage(&self) -> &Baggage {
        self.facts.as_ref().map_or(&Baggage::EMPTY, |facts| &facts.baggage)
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
        self.facts.as_ref().map_or(&Reply::NOWHERE, |facts| &facts.reply)
    }

    /// Where layers write down what they do with the call.
    ///
    /// Where nobody has opened notes, what is written goes nowhere.
    pub fn notes(&self) -> &Notes {
        self.facts.as_ref().map_or(&Notes::CLOSED, |facts| &facts.notes)
    }

    /// What a call to another service gets from this one.
    ///
    /// The deadline, the request id, the place in the trace with its baggage, and the criticality go
    /// along; the method, the peer, the attempt, the reply, the notes and all values stay behind, so
    /// that nothing is passed on by accident.
    pub fn outgoing(&self) -> Self {
        let Some(facts) = &self.facts else { return Self::new() };
        Self {
            facts: Some(Arc::new(Facts {
                deadline: facts.deadline,
                request_id: facts.request_id.clone(),
                trace: facts.trace.clone(),
                baggage: facts.baggage.clone(),
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
                .field("peer_identity", &facts.peer_identity)
                .field("request_id", &facts.request_id)
                .field("trace", &facts.trace)
                .field("attempt", &facts.attempt)
                .field("criticality", &facts.criticality);
        }
        out.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SpanId, TraceId};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_later_value_hides_an_earlier_one_of_its_type_only() {
        let context = Context::default().with(1_u8).with("text").with(2_u8);
        assert_eq!(context.get::<u8>(), Some(&2));
        assert_eq!(context.get::<&str>(), Some(&"text"));
        assert_eq!(context.get::<u16>(), None);
    }

    #[test]
    fn what_is_taken_away_is_gone_until_it_is_added_again() {
        let before = Context::default().with(1_u8).with("text").with(2_u8);
        let context = before.clone().without::<u8>();
        assert_eq!((context.get::<u8>(), context.get()), (None, Some(&"text")));
        assert_eq!(context.with(3_u8).get(), Some(&3_u8));
        assert_eq!(before.get(), Some(&2_u8));
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
    fn what_goes_out_is_the_deadline_the_ids_the_baggage_and_the_criticality() {
        static METHOD: Method = Method::unary("a.B", "C");
        let deadline = Instant::now();
        let context = Context::default()
            .with_deadline(deadline)
            .with_method(&METHOD)
            .with_peer(Peer::Memory)
            .with_request_id("abc".parse().unwrap())
            .with_trace(Trace::new(TraceId::new(7).unwrap(), SpanId::new(8).unwrap()))
            .with_baggage(Baggage::default().with("tenant", "acme"))
            .with_notes(Notes::open())
            .with_attempt(3)
            .with_criticality(Criticality::Sheddable)
            .with_reply(Reply::open());
        context.reply().header("X-A", "1");
        let outgoing = context.outgoing();
        assert_eq!(outgoing.deadline(), Some(deadline));
        assert_eq!(outgoing.request_id().unwrap().as_str(), "abc");
        assert_eq!(outgoing.criticality(), Criticality::Sheddable);
        assert_eq!(outgoing.trace(), context.trace());
        assert_eq!(outgoing.baggage().get("tenant"), Some("acme"));
        assert!(!outgoing.notes().is_open());
        assert_eq!((outgoing.method(), outgoing.peer(), outgoing.attempt()), (None, None, 0));
        outgoing.reply().header("x-b", "2");
        assert_eq!(context.reply().take().headers, [("x-a".to_owned(), "1".to_owned())]);
    }
}
