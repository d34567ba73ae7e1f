use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

/// The example `stop_in_order` as a process of its own, with so many milliseconds in flight.
fn start(in_flight: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    // Tests lie in `deps`, examples beside it.
    let test = std::env::current_exe().unwrap();
    let example = test.ancestors().nth(2).unwrap().join("examples/stop_in_order");
    let mut child = Command::new(&example)
        .arg(in_flight)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", example.display()));
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

fn expect(lines: &mut Lines<BufReader<ChildStdout>>, expected: &[&str]) {
    for expected in expected {
        assert_eq!(lines.next().unwrap().unwrap(), *expected);
    }
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn a_signal_stops_in_order_and_the_process_ends_well() {
    for (signal, name) in [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM")] {
        let (mut child, mut lines) = start("10");
        expect(&mut lines, &["serving"]);
        send(&child, signal);
        expect(&mut lines, &["not ready", "finishing", "flushed"]);
        expect(&mut lines, &[&format!("signals received {name}")]);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_second_signal_exits_at_once() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (mut child, mut lines) = start("600000");
        expect(&mut lines, &["serving"]);
        send(&child, Signal::TERM);
        expect(&mut lines, &["not ready", "finishing"]);
        send(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(lines.next().is_none(), "nothing is finished any more");
    }
}
