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
