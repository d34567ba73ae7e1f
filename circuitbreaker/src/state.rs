use std::fmt;

/// What a breaker does with the calls that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Lets all in, and watches their results.
    Closed = 0,
    /// Refuses all.
    Open = 1,
    /// Lets a few in, to see what becomes of them.
    HalfOpen = 2,
    /// Refuses all until it is released.
    ForcedOpen = 3,
    /// Lets all in and counts their results, but never opens until it is released.
    ForcedClosed = 4,
    /// Lets all in and counts nothing until it is released.
    Disabled = 5,
}

impl State {
    /// The name on an admin page, as in `half-open`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::ForcedOpen => "forced-open",
            Self::ForcedClosed => "forced-closed",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A state that somebody holds a breaker in, whatever becomes of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forced {
    /// [`State::ForcedOpen`].
    Open,
    /// [`State::ForcedClosed`].
    Closed,
    /// [`State::Disabled`].
    Disabled,
}
