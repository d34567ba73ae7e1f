use crate::{
    Balance, Decision, NoEndpoints, Share,
    ejection::{Record, eject, readmit, sweep},
    load::{Load, Owner, Shared},
    policy::{Ask, Candidate, Rule},
    table::{Known, Table},
};
use arc_swap::{ArcSwap, Guard};
use purlin_endpoint::{Context, Inspect, Tried};
use purlin_sd::{Endpoints, Member, Members};
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// Picks an instance for each call.
///
/// Clones share all state, and the task that keeps it, which ends with the last clone. It is made by
/// [`Balance::over`]; [`endpoint`](Self::endpoint) is what is called.
pub struct Balancer<E> {
    state: Arc<State<E>>,
    task: Arc<Task>,
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How often the weights of new instances are looked at.
const GROWTH: Duration = Duration::from_millis(500);

pub(crate) struct State<E> {
    balance: Balance,
    table: ArcSwap<Table<E>>,
    /// Held by whoever makes a new table.
    making: Mutex<()>,
    turns: [AtomicUsize; 2],
    refused: AtomicU64,
    shared: Arc<Shared>,
}

impl<E: Send + Sync + 'static> Balancer<E> {
    pub(crate) fn start(balance: Balance, endpoints: Endpoints<E>) -> Self {
        let (members, now) = (endpoints.members(), Instant::now());
        // Those that are there from the start are no newcomers.
        let state = Arc::new_cyclic(|state: &Weak<State<E>>| {
            let shared = Arc::new(Shared {
                patience: balance.ejection.map(|ejection| ejection.consecutive),
                owner: state.clone(),
                in_flight: balance.key.is_some().then(AtomicU32::default),
            });
            let new = |member| Known::new(member, &shared, None, now);
            let known = members.iter().map(new).collect();
            let table = ArcSwap::from_pointee(Table::new(&balance, members, known, now));
            let turns = [AtomicUsize::new(0), AtomicUsize::new(0)];
            let (making, refused) = (Mutex::new(()), AtomicU64::new(0));
            State { balance, table, making, turns, refused, shared }
        });
        let task = tokio::spawn(keep(Arc::downgrade(&state), endpoints));
        Self { state, task: Arc::new(Task(task)) }
    }
}

impl<E> Balancer<E> {
    /// Picks an instance for a call with this context, and counts it as in flight until the pick is
    /// dropped.
    ///
    /// Instances that the context says have been [`Tried`] are passed over as long as there are
    /// others.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn pick(&self, context: &Context) -> Result<Pick<E>, NoEndpoints> {
        self.state.pick(context)
    }

    /// What would be said of a pick for a call with this context. It is not counted as one.
    ///
    /// # Errors
    ///
    /// If there is no instance.
    pub fn explain(&self, context: &Context) -> Result<Decision, NoEndpoints> {
        let pick = self.pick(context)?;
        Ok(pick.decision())
    }

    pub(crate) fn state(&self) -> &Arc<State<E>> {
        &self.state
    }
}

impl<E> Clone for Balancer<E> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), task: self.task.clone() }
    }
}

impl<E> fmt::Debug for Balancer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer").field("balance", &self.state.balance).finish_non_exhaustive()
    }
}

/// An instance that was picked for a call, which counts as in flight until this is dropped.
pub struct Pick<E> {
    table: Arc<Table<E>>,
    index: usize,
    rule: Rule,
}

impl<E> State<E> {
    pub(crate) fn is_timed(&self) -> bool {
        self.balance.rule.is_timed()
    }

    fn pick(&self, context: &Context) -> Result<Pick<E>, NoEndpoints> {
        let table = self.table.load();
        let now = self.is_timed().then(Instant::now);
        let index = self.choose(&table, context, now)?;
        table.known[index].load.begin();
        let table = Guard::into_inner(table);
        Ok(Pick { table, index, rule: self.balance.rule })
    }

