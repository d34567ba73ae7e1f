use crate::process::{Process, listening, port};
use metrics::with_local_recorder;
use purlin_http_client::HttpClient;
use purlin_metrics::{Push, Registry};
use purlin_metrics_cloudwatch::{CloudWatch, Credentials};

fn start(port: u16) -> Process {
    Process::start("PURLIN_MOTO", |_| {
        ["-H", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned)
    })
}

fn work(registry: &Registry, jobs: u64) {
    with_local_recorder(registry, || {
        metrics::describe_histogram!("took", metrics::Unit::Seconds, "How long jobs took.");
        for _ in 0..jobs {
            for took in [0.125, 0.25, 0.25, 20.0] {
                metrics::histogram!("took", "queue" => "mail").record(took);
            }
        }
        metrics::counter!("jobs", "queue" => "mail").increment(jobs);
    });
}

/// Count and sum of a metric, as CloudWatch tells them.
async fn told(port: u16, metric: &str) -> (f64, f64) {
    let query = [
        ("Action", "GetMetricStatistics"),
        ("Version", "2010-08-01"),
        ("Namespace", "Test"),
        ("MetricName", metric),
        ("StartTime", "2020-01-01T00%3A00%3A00Z"),
        ("EndTime", "2100-01-01T00%3A00%3A00Z"),
        ("Period", "3153600000"),
        ("Statistics.member.1", "SampleCount"),
        ("Statistics.member.2", "Sum"),
        ("Dimensions.member.1.Name", "queue"),
        ("Dimensions.member.1.Value", "mail"),
    ];
    let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    // The emulator looks at who signs only to know which service is meant.
    let request = http::Request::post(format!("http://127.0.0.1:{port}/"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=id/20260101/eu-west-1/monitoring/aws4_request, \
             SignedHeaders=host, Signature=0",
        )
        .body(http_body_util::Full::new(bytes::Bytes::from(query.join("&"))))
        .unwrap();
    let answer = HttpClient::new().send(request).await.unwrap();
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let all = |name: &str| -> f64 {
        let open = format!("<{name}>");
        let parts = text.split(&open).skip(1);
        parts.map(|part| part.split('<').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    // The emulator adds up single values, which rounds in the last digit.
    (all("SampleCount"), (all("Sum") * 1e9).round() / 1e9)
}

#[tokio::test]
async fn cloudwatch_has_the_exact_count_and_sum() {
    let (registry, port) = (Registry::new(), port());
    let mut moto = start(port);
    listening(port).await;
    let endpoint = format!("http://127.0.0.1:{port}/").parse().unwrap();
    let credentials = || Credentials::new("id", "secret").token("token");
    let cloudwatch = CloudWatch::new(HttpClient::new(), endpoint, "eu-west-1", credentials);
    let push = Push::new(&registry, cloudwatch.namespace("Test").batch(1));
    work(&registry, 3);
    push.flush().await.unwrap();
    work(&registry, 1);
    push.flush().await.unwrap();
    assert_eq!(told(port, "took").await, (16.0, 82.5));
    assert_eq!(told(port, "jobs").await.1, 4.0);
    moto.kill();
    work(&registry, 2);
    push.flush().await.unwrap_err();
    work(&registry, 2);
    push.flush().await.unwrap_err();
    moto.again();
    listening(port).await;
    // The emulator has forgotten all; what it was not there for comes now, at once: this may be the
    // last flush of the process.
    push.flush().await.unwrap();
    assert_eq!(told(port, "took").await, (16.0, 82.5));
}
