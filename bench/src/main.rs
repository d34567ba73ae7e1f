//! Measures servers side by side, each a fresh process, in interleaved rounds.

mod gokit;
mod h1;
mod h2load;
mod idle;
mod instructions;
mod pb;
mod process;
mod serve;
mod servers;
mod services;
mod tools;
mod verify;
mod wrk;

use std::error::Error;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::servers::{Face, SERVERS, Server};

/// Whatever stops a measurement, said in one line.
type Failure = Box<dyn Error + Send + Sync>;

/// Measures Purlin beside what a user would pick instead.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// CPU time per request, memory, throughput and tail latency under load.
    Services(services::Services),
    /// Memory per idle HTTP/1.1 connection.
    Idle(idle::Idle),
    /// Instructions per request, for ratios too close for CPU time.
    Instructions(instructions::Instructions),
    /// Runs one server until standard input ends.
    Serve(serve::Serve),
}

/// Which servers take part.
#[derive(Args)]
struct Pick {
    /// Names of the servers to measure, separated by commas; all without it.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Measure one face only.
    #[arg(long, value_enum)]
    face: Option<Face>,
}

impl Pick {
    /// The servers picked that speak `face`, in the order of the tables.
    fn servers(&self, face: Face) -> Result<Vec<Server>, Failure> {
        for name in &self.only {
            if !SERVERS.iter().any(|server| server.name == name) {
                let names: Vec<_> = SERVERS.iter().map(|server| server.name).collect();
                return Err(format!("no server {name}; there are {}", names.join(", ")).into());
            }
        }
        let wanted = |server: &&Server| {
            server.face == face
                && self.face.is_none_or(|face| server.face == face)
                && (self.only.is_empty() || self.only.iter().any(|name| name == server.name))
        };
        Ok(SERVERS.iter().filter(wanted).copied().collect())
    }
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Services(services) => services.run(),
        Command::Idle(idle) => idle.run(),
        Command::Instructions(instructions) => instructions.run(),
        Command::Serve(serve) => serve.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("purlin-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