    /// Chooses, and works on the chosen member and its load without touching reference counts.
    #[inline]
    pub(crate) fn with_choice<T>(
        &self,
        context: &Context,
        now: Option<Instant>,
        work: impl FnOnce(&Member<E>, &Arc<Load>) -> T,
    ) -> Result<T, NoEndpoints> {
        let table = self.table.load();
        let index = self.choose(&table, context, now)?;
        let load = &table.known[index].load;
        load.begin();
        Ok(work(&table.members[index], load))
    }

    #[inline]
    fn choose(
        &self,
        table: &Table<E>,
        context: &Context,
        now: Option<Instant>,
    ) -> Result<usize, NoEndpoints> {
        let Share { part, .. } = table.share;
        // Where all goes to one group, nothing needs to be drawn for it.
        let near = part >= 1.0 || (part > 0.0 && fastrand::f64() < part);
        let (group, turn) = if near {
            (&table.groups[0], &self.turns[0])
        } else {
            (&table.groups[1], &self.turns[1])
        };
        let ask = Ask {
            now,
            key: self.balance.key.as_ref().and_then(|key| key(context)),
            in_flight: self.shared.in_flight.as_ref().map_or(0, |all| all.load(Relaxed)),
            draw: fastrand::u64(..),
        };
        let rule = self.balance.rule;
        let picked = match context.get::<Tried>() {
            None => group.pick(rule, turn, &ask, |_| true),
            Some(tried) => {
                let fresh =
                    |it: &Candidate| !tried.contains(&table.members[it.index].instance().id);
                // Another group may have one that was not tried.
                let other = &table.groups[usize::from(near)];
                group
                    .pick(rule, turn, &ask, fresh)
                    .filter(|it| fresh(it))
                    .or_else(|| other.pick(rule, turn, &ask, fresh).filter(|it| fresh(it)))
                    .or_else(|| group.pick(rule, turn, &ask, |_| true))
            }
        };
        picked.map(|it| it.index).ok_or_else(|| self.none(table))
    }

    #[cold]
    fn none(&self, table: &Table<E>) -> NoEndpoints {
        self.refused.fetch_add(1, Relaxed);
        let snapshot = table.members.snapshot();
        NoEndpoints {
            seen: snapshot.instances().len(),
            filtered: table.filtered,
            failed: table.members.failed().len(),
            known: snapshot.is_known(),
            registry: snapshot.error().cloned(),
        }
    }

    fn making(&self) -> MutexGuard<'_, ()> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, members: Arc<Members<E>>, known: Vec<Known>, now: Instant) {
        self.table.store(Arc::new(Table::new(&self.balance, members, known, now)));
    }

    /// Takes in the members that there are now.
    fn update(&self, members: Arc<Members<E>>, now: Instant) {
        let _making = self.making();
        let before = self.table.load();
        let old: HashMap<u64, &Known> = before.known.iter().map(|it| (it.key, it)).collect();
        let first = before.known.is_empty();
        let known = members
            .iter()
            .map(|member| match old.get(&member.key()) {
                Some(known) => (*known).clone(),
                None => Known::new(member, &self.shared, (!first).then_some(now), now),
            })
            .collect();
        self.make(members, known, now);
    }

    /// Lets those back whose time is over, and the weights of new ones grow; at the end of an
    /// interval, compares them.
    fn pass(&self, interval_ends: bool, now: Instant) {
        let _making = self.making();
        let table = self.table.load();
        let mut known = table.known.clone();
        let mut changed = table.grows;
        if let Some(ejection) = &self.balance.ejection {
            let before: Vec<Record> = known.iter().map(|it| it.record).collect();
            with_records(&mut known, |records| {
                if interval_ends {
                    let tallies: Vec<_> = table.known.iter().map(|it| it.load.tally()).collect();
                    sweep(ejection, records, &tallies, now);
                } else {
                    readmit(ejection, records, now);
                }
            });
            for (known, before) in known.iter().zip(before) {
                if known.record != before {
                    known.load.forgive();
                    changed = true;
                }
            }
        }
        if changed {
            self.make(table.members.clone(), known, now);
        }
    }

    /// When [`pass`](Self::pass) has something to do before the interval ends.
    fn due(&self, now: Instant) -> Option<Instant> {
        let table = self.table.load();
        let ejection = self.balance.ejection.as_ref();
        let back = table.known.iter().filter_map(|it| it.record.back(ejection?)).min();
        let grows = table.grows.then(|| now + GROWTH);
        back.into_iter().chain(grows).min()
    }
}

