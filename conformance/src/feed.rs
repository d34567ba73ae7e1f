//! Streams of requests that are fed while their call goes on.

use futures_util::stream;
use purlin_endpoint::Streaming;
use tokio::sync::mpsc;

/// A stream that ends with its sender. A sender that has room again knows that the transport has
/// taken what was sent before.
pub(crate) fn feed<M: Send + 'static>() -> (mpsc::Sender<M>, Streaming<M>) {
    let (sender, receiver) = mpsc::channel(1);
    let messages = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|message| (Ok(message), receiver))
    });
    (sender, Streaming::new(messages))
}
