//! The gRPC project's interoperability cases, in each pairing.

use super::{Outcome, output, server, tool};
use crate::{
    interop::{CASES, COMPRESSED, Flags},
    listeners::Listener,
    negative,
    table::Row,
};
use purlin_transport_grpc::Channel;
use std::{env, path::Path, time::Duration};
use tokio::{process::Command, time::timeout};

const SUITE: &str = "gRPC interop";
const PATIENCE: Duration = Duration::from_secs(30);

/// The cases of grpc-go's client that need nothing but the service.
const GO_CASES: &[&str] = &[
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "pick_first_unary",
    "rpc_soak",
    "channel_soak",
];

/// How many calls a soak makes, on eight threads, and for how many seconds at most.
fn soak(case: &str) -> [&'static str; 2] {
    match (env::var_os("PURLIN_SOAK").is_some(), case) {
        (true, "channel_soak") => ["1000", "120"],
        (true, _) => ["5000", "300"],
        (false, _) => ["80", "20"],
    }
}

/// grpc-go's client against our server.
///
/// # Errors
///
/// What does not pass.
pub async fn go_client(program: &Path) -> Outcome {
    let client = tool("PURLIN_INTEROP_CLIENT")?;
    let (_server, address) = server(Command::new(program).arg("interop-server")).await?;
    let port = address.rsplit(':').next().unwrap_or_default().to_owned();
    let mut troubles = Vec::new();
    for case in GO_CASES {
        let [calls, seconds] = soak(case);
        let mut command = Command::new(&client);
        command.args(["-server_host", "127.0.0.1", "-server_port", &port, "-test_case", case]);
        command.args(["-soak_iterations", calls, "-soak_overall_timeout_seconds", seconds]);
        // How fast a call is depends on what else the machine does; that it succeeds must not.
        command.args(["-soak_per_iteration_max_acceptable_latency_ms", "5000"]);
        command.args(["-soak_num_threads", "8"]);
        let patience = PATIENCE + Duration::from_secs(seconds.parse().unwrap_or(0));
        let ended = output(&mut command, patience).await?;
        if !ended.status.success() {
            troubles.push(format!("{case}: {}", String::from_utf8_lossy(&ended.stderr)));
        }
    }
    row("server, called by grpc-go", GO_CASES.len(), &troubles)
}

/// Our client against grpc-go's server.
///
/// # Errors
///
/// What does not pass.
pub async fn our_client() -> Outcome {
    let go = tool("PURLIN_INTEROP_SERVER")?;
    let (_server, address) = server(Command::new(go).arg("-until-eof")).await?;
    row("client, calling grpc-go", CASES.len(), &cases(&address).await?)
}

/// Our client against our server.
///
/// # Errors
///
/// What does not pass.
pub async fn ours() -> Outcome {
    let listener = Listener::grpc().await.map_err(|error| error.to_string())?;
    row("both", CASES.len(), &cases(&listener.address().to_string()).await?)
}

/// Our client against our server, with the packing looked at on the wire.
///
/// # Errors
///
/// What does not pass.
pub async fn compressed() -> Outcome {
    let flags = Flags::default();
    let listener = Listener::tapped(flags.clone()).await.map_err(|error| error.to_string())?;
    let channel = channel(&listener.address().to_string())?;
    let mut troubles = Vec::new();
    for (name, case) in COMPRESSED {
        let ended = timeout(PATIENCE, case(channel.clone(), flags.clone())).await;
        note(name, ended.unwrap_or_else(|_| Err("it does not end".into())), &mut troubles);
    }
    row("both, gzip on the wire", COMPRESSED.len(), &troubles)
}

/// Our client against a server that misbehaves.
///
/// # Errors
///
/// What does not pass.
pub async fn negative() -> Outcome {
    let mut troubles = Vec::new();
    for (name, case) in negative::CASES {
        let ended = timeout(PATIENCE, case()).await;
        note(name, ended.unwrap_or_else(|_| Err("it does not end".into())), &mut troubles);
    }
    row("client, negative HTTP/2", negative::CASES.len(), &troubles)
}

fn channel(address: &str) -> Result<Channel, String> {
    let origin = format!("http://{address}").parse();
    origin.map(Channel::new).map_err(|error| format!("{address}: {error}"))
}

async fn cases(address: &str) -> Result<Vec<String>, String> {
    let channel = channel(address)?;
    let mut troubles = Vec::new();
    for (name, case) in CASES {
        let ended = timeout(PATIENCE, case(channel.clone())).await;
        note(name, ended.unwrap_or_else(|_| Err("it does not end".into())), &mut troubles);
    }
    Ok(troubles)
}

fn note(name: &str, ended: Result<(), String>, troubles: &mut Vec<String>) {
    troubles.extend(ended.err().map(|trouble| format!("{name}: {trouble}")));
}

fn row(side: &str, cases: usize, troubles: &[String]) -> Outcome {
    match troubles {
        [] => Ok(Row { suite: SUITE.into(), side: side.into(), cases, passed: cases, listed: 0 }),
        _ => Err(troubles.join("\n")),
    }
}
