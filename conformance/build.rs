//! Compiles the protobuf files of the suites, without protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    prost_build::compile_fds(protox::compile(["interop.proto", "connect.proto"], ["proto"])?)?;
    Ok(())
}
