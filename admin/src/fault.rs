use crate::Action;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Either},
};
use purlin_endpoint::{Call, Code, Error, Inspect, Invalid, Layer, Service};
use serde::Serialize;
use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as Task, Poll},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// A fault that calls are to suffer.
///
/// ```
/// use purlin_admin::{Fault, FaultsLayer};
/// use purlin_endpoint::Code;
/// use std::time::Duration;
///
/// let faults = FaultsLayer::new();
/// let minute = Duration::from_secs(60);
/// faults.handle().inject(Fault::code(Code::Unavailable).share(0.5), minute)?;
/// assert_eq!(faults.handle().active(), 1);
///
/// let late = Fault::delay(Duration::from_millis(300)).method("greeter.Greeter/Greeting");
/// faults.handle().inject(late, minute)?;
/// faults.handle().clear();
/// assert_eq!(faults.handle().active(), 0);
/// # Ok::<_, purlin_endpoint::Invalid>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    method: Option<String>,
    share: f64,
    delay: Duration,
    code: Option<Code>,
}

impl Fault {
    /// Calls fail with this code, and the one who serves them is not asked.
    pub fn code(code: Code) -> Self {
        Self { method: None, share: 1.0, delay: Duration::ZERO, code: Some(code) }
    }

    /// Calls take so much longer.
    pub fn delay(delay: Duration) -> Self {
        Self { method: None, share: 1.0, delay, code: None }
    }

    /// Only calls of this method suffer it, as in `greeter.Greeter/Greeting`.
    #[must_use]
    pub fn method(self, method: impl Into<String>) -> Self {
        Self { method: Some(method.into()), ..self }
    }

    /// Only this share of the calls suffers it: more than 0, at most 1.
    #[must_use]
    pub fn share(self, share: f64) -> Self {
        Self { share, ..self }
    }

    /// Calls that fail do so only after this time.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    fn check(&self) -> Result<(), Invalid> {
        if !(self.share > 0.0 && self.share <= 1.0) {
            return Err(Invalid { field: "share", why: "is not more than 0 and at most 1" });
        }
        match self.code {
            Some(Code::Ok) => Err(Invalid { field: "code", why: "is OK, which is no fault" }),
            None if self.delay.is_zero() => {
                Err(Invalid { field: "delay", why: "is zero, which is no fault" })
            }
            _ => Ok(()),
        }
    }

    /// Whether a call of this method suffers it, at this draw of 0 to 1.
    fn hits(&self, method: Option<&str>, draw: f64) -> bool {
        draw < self.share && (self.method.is_none() || self.method.as_deref() == method)
    }
}

/// How many faults there can be at once.
const MOST: usize = 32;

#[derive(Debug, Default)]
struct Table {
    /// Whether there is any: all that a call asks while there is none.
    any: AtomicBool,
    faults: Mutex<Vec<(Fault, Instant)>>,
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, Vec<(Fault, Instant)>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what has expired.
    fn tidy(&self, now: Instant) -> MutexGuard<'_, Vec<(Fault, Instant)>> {
        let mut faults = self.lock();
        faults.retain(|(_, until)| *until > now);
        self.any.store(!faults.is_empty(), Ordering::Relaxed);
        faults
    }

    /// The first fault that hits a call.
    fn strike(&self, request: &impl Call) -> Option<Fault> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let method = request.context().method().map(ToString::to_string);
        let faults = self.tidy(Instant::now());
        let hit = faults.iter().find(|(fault, _)| fault.hits(method.as_deref(), fastrand::f64()));
        hit.map(|(fault, _)| fault.clone())
    }
}

/// Has calls fail or wait, when somebody says so and for as long as they say.
///
/// While there is no fault, a call costs one look more. Clones, and all that they wrap, share their
/// faults.
#[derive(Clone, Debug, Default)]
pub struct FaultsLayer(Arc<Table>);

impl FaultsLayer {
    /// Without a fault.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets faults and shows them.
    pub fn handle(&self) -> FaultsHandle {
        FaultsHandle(self.0.clone())
    }
}

impl<S> Layer<S> for FaultsLayer {
    type Service = Faulty<S>;

    fn layer(&self, inner: S) -> Faulty<S> {
        Faulty { table: self.0.clone(), inner }
    }
}

