//! The programs that the suites test.

use clap::{Parser, Subcommand};
use purlin_conformance::{Listener, connect, interop, runs, table};
use std::{io, process::ExitCode};

/// The programs that the suites test.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    program: Program,
}

#[derive(Subcommand)]
enum Program {
    /// A server for connectconformance, which speaks on standard input and output.
    ConnectServer,
    /// A server for the gRPC interoperability cases; it ends with its standard input.
    InteropServer,
    /// Both listeners that h2spec attacks; it ends with its standard input.
    Listeners,
    /// Runs every suite and writes docs/conformance.md.
    Report,
    /// A client for connectconformance, which speaks on standard input and output.
    ConnectClient,
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Cli::parse().program {
        Program::InteropServer => interop_server().await,
        Program::Listeners => listeners().await,
        Program::Report => report().await,
        Program::ConnectServer => connect::server().await,
        Program::ConnectClient => connect::client().await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn interop_server() -> io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    purlin_serve::Server::new().serve(listener, interop::service(), end_of_input()).await;
    Ok(())
}

async fn listeners() -> io::Result<()> {
    let (http, grpc) = (Listener::http().await?, Listener::grpc().await?);
    println!("HTTP {}\ngRPC {}", http.address(), grpc.address());
    end_of_input().await;
    Ok(())
}

async fn end_of_input() {
    let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
}

async fn report() -> io::Result<()> {
    let program = std::env::current_exe()?;
    let mut rows = Vec::new();
    for run in runs::ALL {
        let row = run(&program).await.map_err(io::Error::other)?;
        print!("{}", table::line(&row));
        rows.push(row);
    }
    std::fs::write(table::PATH, table::document(&rows))
}
