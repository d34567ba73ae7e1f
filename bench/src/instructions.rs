//! Instructions per request, for ratios too close for CPU time.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use purlin_bench::stats::Spread;
use purlin_bench::table::Table;

use crate::h1::Connection;
use crate::h2load::{Amount, h2load};
use crate::process::Running;
use crate::servers::{Face, Server, Start};
use crate::tools::require_counters;
use crate::verify::verify;
use crate::{Failure, Pick};

/// HTTP connections that take turns, so that a wake-up of the server finds several requests.
const CONNECTIONS: u64 = 16;

/// Counts the user-space instructions of the Rust servers, with one worker thread.
#[derive(Args)]
pub(crate) struct Instructions {
    /// Rounds; each starts every server afresh, twice.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Calls that are counted; as many again warm the server up.
    #[arg(long, default_value_t = 4000)]
    calls: u64,
    /// Keep callgrind's profiles in this folder.
    #[arg(long)]
    keep: Option<PathBuf>,
    #[command(flatten)]
    pick: Pick,
}

/// What counts.
#[derive(Clone, Copy, Debug)]
enum Counter {
    Perf,
    Callgrind,
}

impl Instructions {
    /// Prints one table for each face.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let counter = Counter::choose(self.keep.is_some());
        let mut servers = self.pick.servers(&[Face::Http, Face::Grpc])?;
        // Go's runtime does not run under valgrind, and its ratios are nowhere near 15 %.
        servers.retain(|server| matches!(server.start, Start::Here(_)));
        require_counters(&servers, matches!(counter, Counter::Callgrind))?;
        let mut counted: Vec<_> = servers.into_iter().map(|s| (s, Vec::new())).collect();
        for round in 1..=self.rounds {
            for (server, counts) in &mut counted {
                eprintln!("round {round}: {} {}", server.face, server.name);
                let count = self.per_call(counter, server);
                counts.push(count.map_err(|error| format!("{}: {error}", server.name))?);
            }
        }
        println!("counted by {counter:?}, {} calls\n", self.calls);
        for face in [Face::Http, Face::Grpc] {
            let of_face: Vec<_> = counted.iter().filter(|(s, _)| s.face == face).collect();
            if !of_face.is_empty() {
                println!("{}", table(face, &of_face));
            }
        }
        Ok(())
    }

    /// The difference of a long and a short run, in which start, warm-up and end cancel.
    fn per_call(&self, counter: Counter, server: &Server) -> Result<f64, Failure> {
        let scratch = std::env::temp_dir().join(format!("purlin-bench-{}", std::process::id()));
        let short = counter.count(server, self.calls, &scratch, None);
        let long = counter.count(server, 2 * self.calls, &scratch, self.keep.as_deref());
        // Neither exists if the counter did not start.
        let _ = fs::remove_file(&scratch);
        Ok((long? as f64 - short? as f64) / self.calls as f64)
    }
}

impl Counter {
    /// Hardware counters where the machine has them, unless a profile is wanted.
    fn choose(profile: bool) -> Self {
        let perf =
            Command::new("perf").args(["stat", "-x,", "-e", "instructions:u", "true"]).output();
        match perf {
            Ok(output)
                if !profile && perf_count(&String::from_utf8_lossy(&output.stderr)).is_some() =>
            {
                Self::Perf
            }
            _ => Self::Callgrind,
        }
    }

    /// The words to put before the server's command line.
    fn words(self, report: &Path, profile: Option<&Path>) -> Vec<String> {
        let report = report.display();
        match self {
            Self::Perf => ["perf", "stat", "-x,", "-e", "instructions:u", "-o"]
                .into_iter()
                .map(str::to_owned)
                .chain([report.to_string(), "--".to_owned()])
                .collect(),
            Self::Callgrind => {
                let out = profile.map_or_else(|| "/dev/null".into(), |p| p.display().to_string());
                vec![
                    "valgrind".to_owned(),
                    "--tool=callgrind".to_owned(),
                    format!("--log-file={report}"),
                    format!("--callgrind-out-file={out}"),
                ]
            }
        }
    }

    fn count(
        self,
        server: &Server,
        calls: u64,
        report: &Path,
        keep: Option<&Path>,
    ) -> Result<u64, Failure> {
        let profile = match keep {
            Some(folder) => {
                fs::create_dir_all(folder)?;
                Some(folder.join(format!("callgrind.out.{}.{}", server.face, server.name)))
            }
            None => None,
        };
        let words = self.words(report, profile.as_deref());
        let running = Running::start_under(&words, server, &["--workers", "1"])?;
        verify(server.face, running.addr)?;
        drive(server.face, running.addr, calls)?;
        running.stop()?;
        let report = fs::read_to_string(report)?;
        let count = match self {
            Self::Perf => perf_count(&report),
            Self::Callgrind => callgrind_count(&report),
        };
        count.ok_or_else(|| format!("no count in: {report}").into())
    }
}

/// Makes exactly this many calls, rounded down to whole turns.
fn drive(face: Face, addr: SocketAddr, calls: u64) -> Result<(), Failure> {
    match face {
        Face::Grpc => {
            let load = h2load(addr, &Amount::Calls(calls))?;
            if load.errors == 0 { Ok(()) } else { Err("a call failed".into()) }
        }
        Face::Http => {
            let mut connections =
                (0..CONNECTIONS).map(|_| Connection::open(addr)).collect::<Result<Vec<_>, _>>()?;
            for _ in 0..calls / CONNECTIONS {
                connections.iter_mut().try_for_each(Connection::send)?;
                for connection in &mut connections {
                    let answer = connection.receive()?;
                    if answer.status != 200 {
                        return Err(format!("status {}", answer.status).into());
                    }
                }
            }
            Ok(())
        }
    }
}

fn perf_count(report: &str) -> Option<u64> {
    report.lines().find_map(|line| {
        let mut fields = line.split(',');
        let count = fields.next()?.parse().ok()?;
        fields.any(|field| field.starts_with("instructions")).then_some(count)
    })
}

fn callgrind_count(report: &str) -> Option<u64> {
    report.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

fn table(face: Face, counted: &[&(Server, Vec<f64>)]) -> Table {
    let [base, ..] = face.bases();
    let (name, ratio) = (face.to_string(), format!("÷ {base}"));
    let mut table = Table::new(&[&name, "instructions/call", &ratio, "what"]);
    let base = counted.iter().find(|(server, _)| server.name == base).map(|(_, counts)| counts);
    let shown = |spread: Option<Spread>, digits: usize| {
        spread.map_or_else(|| "–".to_owned(), |spread| format!("{spread:.digits$}"))
    };
    for (server, counts) in counted {
        let ratio = base.and_then(|base| Spread::of_ratios(counts, base));
        let cells = [server.name.to_owned(), shown(Spread::of(counts), 0), shown(ratio, 3)];
        table.row(cells.into_iter().chain([server.what.to_owned()]));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{callgrind_count, perf_count};

    #[test]
    fn perf_counts_where_the_event_is_supported() {
        assert_eq!(perf_count("# started on\n\n81234,,instructions:u,99,100.00,,\n"), Some(81_234));
        assert_eq!(perf_count("<not supported>,,instructions:u,0,100.00,,\n"), None);
    }

    #[test]
    fn callgrind_counts_in_its_last_line() {
        let report = "==7== Events    : Ir\n==7== Collected : 1048576\n==7==\n";
        assert_eq!(callgrind_count(report), Some(1_048_576));
    }
}
