//! The future holds what must not leave its thread.

use purlin_endpoint::{Context, Error, endpoint_fn};
use std::rc::Rc;

fn main() {
    let _ = endpoint_fn(|_: Context, name: String| async move {
        let name = Rc::new(name);
        tokio::task::yield_now().await;
        Ok::<_, Error>(format!("Hello, {name}!"))
    });
}
