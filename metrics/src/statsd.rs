use crate::{Backend, Deltas, Kind, Series, Snapshot, Value, flat};
use purlin_endpoint::BoxError;
use std::{fmt::Write as _, io::ErrorKind, net::ToSocketAddrs as _};
use tokio::net::UdpSocket;

/// Sends to a StatsD or DogStatsD daemon over UDP.
///
/// Counters and histograms are sent as what was counted since the last push, gauges as they are.
/// A histogram is sent by its buckets: the mean of each with a sampling rate of one in a power of
/// two, so that a bucket of a million values is at most twenty lines and the daemon's count is
/// exact; values in a bucket are not told apart. Durations are milliseconds.
///
/// UDP loses what nobody listens to: while the daemon is away, the intervals meanwhile are lost.
pub struct StatsD {
    address: String,
    dialect: Dialect,
    prefix: String,
    tags: Vec<String>,
    socket: Option<UdpSocket>,
    deltas: Deltas,
}

#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    /// Labels are part of the name, and histograms are timers. The sum of a timer's values leaves
    /// their rates out, so a counter `….sum` has it.
    Plain,
    /// Labels are tags. Histograms are of this type.
    Dog(&'static str),
}

/// What fits one packet on any path with Ethernet's MTU.
const PACKET: usize = 1432;

impl StatsD {
    /// Sends to an Etsy StatsD daemon, as `localhost:8125`.
    ///
    /// It knows no labels: they are part of the name.
    pub fn new(address: impl Into<String>) -> Self {
        Self::of(address.into(), Dialect::Plain)
    }

    /// Sends to a DogStatsD daemon, with labels as tags and histograms as `h`.
    pub fn dog(address: impl Into<String>) -> Self {
        Self::of(address.into(), Dialect::Dog("h"))
    }

    fn of(address: String, dialect: Dialect) -> Self {
        let (prefix, tags, deltas) = (String::new(), Vec::new(), Deltas::new());
        Self { address, dialect, prefix, tags, socket: None, deltas }
    }

    /// DogStatsD: histograms are distributions, `d`, which the agent does not aggregate itself.
    #[must_use]
    pub fn distributions(mut self) -> Self {
        self.dialect = Dialect::Dog("d");
        self
    }

    /// DogStatsD: histograms are timers, `ms`, as some other daemons that know tags have them.
    #[must_use]
    pub fn timers(mut self) -> Self {
        self.dialect = Dialect::Dog("ms");
        self
    }

    /// Puts this before each name, as in `greeter.`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// DogStatsD: adds a tag to everything.
    #[must_use]
    pub fn tag(mut self, name: &str, value: &str) -> Self {
        self.tags.push(tag(name, value));
        self
    }

    fn lines(&self, delta: &Snapshot) -> Vec<String> {
        let mut lines = Vec::new();
        for family in &delta.families {
            // A timer is in milliseconds by definition.
            let millis = family.kind == Kind::Histogram && &*family.unit == "s";
            for series in &family.series {
                let (name, tags) = self.named(&family.name, series);
                let mut line = |text: String| lines.push(format!("{name}{text}{tags}"));
                match &series.value {
                    Value::Count(0) => {}
                    Value::Count(count) => line(format!(":{count}|c")),
                    // With a sign it would be added.
                    Value::Number(number) if *number < 0.0 => {
                        line(":0|g".to_owned());
                        line(format!(":{number}|g"));
                    }
                    Value::Number(number) => line(format!(":{number}|g")),
                    Value::Histogram(counted) => {
                        let factor = if millis { 1000.0 } else { 1.0 };
                        for bucket in &counted.buckets {
                            self.bucket(bucket.mean() * factor, bucket.count, &mut line);
                        }
                        let sum = counted.sum();
                        if self.dialect == Dialect::Plain && sum != 0.0 {
                            line(format!(".sum:{}|c", sum * factor));
                        }
                    }
                }
            }
        }
        lines
    }

    /// So many times this value, each power of two in one line.
    fn bucket(&self, value: f64, count: u64, line: &mut impl FnMut(String)) {
        let kind = match self.dialect {
            Dialect::Plain => "ms",
            Dialect::Dog(kind) => kind,
        };
        for power in (0..u64::BITS).filter(|power| count >> power & 1 == 1) {
            let mut text = format!(":{value}|{kind}");
            if power > 0 {
                // A power of two is told exactly. Writing into a string can't fail.
                let _ = write!(text, "|@{}", 0.5_f64.powi(power as i32));
            }
            line(text);
        }
    }

    fn named(&self, name: &str, series: &Series) -> (String, String) {
        let none = crate::registry::labels([]);
        let labels = if self.dialect == Dialect::Plain { &series.labels } else { &none };
        let name = format!("{}{}", self.prefix, flat::path(name, labels));
        if self.dialect == Dialect::Plain {
            return (name, String::new());
        }
        let own = series.labels.iter().map(|(name, value)| tag(name, value));
        let tags: Vec<String> = self.tags.iter().cloned().chain(own).collect();
        (name, if tags.is_empty() { String::new() } else { format!("|#{}", tags.join(",")) })
    }

    async fn send(&mut self, packet: &[u8]) -> Result<(), BoxError> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            None => self.socket.insert(connect(&self.address).await?),
        };
        match socket.send(packet).await {
            // That was the answer to an earlier packet, which is lost; this one was not sent.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                socket.send(packet).await?;
            }
            sent => _ = sent?,
        }
        Ok(())
    }
}

/// A daemon that has moved is found again, since a socket that failed is made anew.
async fn connect(address: &str) -> Result<UdpSocket, BoxError> {
    let to = tokio::net::lookup_host(address).await?.next().ok_or("no such host")?;
    let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let from = from.to_socket_addrs()?.next().ok_or("no such address")?;
    let socket = UdpSocket::bind(from).await?;
    socket.connect(to).await?;
    Ok(socket)
}

/// Neither may hold what separates tags.
fn tag(name: &str, value: &str) -> String {
    let clean = |text: &str, colon: bool| -> String {
        let bad = |c: char| c.is_control() || matches!(c, ',' | '|' | '#') || (!colon && c == ':');
        text.chars().map(|c| if bad(c) { '_' } else { c }).collect()
    };
    format!("{}:{}", clean(name, false), clean(value, true))
}

/// Lines in as few packets as they fit; one that is too long for any is left out.
fn packets(lines: Vec<String>) -> Vec<String> {
    let mut packets: Vec<String> = Vec::new();
    for line in lines.into_iter().filter(|line| line.len() <= PACKET) {
        match packets.last_mut() {
            Some(packet) if packet.len() + 1 + line.len() <= PACKET => {
                packet.push('\n');
                packet.push_str(&line);
            }
            _ => packets.push(line),
        }
    }
    packets
}

impl Backend for StatsD {
    async fn push(&mut self, snapshot: &Snapshot) -> Result<(), BoxError> {
        let delta = self.deltas.take(snapshot);
        for packet in packets(self.lines(&delta)) {
            if let Err(error) = self.send(packet.as_bytes()).await {
                self.socket = None;
                return Err(error);
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for StatsD {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatsD").field("address", &self.address).finish_non_exhaustive()
    }
}
