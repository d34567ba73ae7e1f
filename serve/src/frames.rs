//! What the HTTP/2 frames of a peer cost, and what it has to spend.

use tokio::time::Instant;

/// What a frame begins with (RFC 9113, section 4.1).
const HEAD: usize = 9;

/// How many bytes the preface has, which is no frame.
const PREFACE: u32 = 24;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What a frame costs that makes the server send one, in frames.
const ANSWERED: f64 = 10.0;

/// What each byte of a response earns, in frames. The smallest DATA frame, of ten bytes, pays for
/// two: a window update for its stream, and one for the connection.
const EARNED: f64 = 0.25;

/// How much may be earned, in budgets. A peer acknowledges in bursts what it has taken in.
const EARNED_BUDGETS: f64 = 100.0;

/// How many requests are read in one turn. More may wait already, but as long as there are any h2
/// reads on, and neither answers nor lets another task have the processor.
const REQUESTS_A_TURN: u32 = 32;

/// Follows the frames of a connection, and finds out when the peer's are a flood.
///
/// A flood is frames that ask for nothing and yet cost something to read: all but HEADERS, and but
/// DATA that has content or ends a stream. Each costs one of a budget, and ten if it makes the
/// server send one: PING and SETTINGS, which are acknowledged, and whatever breaks the protocol so
/// that its stream is reset. The budget grows with time, up to its limit, and with the responses
/// that are sent to the peer. So a client that is sent much may update its windows and measure its
/// round trips as often as it likes.
#[derive(Debug)]
pub(crate) struct Frames {
    received: Cursor,
    sent: Cursor,
    last_stream: u32,
    budget: Budget,
    flooded: bool,
    /// How many requests have come in this turn.
    requests: u32,
    /// Whether the last turn ended because they were many.
    dense: bool,
}

impl Frames {
    /// Follows a connection from its preface on.
    pub(crate) fn new(limit: u32, per_second: u32, now: Instant) -> Self {
        Self {
            received: Cursor { left: PREFACE, ..Cursor::default() },
            sent: Cursor::default(),
            last_stream: 0,
            budget: Budget::new(limit, per_second, now),
            flooded: false,
            requests: 0,
            dense: false,
        }
    }

    /// Whether a turn is to end, since so many requests have come in it.
    pub(crate) fn ends_turn(&mut self) -> bool {
        let ends = self.requests >= REQUESTS_A_TURN;
        if ends {
            (self.requests, self.dense) = (0, true);
        }
        ends
    }

    /// Whether so many requests come that they are better read in small parts.
    pub(crate) fn is_dense(&self) -> bool {
        self.dense
    }

    /// Notes that nothing more has come.
    pub(crate) fn rest(&mut self) {
        (self.requests, self.dense) = (0, false);
    }

    /// Looks at the bytes that have come, and says how many of them are to be read: fewer than all
    /// only if nothing behind them is. They end with a frame then.
    pub(crate) fn received(&mut self, bytes: &[u8], now: impl Fn() -> Instant) -> usize {
        let mut next = 0;
        while next < bytes.len() && !self.is_flood() {
            let (taken, head) = self.received.take(&bytes[next..]);
            next += taken;
            if let Some(head) = head {
                self.weigh(&head, &now);
            }
        }
        next
    }

    /// Whether no more is to be read.
    pub(crate) fn is_flood(&self) -> bool {
        self.flooded && self.received.is_between()
    }

    /// Looks at bytes that were sent.
    pub(crate) fn sent(&mut self, mut bytes: &[u8], now: impl Fn() -> Instant) {
        while !bytes.is_empty() {
            let (taken, head) = self.sent.take(bytes);
            bytes = &bytes[taken..];
            match head {
                Some(Head { kind: DATA | HEADERS, length, .. }) => {
                    self.budget.earn(HEAD as u32 + length);
                }
                Some(Head { kind: RST_STREAM, error, .. })
                    if ![NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL].contains(&error) =>
                {
                    self.flooded |= !self.budget.spend(ANSWERED, &now);
                }
                _ => {}
            }
        }
    }

    /// The frame that tells the peer why its connection ends (RFC 9113, section 6.8).
    pub(crate) fn go_away(&self) -> [u8; HEAD + 8] {
        let mut frame = [0; HEAD + 8];
        frame[2] = 8;
        frame[3] = GOAWAY;
        frame[HEAD..HEAD + 4].copy_from_slice(&self.last_stream.to_be_bytes());
        frame[HEAD + 4..].copy_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
        frame
    }

