use crate::{
    AtRedis, Change, WhenAway,
    link::{Link, Step},
};
use purlin_endpoint::{Context, Invalid};
use purlin_ratelimit::{Limited, RateLimit};
use redis::{AsyncConnectionConfig, RedisError, RedisResult, Script, aio::MultiplexedConnection};
use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};

/// What all clones of a layer share.
pub(crate) struct State {
    at: AtRedis,
    /// The limit as it is now.
    limit: Mutex<RateLimit>,
    link: Mutex<Link<MultiplexedConnection>>,
    /// Wakes those who wait for the link.
    moved: Notify,
    script: Script,
    refused: AtomicU64,
}

/// What Redis is asked for one call.
pub(crate) struct Question {
    bucket: String,
    terms: Terms,
    deadline: Option<Instant>,
}

/// A limit as the script reckons with it, in its ticks.
#[derive(Debug, PartialEq)]
struct Terms {
    interval: u64,
    slack: u64,
    patience: u64,
    /// The patience of calls without a deadline.
    longest: u64,
}

/// The script counts in sixteenths of a microsecond.
const TICKS_PER_SECOND: f64 = 16e6;

impl Terms {
    fn of(limit: &RateLimit, left: Option<Duration>) -> Self {
        let ticks = |duration: Duration| (duration.as_secs_f64() * TICKS_PER_SECOND) as u64;
        let century = Duration::from_secs(100 * 365 * 24 * 60 * 60);
        let longest = ticks(limit.patience.min(century));
        // Rounded up, so that no rate is above what was asked for.
        let interval = (limit.period.as_secs_f64() * TICKS_PER_SECOND / limit.calls).ceil();
        let interval = interval.max(1.0) as u64;
        Self {
            interval,
            slack: interval.saturating_mul(u64::from(limit.burst) - 1),
            patience: left.map_or(longest, |left| longest.min(ticks(left))),
            longest,
        }
    }
}

/// Why there is no answer.
enum Silence {
    /// Redis is known to be away, and the next attempt is after this long.
    Away(Duration),
    /// Redis said or did something that it should not.
    Failed(RedisError),
}

impl State {
    pub(crate) fn new(at: AtRedis) -> Self {
        Self {
            limit: Mutex::new(at.limit.limit),
            link: Mutex::new(Link::new(Instant::now())),
            moved: Notify::new(),
            script: Script::new(include_str!("gcra.lua")),
            refused: AtomicU64::new(0),
            at,
        }
    }

    pub(crate) fn question(&self, context: &Context) -> Question {
        let key = self.at.key.as_ref().and_then(|find| find(context));
        let name = &self.at.limit.name;
        let bucket = key.map_or_else(|| name.clone(), |key| format!("{name}:{key}"));
        let deadline = context.deadline();
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        Question { bucket, terms: Terms::of(&self.limit(), left), deadline }
    }

    /// Takes a token for a call, and waits for its turn.
    pub(crate) async fn admit(&self, question: Question) -> Result<(), Limited> {
        let mut attempt = Attempt { state: self, epoch: None };
        let asked = timeout(self.at.limit.timeout, self.ask(&question, &mut attempt.epoch)).await;
        let epoch = attempt.epoch.take();
        let why = match asked {
            Ok(Ok(answer)) => return self.obey(answer, question.deadline).await,
            Ok(Err(Silence::Away(retry_after))) => return self.without(retry_after),
            Ok(Err(Silence::Failed(error))) => error.to_string(),
            Err(_) => format!("no answer within {:?}", self.at.limit.timeout),
        };
        // Who has only waited for others knows nothing that they don't.
        if let Some(epoch) = epoch {
            let failed = self.link().failed(epoch, Instant::now(), fastrand::f64(), || why);
            self.tell(failed);
        }
        self.without(self.at.limit.timeout)
    }

