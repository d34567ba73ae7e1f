//! Memory per idle HTTP/1.1 connection.

use std::time::Duration;

use clap::Args;
use purlin_bench::stats::Spread;
use purlin_bench::table::Table;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::h1::Connection;
use crate::process::Running;
use crate::servers::{Face, Server};
use crate::tools::require_go;
use crate::{Failure, Pick};

/// Opens connections, calls once on each, and lets them rest.
#[derive(Args)]
pub(crate) struct Idle {
    /// Rounds; each starts every server afresh.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections held open at once.
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Seconds of rest before memory is read.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    #[command(flatten)]
    pick: Pick,
}

/// What one server showed, one entry for each round.
#[derive(Default)]
struct Seen {
    start_mib: Vec<f64>,
    idle_mib: Vec<f64>,
    each_kib: Vec<f64>,
    alive: Vec<f64>,
}

impl Idle {
    /// Prints one table.
    pub(crate) fn run(self) -> Result<(), Failure> {
        raise_open_files();
        let servers = self.pick.servers(&[Face::Http])?;
        require_go(&servers)?;
        let mut measured: Vec<_> = servers.into_iter().map(|s| (s, Seen::default())).collect();
        for round in 1..=self.rounds {
            for (server, seen) in &mut measured {
                eprintln!("round {round}: {}", server.name);
                let outcome = self.measure(server, seen);
                outcome.map_err(|error| format!("{}: {error}", server.name))?;
            }
        }
        let idle = format!("RSS MiB, {} idle", self.connections);
        let mut table = Table::new(&["HTTP", "RSS MiB at start", &idle, "KiB/connection", "alive"]);
        for (server, seen) in &measured {
            let series = [&seen.start_mib, &seen.idle_mib, &seen.each_kib];
            let mut cells = vec![server.name.to_owned()];
            cells.extend(
                series.map(|s| Spread::of(s).map_or("–".to_owned(), |s| format!("{s:.1}"))),
            );
            cells.push(Spread::of(&seen.alive).map_or("–".to_owned(), |s| format!("{:.0}", s.min)));
            table.row(cells);
        }
        println!("{table}");
        Ok(())
    }

    fn measure(&self, server: &Server, seen: &mut Seen) -> Result<(), Failure> {
        let running = Running::start(server)?;
        let at_start = running.resident()?;
        // The first call pays for what is set up once, which is no connection's own.
        Connection::open(running.addr)?.call()?;
        let after_first = running.resident()?;
        let mut connections = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            let mut connection = Connection::open(running.addr)?;
            connection.call()?;
            connections.push(connection);
        }
        std::thread::sleep(Duration::from_secs(self.seconds));
        let idle = running.resident()?;
        let alive = connections.iter_mut().filter_map(|c| c.call().ok()).count();
        running.stop()?;
        let each = (f64::from(idle) - f64::from(after_first)) / self.connections as f64;
        seen.start_mib.push(f64::from(at_start) / 1024.0);
        seen.idle_mib.push(f64::from(idle) / 1024.0);
        seen.each_kib.push(each);
        seen.alive.push(alive as f64);
        Ok(())
    }
}

/// Lets this process, and the servers it starts, hold as many connections as the system allows.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What is refused here shows as a connection that does not open.
    let _ = setrlimit(Resource::Nofile, limit);
}
