//! The cases: what is called, and what must come of it on both sides.

use super::server::{
    Misbehaviour,
    Misbehaviour::{
        GoAway, LeaveOut, OneStream, Pings, ResetAfterData, ResetAfterHead, ResetDuringData,
        SmallPieces,
    },
    Seen, Server,
};
use crate::interop::{LARGE, call_large_unary, large_unary, same};
use futures_util::{FutureExt as _, future::BoxFuture, future::join, future::try_join_all};
use purlin_endpoint::Code;
use purlin_transport_grpc::Channel;
use std::time::Duration;
use tokio::time::sleep;

/// The name of a case and what it does.
pub type Case = (&'static str, fn() -> BoxFuture<'static, Result<(), String>>);

/// All of them.
pub const CASES: &[Case] = &[
    ("goaway", || goaway().boxed()),
    ("rst_after_header", || reset(ResetAfterHead).boxed()),
    ("rst_during_data", || reset(ResetDuringData).boxed()),
    ("rst_after_data", || reset(ResetAfterData).boxed()),
    ("ping", || well(Pings).boxed()),
    ("max_streams", || max_streams().boxed()),
    ("data_frame_padding", || well(SmallPieces(255)).boxed()),
    ("no_df_padding_sanity_test", || well(SmallPieces(0)).boxed()),
];

async fn start(misbehaviour: Misbehaviour) -> Result<(Server, Channel), String> {
    let server = Server::start(misbehaviour).await.map_err(|error| error.to_string())?;
    let origin = format!("http://{}", server.address());
    Ok((server, Channel::new(origin.parse().map_err(|error| format!("{error}"))?)))
}

/// What the server has seen when the client has gone.
async fn ended(server: &Server, channel: Channel, connections: usize) -> Result<Seen, String> {
    drop(channel);
    for _ in 0..500 {
        let seen = server.seen();
        if seen.connections >= connections {
            return same("the connections", seen.connections, connections).map(|()| seen);
        }
        sleep(Duration::from_millis(10)).await;
    }
    Err(format!("{:?}, and not {connections} connections that have ended", server.seen()))
}

/// The second call has to take another connection, without its caller's doing anything.
async fn goaway() -> Result<(), String> {
    let (server, channel) = start(GoAway).await?;
    large_unary(channel.clone()).await?;
    large_unary(channel.clone()).await?;
    ended(&server, channel, 2).await.map(drop)
}

/// A call whose stream is reset fails, and leaves the connection to the next one.
async fn reset(misbehaviour: Misbehaviour) -> Result<(), String> {
    let (server, channel) = start(misbehaviour).await?;
    // It says that nothing is wrong, which is wrong.
    let failed = call_large_unary(channel.clone()).await.map_err(|error| error.code());
    same("the status", failed, Err(Code::Internal))?;
    large_unary(channel.clone()).await?;
    ended(&server, channel, 1).await.map(drop)
}

/// Nothing is wrong as far as a caller can see.
async fn well(misbehaviour: Misbehaviour) -> Result<(), String> {
    let (server, channel) = start(misbehaviour).await?;
    large_unary(channel.clone()).await?;
    let seen = ended(&server, channel, 1).await?;
    same("the pings without an answer", seen.unanswered, 0)
}

/// A call that the server leaves out as it goes away fails, and may be made again wherever.
///
/// # Errors
///
/// What is otherwise.
pub async fn left_out() -> Result<(), String> {
    let (server, channel) = start(LeaveOut).await?;
    let (one, other) =
        join(call_large_unary(channel.clone()), call_large_unary(channel.clone())).await;
    let outcomes = [one, other].map(|outcome| outcome.map_err(|error| error.is_unreached()));
    same("both at once", outcomes.contains(&Ok(LARGE)) && outcomes.contains(&Err(true)), true)?;
    large_unary(channel.clone()).await?;
    ended(&server, channel, 2).await.map(drop)
}

async fn max_streams() -> Result<(), String> {
    let (server, channel) = start(OneStream).await?;
    // The server's limit comes with this one.
    large_unary(channel.clone()).await?;
    try_join_all((0..10).map(|_| large_unary(channel.clone()))).await?;
    let seen = ended(&server, channel, 1).await?;
    same("the streams at once", seen.most, 1)
}
