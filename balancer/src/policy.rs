//! Which of the instances a call goes to.

use crate::{
    latency::Latency,
    load::{Load, Seat},
    ring::Ring,
};
use purlin_sd::Instance;
use std::sync::{
    Arc, Weak,
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

    /// Whether it leaves something to chance.
    fn is_drawn(self) -> bool {
        !matches!(self, Self::RoundRobin | Self::Weighted)
    }
}

/// One that can be picked.
#[derive(Debug)]
pub(crate) struct Candidate<E> {
    pub(crate) load: Arc<Load>,
    /// It is gone when the instance is, though a table may be kept for long.
    pub(crate) seat: Weak<Seat<E>>,
    pub(crate) instance: Arc<Instance>,
    /// Its part of the work beside the others', more than 0.
    pub(crate) weight: f64,
}

impl<E> Candidate<E> {
    /// The balancer's own reference is no call.
    #[inline]
    fn in_flight(&self) -> u32 {
        (self.seat.strong_count() as u32).saturating_sub(1)
    }
}

/// Those that can be picked, with what their rule has to know.
#[derive(Debug)]
pub(crate) struct Group<E> {
    pub(crate) candidates: Vec<Candidate<E>>,
    /// Sums of weights, for the rule that goes by weight alone.
    sums: Vec<f64>,
    /// The sum of all weights.
    weight: f64,
    ring: Ring,
}

/// What a pick depends on beside the group.
#[derive(Clone, Copy)]
pub(crate) struct Ask {
    /// For the rule that goes by a key.
    pub(crate) key: Option<u64>,
    /// How many calls all candidates together have in flight, for the same rule.
    pub(crate) in_flight: u32,
}

/// Whose turn it is. Each pick writes here, so nothing that picks only read is beside it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Turn(AtomicUsize);

impl Turn {
    #[inline]
    fn next(&self) -> usize {
        self.0.fetch_add(1, Relaxed)
    }
}

/// No instance takes more than this times its share of the calls in flight before its keys go to
/// the next: the ε of "Consistent Hashing with Bounded Loads" (Mirrokni, Thorup, Zadimoghaddam,
/// 2016) as HAProxy has it.
const BOUND: f64 = 1.25;

/// How far one that is well is looked for: no pick takes long, however many there are.
const NEAR: usize = 32;

impl<E> Group<E> {
    pub(crate) fn new(rule: Rule, candidates: Vec<Candidate<E>>) -> Self {
        let mut sum = 0.0;
        let sums = candidates.iter().filter(|_| rule == Rule::Weighted).map(|candidate| {
            sum += candidate.weight;
            sum
        });
        let sums = sums.collect();
        let ring = if rule == Rule::ConsistentHash {
            Ring::new(candidates.iter().map(|it| (it.instance.id.as_str(), it.weight)))
        } else {
            Ring::default()
        };
        let weight = candidates.iter().map(|it| it.weight).sum();
        Self { candidates, sums, weight, ring }
    }

    /// Picks one; `allowed` says which, and is disregarded where it allows none.
    #[inline]
    pub(crate) fn pick(
        &self,
        rule: Rule,
        turn: &Turn,
        ask: Ask,
        allowed: impl Fn(&Candidate<E>) -> bool,
    ) -> Option<&Candidate<E>> {
        let count = self.candidates.len();
        if count == 0 {
            return None;
        }
        let draw = if rule.is_drawn() { fastrand::u64(..) } else { 0 };
        let first = match rule {
            Rule::RoundRobin => turn.next() % count,
            Rule::Random => among(draw, count),
            Rule::Weighted => self.by_weight(turn.next()),
            Rule::LeastRequest => self.better(draw, |_, _| (1.0, 1.0)),
            Rule::PeakEwma => self.better(draw, Latency::beside),
            Rule::ConsistentHash => match ask.key {
                Some(key) => return self.by_key(key, ask.in_flight, allowed),
                // A call without a key goes anywhere.
                None => among(draw, count),
            },
        };
        let candidate = self.candidates.get(first)?;
        if allowed(candidate) {
            return Some(candidate);
        }
        let (before, after) = self.candidates.split_at(first);
        after.iter().chain(before).find(|it| allowed(it)).or(Some(candidate))
    }

    /// The better of two that are drawn, by their latencies and the calls in flight.
    #[inline]
    fn better(&self, draw: u64, latencies: impl Fn(&Latency, &Latency) -> (f32, f32)) -> usize {
        let count = self.candidates.len();
        let first = among(draw, count);
        if count == 1 {
            return first;
        }
        // Any but the first: both halves of the draw are random by themselves.
        let second = first + 1 + among(draw << 32, count - 1);
        let second = if second < count { second } else { second - count };
        let [one, other] = [first, second].map(|index| &self.candidates[index]);
        let [mut of_one, mut of_other] = [one, other].map(|it| it.in_flight() as f32 + 1.0);
        let failing = [one, other].map(|it| it.load.is_failing());
        if failing != [false; 2] {
            let well = if failing == [true; 2] { self.well_after(first) } else { None };
            if let Some(well) = well {
                return well;
            }
            let now = Instant::now();
            of_one += one.load.penalty(now);
            of_other += other.load.penalty(now);
        }
        let (mine, others) = latencies(one.load.latency(), other.load.latency());
        // Each cost is divided by its weight: here both are multiplied by both weights.
        let mine = f64::from(mine * of_one) * other.weight;
        let others = f64::from(others * of_other) * one.weight;
        if others < mine { second } else { first }
    }

    /// One whose last call has not failed, if there is any near.
    ///
    /// Where several instances are bad and only some may be taken out, both that are drawn are often
    /// bad ones. Beside a good one they still stand by what they cost, so that they come back.
    #[cold]
    fn well_after(&self, index: usize) -> Option<usize> {
        let count = self.candidates.len();
        let mut near = (1..count.min(NEAR)).map(|step| (index + step) % count);
        near.find(|it| !self.candidates[*it].load.is_failing())
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
        allowed: impl Fn(&Candidate<E>) -> bool,
    ) -> Option<&Candidate<E>> {
        let per_weight = BOUND * f64::from(in_flight.saturating_add(1)) / self.weight;
        let on_ring = || self.ring.from(key).filter_map(|index| self.candidates.get(index));
        let has_room =
            |it: &&Candidate<E>| f64::from(it.in_flight()) < (per_weight * it.weight).ceil();
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
