use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::Notify;

/// What the server tells its connections: once to finish, and later to stop.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    order: AtomicU8,
    changed: Notify,
}

/// What connections are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// Go on.
    Serve,
    /// Answer what has been asked, and take no more.
    Finish,
    /// Stop at once.
    Stop,
}

impl Signal {
    pub(crate) fn give(&self, order: Order) {
        self.order.store(order as u8, Ordering::Release);
        self.changed.notify_waiters();
    }

    pub(crate) fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::Serve,
            1 => Order::Finish,
            _ => Order::Stop,
        }
    }

    /// Waits until the order is at least this.
    pub(crate) async fn reached(&self, order: Order) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.order() >= order {
                return;
            }
            changed.await;
        }
    }
}

impl Order {
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Serve => Self::Finish,
            Self::Finish | Self::Stop => Self::Stop,
        }
    }
}
