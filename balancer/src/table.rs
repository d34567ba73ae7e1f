//! Which instances can be picked at one time, made anew when something has changed.

use crate::{
    Balance, Decision, NoEndpoints, Share, Tally,
    ejection::Record,
    load::Seat,
    policy::{Ask, Candidate, Group, Rule, Turn},
    spill,
};
use purlin_endpoint::{Context, Tried};
use purlin_sd::{Instance, Members};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use twox_hash::XxHash64;

/// What is kept of an instance for as long as it is there.
#[derive(Debug)]
pub(crate) struct Known<E> {
    /// Its member's key.
    pub(crate) key: u64,
    /// The only reference that is no call's.
    pub(crate) seat: Arc<Seat<E>>,
    pub(crate) record: Record,
    /// Since when it is there, if it came later than the first ones.
    pub(crate) since: Option<Instant>,
    /// What was counted when the last interval ended.
    pub(crate) counted: Tally,
}

impl<E> Known<E> {
    pub(crate) fn in_flight(&self) -> u32 {
        (Arc::strong_count(&self.seat) as u32).saturating_sub(1)
    }
}

/// All that a pick looks at.
///
/// Who calls may keep it for as long as it likes: it does not keep instances that are gone.
#[derive(Debug)]
pub(crate) struct Table<E> {
    /// Later ones have higher numbers.
    pub(crate) version: u64,
    /// The preferred ones, and the others.
    pub(crate) groups: [Group<E>; 2],
    /// What goes to the preferred ones.
    pub(crate) share: Share,
    /// What is said where there is nobody.
    pub(crate) none: NoEndpoints,
    /// How many are not well: out, or said to be by their registry.
    pub(crate) unwell: usize,
    /// When the weights change because instances are new.
    pub(crate) grows: bool,
}

/// A new instance gets at least this share of its weight.
const LEAST: f64 = 0.1;

impl<E> Table<E> {
    pub(crate) fn new(
        version: u64,
        balance: &Balance,
        members: &Members<E>,
        known: &[Known<E>],
        now: Instant,
    ) -> Self {
        let mut chosen = chosen(balance, members);
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
                    let (instance, known) = (members[index].instance(), &known[index]);
                    let grown = grown(balance, known.since, now);
                    grows |= grown < 1.0;
                    Candidate {
                        load: known.seat.load.clone(),
                        seat: Arc::downgrade(&known.seat),
                        instance: instance.clone(),
                        weight: f64::from(instance.weight.max(1)) * grown,
                    }
                })
                .collect();
            Group::new(balance.rule, candidates)
        };
        let groups = [group(&near, shares[0].panic), group(&far, shares[1].panic)];
        let snapshot = members.snapshot();
        Self {
            version,
            none: NoEndpoints {
                seen: snapshot.instances().len(),
                filtered: members.len() - chosen.len(),
                failed: members.failed().len(),
                known: snapshot.is_known(),
                registry: snapshot.error().cloned(),
            },
            unwell: chosen.iter().filter(|index| !well(index)).count(),
            groups,
            share: shares[0],
            grows: grows && !matches!(balance.rule, Rule::RoundRobin | Rule::Random),
        }
    }

    /// Chooses for a call with this context.
    #[inline]
    pub(crate) fn choose(
        &self,
        rule: Rule,
        turns: &[Turn; 2],
        ask: Ask,
        context: &Context,
    ) -> Option<&Candidate<E>> {
        let Share { part, .. } = self.share;
        // Where all goes to one group, nothing needs to be drawn for it.
        let near = part >= 1.0 || (part > 0.0 && fastrand::f64() < part);
        let index = usize::from(!near);
        let (group, turn) = (&self.groups[index], &turns[index]);
        match context.get::<Tried>() {
            None => group.pick(rule, turn, ask, |_| true),
            // Another group may have one that was not tried.
            Some(tried) => fresh([group, &self.groups[usize::from(near)]], rule, turn, ask, tried),
        }
    }

    /// What is said of a pick.
    pub(crate) fn decision(&self, rule: Rule, picked: &Arc<Instance>) -> Decision {
        Decision {
            rule: rule.name(),
            seen: self.none.seen,
            filtered: self.none.filtered,
            unwell: self.unwell,
            panic: self.share.panic,
            picked: picked.clone(),
        }
    }
}

/// One that was not tried, or any of the first group if there is none.
#[cold]
fn fresh<'t, E>(
    groups: [&'t Group<E>; 2],
    rule: Rule,
    turn: &Turn,
    ask: Ask,
    tried: &Tried,
) -> Option<&'t Candidate<E>> {
    let fresh = |it: &Candidate<E>| !tried.contains(it.load.id());
    let picked = |group: &'t Group<E>| group.pick(rule, turn, ask, fresh).filter(|it| fresh(it));
    let picked = groups.into_iter().find_map(picked);
    picked.or_else(|| groups[0].pick(rule, turn, ask, |_| true))
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
