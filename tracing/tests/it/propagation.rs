use crate::caller;
use http::HeaderMap;
use proptest::prelude::*;
use purlin_endpoint::{Baggage, Context, SpanId, Trace, TraceId};
use purlin_tracing::{Format, Propagation};

const FORMATS: [Format; 3] = [Format::TraceContext, Format::B3, Format::B3Multi];
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn read(propagation: &Propagation, pairs: &[(&'static str, &str)]) -> Context {
    propagation.extract(&headers(pairs), Context::new()).unwrap()
}

fn write(propagation: &Propagation, context: &Context) -> HeaderMap {
    let mut headers = HeaderMap::new();
    propagation.inject(context, &mut headers).unwrap();
    headers
}

/// The trace that a `traceparent` is read as.
fn parent(value: &str) -> Option<Trace> {
    read(&Propagation::w3c(), &[("traceparent", value)]).trace().cloned()
}

#[test]
fn a_traceparent_is_read_strictly() {
    assert!(parent(PARENT).unwrap().is_sampled());
    assert!(!parent(&PARENT.replace("-01", "-00")).unwrap().is_sampled());
    // Flags that nobody knows say nothing.
    assert!(!parent(&PARENT.replace("-01", "-fe")).unwrap().is_sampled());
    for wrong in [
        "",
        "00",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-001",
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
        "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
        "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] {
        assert_eq!(parent(wrong), None, "{wrong}");
    }
}

#[test]
fn a_traceparent_of_a_later_version_is_read_as_far_as_it_is_known() {
    for later in ["cc", "01", "fe"] {
        for more in ["", "-", "-what-comes-then"] {
            let value = format!("{later}{}{more}", &PARENT[2..]);
            assert_eq!(parent(&value), parent(PARENT), "{value}");
        }
    }
}

#[test]
fn two_traceparents_are_none() {
    let twice = [("traceparent", PARENT), ("traceparent", PARENT)];
    assert_eq!(read(&Propagation::w3c(), &twice).trace(), None);
}

/// The `tracestate` that these headers are read as.
fn state(values: &[&str]) -> Option<String> {
    let mut pairs = vec![("traceparent", PARENT)];
    pairs.extend(values.iter().map(|value| ("tracestate", *value)));
    read(&Propagation::w3c(), &pairs).trace().unwrap().state().map(str::to_owned)
}

#[test]
fn a_tracestate_is_kept_whole_or_dropped() {
    assert_eq!(state(&["a=1"]).as_deref(), Some("a=1"));
    assert_eq!(state(&["a=1, b=2 ,", "", "1t@v=x y"]).as_deref(), Some("a=1,b=2,1t@v=x y"));
    let members: Vec<String> = (0..33).map(|n| format!("k{n}=v")).collect();
    assert!(state(&[&members[..32].join(",")]).is_some());
    assert_eq!(state(&[&members.join(",")]), None);
    let long = |length: usize| format!("a={},b={}", "x".repeat(250), "y".repeat(length - 255));
    assert!(state(&[&long(511)]).is_some_and(|state| state.len() == 511));
    assert_eq!(state(&[&format!("{},c=1", long(511))]), None);
    for wrong in ["a", "a=", "=1", "A=1", "1a=1", "a=b=c", "a=\u{7f}", "a b=1", "t@=1", "t@s@u=1"] {
        let known = headers(&[("traceparent", PARENT)]);
        let mut both = known.clone();
        let Ok(value) = wrong.parse() else { continue };
        both.insert("tracestate", value);
        let context = Propagation::w3c().extract(&both, Context::new()).unwrap();
        assert_eq!(context.trace().unwrap().state(), None, "{wrong}");
    }
    assert_eq!(state(&[&format!("{}=1", "k".repeat(256))]).map(|state| state.len()), Some(258));
    assert_eq!(state(&[&format!("{}=1", "k".repeat(257))]), None);
    assert_eq!(state(&[&format!("k={}", "v".repeat(257))]), None);
}

#[test]
fn a_tracestate_without_its_trace_is_nothing() {
    assert_eq!(read(&Propagation::w3c(), &[("tracestate", "a=1")]).trace(), None);
}

#[test]
fn b3_is_read_in_one_header() {
    let b3 = Propagation::of(Format::B3);
    let trace = |value: &str| read(&b3, &[("b3", value)]).trace().cloned();
    let id = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
    for (rest, sampled) in
        [("", false), ("-0", false), ("-1", true), ("-d", true), ("-1-00f067aa0ba902b7", true)]
    {
        let found = trace(&format!("{id}{rest}")).unwrap();
        assert_eq!(
            (found.trace_id(), found.is_sampled()),
            (parent(PARENT).unwrap().trace_id(), sampled)
        );
    }
    let short = trace("8448eb211c80319c-b7ad6b7169203331-1").unwrap();
    assert_eq!(short.trace_id().get(), 0x8448_eb21_1c80_319c);
    // A refusal alone is kept: nothing called from here shall be recorded.
    assert!(!trace("0").unwrap().is_sampled());
    for wrong in [
        "",
        "1",
        "d",
        "-",
        "0000000000000000-0000000000000000-1",
        "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-2",
        "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1-0",
        "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1-00f067aa0ba902b7-1",
        "0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-1",
        "0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-1",
    ] {
        assert_eq!(trace(wrong), None, "{wrong}");
    }
}

#[test]
fn b3_is_read_in_several_headers() {
    let b3 = Propagation::of(Format::B3Multi);
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let ids = [("x-b3-traceid", trace), ("x-b3-spanid", span)];
    let with = |more: &[(&'static str, &str)]| {
        let context = read(&b3, &[&ids[..], more].concat());
        context.trace().map(Trace::is_sampled)
    };
    assert_eq!(with(&[]), Some(false));
    assert_eq!(with(&[("x-b3-sampled", "1")]), Some(true));
    assert_eq!(with(&[("x-b3-sampled", "true")]), Some(true));
    assert_eq!(with(&[("x-b3-sampled", "0")]), Some(false));
    assert_eq!(with(&[("x-b3-flags", "1")]), Some(true));
    assert_eq!(with(&[("x-b3-sampled", "yes")]), None);
    assert_eq!(read(&b3, &ids[..1]).trace(), None);
    assert!(read(&b3, &[("x-b3-sampled", "0")]).trace().is_some_and(|trace| !trace.is_sampled()));
}

#[test]
fn of_several_formats_the_first_that_is_found_is_read_and_all_are_written() {
    let several: Propagation = "b3, tracecontext, baggage, b3multi".parse().unwrap();
    let b3 = "000000000000000a-000000000000000b-1";
    let context = read(&several, &[("traceparent", PARENT), ("b3", b3), ("baggage", "tenant=a")]);
    assert_eq!(context.trace().unwrap().trace_id().get(), 0xa);
    assert_eq!(context.baggage().get("tenant"), Some("a"));
    // What is malformed is passed over.
    let context = read(&several, &[("traceparent", PARENT), ("b3", "x")]);
    assert_eq!(context.trace(), parent(PARENT).as_ref());
    let written = write(&several, &context);
    for name in ["traceparent", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled"] {
        assert!(written.contains_key(name), "{name}");
    }
    assert_eq!(written["traceparent"], PARENT);
    assert!("tracecontext,jaeger".parse::<Propagation>().is_err());
}

#[test]
fn where_there_is_no_trace_nothing_is_written() {
    assert!(write(&Propagation::w3c().and(Format::B3), &Context::new()).is_empty());
}

#[test]
fn what_another_span_left_in_the_headers_does_not_stay() {
    let all = Propagation::w3c().and(Format::B3Multi);
    let mut left = headers(&[("tracestate", "a=1"), ("x-b3-parentspanid", "00f067aa0ba902b7")]);
    all.inject(&Context::new().with_trace(caller()), &mut left).unwrap();
    assert!(!left.contains_key("tracestate") && !left.contains_key("x-b3-parentspanid"));
}

#[test]
fn baggage_is_read_as_far_as_it_is_right() {
    let baggage = |values: &[&str]| {
        let pairs: Vec<_> = values.iter().map(|value| ("baggage", *value)).collect();
        let context = read(&Propagation::w3c(), &pairs);
        let entries = context.baggage().iter();
        entries.map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>()
    };
    assert_eq!(baggage(&["a=1, b = 2;ttl=3 ,c=", "d=%20%C3%A4%25"]), ["a:1", "b:2", "c:", "d: ä%"]);
    assert_eq!(baggage(&["a=%zz,b=%F"]), ["a:%zz", "b:%F"]);
    assert_eq!(baggage(&["a=%ff"]), ["a:\u{fffd}"]);
    assert_eq!(baggage(&["=1,a b=1,c,d=\"1\",e=1 2,f=1"]), ["f:1"]);
    assert_eq!(baggage(&["a=1,a=2"]), ["a:2"]);
    let many: Vec<String> = (0..100).map(|n| format!("k{n}=v")).collect();
    assert_eq!(baggage(&[&many.join(",")]).len(), 64);
    let large: Vec<String> = (0..9).map(|n| format!("k{n}={}", "v".repeat(1021))).collect();
    assert_eq!(baggage(&[&large.join(",")]).len(), 7);
}

#[test]
fn no_more_baggage_is_written_than_others_read() {
    let large =
        (0..100).fold(Baggage::default(), |all, n| all.with(format!("k{n}"), "v".repeat(200)));
    let written = write(&Propagation::w3c(), &Context::new().with_baggage(large));
    let header = written["baggage"].to_str().unwrap();
    assert!((8000..=8192).contains(&header.len()), "{}", header.len());
    let many = (0..100).fold(Baggage::default(), |all, n| all.with(format!("k{n}"), "v"));
    let written = write(&Propagation::w3c(), &Context::new().with_baggage(many));
    assert_eq!(written["baggage"].to_str().unwrap().split(',').count(), 64);
    let odd = Baggage::default().with("a b", "1").with("c", "d");
    let written = write(&Propagation::w3c(), &Context::new().with_baggage(odd));
    assert_eq!(written["baggage"], "c=d");
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(trace in 1_u128.., span in 1_u64.., sampled: bool) {
        let trace = Trace::new(TraceId::new(trace).unwrap(), SpanId::new(span).unwrap());
        let trace = trace.sampled(sampled);
        for format in FORMATS {
            let format = Propagation::of(format);
            let written = write(&format, &Context::new().with_trace(trace.clone()));
            let read = format.extract(&written, Context::new()).unwrap();
            prop_assert_eq!(read.trace(), Some(&trace));
        }
    }

    #[test]
    fn baggage_of_any_text_is_read_again(value in ".{0,200}") {
        let baggage = Baggage::default().with("key", value);
        let written = write(&Propagation::w3c(), &Context::new().with_baggage(baggage.clone()));
        let read = Propagation::w3c().extract(&written, Context::new()).unwrap();
        prop_assert_eq!(read.baggage(), &baggage);
    }

    #[test]
    fn no_header_makes_trouble_and_what_is_kept_of_it_is_clean(
        name in 0..8_usize,
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        never_raw(NAMES[name], &bytes)?;
    }

    #[test]
    fn no_header_that_is_nearly_right_makes_trouble(
        name in 0..8_usize,
        text in "[0-9a-f]{0,4}(00|ff|0|1|d|-|=|,|;|%|@|a|[0-9a-f]{16}|[0-9a-f]{32}| |\t){0,24}",
    ) {
        never_raw(NAMES[name], text.as_bytes())?;
    }
}

const NAMES: [&str; 8] = [
    "traceparent",
    "tracestate",
    "baggage",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-sampled",
    "x-b3-flags",
];

/// Whatever stands in a header, what is kept of it can be sent on and read again.
fn never_raw(name: &'static str, bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(value) = http::HeaderValue::from_bytes(bytes) else { return Ok(()) };
    let mut headers = headers(&[("traceparent", PARENT)]);
    headers.insert(name, value);
    let all: Propagation = "tracecontext,baggage,b3,b3multi".parse().unwrap();
    let context = all.extract(&headers, Context::new()).unwrap();
    if let Some(state) = context.trace().and_then(Trace::state) {
        prop_assert!(state.len() <= 512 && state.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
    let again = all.extract(&write(&all, &context), Context::new()).unwrap();
    prop_assert_eq!(again.trace(), context.trace());
    prop_assert_eq!(again.baggage(), context.baggage());
    Ok(())
}
