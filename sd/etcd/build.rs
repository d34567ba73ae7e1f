//! Compiles the part of etcd's interface that is used here, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto/etcd.proto");
    prost_build::compile_fds(protox::compile(["etcd.proto"], ["proto"])?)?;
    Ok(())
}
