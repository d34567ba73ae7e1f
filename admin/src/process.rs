use purlin_endpoint::Inspect;
use serde::Serialize;
use tokio::runtime::Handle as Runtime;

/// This process and its runtime, as a component of the page: memory, descriptors, threads, tasks.
///
/// Memory, descriptors and threads are read from `/proc` and are missing where there is none.
#[derive(Clone, Debug)]
pub struct Process(Runtime);

#[derive(Serialize)]
struct Shown {
    pid: u32,
    resident_kib: Option<u64>,
    descriptors: Option<usize>,
    threads: Option<u64>,
    workers: usize,
    tasks_alive: usize,
    tasks_queued: usize,
}

impl Process {
    /// This process and the runtime that calls this.
    ///
    /// # Panics
    ///
    /// If it is not called within a runtime of tokio.
    pub fn current() -> Self {
        Self(Runtime::current())
    }
}

/// Shows the process as a JSON object.
impl Inspect for Process {
    fn name(&self) -> String {
        "process".to_owned()
    }

    fn snapshot(&self) -> String {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let metrics = self.0.metrics();
        let shown = Shown {
            pid: std::process::id(),
            resident_kib: number("VmRSS:"),
            descriptors: std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count),
            threads: number("Threads:"),
            workers: metrics.num_workers(),
            tasks_alive: metrics.num_alive_tasks(),
            tasks_queued: metrics.global_queue_depth(),
        };
        // Numbers can always be written.
        serde_json::to_string(&shown).unwrap_or_default()
    }
}
