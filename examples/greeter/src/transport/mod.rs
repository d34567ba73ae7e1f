//! How calls come in and go out: decode and encode, and no layer.

use purlin::{Carrier, Context, Error};

pub mod grpc;
pub mod http;

/// Writes nothing beside what a transport carries by itself.
///
/// # Errors
///
/// None: it has the shape of what can fail.
pub fn nothing(_: &Context, _: &mut dyn Carrier) -> Result<(), Error> {
    Ok(())
}