    /// Asks Redis, over a connection that is made if there is none.
    async fn ask(
        &self,
        question: &Question,
        epoch: &mut Option<u64>,
    ) -> Result<(bool, Duration), Silence> {
        loop {
            // It hears of what happens from here on, so the link is looked at after it was made.
            let moved = self.moved.notified();
            let step = self.link().step(Instant::now(), self.at.limit.timeout, fastrand::f64());
            match step {
                Step::Ask(mut connection, now) => {
                    *epoch = Some(now);
                    match self.run(&mut connection, question).await {
                        // It broke since the last call. What it held may be counted twice then.
                        Err(error) if error.is_io_error() => {
                            self.link().broken(now, Instant::now());
                        }
                        answer => return answer.map_err(Silence::Failed),
                    }
                }
                Step::Connect(now) => {
                    *epoch = Some(now);
                    return self.connect(question).await.map_err(Silence::Failed);
                }
                Step::Wait => moved.await,
                Step::Without(retry_after) => return Err(Silence::Away(retry_after)),
            }
        }
    }

    async fn connect(&self, question: &Question) -> RedisResult<(bool, Duration)> {
        // There is one timeout, and it is the caller's.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let client = &self.at.client;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let answer = self.run(&mut connection, question).await?;
        let back = self.link().up(connection);
        self.tell(back);
        self.moved.notify_waiters();
        Ok(answer)
    }

    /// Runs the script: whether there is a token, and how long until it is there.
    async fn run(
        &self,
        connection: &mut MultiplexedConnection,
        question: &Question,
    ) -> RedisResult<(bool, Duration)> {
        let Terms { interval, slack, patience, longest } = question.terms;
        let mut call = self.script.key(&question.bucket);
        let (taken, wait): (bool, u64) = call
            .arg(interval)
            .arg(slack)
            .arg(patience)
            .arg(longest)
            .invoke_async(connection)
            .await?;
        Ok((taken, Duration::from_secs_f64(wait as f64 / TICKS_PER_SECOND)))
    }

    async fn obey(
        &self,
        (taken, wait): (bool, Duration),
        deadline: Option<Instant>,
    ) -> Result<(), Limited> {
        if taken && wait.is_zero() {
            return Ok(());
        }
        let turn = Instant::now() + wait;
        // The way to Redis and back took time too.
        if taken && deadline.is_none_or(|deadline| turn <= deadline) {
            sleep_until(turn).await;
            return Ok(());
        }
        self.refuse(wait)
    }

    fn without(&self, retry_after: Duration) -> Result<(), Limited> {
        match self.at.limit.when_away {
            WhenAway::Admit => Ok(()),
            WhenAway::Refuse => self.refuse(retry_after),
        }
    }

    fn refuse(&self, retry_after: Duration) -> Result<(), Limited> {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(Limited { retry_after })
    }

    fn tell(&self, change: Option<Change>) {
        if let Some(change) = change {
            self.moved.notify_waiters();
            (self.at.on_change)(&change);
        }
    }

    fn link(&self) -> MutexGuard<'_, Link<MultiplexedConnection>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn limit(&self) -> MutexGuard<'_, RateLimit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn update(&self, limit: RateLimit) -> Result<(), Invalid> {
        limit.check()?;
        *self.limit() = limit;
        Ok(())
    }

    pub(crate) fn name(&self) -> &str {
        &self.at.limit.name
    }

    pub(crate) fn is_away(&self) -> bool {
        self.link().is_away()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// What a call does about the link, for when it is dropped as it does it.
struct Attempt<'a> {
    state: &'a State,
    epoch: Option<u64>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(epoch) = self.epoch {
            self.state.link().abandoned(epoch, Instant::now());
            self.state.moved.notify_waiters();
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("at", &self.at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_limit_is_told_in_ticks_and_rounded_to_the_slower_side() {
        let limit = RateLimit::per_second(3).burst(4).patience(2 * SECOND);
        let interval = 5_333_334;
        let (slack, longest) = (3 * interval, 32_000_000);
        let terms = Terms { interval, slack, patience: longest, longest };
        assert_eq!(Terms::of(&limit, None), terms);
        assert_eq!(Terms::of(&limit, Some(SECOND)), Terms { patience: 16_000_000, ..terms });
    }
}
