//! Loads a gRPC server with h2load.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use prost::Message;

use crate::Failure;
use crate::pb::GreetingRequest;
use crate::wrk::Load;

/// How long, or how many.
pub(crate) enum Amount {
    /// Four connections with 16 streams each, for whole seconds.
    Seconds(u64),
    /// One connection with 16 streams, for exactly this many calls.
    Calls(u64),
}

/// Calls `greeter.Greeter/Greeting`; the status in the trailers is not seen.
pub(crate) fn h2load(addr: SocketAddr, amount: &Amount) -> Result<Load, Failure> {
    let body = Scratch::new("body");
    let log = Scratch::new("log");
    fs::write(&body.0, framed(&GreetingRequest { name: "Ann".to_owned() }))?;
    let amount = match amount {
        Amount::Seconds(seconds) => ["-c4".to_owned(), format!("-D{seconds}")],
        Amount::Calls(calls) => ["-c1".to_owned(), format!("-n{calls}")],
    };
    let output = Command::new("h2load")
        .args(["-t1", "-m16", "-H", "te: trailers", "-H", "content-type: application/grpc"])
        .args(amount)
        .arg("--data")
        .arg(&body.0)
        .arg(format!("--log-file={}", log.0.display()))
        .arg(format!("http://{addr}/greeter.Greeter/Greeting"))
        .output()
        .map_err(|error| format!("h2load (Debian package nghttp2-client): {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("h2load failed: {text}{error}").into());
    }
    let p99_micros = p99(&fs::read_to_string(&log.0)?).ok_or("h2load logged no request")?;
    let load = parse(&text, p99_micros);
    load.ok_or_else(|| format!("h2load printed something else than expected: {text}").into())
}

/// The message with gRPC's five bytes before it: not compressed, and its length.
fn framed(message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], length.to_be_bytes().as_slice(), &message].concat()
}

fn parse(text: &str, p99_micros: f64) -> Option<Load> {
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let count = |counts: &str, name: &str| -> Option<u64> {
        counts.split(", ").find_map(|count| count.trim().strip_suffix(name))?.trim().parse().ok()
    };
    let requests = line("requests: ")?;
    let statuses = line("status codes: ")?;
    let done = count(requests, "done")?;
    let good = count(statuses, "2xx")?;
    let (_, rest) = line("finished in ")?.split_once(", ")?;
    Some(Load {
        requests: done,
        per_second: rest.split_once(" req/s")?.0.parse().ok()?,
        p99_micros,
        errors: done.saturating_sub(good)
            + count(requests, "errored")?
            + count(requests, "timeout")?,
    })
}

/// The 99th percentile of the third column: start time, status, microseconds.
fn p99(log: &str) -> Option<f64> {
    let took = log.lines().filter_map(|line| line.split('\t').nth(2)?.trim().parse::<u32>().ok());
    let mut took: Vec<u32> = took.collect();
    let rank = (took.len() * 99 / 100).min(took.len().checked_sub(1)?);
    let (_, p99, _) = took.select_nth_unstable(rank);
    Some(f64::from(*p99))
}

/// A temporary file that goes when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let file = format!("purlin-bench-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(file))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may never have been written.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::{GreetingRequest, framed, p99, parse};
    use crate::wrk::Load;

    #[test]
    fn a_message_is_framed_with_its_length() {
        let bytes = framed(&GreetingRequest { name: "Ann".to_owned() });
        assert_eq!(bytes, b"\x00\x00\x00\x00\x05\x0a\x03Ann");
    }

    #[test]
    fn what_is_done_but_not_2xx_is_an_error() {
        let report = "\
finished in 2.00s, 95934.50 req/s, 5.12MB/s
requests: 191869 total, 191900 started, 191869 done, 191860 succeeded, 9 failed, 1 errored, 2 timeout
status codes: 191860 2xx, 0 3xx, 0 4xx, 9 5xx
";
        let load = Load { requests: 191_869, per_second: 95_934.5, p99_micros: 7.0, errors: 12 };
        assert_eq!(parse(report, 7.0), Some(load));
    }

    #[test]
    fn the_99th_percentile_is_by_rank() {
        let log: String = (1..=200).map(|n| format!("1700000000\t200\t{n}\n")).collect();
        assert_eq!(p99(&log), Some(199.0));
        assert_eq!(p99(""), None);
    }
}