/// A service behind faults.
#[derive(Clone, Debug)]
pub struct Faulty<S> {
    table: Arc<Table>,
    inner: S,
}

impl<Req, S> Service<Req> for Faulty<S>
where
    Req: Call + Send + 'static,
    S: Service<Req, Response: Send, Error: From<Error> + Send, Future: Send>
        + Clone
        + Send
        + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let Some(fault) = self.table.strike(&request) else {
            return Either::Left(self.inner.call(request));
        };
        request.context().notes().say("faults", || match fault.code {
            Some(code) => format!("injected {code}"),
            None => format!("injected a delay of {:?}", fault.delay),
        });
        // The one that was asked whether it is ready is the one that is called.
        let fresh = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, fresh);
        let suffer = async move {
            sleep(fault.delay).await;
            match fault.code {
                Some(code) => Err(Error::new(code, "an injected fault").into()),
                None => inner.call(request).await,
            }
        };
        Either::Right(suffer.boxed())
    }
}

/// Sets the faults of a [`FaultsLayer`].
#[derive(Clone, Debug)]
pub struct FaultsHandle(Arc<Table>);

impl FaultsHandle {
    /// Has calls suffer a fault for so long.
    ///
    /// # Errors
    ///
    /// If it is none, if its share makes no sense, or if there are 32 already.
    pub fn inject(&self, fault: Fault, lasts: Duration) -> Result<(), Invalid> {
        fault.check()?;
        let now = Instant::now();
        let Some(until) = now.checked_add(lasts) else {
            return Err(Invalid { field: "for", why: "is too long to be told" });
        };
        let mut faults = self.0.tidy(now);
        if faults.len() == MOST {
            return Err(Invalid { field: "fault", why: "is one more than 32" });
        }
        faults.push((fault, until));
        self.0.any.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Ends all faults.
    pub fn clear(&self) {
        self.0.lock().clear();
        self.0.any.store(false, Ordering::Relaxed);
    }

    /// How many faults there are.
    pub fn active(&self) -> usize {
        self.0.tidy(Instant::now()).len()
    }

    /// What sets a fault from the page: `inject-fault`.
    pub fn inject_action(&self) -> Action {
        let handle = self.clone();
        let codes = (1..=16).map(|number| Code::from_number(number).as_str());
        Action::new("inject-fault", "Has calls fail or wait, for a while")
            .text("method", "")
            .choice("code", ["none"].into_iter().chain(codes))
            .duration("delay", "0s")
            .number("share", "1")
            .duration("for", "1m")
            .run(move |input| {
                let mut fault = Fault::delay(input.duration("delay")).share(input.number("share"));
                fault.code = input.text("code").parse().ok();
                fault.method = Some(input.text("method").to_owned()).filter(|it| !it.is_empty());
                let lasts = input.duration("for");
                handle.inject(fault, lasts).map_err(|invalid| invalid.to_string())?;
                Ok(format!("calls suffer it for {lasts:?}"))
            })
    }

    /// What ends all faults from the page: `clear-faults`.
    pub fn clear_action(&self) -> Action {
        let handle = self.clone();
        Action::new("clear-faults", "Ends all injected faults").run(move |_| {
            handle.clear();
            Ok("there are no faults now".to_owned())
        })
    }
}

/// One fault as the page shows it.
#[derive(Serialize)]
struct Shown {
    method: Option<String>,
    share: f64,
    delay_ms: u128,
    code: Option<&'static str>,
    left_s: u64,
}

/// Shows all faults as a JSON array of objects.
impl Inspect for FaultsHandle {
    fn name(&self) -> String {
        "faults".to_owned()
    }

    fn snapshot(&self) -> String {
        let now = Instant::now();
        let shown = |(fault, until): &(Fault, Instant)| Shown {
            method: fault.method.clone(),
            share: fault.share,
            delay_ms: fault.delay.as_millis(),
            code: fault.code.map(Code::as_str),
            left_s: until.saturating_duration_since(now).as_secs(),
        };
        let all: Vec<_> = self.0.tidy(now).iter().map(shown).collect();
        // Numbers and texts can always be written.
        serde_json::to_string(&all).unwrap_or_default()
    }
}
