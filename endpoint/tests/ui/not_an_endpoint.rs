//! A function is handed over where an endpoint is wanted.

use purlin_endpoint::{BoxEndpoint, Context, Error};

async fn greet(_: Context, name: String) -> Result<String, Error> {
    Ok(format!("Hello, {name}!"))
}

fn main() {
    let _: BoxEndpoint<String, String> = BoxEndpoint::new(greet);
}
