//! A server without a file descriptor left.

use crate::target::Target;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Whether the server answers within this time, on a connection of its own.
fn answers(address: SocketAddr, patience: Duration) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
}

#[test]
fn a_server_without_descriptors_waits_quietly_and_accepts_again() {
    let target = Target::with_descriptors(64);
    assert!(answers(target.address, Duration::from_secs(10)));

    let connect = |_| TcpStream::connect(target.address).expect("the kernel still queues");
    let held: Vec<_> = (0..100).map(connect).collect();
    let begun = Instant::now();
    // It may have one more, from whoever started it, and so gets to the limit a little later.
    while target.descriptors() < 64 || answers(target.address, Duration::from_millis(200)) {
        assert!(begun.elapsed() < Duration::from_secs(10), "{} are open", target.descriptors());
    }
    let (used, begun) = (target.processor(), Instant::now());
    // sleeps: what is measured is how little happens meanwhile.
    std::thread::sleep(Duration::from_secs(2));
    let (used, took) = (target.processor() - used, begun.elapsed());
    assert!(!answers(target.address, Duration::from_millis(200)), "it is still without");
    println!("{used:?} of processor time in {took:?} without descriptors");
    assert!(used < took / 5, "{used:?} in {took:?} is a busy loop");

    drop(held);
    let begun = Instant::now();
    assert!(answers(target.address, Duration::from_secs(10)), "it accepts again");
    println!("it answered {:?} after the connections were closed", begun.elapsed());
}