impl<E: Send + Sync> Owner for State<E> {
    #[cold]
    fn failing(&self, load: &Load) {
        let Some(ejection) = &self.balance.ejection else { return };
        let _making = self.making();
        let (table, now) = (self.table.load(), Instant::now());
        let is_it = |known: &Known| std::ptr::eq(&*known.load, load);
        let Some(index) = table.known.iter().position(is_it) else { return };
        let mut known = table.known.clone();
        let changed = with_records(&mut known, |records| eject(ejection, records, index, now));
        // If too many are out already, this is asked again after as many failures more.
        if changed {
            load.forgive();
            self.make(table.members.clone(), known, now);
        }
    }
}

impl Known {
    fn new<E>(
        member: &Member<E>,
        shared: &Arc<Shared>,
        since: Option<Instant>,
        now: Instant,
    ) -> Self {
        let load = Arc::new(Load::new(&member.instance().id, shared.clone(), now));
        Self { key: member.key(), load, record: Record::default(), since }
    }
}

fn with_records<T>(known: &mut [Known], work: impl FnOnce(&mut [Record]) -> T) -> T {
    let mut records: Vec<Record> = known.iter().map(|it| it.record).collect();
    let done = work(&mut records);
    known.iter_mut().zip(records).for_each(|(it, record)| it.record = record);
    done
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

impl<E> Pick<E> {
    /// The member that was picked.
    pub fn member(&self) -> &Member<E> {
        &self.table.members[self.index]
    }

    /// What was seen, filtered and picked.
    pub fn decision(&self) -> Decision {
        Decision {
            rule: self.rule.name(),
            seen: self.table.members.snapshot().instances().len(),
            filtered: self.table.filtered,
            unwell: self.table.unwell,
            panic: self.table.share.panic,
            picked: self.member().instance().clone(),
        }
    }
}

impl<E> Drop for Pick<E> {
    fn drop(&mut self) {
        self.table.known[self.index].load.finish();
    }
}

impl<E> fmt::Debug for Pick<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pick").field(self.member().instance()).finish()
    }
}

impl<E: Send + Sync> Inspect for Balancer<E> {
    fn name(&self) -> String {
        "balancer".into()
    }

    fn snapshot(&self) -> String {
        let (table, now) = (self.state.table.load(), Instant::now());
        let instances: Vec<_> = table.members.iter().zip(&table.known).map(|(member, known)| {
            let back = self.state.balance.ejection.and_then(|it| known.record.back(&it));
            serde_json::json!({
                "id": member.instance().id,
                "address": member.instance().address,
                "zone": member.instance().zone,
                "version": member.instance().version,
                "weight": member.instance().weight,
                "healthy": member.instance().healthy,
                "in_flight": known.load.in_flight(),
                "picked": known.load.picked(),
                "latency_us": known.load.latency().micros(now),
                "ejected_for_ms": back.map(|back| back.saturating_duration_since(now).as_millis() as u64),
            })
        }).collect();
        serde_json::json!({
            "rule": self.state.balance.rule.name(),
            "seen": table.members.snapshot().instances().len(),
            "filtered": table.filtered,
            "unwell": table.unwell,
            "panic": table.share.panic,
            "refused": self.state.refused.load(Relaxed),
            "registry_error": table.members.snapshot().error().map(ToString::to_string),
            "instances": instances,
        })
        .to_string()
    }
}
