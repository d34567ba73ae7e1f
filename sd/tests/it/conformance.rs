//! The registries in this crate, in the suite that all registries pass.

use purlin_sd::{
    File, Memory, Registry, Source,
    conformance::{Fault, World, check},
};
use std::{path::PathBuf, time::Duration};

const HOUR: Duration = Duration::from_secs(3600);

struct InMemory(Memory);

impl World for InMemory {
    const SEEN_WITHIN: Duration = Duration::from_millis(10);

    fn source(&self) -> impl Source {
        self.0.source("conf")
    }

    fn registry(&self) -> impl Registry {
        self.0.registry("conf")
    }

    async fn registered(&self) -> Vec<String> {
        self.0.instances("conf").into_iter().map(|instance| instance.id).collect()
    }

    async fn delete(&self, id: &str) {
        self.0.delete("conf", id);
    }

    async fn fault(&self, fault: Fault) {
        match fault {
            Fault::Wiped => self.0.wipe(),
            Fault::Jump => tokio::time::advance(HOUR).await,
            other => unreachable!("{other:?} is not among the faults of memory"),
        }
    }

    async fn heal(&self) {}

    fn faults(&self) -> &'static [Fault] {
        &[Fault::Wiped, Fault::Jump]
    }
}

#[tokio::test(start_paused = true)]
async fn memory_passes() {
    check(&InMemory(Memory::new())).await;
}

struct InFile {
    folder: tempfile::TempDir,
}

impl InFile {
    fn path(&self) -> PathBuf {
        self.folder.path().join("registry.json")
    }

    /// Where the file is while it is away.
    fn away(&self) -> PathBuf {
        self.folder.path().join("away.json")
    }
}

impl World for InFile {
    const SEEN_WITHIN: Duration = Duration::from_millis(2500);

    fn source(&self) -> impl Source {
        File::new(self.path()).source("conf")
    }

    fn registry(&self) -> impl Registry {
        File::new(self.path()).registry("conf")
    }

    async fn registered(&self) -> Vec<String> {
        let Ok(text) = std::fs::read(self.path()) else { return Vec::new() };
        let content: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let entries = content["conf"].as_array().cloned().unwrap_or_default();
        entries.iter().filter_map(|entry| entry["id"].as_str().map(str::to_owned)).collect()
    }

    async fn delete(&self, _: &str) {
        std::fs::write(self.path(), "{}").unwrap();
    }

    async fn fault(&self, fault: Fault) {
        let text = match fault {
            Fault::Garbage => r#"{"conf": [{"addr"#,
            Fault::Errors => r#"{"conf": [{"adress": "127.0.0.1:1"}]}"#,
            Fault::Wiped => "{}",
            Fault::Jump => {
                tokio::time::pause();
                tokio::time::advance(HOUR).await;
                return tokio::time::resume();
            }
            other => unreachable!("{other:?} is not among the faults of a file"),
        };
        std::fs::copy(self.path(), self.away()).ok();
        std::fs::write(self.path(), text).unwrap();
    }

    async fn heal(&self) {
        // Whoever repairs a broken file by hand writes a good one.
        let text = std::fs::read(self.away()).unwrap_or_else(|_| b"{}".to_vec());
        std::fs::write(self.path(), text).unwrap();
        std::fs::remove_file(self.away()).ok();
    }

    fn faults(&self) -> &'static [Fault] {
        &[Fault::Garbage, Fault::Errors, Fault::Wiped, Fault::Jump]
    }
}

#[tokio::test]
async fn a_file_passes() {
    check(&InFile { folder: tempfile::tempdir().unwrap() }).await;
}
