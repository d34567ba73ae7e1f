//! Loads an HTTP server with wrk.

use std::net::SocketAddr;
use std::process::Command;

use crate::Failure;

/// What a load generator saw.
#[derive(Debug, PartialEq)]
pub(crate) struct Load {
    pub requests: u64,
    pub per_second: f64,
    pub p99_micros: f64,
    /// Answers that were not 2xx, and requests without an answer.
    pub errors: u64,
}

/// One thread, 32 connections, for whole seconds.
pub(crate) fn wrk(addr: SocketAddr, seconds: u64) -> Result<Load, Failure> {
    let output = Command::new("wrk")
        .args(["-t1", "-c32", "--latency", &format!("-d{seconds}s")])
        .arg(format!("http://{addr}/greeting?name=Ann"))
        .output()
        .map_err(|error| format!("wrk (Debian package wrk): {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    parse(&text).ok_or_else(|| format!("wrk printed something else than expected: {text}").into())
}

fn parse(text: &str) -> Option<Load> {
    let field = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name));
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in "))?.0;
    let refused: u64 = match field("Non-2xx or 3xx responses:") {
        Some(count) => count.trim().parse().ok()?,
        None => 0,
    };
    let broken: u64 = match field("Socket errors:") {
        Some(counts) => counts.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok()).sum(),
        None => 0,
    };
    Some(Load {
        requests: requests.parse().ok()?,
        per_second: field("Requests/sec:")?.trim().parse().ok()?,
        p99_micros: micros(field("99%")?.trim())?,
        errors: refused + broken,
    })
}

fn micros(text: &str) -> Option<f64> {
    for (unit, micros) in [("us", 1.0), ("ms", 1e3), ("s", 1e6)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Some(number.parse::<f64>().ok()? * micros);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Load, parse};

    const REPORT: &str = "\
Running 2s test @ http://127.0.0.1:9/greeting?name=Ann
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   352.41us  612.80us  12.10ms   94.92%
    Req/Sec   102.33k     9.10k  115.00k    70.00%
  Latency Distribution
     50%  250.00us
     99%    2.22ms
  203660 requests in 2.00s, 26.61MB read
";

    #[test]
    fn a_clean_report_has_no_errors() {
        let report = format!("{REPORT}Requests/sec: 101829.55\nTransfer/sec:     13.30MB\n");
        let load =
            Load { requests: 203_660, per_second: 101_829.55, p99_micros: 2220.0, errors: 0 };
        assert_eq!(parse(&report), Some(load));
    }

    #[test]
    fn refused_and_broken_requests_are_errors() {
        let report = format!(
            "{REPORT}  Socket errors: connect 0, read 2, write 0, timeout 1\n  \
             Non-2xx or 3xx responses: 40\nRequests/sec: 1.0\n"
        );
        assert_eq!(parse(&report).map(|load| load.errors), Some(43));
    }
}
