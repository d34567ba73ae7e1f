//! Parsers under libFuzzer.
//!
//! ```
//! assert!(purlin_hostile::parsers::named("sse").is_some());
//! ```

use purlin_hostile::{parsers, transcript};
use tokio::runtime::{Builder, Runtime};

/// A runtime whose time is paused, so that no input waits for anything.
fn paused() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().expect("a runtime")
}

/// Has a parser read the bytes.
pub fn parse(name: &str, bytes: &[u8]) {
    thread_local!(static RUNTIME: Runtime = paused());
    let parser = parsers::named(name).expect("a parser of this name");
    RUNTIME.with(|runtime| runtime.block_on(parser(bytes.to_vec())));
}

/// Has our server and the strict oracle read the bytes.
pub fn differ(bytes: &[u8]) {
    thread_local!(static SERVER: (Runtime, purlin_serve::MemoryDial) = {
        let runtime = paused();
        let dial = runtime.block_on(async { transcript::start() });
        (runtime, dial)
    });
    SERVER.with(|(runtime, dial)| {
        let agreed = runtime.block_on(transcript::differ(dial, bytes));
        agreed.unwrap_or_else(|why| panic!("{why}"));
    });
}
