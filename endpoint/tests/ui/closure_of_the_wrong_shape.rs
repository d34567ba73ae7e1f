//! The closure takes only the message: the context is missing.

use purlin_endpoint::{BoxEndpoint, Error, endpoint_fn};

fn main() {
    let greet = endpoint_fn(|name: String| async move { Ok::<_, Error>(format!("Hello, {name}!")) });
    let _: BoxEndpoint<String, String> = BoxEndpoint::new(greet);
}
