//! Measures servers side by side, each a fresh process, in interleaved rounds.

mod h1;
mod h2load;
mod idle;
mod instructions;
#[cfg(feature = "overload")]
mod overload;
mod pb;
mod process;
mod serve;
mod servers;
mod services;
mod tools;
mod verify;
mod wrk;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use purlin_bench::Failure;

use crate::servers::{Face, SERVERS, Server};

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
    /// Goodput under overload, simulated, with a concurrency limit and without.
    #[cfg(feature = "overload")]
    Overload(overload::Overload),
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
    /// The servers picked that speak one of `faces`, in the order of the tables.
    fn servers(&self, faces: &[Face]) -> Result<Vec<Server>, Failure> {
        for name in &self.only {
            if !SERVERS.iter().any(|server| server.name == name) {
                return Err(format!("no server {name}; there are {}", names().join(", ")).into());
            }
        }
        let wanted = |server: &&Server| {
            faces.contains(&server.face)
                && self.face.is_none_or(|face| server.face == face)
                && (self.only.is_empty() || self.only.iter().any(|name| name == server.name))
        };
        let picked: Vec<_> = SERVERS.iter().filter(wanted).copied().collect();
        if picked.is_empty() {
            Err("no server is both picked and fit for this".into())
        } else {
            Ok(picked)
        }
    }
}

/// Every name once: a server may have a namesake on the other face.
fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = SERVERS.iter().map(|server| server.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Services(services) => services.run(),
        Command::Idle(idle) => idle.run(),
        Command::Instructions(instructions) => instructions.run(),
        #[cfg(feature = "overload")]
        Command::Overload(overload) => overload.run(),
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

#[cfg(test)]
mod tests {
    use super::{Face, Pick, names};

    const FACES: &[Face] = &[Face::Http, Face::Grpc];

    fn picked(only: &[&str], face: Option<Face>) -> Result<Vec<(&'static str, Face)>, String> {
        let pick = Pick { only: only.iter().map(|&name| name.to_owned()).collect(), face };
        let servers = pick.servers(FACES).map_err(|error| error.to_string())?;
        Ok(servers.into_iter().map(|server| (server.name, server.face)).collect())
    }

    #[test]
    fn a_name_picks_its_servers_on_both_faces() {
        let both = vec![("gokit", Face::Http), ("gokit", Face::Grpc)];
        assert_eq!(picked(&["gokit"], None), Ok(both));
        assert_eq!(picked(&["gokit"], Some(Face::Grpc)), Ok(vec![("gokit", Face::Grpc)]));
    }

    #[test]
    fn a_pick_of_nothing_is_refused() {
        assert!(picked(&["tonic"], Some(Face::Http)).is_err());
        let said = picked(&["nobody"], None);
        assert_eq!(said, Err(format!("no server nobody; there are {}", names().join(", "))));
    }
}
