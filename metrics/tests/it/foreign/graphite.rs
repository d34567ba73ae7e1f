use super::{
    process::{Process, listening, port, until},
    work,
};
use purlin_metrics::{Graphite, Push, Registry};
use std::{path::Path, process::Command};

fn start(port: u16) -> Process {
    Process::start("PURLIN_CARBON", |folder| {
        let at = |name: &str| folder.join(name).display().to_string();
        let (pickle, query) = (self::port(), self::port());
        let config = format!(
            "[cache]\nSTORAGE_DIR = {0}/\nCONF_DIR = {0}/\nLOG_DIR = {0}/\nPID_DIR = {0}/\n\
             LOCAL_DATA_DIR = {0}/whisper/\nLINE_RECEIVER_INTERFACE = 127.0.0.1\n\
             LINE_RECEIVER_PORT = {port}\nENABLE_UDP_LISTENER = False\n\
             PICKLE_RECEIVER_INTERFACE = 127.0.0.1\nPICKLE_RECEIVER_PORT = {pickle}\n\
             CACHE_QUERY_INTERFACE = 127.0.0.1\nCACHE_QUERY_PORT = {query}\n\
             MAX_CACHE_SIZE = inf\nMAX_UPDATES_PER_SECOND = 1000\nMAX_CREATES_PER_MINUTE = inf\n\
             ENABLE_LOGROTATION = False\nUSER =\n",
            folder.display()
        );
        std::fs::write(at("carbon.conf"), config).unwrap();
        let schemas = "[all]\npattern = .*\nretentions = 1s:1h\n";
        std::fs::write(at("storage-schemas.conf"), schemas).unwrap();
        ["--nodaemon".to_owned(), format!("--config={}", at("carbon.conf")), "start".to_owned()]
    })
}

/// The newest number in a file of Graphite's.
fn newest(file: &Path) -> Option<f64> {
    let fetch = std::env::var_os("PURLIN_WHISPER_FETCH")
        .expect("PURLIN_WHISPER_FETCH names no program; `cargo xtask test` sets it");
    let output = Command::new(fetch).arg("--drop=nulls").arg(file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().last()?.split_whitespace().nth(1)?.parse().ok()
}

async fn shows(carbon: &Process, path: &str, expected: f64) {
    let file = carbon.folder().join(format!("whisper/{}.wsp", path.replace('.', "/")));
    until(&format!("{path} is {expected}"), || async {
        (newest(&file) == Some(expected)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn carbon_keeps_the_exact_count_and_sum() {
    let (registry, port) = (Registry::new(), port());
    let mut carbon = start(port);
    listening(port).await;
    let push = Push::new(&registry, Graphite::new(format!("127.0.0.1:{port}")).prefix("test."));
    work(&registry);
    push.flush().await.unwrap();
    shows(&carbon, "test.jobs.queue.mail", 7.0).await;
    shows(&carbon, "test.took.queue.mail.count", 7.0).await;
    shows(&carbon, "test.took.queue.mail.sum", 2.5).await;
    shows(&carbon, "test.waiting", 3.0).await;
    carbon.kill();
    work(&registry);
    push.flush().await.unwrap_err();
    carbon.again();
    listening(port).await;
    push.flush().await.unwrap();
    // Nothing is lost, since what is sent is all that ever was.
    shows(&carbon, "test.took.queue.mail.count", 14.0).await;
    shows(&carbon, "test.took.queue.mail.sum", 5.0).await;
}
