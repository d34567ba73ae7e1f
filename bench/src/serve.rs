//! One server in a process of its own.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use crate::Failure;
use crate::servers::{Face, Options, SERVERS, Start};

/// Runs one server until standard input ends.
#[derive(Args)]
pub(crate) struct Serve {
    /// The server's name.
    name: String,
    /// What it speaks.
    #[arg(long, value_enum, default_value = "http")]
    face: Face,
    /// The loopback address to listen on; port 0 takes a free one and prints it.
    #[arg(long, default_value = "127.0.0.1:0")]
    addr: SocketAddr,
    /// The file that log lines go to.
    #[arg(long, default_value = "/dev/null")]
    log: PathBuf,
    /// Worker threads; one for each core without it.
    #[arg(long)]
    workers: Option<usize>,
}

impl Serve {
    /// Prints `listening ADDRESS` and serves.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Self { name, face, addr, log, workers } = self;
        let found = SERVERS.iter().find(|server| server.name == name && server.face == face);
        let Some(Start::Here(serve)) = found.map(|server| server.start) else {
            return Err(format!("this program has no server {name} that speaks {face}").into());
        };
        let mut runtime = Builder::new_multi_thread();
        if let Some(workers) = workers {
            runtime.worker_threads(workers);
        }
        runtime.enable_all().build()?.block_on(async {
            let listener =
                TcpListener::bind(addr).await.map_err(|error| format!("{addr}: {error}"))?;
            println!("listening {}", listener.local_addr()?);
            io::stdout().flush()?;
            std::thread::spawn(exit_with_stdin);
            serve(listener, Options { log }).await
        })
    }
}

/// Ends the process with its runner, however the runner ends.
fn exit_with_stdin() {
    let ended = io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(i32::from(ended.is_err()));
}
