//! Which instances can be picked at one time, made anew when something has changed.

use crate::{
    Balance, Share,
    ejection::Record,
    load::Load,
    policy::{Candidate, Group, Rule},
    spill,
};
use purlin_sd::{Instance, Members};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use twox_hash::XxHash64;

/// What is kept of an instance for as long as it is there.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Its member's key.
    pub(crate) key: u64,
    pub(crate) load: Arc<Load>,
    pub(crate) record: Record,
    /// Since when it is there, if it came later than the first ones.
    pub(crate) since: Option<Instant>,
}

/// All that a pick looks at.
#[derive(Debug)]
pub(crate) struct Table<E> {
    pub(crate) members: Arc<Members<E>>,
    /// What is kept of each member, in their order.
    pub(crate) known: Vec<Known>,
    /// The preferred ones, and the others.
    pub(crate) groups: [Group; 2],
    /// What goes to the preferred ones.
    pub(crate) share: Share,
    /// How many members a filter, the subset or their weight keeps out.
    pub(crate) filtered: usize,
    /// How many are not well: out, or said to be by their registry.
    pub(crate) unwell: usize,
    /// When the weights change because instances are new.
    pub(crate) grows: bool,
}

/// A new instance gets at least this share of its weight.
const LEAST: f64 = 0.1;

impl<E> Table<E> {
    pub(crate) fn new(
        balance: &Balance,
        members: Arc<Members<E>>,
        known: Vec<Known>,
        now: Instant,
    ) -> Self {
        let mut chosen = chosen(balance, &members);
        // Those of weight 0 are there for when there is nobody else.
        let heavy = |index: &usize| members[*index].instance().weight > 0;
        if chosen.iter().any(heavy) {
            chosen.retain(heavy);
        }
        let well =
            |index: &usize| members[*index].instance().healthy && !known[*index].record.is_out();
        let (near, far): (Vec<usize>, Vec<usize>) =
            chosen.iter().partition(|index| is_near(balance, members[**index].instance()));
        let part_well = |group: &[usize]| {
            group.iter().filter(|index| well(index)).count() as f64 / group.len() as f64
        };
        let shares = if far.is_empty() || near.is_empty() {
            let group = if near.is_empty() { &far } else { &near };
            let only = spill(&[part_well(group)], balance.panic_threshold);
            let share = only.first().copied().unwrap_or(Share { part: 1.0, panic: false });
            if near.is_empty() {
                [Share { part: 0.0, panic: false }, share]
            } else {
                [share, Share { part: 0.0, panic: false }]
            }
        } else {
            let both = spill(&[part_well(&near), part_well(&far)], balance.panic_threshold);
            [both[0], both[1]]
        };
        let mut grows = false;
        let mut group = |indices: &[usize], panic: bool| {
            let any_well = indices.iter().any(well);
            let candidates = indices
                .iter()
                .filter(|index| well(index) || panic || !any_well)
                .map(|&index| {
                    let grown = grown(balance, known[index].since, now);
                    grows |= grown < 1.0;
                    let weight = f64::from(members[index].instance().weight.max(1)) * grown;
                    Candidate { index, load: known[index].load.clone(), weight }
                })
                .collect();
            Group::new(balance.rule, candidates, |index| members[index].instance().id.as_str())
        };
        let groups = [group(&near, shares[0].panic), group(&far, shares[1].panic)];
        Self {
            filtered: members.len() - chosen.len(),
            unwell: chosen.iter().filter(|index| !well(index)).count(),
            groups,
            share: shares[0],
            grows: grows && !matches!(balance.rule, Rule::RoundRobin | Rule::Random),
            known,
            members,
        }
    }
}

/// The indices of the members that the filters and the subset leave.
fn chosen<E>(balance: &Balance, members: &Members<E>) -> Vec<usize> {
    let passes = |instance: &Instance| balance.filters.iter().all(|holds| holds(instance));
    let mut chosen: Vec<usize> =
        (0..members.len()).filter(|index| passes(members[*index].instance())).collect();
    if let Some((size, seed)) = balance.subset
        && chosen.len() > size
    {
        // Those with the highest hashes: who comes or goes changes the choice of one at most.
        chosen.sort_by_cached_key(|index| {
            std::cmp::Reverse(XxHash64::oneshot(seed, members[*index].instance().id.as_bytes()))
        });
        chosen.truncate(size);
        chosen.sort_unstable();
    }
    chosen
}

fn is_near(balance: &Balance, instance: &Instance) -> bool {
    balance.zone.is_none() || instance.zone == balance.zone
}

/// How much of its weight an instance gets that is there since then.
fn grown(balance: &Balance, since: Option<Instant>, now: Instant) -> f64 {
    match since {
        Some(since) if balance.slow_start > Duration::ZERO => {
            let age = now.saturating_duration_since(since).as_secs_f64();
            (age / balance.slow_start.as_secs_f64()).clamp(LEAST, 1.0)
        }
        _ => 1.0,
    }
}
