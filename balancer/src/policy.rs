//! Which of the instances a call goes to.

use crate::{load::Load, ring::Ring};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use tokio::time::Instant;

/// How one of many is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    RoundRobin,
    Random,
    Weighted,
    LeastRequest,
    PeakEwma,
    ConsistentHash,
}

impl Rule {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round robin",
            Self::Random => "random",
            Self::Weighted => "weighted",
            Self::LeastRequest => "least request",
            Self::PeakEwma => "peak ewma",
            Self::ConsistentHash => "consistent hash",
        }
    }

    /// Whether it goes by how long calls take.
    pub(crate) fn is_timed(self) -> bool {
        self == Self::PeakEwma
    }
}

/// One that can be picked.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// Where it is in the table.
    pub(crate) index: usize,
    pub(crate) load: Arc<Load>,
    /// Its part of the work beside the others', more than 0.
    pub(crate) weight: f64,
}

/// Those that can be picked, with what their rule has to know.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) candidates: Vec<Candidate>,
    /// Sums of weights, for the rule that goes by weight alone.
    sums: Vec<f64>,
    /// The sum of all weights.
    weight: f64,
    ring: Ring,
}

/// What a pick depends on beside the group.
pub(crate) struct Ask {
    pub(crate) now: Option<Instant>,
    /// For the rule that goes by a key.
    pub(crate) key: Option<u64>,
    /// How many calls all candidates together have in flight, for the same rule.
    pub(crate) in_flight: u32,
    pub(crate) draw: u64,
}

/// No instance takes more than this times its share of the calls in flight before its keys go to
/// the next: the ε of "Consistent Hashing with Bounded Loads" (Mirrokni, Thorup, Zadimoghaddam,
/// 2016) as HAProxy has it.
const BOUND: f64 = 1.25;

/// How far one that is well is looked for: no pick takes long, however many there are.
const NEAR: usize = 32;

impl Group {
    pub(crate) fn new<'a>(
        rule: Rule,
        candidates: Vec<Candidate>,
        id: impl Fn(usize) -> &'a str + Clone,
    ) -> Self {
        let mut sum = 0.0;
        let sums = candidates.iter().filter(|_| rule == Rule::Weighted).map(|candidate| {
            sum += candidate.weight;
            sum
        });
        let sums = sums.collect();
        let ring = if rule == Rule::ConsistentHash {
            Ring::new(candidates.iter().map(|it| (id(it.index), it.weight)))
        } else {
            Ring::default()
        };
        let weight = candidates.iter().map(|it| it.weight).sum();
        Self { candidates, sums, weight, ring }
    }

    /// Picks one; `allowed` says which, and is disregarded where it allows none.
    pub(crate) fn pick(
        &self,
        rule: Rule,
        turn: &AtomicUsize,
        ask: &Ask,
        allowed: impl Fn(&Candidate) -> bool,
    ) -> Option<&Candidate> {
        let count = self.candidates.len();
        if count == 0 {
            return None;
        }
        let first = match rule {
            Rule::RoundRobin => turn.fetch_add(1, Relaxed) % count,
            Rule::Random => among(ask.draw, count),
            Rule::Weighted => self.by_weight(turn.fetch_add(1, Relaxed)),
            Rule::LeastRequest => {
                self.better(ask.draw, |it, in_flight| f64::from(in_flight + 1) / it.weight)
            }
            Rule::PeakEwma => {
                let now = ask.now?;
                self.better(ask.draw, |it, in_flight| {
                    let latency = f64::from(it.load.latency().micros(now));
                    latency * f64::from(in_flight + 1) / it.weight
                })
            }
            Rule::ConsistentHash => match ask.key {
                Some(key) => return self.by_key(key, ask.in_flight, allowed),
                // A call without a key goes anywhere.
                None => among(ask.draw, count),
            },
        };
        let from_first = (first..count).chain(0..first);
        let mut candidates = from_first.map(|index| &self.candidates[index]);
        candidates.find(|candidate| allowed(candidate)).or(self.candidates.get(first))
    }

    /// The better of two that are drawn, by a cost that depends on the calls in flight.
    fn better(&self, draw: u64, cost: impl Fn(&Candidate, u32) -> f64) -> usize {
        let count = self.candidates.len();
        let first = among(draw, count);
        if count == 1 {
            return first;
        }
        // Any but the first: both halves of the draw are random by themselves.
        let second = (first + 1 + among(draw << 32, count - 1)) % count;
        let in_flight = |index: usize| self.candidates[index].load.in_flight();
        let (mut of_first, mut of_second) = (in_flight(first), in_flight(second));
        // Who fails at once has nothing in flight, which must not look like having time.
        match (self.is_failing(first), self.is_failing(second)) {
            (false, false) => {}
            (true, false) => of_first = of_first.max(of_second),
            (false, true) => of_second = of_second.max(of_first),
            (true, true) => return self.well_after(first).unwrap_or(second),
        }
        let first_costs = cost(&self.candidates[first], of_first);
        if cost(&self.candidates[second], of_second) < first_costs { second } else { first }
    }

    fn is_failing(&self, index: usize) -> bool {
        self.candidates[index].load.is_failing()
    }

    /// One whose last call has not failed, if there is any near.
    ///
    /// Where several instances are bad and only some may be taken out, both that are drawn are often
    /// bad ones. Beside a good one they still stand by what they cost, so that they come back.
    #[cold]
    fn well_after(&self, index: usize) -> Option<usize> {
        let count = self.candidates.len();
        (1..count.min(NEAR)).map(|step| (index + step) % count).find(|it| !self.is_failing(*it))
    }

    /// Turns are spread evenly over the sum of weights: the multiples of the golden ratio never
    /// crowd, so shares are exact to within a few turns.
    fn by_weight(&self, turn: usize) -> usize {
        const GOLDEN: f64 = 0.618_033_988_749_894_9;
        let sum = self.sums.last().copied().unwrap_or_default();
        // The fraction needs its digits, which a large turn would use up.
        let at = ((turn & 0xffff_ffff) as f64 * GOLDEN).fract() * sum;
        self.sums.partition_point(|end| *end <= at).min(self.sums.len().saturating_sub(1))
    }

    fn by_key(
        &self,
        key: u64,
        in_flight: u32,
        allowed: impl Fn(&Candidate) -> bool,
    ) -> Option<&Candidate> {
        let per_weight = BOUND * f64::from(in_flight.saturating_add(1)) / self.weight;
        let on_ring = || self.ring.from(key).filter_map(|index| self.candidates.get(index));
        let has_room =
            |it: &&Candidate| f64::from(it.load.in_flight()) < (per_weight * it.weight).ceil();
        on_ring()
            .find(|it| has_room(it) && allowed(it))
            .or_else(|| on_ring().find(|it| allowed(it)))
            .or_else(|| on_ring().next())
    }
}

/// A number below `count`, from the upper half of a draw.
fn among(draw: u64, count: usize) -> usize {
    (((draw >> 32) * count as u64) >> 32) as usize
}
