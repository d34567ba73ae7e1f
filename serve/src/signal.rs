use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use tokio::sync::Notify;

/// What the server tells its connections: to retire, once to finish, and later to stop.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    order: AtomicU8,
    /// How often those that there were have been told to retire.
    retired: AtomicU32,
    changed: Notify,
}

/// What connections are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// Go on.
    Serve,
    /// Answer what has been asked, and take no more; the server goes on without them.
    Retire,
    /// Answer what has been asked, and take no more.
    Finish,
    /// Stop at once.
    Stop,
}

/// How often others had been told to retire when a connection was accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Born(u32);

impl Signal {
    pub(crate) fn give(&self, order: Order) {
        self.order.store(order as u8, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Has all connections that were accepted so far retire.
    pub(crate) fn retire(&self) {
        self.retired.fetch_add(1, Ordering::Release);
        self.changed.notify_waiters();
    }

    pub(crate) fn born(&self) -> Born {
        Born(self.retired.load(Ordering::Acquire))
    }

    pub(crate) fn order(&self, born: Born) -> Order {
        let all = self.all();
        let outdated = self.retired.load(Ordering::Acquire) != born.0;
        if outdated { all.max(Order::Retire) } else { all }
    }

    /// What all connections are to do.
    fn all(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Retire,
            2 => Order::Finish,
            _ => Order::Stop,
        }
    }

    /// Waits until the order for all is at least this.
    pub(crate) async fn reached(&self, order: Order) {
        self.wait(|| self.all() >= order).await;
    }

    /// Waits until the order for connections of this age is at least this.
    pub(crate) async fn reached_by(&self, born: Born, order: Order) {
        self.wait(|| self.order(born) >= order).await;
    }

    async fn wait(&self, done: impl Fn() -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if done() {
                return;
            }
            changed.await;
        }
    }
}

impl Order {
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Serve => Self::Retire,
            Self::Retire => Self::Finish,
            Self::Finish | Self::Stop => Self::Stop,
        }
    }
}
