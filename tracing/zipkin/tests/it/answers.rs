use crate::call;
use purlin_endpoint::Error;
use purlin_tracing::{Export, Resource, Span, Tracing};
use purlin_tracing_zipkin::Zipkin;
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// Keeps what an export came to, and of what it was.
#[derive(Clone)]
struct Watched {
    zipkin: Zipkin,
    outcome: Arc<Mutex<Option<Result<(), Error>>>>,
}

impl Export for Watched {
    async fn export(&mut self, resource: &Resource, spans: &[Span]) -> Result<(), Error> {
        let outcome = self.zipkin.export(resource, spans).await;
        *self.outcome.lock().unwrap() = Some(outcome);
        Ok(())
    }
}

/// Exports the spans of one call to a server that gives this answer, and returns what the server
/// was sent and what the export came to.
async fn exported(answer: &'static str) -> (String, Result<(), Error>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/api/v2/spans", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut sent = Vec::new();
        while !sent.ends_with(b"}}]") {
            assert_ne!(peer.read_buf(&mut sent).await.unwrap(), 0);
        }
        let head = format!("HTTP/1.1 {answer}\r\ncontent-length: 4\r\n\r\nsaid");
        peer.write_all(head.as_bytes()).await.unwrap();
        String::from_utf8(sent).unwrap()
    });
    let tracing = Tracing::new("greeter").resource("host.name", "a \"b\"");
    let (tracer, spans) = tracing.tracer().unwrap();
    call(&tracer).await;
    let outcome = Arc::default();
    let watched = Watched { zipkin: Zipkin::new(uri.parse().unwrap()), outcome };
    spans.export(watched.clone(), async {}).await;
    (server.await.unwrap(), watched.outcome.lock().unwrap().take().unwrap())
}

#[tokio::test]
async fn spans_are_written_as_zipkin_reads_them() {
    let (sent, outcome) = exported("202 Accepted").await;
    outcome.unwrap();
    let (head, body) = sent.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /api/v2/spans HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let spans: Vec<serde_json::Value> = serde_json::from_str(body).unwrap();
    let [server, client] = &spans[..] else { panic!("{body}") };
    assert_eq!(server["traceId"], client["traceId"]);
    assert_eq!(server["traceId"].as_str().unwrap().len(), 32);
    assert_eq!(
        (&server["parentId"], &client["parentId"]),
        (&client["id"], &serde_json::Value::Null)
    );
    assert_eq!((&server["kind"], &client["kind"]), (&"SERVER".into(), &"CLIENT".into()));
    assert_eq!(
        (&server["name"], &client["name"]),
        (&"greeter.Greeter/Greeting".into(), &"greet".into())
    );
    assert_eq!(server["localEndpoint"], serde_json::json!({ "serviceName": "greeter" }));
    assert_eq!(server["remoteEndpoint"], serde_json::json!({ "ipv4": "10.0.0.7", "port": 4711 }));
    assert!(server["timestamp"].as_u64().unwrap() > 1_700_000_000_000_000);
    assert!(server["duration"].as_u64().unwrap() > 0);
    assert_eq!(
        server["tags"],
        serde_json::json!({
            "rpc.method": "greeter.Greeter/Greeting",
            "rpc.response.status_code": "INTERNAL",
            "error.type": "INTERNAL",
            "error": "internal error",
            "otel.status_code": "ERROR",
            "host.name": "a \"b\"",
        })
    );
    let event = server["annotations"][0]["value"].as_str().unwrap();
    assert!(event.starts_with("\"exception\": {") && event.contains("out of paper"), "{event}");
}

#[tokio::test]
async fn what_zipkin_refuses_is_given_up_and_what_it_has_no_time_for_is_not() {
    for (answer, again) in [
        ("400 Bad Request", false),
        ("404 Not Found", false),
        ("413 Content Too Large", false),
        ("429 Too Many Requests", true),
        ("503 Service Unavailable", true),
    ] {
        let error = exported(answer).await.1.unwrap_err();
        assert_eq!(error.is_retryable(), again, "{answer}");
        assert!(format!("{error:#}").ends_with("said"), "{error:#}");
    }
}
