//! What all clones of a balancer share, and the task that keeps it.

use crate::{
    Balance, NoEndpoints, Tally,
    ejection::{Record, eject, readmit, sweep},
    load::{InFlight, Load, Owner, Seat, Shared},
    policy::{Ask, Candidate, Rule, Turn},
    table::{Known, Table},
};
use arc_swap::ArcSwap;
use purlin_endpoint::Context;
use purlin_sd::{Endpoints, Member, Members};
use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// How often the weights of new instances are looked at.
const GROWTH: Duration = Duration::from_millis(500);

pub(crate) struct State<E> {
    pub(crate) balance: Balance,
    table: ArcSwap<Table<E>>,
    /// The version of that table: whoever has it already need not load it.
    version: AtomicU64,
    /// Held by whoever makes a new table.
    roster: Mutex<Roster<E>>,
    turns: [Turn; 2],
    pub(crate) refused: AtomicU64,
    shared: Arc<Shared>,
    task: OnceLock<Task>,
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Who is there, whether called or not.
pub(crate) struct Roster<E> {
    pub(crate) members: Arc<Members<E>>,
    /// What is kept of each member, in their order.
    pub(crate) known: Vec<Known<E>>,
}

impl<E> Roster<E> {
    fn table(&self, version: u64, balance: &Balance, now: Instant) -> Table<E> {
        Table::new(version, balance, &self.members, &self.known, now)
    }

    fn with_records<T>(&mut self, work: impl FnOnce(&mut [Record]) -> T) -> T {
        let mut records: Vec<Record> = self.known.iter().map(|it| it.record).collect();
        let done = work(&mut records);
        self.known.iter_mut().zip(records).for_each(|(it, record)| it.record = record);
        done
    }
}

impl<E: Send + Sync + 'static> State<E> {
    pub(crate) fn start(balance: Balance, endpoints: Endpoints<E>) -> Arc<Self> {
        let (members, now) = (endpoints.members(), Instant::now());
        // Those that are there from the start are no newcomers.
        let state = Arc::new_cyclic(|state: &Weak<Self>| {
            let shared = Arc::new(Shared {
                origin: now,
                patience: balance.ejection.map(|ejection| ejection.consecutive),
                owner: state.clone(),
                in_flight: balance.key.is_some().then(AtomicU32::default),
            });
            let new = |member| Known::new(member, &shared, None, now);
            let roster = Roster { known: members.iter().map(new).collect(), members };
            Self {
                table: ArcSwap::from_pointee(roster.table(0, &balance, now)),
                balance,
                version: AtomicU64::new(0),
                roster: Mutex::new(roster),
                turns: Default::default(),
                refused: AtomicU64::new(0),
                shared,
                task: OnceLock::new(),
            }
        });
        let task = tokio::spawn(keep(Arc::downgrade(&state), endpoints));
        state.task.get_or_init(|| Task(task));
        state
    }
}

impl<E> State<E> {
    #[inline]
    pub(crate) fn rule(&self) -> Rule {
        self.balance.rule
    }

    pub(crate) fn table(&self) -> Arc<Table<E>> {
        self.table.load_full()
    }

    pub(crate) fn roster(&self) -> MutexGuard<'_, Roster<E>> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chooses by the latest table, which the caller keeps from one call to the next, and shows what
    /// was chosen.
    #[inline]
    pub(crate) fn choose<T>(
        &self,
        table: &mut Arc<Table<E>>,
        context: &Context,
        show: impl FnOnce(&Table<E>, &Candidate<E>) -> T,
    ) -> Result<(InFlight<E>, T), NoEndpoints> {
        let ask = Ask {
            key: self.balance.key.as_ref().and_then(|key| key(context)),
            in_flight: self.shared.in_flight.as_ref().map_or(0, |all| all.load(Relaxed)),
        };
        loop {
            if table.version != self.version.load(Acquire) {
                *table = self.table();
            }
            let Some(candidate) = table.choose(self.rule(), &self.turns, ask, context) else {
                return Err(self.none(table));
            };
            // One that is gone is in no later table, and there is one.
            if let Some(seat) = candidate.seat.upgrade() {
                return Ok((InFlight::begin(seat), show(table, candidate)));
            }
        }
    }

    #[cold]
    fn none(&self, table: &Table<E>) -> NoEndpoints {
        self.refused.fetch_add(1, Relaxed);
        table.none.clone()
    }

