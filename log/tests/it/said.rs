//! What the line of a call says besides its code.

use crate::{
    Writes,
    layer::{GREET_MANY, GREETING, fields, logged},
};
use futures_util::future;
use purlin_endpoint::{
    Attempts, Code, Context, Endpoint as _, Error, Notes, Peer, Request, SpanId, Trace, TraceId,
    endpoint_fn,
};
use purlin_log::{Fields, LogLayer, Logger, Sampling};
use tower::ServiceBuilder;

#[tokio::test(start_paused = true)]
async fn a_line_has_the_ids_of_its_trace() {
    let (greet, writes) = logged(&GREETING, |_, _| future::ok::<_, Error>(()));
    let trace = Trace::new(TraceId::new(0xabc).unwrap(), SpanId::new(0xdef).unwrap());
    let trace = trace.with_state("x".repeat(10 * 1024));
    greet.invoke(Context::default().with_trace(trace), 0).await.unwrap();
    assert!(fields(&writes).ends_with(&format!(" trace_id={:032x} span_id={:016x}", 0xabc, 0xdef)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_tried_again_says_how_often_whatever_became_of_it() {
    let (greet, writes) = logged(&GREETING, |context, attempts: u32| {
        (0..attempts).for_each(|_| context.notes().attempted());
        future::ok::<_, Error>(())
    });
    greet.invoke(Context::default(), 1).await.unwrap();
    assert!(!fields(&writes).contains("attempts"));
    greet.invoke(Context::default(), 3).await.unwrap();
    assert!(fields(&writes).ends_with(" attempts=3"));
    // Somebody further out reads them.
    let notes = Notes::open();
    greet.invoke(Context::default().with_notes(notes.clone()), 2).await.unwrap();
    assert!(fields(&writes).ends_with(" attempts=2") && notes.attempts() == 2);
    // It is somebody else who calls, and nobody who reads.
    greet.invoke(Context::default().with_peer(Peer::Memory), 3).await.unwrap();
    assert!(!fields(&writes).contains("attempts"));

    let (fail, writes) = logged(&GREETING, |_, _| {
        let [first, last] = ["first", "last"].map(|text| Error::new(Code::Unavailable, text));
        future::err::<(), _>(Attempts::keep(vec![first], last))
    });
    fail.invoke(Context::default().with_peer(Peer::Memory), 0).await.unwrap_err();
    assert!(fields(&writes).ends_with(" attempts=2 error=last"));
}

#[tokio::test(start_paused = true)]
async fn chosen_fields_of_the_request_stand_before_its_error() {
    let writes = Writes::default();
    let log = LogLayer::new(Logger::logfmt(writes.clone())).fields(
        |request: &Request<u32>, fields: &mut Fields<'_>| {
            fields.add("n", request.message).add("text", "a b");
        },
    );
    let fail = ServiceBuilder::new()
        .layer(log)
        .service(endpoint_fn(|_, _: u32| future::err::<(), _>(Error::new(Code::NotFound, "no"))));
    fail.invoke(Context::default(), 7).await.unwrap_err();
    assert!(fields(&writes).ends_with("took_ms=0.000 n=7 text=\"a b\" error=no"));
}

#[tokio::test(start_paused = true)]
async fn fields_that_panic_are_lost_and_neither_their_line_nor_the_call_is() {
    let writes = Writes::default();
    let logger = Logger::logfmt(writes.clone()).with_each(|fields| {
        fields.add("half", 1);
        panic!("on purpose");
    });
    let log = LogLayer::new(logger).fields(|request: &Request<u32>, _: &mut Fields<'_>| {
        assert!(request.message > 7, "on purpose");
    });
    let greet = ServiceBuilder::new()
        .layer(log)
        .service(endpoint_fn(|_: Context, n: u32| future::ok::<_, Error>(n)));
    greet.invoke(Context::default(), 7).await.unwrap();
    let lost = "fields=\"panicked while they were worked out\"";
    assert_eq!(fields(&writes), format!("info msg=call {lost} code=OK took_ms=0.000 {lost}"));
}

#[tokio::test]
async fn notes_call_the_layer_by_its_name() {
    let (greet, _) = logged(&GREETING, |_, _| future::ok::<_, Error>(()));
    let notes = Notes::open();
    greet.invoke(Context::default().with_notes(notes.clone()), 0).await.unwrap();
    assert_eq!(notes.read()[0].layer, "log");
}

#[tokio::test(start_paused = true)]
async fn lines_of_calls_are_alike_if_method_and_code_are() {
    let writes = Writes::default();
    let log = Logger::logfmt(writes.clone()).sampling(Sampling::first(1)).unwrap();
    let greet =
        ServiceBuilder::new().layer(LogLayer::new(log.clone())).service(endpoint_fn(
            |_: Context, n: u32| async move {
                if n > 0 { Ok(n) } else { Err(Error::of(Code::NotFound)) }
            },
        ));
    for method in [&GREETING, &GREET_MANY] {
        for n in [0, 1, 0, 1] {
            let _ = greet.invoke(Context::new().with_method(method), n).await;
        }
    }
    assert_eq!((writes.take().len(), log.handle().suppressed()), (4, 4));
    log.flush().unwrap();
    assert!(writes.take().iter().any(|line| {
        line.ends_with(
            "level=warn msg=\"lines suppressed\" \
            of=\"call greeter.Greeter Greeting NOT_FOUND\" lines=1\n",
        )
    }));
}
