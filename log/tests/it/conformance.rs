use crate::Writes;
use purlin_endpoint::conformance;
use purlin_log::{LogLayer, Logger};

#[tokio::test]
async fn the_layer_keeps_the_rules_of_all_layers() {
    conformance::check(|| LogLayer::new(Logger::logfmt(std::io::sink()))).await;
    conformance::check(|| LogLayer::new(Logger::discard())).await;
}

#[tokio::test]
async fn every_call_that_the_rules_are_tried_on_is_one_line() {
    let writes = Writes::default();
    conformance::check(|| LogLayer::new(Logger::logfmt(writes.clone()))).await;
    let lines = writes.take();
    assert!(lines.len() > 1000, "the kit drops and breaks thousands of calls");
    assert!(lines.iter().all(|line| line.matches("code=").count() == 1));
    for code in ["code=OK", "code=CANCELLED", "code=INTERNAL"] {
        assert!(lines.iter().any(|line| line.contains(code)), "{code}");
    }
}
