use super::{
    escaped, get,
    process::{Process, port, until},
    work,
};
use purlin_http_client::HttpClient;
use purlin_metrics::{Influx, Push, Registry};
use serde_json::Value;

fn start(port: u16) -> Process {
    Process::start("PURLIN_INFLUXD", |folder| {
        let (at, rpc) = (folder.display(), self::port());
        let config = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:{rpc}\"\n\
             [meta]\ndir = \"{at}/meta\"\n\
             [data]\ndir = \"{at}/data\"\nwal-dir = \"{at}/wal\"\n\
             [monitor]\nstore-enabled = false\n\
             [http]\nbind-address = \"127.0.0.1:{port}\"\n"
        );
        let file = folder.join("influxdb.conf");
        std::fs::write(&file, config).unwrap();
        ["-config".to_owned(), file.display().to_string()]
    })
}

async fn query(port: u16, text: &str) -> Option<Value> {
    // A query that changes something is posted.
    let path = format!("/query?db=test&q={}", escaped(text));
    if text.starts_with("SELECT") {
        return serde_json::from_str(&get(port, &path).await?).ok();
    }
    let uri = format!("http://127.0.0.1:{port}{path}");
    let request = http::Request::post(uri).body(http_body_util::Empty::<&[u8]>::new()).unwrap();
    let answer = HttpClient::new().send(request).await.ok()?;
    answer.status().is_success().then_some(Value::Null)
}

async fn shows(port: u16, field: &str, metric: &str, expected: f64) {
    let text = format!("SELECT last(\"{field}\") FROM \"{metric}\" WHERE \"queue\" = 'mail'");
    until(&format!("{field} of {metric} is {expected}"), || async {
        let answer = query(port, &text).await?;
        let last = answer["results"][0]["series"][0]["values"][0][1].as_f64();
        (last == Some(expected)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn influxdb_keeps_the_exact_count_and_sum() {
    let (registry, port) = (Registry::new(), port());
    let mut influxd = start(port);
    // While it starts, it may say that it has done what it has not.
    until("there is a database", || async {
        query(port, "CREATE DATABASE test").await?;
        get(port, "/query?q=SHOW%20DATABASES").await.filter(|told| told.contains("[\"test\"]"))
    })
    .await;
    let uri = format!("http://127.0.0.1:{port}/write?db=test").parse().unwrap();
    let push = Push::new(&registry, Influx::new(HttpClient::new(), uri));
    work(&registry);
    push.flush().await.unwrap();
    shows(port, "count", "jobs", 7.0).await;
    shows(port, "count", "took", 7.0).await;
    shows(port, "sum", "took", 2.5).await;
    influxd.kill();
    work(&registry);
    push.flush().await.unwrap_err();
    influxd.again();
    until("it is back", || get(port, "/ping")).await;
    push.flush().await.unwrap();
    shows(port, "count", "took", 14.0).await;
    shows(port, "sum", "took", 5.0).await;
}
