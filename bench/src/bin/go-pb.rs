//! Generates `peers/gokit/pb` from `proto/greeter.proto` without protoc.
//!
//! Run with `cargo run -p purlin-bench --bin go-pb`, with `protoc-gen-go`
//! and `protoc-gen-go-grpc` on the path.

use std::error::Error;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use prost::Message;
use prost_types::compiler::{CodeGeneratorRequest, CodeGeneratorResponse};

fn main() -> Result<(), Box<dyn Error>> {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = protox::compile(["greeter.proto"], [bench.join("proto")])?;
    let request = CodeGeneratorRequest {
        file_to_generate: vec!["greeter.proto".to_owned()],
        parameter: Some("paths=source_relative,Mgreeter.proto=gokit-greeter/pb".to_owned()),
        proto_file: files.file,
        compiler_version: None,
    };
    for plugin in ["protoc-gen-go", "protoc-gen-go-grpc"] {
        for file in ask(plugin, &request)?.file {
            let path = bench.join("peers/gokit/pb").join(file.name());
            std::fs::write(&path, file.content())?;
            println!("{}", path.display());
        }
    }
    Ok(())
}

fn ask(
    plugin: &str,
    request: &CodeGeneratorRequest,
) -> Result<CodeGeneratorResponse, Box<dyn Error>> {
    let mut child = Command::new(plugin)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{plugin}: {error}"))?;
    // The plugin reads to the end, so its input must be closed before its output is read.
    child.stdin.take().ok_or("no standard input")?.write_all(&request.encode_to_vec())?;
    let mut reply = Vec::new();
    child.stdout.take().ok_or("no standard output")?.read_to_end(&mut reply)?;
    child.wait()?;
    let response = CodeGeneratorResponse::decode(reply.as_slice())?;
    match &response.error {
        Some(error) => Err(format!("{plugin}: {error}").into()),
        None => Ok(response),
    }
}
