use crate::{
    Balance, Decision, NoEndpoints, load::InFlight, policy::Candidate, state::State, table::Table,
};
use purlin_endpoint::{Context, Inspect};
use purlin_sd::{Endpoints, Instance};
use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::time::Instant;

/// Picks an instance for each call.
///
/// Clones share all state, and the task that keeps it, which ends with the last clone. It is made by
/// [`Balance::over`]; [`endpoint`](Self::endpoint) is what is called.
pub struct Balancer<E>(Arc<State<E>>);

impl<E: Send + Sync + 'static> Balancer<E> {
    pub(crate) fn start(balance: Balance, endpoints: Endpoints<E>) -> Self {
        Self(State::start(balance, endpoints))
    }
}

impl<E> Balancer<E> {
    /// Picks an instance for a call with this context, and counts it as in flight until the pick is
    /// dropped.
    ///
    /// Instances that the context says have been [`Tried`](purlin_endpoint::Tried) are passed over
    /// as long as there are others.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn pick(&self, context: &Context) -> Result<Pick<E>, NoEndpoints> {
        let instance = |_: &Table<E>, it: &Candidate<E>| it.instance.clone();
        let (seat, instance) = self.0.choose(&mut self.0.table(), context, instance)?;
        Ok(Pick { seat, instance })
    }

    /// What would be said of a pick for a call with this context. It is not counted as one.
    ///
    /// # Errors
    ///
    /// If there is no instance.
    pub fn explain(&self, context: &Context) -> Result<Decision, NoEndpoints> {
        let rule = self.0.rule();
        let decision = |table: &Table<E>, it: &Candidate<E>| table.decision(rule, &it.instance);
        Ok(self.0.choose(&mut self.0.table(), context, decision)?.1)
    }

    pub(crate) fn state(&self) -> &State<E> {
        &self.0
    }
}

impl<E> Clone for Balancer<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E> fmt::Debug for Balancer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer").field("balance", &self.0.balance).finish_non_exhaustive()
    }
}

/// An instance that was picked for a call, which counts as in flight until this is dropped.
pub struct Pick<E> {
    seat: InFlight<E>,
    instance: Arc<Instance>,
}

impl<E> Pick<E> {
    /// What is known of the instance.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// What calls it.
    pub fn endpoint(&self) -> &Arc<E> {
        &self.seat.endpoint
    }
}

impl<E> Drop for Pick<E> {
    fn drop(&mut self) {
        self.seat.load.pass_over();
    }
}

impl<E> fmt::Debug for Pick<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pick").field(&self.instance).finish()
    }
}

impl<E: Send + Sync> Inspect for Balancer<E> {
    fn name(&self) -> String {
        "balancer".into()
    }

    fn snapshot(&self) -> String {
        let (state, table, now) = (&self.0, self.0.table(), Instant::now());
        let roster = state.roster();
        let instances: Vec<_> = roster.members.iter().zip(&roster.known).map(|(member, known)| {
            let back = state.balance.ejection.and_then(|it| known.record.back(&it));
            let (load, in_flight) = (&known.seat.load, known.in_flight());
            serde_json::json!({
                "id": member.instance().id,
                "address": member.instance().address,
                "zone": member.instance().zone,
                "version": member.instance().version,
                "weight": member.instance().weight,
                "healthy": member.instance().healthy,
                "in_flight": in_flight,
                "picked": load.ended() + u64::from(in_flight),
                "latency_us": load.micros(now),
                "ejected_for_ms": back.map(|back| back.saturating_duration_since(now).as_millis() as u64),
            })
        }).collect();
        serde_json::json!({
            "rule": state.rule().name(),
            "seen": table.none.seen,
            "filtered": table.none.filtered,
            "unwell": table.unwell,
            "panic": table.share.panic,
            "refused": state.refused.load(Relaxed),
            "registry_error": table.none.registry.as_ref().map(ToString::to_string),
            "instances": instances,
        })
        .to_string()
    }
}