    fn weigh(&mut self, head: &Head, now: impl Fn() -> Instant) {
        let cost = match head.kind {
            HEADERS => {
                self.last_stream = self.last_stream.max(head.stream);
                self.requests += 1;
                return;
            }
            DATA if head.length > 0 || head.flags & END_STREAM != 0 => return,
            PING | SETTINGS if head.flags & ACK == 0 => ANSWERED,
            _ => 1.0,
        };
        self.flooded |= !self.budget.spend(cost, now);
    }
}

/// The head of a frame.
#[derive(Debug)]
struct Head {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
    /// Of RST_STREAM: why.
    error: u32,
}

/// Where in its frames one direction of a connection is.
#[derive(Debug, Default)]
struct Cursor {
    /// How much of the preface or of a payload is still to come.
    left: u32,
    /// The head, and behind that of RST_STREAM its whole payload.
    head: [u8; HEAD + 4],
    filled: usize,
}

impl Cursor {
    fn is_between(&self) -> bool {
        self.left == 0 && self.filled == 0
    }

    /// Takes some of the bytes, of which there is at least one: how many, and the head that they
    /// have made complete.
    fn take(&mut self, bytes: &[u8]) -> (usize, Option<Head>) {
        if self.left > 0 {
            let taken = bytes.len().min(self.left as usize);
            self.left -= taken as u32;
            return (taken, None);
        }
        let wanted = if self.filled < HEAD || self.head[3] != RST_STREAM { HEAD } else { HEAD + 4 };
        let taken = bytes.len().min(wanted - self.filled);
        self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        let whole = if self.head[3] == RST_STREAM { HEAD + 4 } else { HEAD };
        if self.filled < HEAD || self.filled < whole {
            return (taken, None);
        }
        let [high, middle, low, kind, flags, stream @ .., e1, e2, e3, e4] = self.head;
        let length = u32::from_be_bytes([0, high, middle, low]);
        // A RST_STREAM of another length breaks the protocol, and the connection ends.
        self.left = length.saturating_sub((whole - HEAD) as u32);
        self.filled = 0;
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        let error = u32::from_be_bytes([e1, e2, e3, e4]);
        (taken, Some(Head { length, kind, flags, stream, error }))
    }
}

/// What may be spent, in frames.
#[derive(Debug)]
struct Budget {
    frames: f64,
    limit: f64,
    per_second: f64,
    /// When time was last taken into account. It is only when nothing else is left, so that most
    /// frames need no clock; and so who was quiet for long may have the limit twice.
    filled: Instant,
}

impl Budget {
    fn new(limit: u32, per_second: u32, now: Instant) -> Self {
        let limit = f64::from(limit);
        Self { frames: limit, limit, per_second: f64::from(per_second), filled: now }
    }

    fn earn(&mut self, bytes: u32) {
        let most = EARNED_BUDGETS * self.limit;
        self.frames = (self.frames + EARNED * f64::from(bytes)).min(most);
    }