    /// Has everybody pick from who is there now.
    fn publish(&self, roster: &Roster<E>, now: Instant) {
        // Nobody else makes a version while the roster is held.
        let version = self.version.load(Relaxed) + 1;
        self.table.store(Arc::new(roster.table(version, &self.balance, now)));
        self.version.store(version, Release);
    }

    /// Takes in the members that there are now.
    fn update(&self, members: Arc<Members<E>>, now: Instant) {
        let mut roster = self.roster();
        let first = roster.known.is_empty();
        let before = mem::take(&mut roster.known);
        let mut before: HashMap<u64, _> = before.into_iter().map(|it| (it.key, it)).collect();
        let since = (!first).then_some(now);
        let new = |member| Known::new(member, &self.shared, since, now);
        roster.known = members
            .iter()
            .map(|member| before.remove(&member.key()).unwrap_or_else(|| new(member)))
            .collect();
        roster.members = members;
        self.publish(&roster, now);
        // Those that are left have gone, but not before nobody finds them any more.
        drop(before);
    }

    /// Lets those back whose time is over, and the weights of new ones grow; at the end of an
    /// interval, compares them.
    fn pass(&self, interval_ends: bool, now: Instant) {
        let mut roster = self.roster();
        let mut changed = self.table.load().grows;
        if let Some(ejection) = &self.balance.ejection {
            let before: Vec<Record> = roster.known.iter().map(|it| it.record).collect();
            if interval_ends {
                let tallies: Vec<_> = roster.known.iter_mut().map(Known::tally).collect();
                roster.with_records(|records| sweep(ejection, records, &tallies, now));
            } else {
                roster.with_records(|records| readmit(ejection, records, now));
            }
            for (known, before) in roster.known.iter().zip(before) {
                if known.record != before {
                    known.seat.load.forgive();
                    changed = true;
                }
            }
        }
        if changed {
            self.publish(&roster, now);
        }
    }

    /// When [`pass`](Self::pass) has something to do before the interval ends.
    fn due(&self, now: Instant) -> Option<Instant> {
        let ejection = self.balance.ejection.as_ref();
        let back = self.roster().known.iter().filter_map(|it| it.record.back(ejection?)).min();
        let grows = self.table.load().grows.then(|| now + GROWTH);
        back.into_iter().chain(grows).min()
    }
}

impl<E: Send + Sync> Owner for State<E> {
    #[cold]
    fn failing(&self, load: &Load) {
        let Some(ejection) = &self.balance.ejection else { return };
        let (mut roster, now) = (self.roster(), Instant::now());
        let is_it = |known: &Known<E>| std::ptr::eq(&*known.seat.load, load);
        let Some(index) = roster.known.iter().position(is_it) else { return };
        // If too many are out already, this is asked again after as many failures more.
        if roster.with_records(|records| eject(ejection, records, index, now)) {
            load.forgive();
            self.publish(&roster, now);
        }
    }
}

impl<E> Known<E> {
    fn new(member: &Member<E>, shared: &Arc<Shared>, since: Option<Instant>, now: Instant) -> Self {
        let load = Arc::new(Load::new(&member.instance().id, shared.clone(), now));
        let seat = Arc::new(Seat { endpoint: member.endpoint().clone(), load });
        Self {
            key: member.key(),
            seat,
            record: Record::default(),
            since,
            counted: Tally::default(),
        }
    }

    /// What was counted since this was asked last.
    fn tally(&mut self) -> Tally {
        let counted = self.seat.load.tally();
        counted.since(mem::replace(&mut self.counted, counted))
    }
}

/// Follows the members and the time, for as long as there is a balancer.
async fn keep<E: Send + Sync + 'static>(state: Weak<State<E>>, mut endpoints: Endpoints<E>) {
    let Some(interval) = state.upgrade().map(|state| {
        // A member that came between the first table and now is not missed.
        state.update(endpoints.members(), Instant::now());
        state.balance.ejection.map_or(Duration::from_secs(10), |ejection| ejection.interval)
    }) else {
        return;
    };
    let mut ends = Instant::now() + interval;
    loop {
        let Some(due) = state.upgrade().map(|state| state.due(Instant::now())) else { return };
        let next = due.map_or(ends, |due| due.min(ends));
        let members = tokio::select! {
            members = endpoints.changed() => Some(members),
            () = sleep_until(next) => None,
        };
        let (Some(state), now) = (state.upgrade(), Instant::now()) else { return };
        match members {
            Some(members) => state.update(members, now),
            None => state.pass(now >= ends, now),
        }
        if now >= ends {
            ends = now + interval;
        }
    }
}
