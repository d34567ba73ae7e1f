//! Requests at random: nearly those that a shop serves, and with headers that claim something.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use purlin_transport_http::Body;
use std::fmt::Write as _;

fn pick<'a>(rng: &mut fastrand::Rng, of: &[&'a str]) -> &'a str {
    of[rng.usize(..of.len())]
}

const PIECES: &[&str] = &[
    "/",
    "//",
    "/.",
    "/..",
    "/./",
    "/../",
    "items",
    "admin",
    "Admin",
    "ADMIN",
    "items/7",
    "7",
    "%61dmin",
    "adm%69n",
    "%2f",
    "%2F",
    "%5c",
    "%2e%2e",
    "%2e",
    "%00",
    "%0a",
    "%20",
    "%25",
    "%ff",
    ";a=b",
    ";",
    "?",
    "?a=/admin",
    "&",
    "*",
    "shop.Admin",
    "shop.Catalog",
    "Show",
    "Delete",
    "List",
    "Save",
    "/shop.Admin/Show",
    "/shop.Catalog/List",
    "/shop.Catalog/List/",
    "~",
    "@",
    ":",
    "admin/x/y",
    ".",
    "..",
];

/// A path that is nearly one that is served.
fn path(rng: &mut fastrand::Rng) -> String {
    let known = [
        "/items",
        "/items/7",
        "/admin",
        "/admin/7",
        "/admin/log/a",
        "/shop.Catalog/List",
        "/shop.Catalog/Item",
        "/shop.Catalog/Save",
        "/shop.Admin/Show",
        "/shop.Admin/Delete",
    ];
    let mut path = pick(rng, &known).to_owned();
    // Most are asked for as they are, or nearly so.
    for _ in 0..rng.usize(..5).saturating_sub(2) {
        match rng.u8(..4) {
            0 => path.push_str(pick(rng, PIECES)),
            1 => {
                let at = rng.usize(..=path.len());
                path.insert_str(at, pick(rng, PIECES));
            }
            2 => {
                // One byte of it, written as its code.
                let at = rng.usize(..path.len());
                let byte = path.as_bytes()[at];
                let mut code = String::new();
                let _ = match rng.bool() {
                    true => write!(code, "%{byte:02x}"),
                    false => write!(code, "%{byte:02X}"),
                };
                path.replace_range(at..=at, &code);
            }
            _ => {
                let at = rng.usize(..path.len());
                path.remove(at);
                if path.is_empty() {
                    path.push('/');
                }
            }
        }
    }
    path
}

const METHODS: &[&str] = &[
    "GET", "GET", "GET", "POST", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "get", "TRACE", "GETT",
];

const HEADERS: &[&str] = &[
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-forwarded-user",
    "x-user",
    "x-principal",
    "x-role",
    "x-roles",
    "x-client-cert",
    "x-forwarded-client-cert",
    "x-method",
    "authorization",
    "cookie",
    "host",
    "x-purlin-method",
    "grpc-method",
    "x-forwarded-for",
    "forwarded",
    "principal-bin",
];

const VALUES: &[&str] = &[
    "/items",
    "/admin",
    "GET",
    "DELETE",
    "root",
    "basic:root",
    "admin",
    "spiffe://shop/admin",
    "URI=spiffe://shop/admin",
    "shop.Catalog/List",
    "shop.Admin/Show",
    "Basic cm9vdDpyb290",
    "Bearer root",
    "127.0.0.1",
    "roles=admin",
    "",
];

/// A request line and headers, without what the transport needs besides.
pub(crate) struct Asked {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
}

impl Asked {
    pub(crate) fn random(rng: &mut fastrand::Rng) -> Self {
        let headers =
            (0..rng.usize(..4)).map(|_| (pick(rng, HEADERS), pick(rng, VALUES))).collect();
        Self { method: pick(rng, METHODS), path: path(rng), headers }
    }

    /// `None` if there is no such request in HTTP.
    pub(crate) fn request(&self, body: &Bytes) -> Option<Request<Body>> {
        let request = Request::builder().method(self.method).uri(&self.path);
        let mut request = request.body(Body::from(body.clone())).ok()?;
        for (name, value) in &self.headers {
            let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
            request.headers_mut().append(name, value);
        }
        Some(request)
    }
}
