//! What callers show, on its way in and out.

use http::{HeaderMap, HeaderValue};
use purlin_auth::{Credentials, extract, inject};
use purlin_endpoint::Context;

const ADA: HeaderValue = HeaderValue::from_static("Bearer ada");
const BOB: HeaderValue = HeaderValue::from_static("Bearer bob");

#[test]
fn several_credentials_are_none_that_can_be_read() {
    let mut headers = HeaderMap::new();
    headers.append("authorization", ADA);
    headers.append("authorization", BOB);
    let context = extract(&headers, Context::new()).unwrap();
    assert_eq!(context.get::<Credentials>().unwrap().value(), None);
}

#[test]
fn a_value_that_is_no_text_is_one_of_several_and_is_no_credential_alone() {
    let no_text = || HeaderValue::from_bytes(b"Bearer \xff").unwrap();
    for pair in [[ADA, no_text()], [no_text(), ADA], [no_text(), no_text()]] {
        let mut headers = HeaderMap::new();
        for value in pair {
            headers.append("authorization", value);
        }
        let context = extract(&headers, Context::new()).unwrap();
        assert_eq!(context.get::<Credentials>().unwrap().value(), None);
    }
    let alone = HeaderMap::from_iter([(http::header::AUTHORIZATION, no_text())]);
    let context = extract(&alone, Context::new()).unwrap();
    assert_eq!(context.get::<Credentials>().unwrap().value(), Some(""));
}

#[test]
fn credentials_never_show_where_they_are_printed() {
    assert_eq!(format!("{:?}", Credentials::bearer("swordfish")), "Credentials");
}

#[test]
fn a_callers_credentials_stay_behind_unless_they_are_put_back() {
    let incoming = HeaderMap::from_iter([(http::header::AUTHORIZATION, ADA)]);
    let context = extract(&incoming, Context::new()).unwrap();

    let mut headers = HeaderMap::new();
    inject(&context.outgoing(), &mut headers).unwrap();
    assert!(headers.is_empty());

    let again = context.get::<Credentials>().unwrap().clone();
    inject(&context.outgoing().with(again), &mut headers).unwrap();
    assert_eq!(headers, incoming);
    assert!(headers[http::header::AUTHORIZATION].is_sensitive(), "nobody shows it");
}
