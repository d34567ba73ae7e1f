use crate::{Writes, noon};
use purlin_endpoint::{Context, Endpoint as _, Error, Request, endpoint_fn};
use purlin_log::{Fields, Format, LogLayer, Logger, Secret};
use tower::ServiceBuilder;

const SECRET: &str = "swordfish";

#[test]
fn a_secret_is_hidden_by_its_type_and_by_its_name_in_every_format() {
    for format in [Format::Logfmt, Format::Json, Format::Pretty, Format::Color] {
        let writes = Writes::default();
        let log = Logger::new(format, writes.clone()).secrets(["pin", "ssn"]);
        let log = log.with("db-password", SECRET).with_each(|fields| {
            fields.add("sessionCookie", SECRET).add("shown", 1);
        });
        log.info("m")
            .field("Authorization", SECRET)
            .field("anything", &Secret::new(SECRET))
            .lazy("card.PIN", || SECRET)
            .field("x-api-key", 4711)
            .field("tokens", 7)
            .send();
        let line = writes.line();
        assert!(!line.contains(SECRET) && !line.contains("4711"), "{line}");
        assert_eq!(line.matches("***").count(), 6, "{line}");
        assert!(line.contains("shown") && line.contains("tokens"));
    }
}

#[tokio::test]
async fn a_secret_field_of_a_request_is_hidden_in_its_line() {
    struct Login {
        name: &'static str,
        password: &'static str,
        otp: Secret<u32>,
    }
    let writes = Writes::default();
    let log = LogLayer::new(Logger::logfmt(writes.clone()).clock(noon)).fields(
        |request: &Request<Login>, fields: &mut Fields<'_>| {
            let Login { name, password, otp } = &request.message;
            fields.add("name", *name).add("password", *password).add("otp", otp);
        },
    );
    let login = ServiceBuilder::new()
        .layer(log)
        .service(endpoint_fn(async |_: Context, _: Login| Ok::<_, Error>(())));
    let ann = Login { name: "Ann", password: SECRET, otp: Secret::new(4711) };
    login.invoke(Context::new(), ann).await.unwrap();
    assert!(writes.line().ends_with(" name=Ann password=*** otp=***"));
}
