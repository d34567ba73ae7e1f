//! One table of what calls cost beside their peers: time, ratio, instructions and allocations.

use std::fmt::Display;
use std::hint::black_box;
use std::process::Command;

use tokio::runtime::Builder;

use super::{Micro, Timed};
use crate::stats::Spread;
use crate::table::Table;
use crate::{Failure, gokit};

/// The operations that valgrind counts beyond as many that warm up.
const COUNTED: u64 = 2000;

/// Rows that are measured by time and, one by one, under valgrind.
pub trait Rows {
    /// Whether every start takes as many instructions, so that those of the rows can be told.
    const STEADY: bool;

    /// Measures all of them, each time in the same order.
    ///
    /// # Errors
    ///
    /// What keeps a row from being set up.
    fn measure(&self, micro: &mut impl Micro) -> Result<(), Failure>;
}

/// The `main` of a bench program: measures its rows, then Go kit's of the kind `go`, in one table.
///
/// `against` has the starts of peers' names, each with the name of our row that does their work.
///
/// # Errors
///
/// What keeps a row from being set up. What keeps Go kit's rows from it is said in the table.
pub fn compare<R: Rows>(rows: &R, go: &str, against: &[(&str, &str)]) -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, only, row, times] = &arguments[..]
        && only == "--only"
    {
        return rows.measure(&mut Only { row: row.parse()?, times: times.parse()?, at: 0 });
    }
    // `cargo test --all-targets` runs this too, and has no use for timings.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let mut timed = Timed::default();
    rows.measure(&mut timed)?;
    println!("{}", table::<R>(&timed, gokit::costs(go), against)?);
    Ok(())
}

const HEADER: [&str; 6] =
    ["row", "ns, 1 thread", "ns, each of 2 threads", "× ours", "instructions", "allocations"];

fn table<R: Rows>(
    timed: &Timed,
    costs: Result<Vec<gokit::Cost>, Failure>,
    against: &[(&str, &str)],
) -> Result<Table, Failure> {
    let ratio = |name: &str, peer: Spread| {
        let (_, ours) = against.iter().find(|(start, _)| name.starts_with(start))?;
        let (_, one, _) = timed.rows.iter().find(|(name, ..)| name == ours)?;
        // Whatever disturbs a sample makes it longer, so the shortest are the ones to compare.
        Some(peer.min / (*one)?.min)
    };
    let mut table = Table::new(&HEADER);
    for (at, (name, one, two)) in timed.rows.iter().enumerate() {
        let callgrind = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
        let instructions = if R::STEADY { counted(at, &callgrind, "Collected : ")? } else { None };
        table.row([
            name.clone(),
            shown(*one, 1),
            shown(*two, 1),
            shown(one.and_then(|one| ratio(name, one)), 2),
            shown(instructions, 0),
            shown(counted(at, &["--undef-value-errors=no"], "heap usage: ")?, 1),
        ]);
    }
    let none = || shown(None::<f64>, 0);
    match costs {
        Ok(costs) => {
            for gokit::Cost { name, allocations, nanos } in costs {
                let ratio = shown(ratio(&name, nanos), 2);
                let allocations = shown(Some(allocations), 1);
                table.row([name, shown(Some(nanos), 1), none(), ratio, none(), allocations]);
            }
        }
        Err(why) => {
            table.row(["Go kit".to_owned(), why.to_string(), none(), none(), none(), none()]);
        }
    }
    Ok(table)
}

fn shown<T: Display>(value: Option<T>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

/// Runs one of the rows.
struct Only {
    row: usize,
    times: u64,
    /// How many rows came before.
    at: usize,
}

impl Micro for Only {
    fn row<Setup, Op, Out>(&mut self, _: &str, setup: Setup)
    where
        Setup: Fn() -> Op + Sync,
        Op: AsyncFnMut() -> Out,
    {
        let this = self.at == self.row;
        self.at += 1;
        if !this {
            return;
        }
        let runtime = Builder::new_current_thread().enable_time().build();
        let mut op = setup();
        runtime.expect("a runtime without I/O").block_on(async {
            for _ in 0..self.times {
                black_box(op().await);
            }
        });
    }
}

/// What one operation costs by a count of valgrind's, which a busy machine can't change: the number
/// that its report has behind `label`.
fn counted(row: usize, tool: &[&str], label: &str) -> Result<Option<f64>, Failure> {
    let count = |times: u64| -> Result<Option<f64>, Failure> {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(tool).arg(std::env::current_exe()?).args(["--only", &row.to_string()]);
        let Ok(output) = valgrind.arg(times.to_string()).output() else { return Ok(None) };
        let report = String::from_utf8_lossy(&output.stderr).into_owned();
        let count = report.lines().find_map(|line| line.split_once(label)?.1.split(' ').next());
        Ok(count.and_then(|count| count.replace(',', "").parse().ok()))
    };
    // In the difference of two runs, start and end cancel.
    let (Some(short), Some(long)) = (count(COUNTED)?, count(2 * COUNTED)?) else {
        return Ok(None);
    };
    Ok(Some((long - short) / COUNTED as f64))
}
