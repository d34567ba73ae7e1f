//! Compiles the greeter's protobuf file, without protoc.

use prost::Message as _;
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/greeter.proto");
    let files = protox::compile(["greeter.proto"], ["proto"])?;
    // Reflection shows it to tools such as grpcurl.
    let descriptors = Path::new(&env::var("OUT_DIR")?).join("greeter.bin");
    fs::write(descriptors, files.encode_to_vec())?;
    prost_build::compile_fds(files)?;
    Ok(())
}
