use crate::measured;
use metrics::with_local_recorder;
use purlin_endpoint::{Context, Endpoint as _, SpanId, Trace, TraceId};
use purlin_metrics::{Buckets, Exposition, MetricsLayer, Registry};

#[tokio::test(start_paused = true)]
async fn a_histogram_is_written_with_cumulative_buckets() {
    let registry = Registry::new();
    let buckets = Buckets::new([0.1, 0.5, 1.0]).unwrap();
    let greet = measured(MetricsLayer::new(registry.clone()).buckets(buckets));
    for millis in [50, 50, 250, 2000] {
        greet.invoke(Context::new(), millis).await.unwrap();
    }
    let labels = "rpc_method=\"greeter.Greeter/Greeting\",rpc_response_status_code=\"OK\",\
                  rpc_system_name=\"purlin\"";
    let name = "rpc_server_call_duration_seconds";
    let expected = format!(
        "# TYPE rpc_server_active_requests gauge\n\
         # HELP rpc_server_active_requests Number of calls that a server works on.\n\
         rpc_server_active_requests{{rpc_method=\"greeter.Greeter/Greeting\",rpc_system_name=\"purlin\"}} 0.0\n\
         # TYPE {name} histogram\n\
         # HELP {name} Measures the duration of an incoming Remote Procedure Call (RPC).\n\
         {name}_bucket{{{labels},le=\"0.1\"}} 2\n\
         {name}_bucket{{{labels},le=\"0.5\"}} 3\n\
         {name}_bucket{{{labels},le=\"1.0\"}} 3\n\
         {name}_bucket{{{labels},le=\"+Inf\"}} 4\n\
         {name}_sum{{{labels}}} 2.35\n\
         {name}_count{{{labels}}} 4\n"
    );
    assert_eq!(Exposition::Text.render(&registry.snapshot()), expected);
}

#[tokio::test(start_paused = true)]
async fn open_metrics_has_units_exemplars_and_an_end() {
    let registry = Registry::new();
    let greet = measured(MetricsLayer::new(registry.clone()));
    let trace = Trace::new(TraceId::new(0xabc).unwrap(), SpanId::new(0xdef).unwrap()).sampled(true);
    greet.invoke(Context::new().with_trace(trace), 20).await.unwrap();
    let page = Exposition::OpenMetrics.render(&registry.snapshot());
    assert!(page.contains("# UNIT rpc_server_call_duration_seconds seconds\n"), "{page}");
    let line = page.lines().find(|line| line.contains("le=\"0.025\"")).unwrap();
    let (_, exemplar) = line.split_once(" 1 # ").expect(line);
    let (labels, rest) = exemplar.split_once("} ").unwrap();
    assert_eq!(labels, format!("{{trace_id=\"{:032x}\",span_id=\"{:016x}\"", 0xabc, 0xdef));
    assert!(rest.starts_with("0.02 "), "{rest}");
    assert!(page.ends_with("# EOF\n"));
    assert!(!Exposition::Text.render(&registry.snapshot()).contains("trace_id"));
}

#[test]
fn a_counter_ends_in_total_and_a_unit_stands_before_that() {
    let registry = Registry::new();
    with_local_recorder(&registry, || {
        metrics::describe_counter!("sent.bytes", metrics::Unit::Bytes, "What was sent.");
        metrics::counter!("sent.bytes").increment(3);
        metrics::counter!("jobs_total", "9-a" => "x").increment(1);
        metrics::gauge!("level").set(-1.5);
    });
    let text = Exposition::Text.render(&registry.snapshot());
    assert!(text.contains("# TYPE sent_bytes_total counter\n"), "{text}");
    assert!(text.contains("\nsent_bytes_total 3\n"), "{text}");
    assert!(
        text.contains("\njobs_total{_9_a=\"x\"} 1\n")
            || text.contains("jobs_total{_9_a=\"x\"} 1\n"),
        "{text}"
    );
    assert!(text.contains("level -1.5\n"), "{text}");
    let open = Exposition::OpenMetrics.render(&registry.snapshot());
    assert!(open.contains("# TYPE sent_bytes counter\n# UNIT sent_bytes bytes\n"), "{open}");
}

#[test]
fn nothing_that_a_label_holds_breaks_a_line_or_speaks_to_a_terminal() {
    let registry = Registry::new();
    let nasty = "a\"b\\c\nd\u{1b}[2J\r\u{85}é";
    with_local_recorder(&registry, || metrics::counter!("jobs", "from" => nasty).increment(1));
    for format in [Exposition::Text, Exposition::OpenMetrics] {
        let page = format.render(&registry.snapshot());
        assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
        assert!(page.contains(r#"jobs_total{from="a\"b\\c\nd"#), "{page}");
    }
}

#[test]
fn two_names_that_become_one_are_not_both_written() {
    let registry = Registry::new();
    with_local_recorder(&registry, || {
        metrics::gauge!("a.b").set(1.0);
        metrics::gauge!("a_b").set(2.0);
        metrics::gauge!("c", "x.y" => "1", "x_y" => "2").set(3.0);
    });
    let text = Exposition::Text.render(&registry.snapshot());
    assert_eq!(text.matches("# TYPE a_b gauge").count(), 1);
    assert!(text.contains("c{x_y=\"1\"} 3.0"), "{text}");
}
