//! Each suite, run once.

mod connect;
mod h2spec;
mod interop;

pub use connect::{connect_client, connect_server};
pub use h2spec::{LISTED, h2spec_grpc, h2spec_http};
pub use interop::{compressed, go_client, negative, our_client, ours};

use crate::table::Row;
use futures_util::{FutureExt as _, future::BoxFuture};
use std::{
    env,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
    time::timeout,
};

/// What went otherwise than a suite wants it, where that is not listed; or what came of it.
pub type Outcome = Result<Row, String>;

/// Runs a suite; the path is that of this crate's own program.
pub type Run = for<'a> fn(&'a Path) -> BoxFuture<'a, Outcome>;

/// All that goes into the table, in its order.
pub const ALL: &[Run] = &[
    |program| go_client(program).boxed(),
    |_| our_client().boxed(),
    |_| ours().boxed(),
    |_| compressed().boxed(),
    |_| negative().boxed(),
    |program| connect_server(program).boxed(),
    |program| connect_client(program).boxed(),
    |_| h2spec_http().boxed(),
    |_| h2spec_grpc().boxed(),
];

/// Where a foreign program is, as `cargo xtask` says it.
fn tool(variable: &str) -> Result<PathBuf, String> {
    env::var_os(variable)
        .map(PathBuf::from)
        .ok_or_else(|| format!("{variable} is not set; `cargo xtask tools` says what goes there"))
}

/// Runs a program to its end, or for so long.
async fn output(command: &mut Command, patience: Duration) -> Result<Output, String> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    match timeout(patience, command.output()).await {
        Ok(output) => output.map_err(|error| error.to_string()),
        Err(_) => Err(format!("it has not ended within {patience:?}")),
    }
}

/// A server that ends with this, and what it says first: its address.
async fn server(command: &mut Command) -> Result<(Child, String), String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut stdout = child.stdout.take().ok_or("the server has no output")?;
    let mut said = Vec::new();
    let address = async {
        while !said.ends_with(b"\n") {
            said.push(stdout.read_u8().await.map_err(|error| error.to_string())?);
        }
        let line = String::from_utf8_lossy(&said);
        let address = line.trim().strip_prefix("listening on ").map(str::to_owned);
        address.ok_or_else(|| format!("the server says {line:?}"))
    };
    let address = timeout(Duration::from_secs(10), address).await;
    Ok((child, address.map_err(|_| "the server does not say where it is")??))
}
