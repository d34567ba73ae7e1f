//! A server process: how it starts, what it has used, how it ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use purlin_bench::gokit;

use crate::Failure;
use crate::servers::{Face, Server, Start};

/// One tick of `utime` and `stime`: Linux reports them at 100 Hz whatever the kernel's own rate.
const TICK: Duration = Duration::from_millis(10);

/// What the server gets to end by itself before it is killed; valgrind writes its counts then.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that listens, ended when dropped.
pub(crate) struct Running {
    child: Child,
    /// Where it listens.
    pub addr: SocketAddr,
}

impl Running {
    /// Starts a server on a free loopback port.
    pub(crate) fn start(server: &Server) -> Result<Self, Failure> {
        Self::start_under(&[], server, &[])
    }

    /// Starts a server under a program that watches it, with more arguments of its own.
    pub(crate) fn start_under(
        watcher: &[String],
        server: &Server,
        more: &[&str],
    ) -> Result<Self, Failure> {
        let mut words = watcher.to_vec();
        words.extend(command_line(server)?);
        words.extend(more.iter().map(|&word| word.to_owned()));
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", words[0]))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match line.strip_prefix("listening ").map(|addr| addr.trim().parse()) {
            Some(Ok(addr)) => Ok(Self { child, addr }),
            _ => {
                end(&mut child)?;
                Err(format!("{} did not start", server.name).into())
            }
        }
    }

    /// User and system time used so far by all threads.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let ticks = cpu_ticks(&stat).ok_or("no CPU time in /proc/PID/stat")?;
        Ok(TICK * ticks)
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> Result<u32, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        Ok(resident_kib(&status).ok_or("no VmRSS in /proc/PID/status")?)
    }

    /// Ends the server and waits for it.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        end(&mut self.child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if the process is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command_line(server: &Server) -> Result<Vec<String>, Failure> {
    let program = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    Ok(match server.start {
        Start::Here(_) => {
            let face = match server.face {
                Face::Http => "http",
                Face::Grpc => "grpc",
            };
            let mut words = vec![program(std::env::current_exe()?)];
            words.extend(["serve", server.name, "--face", face].map(str::to_owned));
            words
        }
        Start::GoKit(args) => {
            let mut words = vec![program(gokit::greeter()?)];
            words.extend(args.iter().map(|&arg| arg.to_owned()));
            words.push("127.0.0.1:0".to_owned());
            words
        }
    })
}

/// Closes standard input, which servers take as their end, and kills one that stays.
fn end(child: &mut Child) -> Result<(), Failure> {
    drop(child.stdin.take());
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait()?.is_none() {
        if deadline < Instant::now() {
            child.kill()?;
            child.wait()?;
            return Err("a server outlived its standard input and was killed".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn cpu_ticks(stat: &str) -> Option<u32> {
    // The second field is the program's name in parentheses, which may contain spaces.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_kib(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{cpu_ticks, resident_kib};

    #[test]
    fn cpu_time_is_read_past_a_name_with_spaces_and_parentheses() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194304 90 0 0 0 250 31 0 0 20 0 3 0 100 0 0";
        assert_eq!(cpu_ticks(stat), Some(281));
    }

    #[test]
    fn resident_memory_is_the_vm_rss_line() {
        assert_eq!(resident_kib("VmHWM:\t    9000 kB\nVmRSS:\t    4812 kB\n"), Some(4812));
    }
}