    fn spend(&mut self, cost: f64, now: impl Fn() -> Instant) -> bool {
        if self.frames < cost {
            let now = now();
            let past = now.saturating_duration_since(self.filled);
            self.filled = now;
            self.frames = (self.frames + self.per_second * past.as_secs_f64()).min(self.limit);
        }
        let enough = self.frames >= cost;
        if enough {
            self.frames -= cost;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let head = [0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
        [&head, payload].concat()
    }

    fn preface() -> Vec<u8> {
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()
    }

    /// How many of these frames pass with a budget of 100 that grows by 10 a second.
    fn passing(frame: &[u8], frames: &mut Frames, now: Instant) -> usize {
        let many = frame.repeat(1000);
        let passed = frames.received(&many, || now);
        assert_eq!(passed % frame.len(), 0, "it ends with a frame");
        passed / frame.len()
    }

    fn begun(now: Instant) -> Frames {
        let mut frames = Frames::new(100, 10, now);
        assert_eq!(frames.received(&preface(), || now), 24);
        frames
    }

    #[test]
    fn frames_that_ask_for_nothing_are_a_flood_once_the_budget_is_spent() {
        let now = Instant::now();
        for (name, frame, most) in [
            ("settings", frame(SETTINGS, 0, 0, &[]), 10),
            ("ping", frame(PING, 0, 0, &[0; 8]), 10),
            ("an answer to none", frame(PING, ACK, 0, &[0; 8]), 100),
            ("priority", frame(2, 0, 1, &[0; 5]), 100),
            ("reset", frame(3, 0, 1, &[0; 4]), 100),
            ("window update", frame(8, 0, 0, &[0, 0, 0, 1]), 100),
            ("continuation", frame(9, 0, 1, b"x"), 100),
            ("unknown", frame(0xbe, 0, 0, b"grease"), 100),
            ("empty data", frame(DATA, 0, 1, &[]), 100),
        ] {
            // The one that is too much passes, lest it be cut in two.
            let mut frames = begun(now);
            assert_eq!(passing(&frame, &mut frames, now), most + 1, "{name}");
            assert!(frames.is_flood());
            assert_eq!(frames.received(&frame, || now), 0);
        }
    }

    #[test]
    fn requests_and_their_bodies_cost_nothing() {
        let now = Instant::now();
        let mut frames = begun(now);
        for frame in
            [frame(HEADERS, 4, 1, b"x"), frame(DATA, 0, 1, b"x"), frame(DATA, END_STREAM, 1, &[])]
        {
            assert_eq!(passing(&frame, &mut frames, now), 1000);
        }
        assert!(!frames.is_flood());
    }

    #[test]
    fn frames_are_the_same_however_the_bytes_are_split() {
        let now = Instant::now();
        let bytes = [
            preface(),
            frame(HEADERS, 4, 7, b"head"),
            frame(PING, 0, 0, &[0; 8]).repeat(11),
            frame(HEADERS, 4, 9, b"head"),
        ]
        .concat();
        for size in 1..=bytes.len() {
            let mut frames = Frames::new(100, 10, now);
            let passed: usize = bytes.chunks(size).map(|part| frames.received(part, || now)).sum();
            assert_eq!(passed, 24 + 13 + 11 * 17, "in pieces of {size}");
            assert_eq!(frames.go_away()[9..], [0, 0, 0, 7, 0, 0, 0, 11]);
        }
    }

    #[test]
    fn the_budget_grows_with_time_up_to_its_limit() {
        let now = Instant::now();
        let ping = frame(PING, 0, 0, &[0; 8]);
        let mut frames = begun(now);
        let ten = ping.repeat(10);
        assert_eq!(frames.received(&ten, || now), ten.len());
        for second in 1..100 {
            let later = now + Duration::from_secs(second);
            assert_eq!(frames.received(&ping, || later), ping.len());
            assert!(!frames.is_flood(), "one a second is what it grows by");
        }
        let mut frames = begun(now);
        let late = now + Duration::from_secs(3600);
        assert_eq!(passing(&ping, &mut frames, late), 21, "what was there, and what has grown");
    }

    #[test]
    fn what_is_sent_to_a_peer_pays_for_its_frames_and_answers_do_not() {
        let now = Instant::now();
        let update = frame(8, 0, 1, &[0, 0, 0, 1]);
        let mut frames = begun(now);
        for _ in 0..10_000 {
            frames.sent(&frame(DATA, 0, 1, b"x"), || now);
            assert_eq!(frames.received(&update.repeat(2), || now), 2 * update.len());
        }
        assert!(!frames.is_flood());

        let ping = frame(PING, 0, 0, &[0; 8]);
        let mut frames = begun(now);
        let mut pings = 0;
        while !frames.is_flood() {
            frames.received(&ping, || now);
            frames.sent(&frame(PING, ACK, 0, &[0; 8]), || now);
            pings += 1;
        }
        assert_eq!(pings, 11);
    }

    #[test]
    fn streams_that_a_peer_makes_the_server_reset_are_a_flood() {
        let now = Instant::now();
        let resets = |error| {
            let mut frames = begun(now);
            let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, error]).repeat(11);
            // In pieces, as a socket takes them.
            reset.chunks(5).for_each(|part| frames.sent(part, || now));
            frames.is_flood()
        };
        for error in [1, 3, 5] {
            assert!(resets(error), "error {error} is the peer's");
        }
        for error in [NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL] {
            assert!(!resets(error as u8), "error {error} is not");
        }
    }

    #[test]
    fn a_turn_ends_after_so_many_requests() {
        let now = Instant::now();
        let get = frame(HEADERS, 5, 1, b"get");
        let mut frames = begun(now);
        frames.received(&get.repeat(31), || now);
        assert!(!frames.ends_turn());
        frames.received(&[get.clone(), frame(DATA, 0, 1, b"x").repeat(100)].concat(), || now);
        assert!(frames.ends_turn() && frames.is_dense());
        frames.received(&get.repeat(31), || now);
        assert!(!frames.ends_turn() && frames.is_dense());
        frames.rest();
        assert!(!frames.is_dense());
    }
}
