//! CPU time per request, memory, throughput and tail latency under load.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use clap::Args;
use purlin_bench::stats::Spread;
use purlin_bench::table::Table;

use crate::h2load::{Amount, h2load};
use crate::process::Running;
use crate::servers::{Face, Server};
use crate::tools::require_loaders;
use crate::verify::verify;
use crate::wrk::{Load, wrk};
use crate::{Failure, Pick};

/// Loads every server in turn, round by round.
#[derive(Args)]
pub(crate) struct Services {
    /// Rounds; each starts every server afresh.
    #[arg(long, default_value_t = 8)]
    rounds: usize,
    /// Seconds of load in each round, after one second of warm-up.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    #[command(flatten)]
    pick: Pick,
}

/// What one server showed, one entry for each round.
#[derive(Default)]
struct Seen {
    cpu_micros: Vec<f64>,
    resident_mib: Vec<f64>,
    per_second: Vec<f64>,
    p99_micros: Vec<f64>,
    errors: u64,
}

impl Services {
    /// Prints one table for each face.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let faces = [Face::Http, Face::Grpc];
        let servers = self.pick.servers(&faces)?;
        require_loaders(&servers)?;
        let mut measured: Vec<_> = servers.into_iter().map(|s| (s, Seen::default())).collect();
        // Rounds are outermost, so that a disturbance meets all servers alike.
        for round in 1..=self.rounds {
            for (server, seen) in &mut measured {
                eprintln!("round {round}: {} {}", server.face, server.name);
                let outcome = measure(server, self.seconds, seen);
                outcome.map_err(|error| format!("{} {}: {error}", server.face, server.name))?;
            }
        }
        for face in faces {
            let of_face: Vec<_> = measured.iter().filter(|(s, _)| s.face == face).collect();
            if !of_face.is_empty() {
                println!("{}", table(face, &of_face));
            }
        }
        match measured.iter().map(|(_, seen)| seen.errors).sum() {
            0 => Ok(()),
            errors => Err(format!("{errors} requests failed").into()),
        }
    }
}

fn measure(server: &Server, seconds: u64, seen: &mut Seen) -> Result<(), Failure> {
    let running = Running::start(server)?;
    verify(server.face, running.addr)?;
    load(server, &running, 1)?;
    let before = running.cpu()?;
    let (load, resident) = watched(&running, || load(server, &running, seconds))?;
    let cpu = running.cpu()? - before;
    // h2load does not see the gRPC status, so the answer is looked at again after the load.
    verify(server.face, running.addr)?;
    running.stop()?;
    seen.cpu_micros.push(cpu.as_secs_f64() * 1e6 / load.requests as f64);
    seen.resident_mib.push(f64::from(resident) / 1024.0);
    seen.per_second.push(load.per_second);
    seen.p99_micros.push(load.p99_micros);
    seen.errors += load.errors;
    Ok(())
}

fn load(server: &Server, running: &Running, seconds: u64) -> Result<Load, Failure> {
    match server.face {
        Face::Http => wrk(running.addr, seconds),
        Face::Grpc => h2load(running.addr, &Amount::Seconds(seconds)),
    }
}

/// Runs `work` and returns the most resident memory, in KiB, seen meanwhile.
fn watched<T>(
    running: &Running,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<(T, u32), Failure> {
    let (done, most) = (AtomicBool::new(false), AtomicU32::new(0));
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // A server that is gone shows in the load.
                most.fetch_max(running.resident().unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let outcome = work();
        done.store(true, Ordering::Relaxed);
        outcome
    })?;
    Ok((outcome, most.into_inner().max(running.resident()?)))
}

fn table(face: Face, measured: &[&(Server, Seen)]) -> Table {
    let bases = face.bases();
    let mut header = vec![face.to_string(), "CPU µs/req".to_owned()];
    header.extend(bases.map(|base| format!("CPU ÷ {base}")));
    header.push("RSS MiB".to_owned());
    header.push(format!("RSS ÷ {}", bases[2]));
    header.extend(["req/s", "p99 µs", "errors", "rounds", "what"].map(str::to_owned));
    let mut table = Table::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
    let find = |name: &str| measured.iter().find(|(s, _)| s.name == name).map(|(_, seen)| seen);
    for (server, seen) in measured {
        let mut cells = vec![server.name.to_owned(), shown(Spread::of(&seen.cpu_micros), 2)];
        cells.extend(bases.map(|base| over(find(base), seen, |seen| &seen.cpu_micros)));
        cells.push(shown(Spread::of(&seen.resident_mib), 1));
        cells.push(over(find(bases[2]), seen, |seen| &seen.resident_mib));
        cells.push(shown(Spread::of(&seen.per_second), 0));
        cells.push(shown(Spread::of(&seen.p99_micros), 0));
        cells.extend([seen.errors.to_string(), seen.cpu_micros.len().to_string()]);
        cells.push(server.what.to_owned());
        table.row(cells);
    }
    table
}

fn over(base: Option<&Seen>, seen: &Seen, series: fn(&Seen) -> &Vec<f64>) -> String {
    shown(base.and_then(|base| Spread::of_ratios(series(seen), series(base))), 2)
}

fn shown(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or_else(|| "–".to_owned(), |spread| format!("{spread:.digits$}"))
}
