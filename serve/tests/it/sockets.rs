use crate::world::*;
use purlin_serve::{Server, UnixAccept, memory};
use std::{fs, io, path::PathBuf};
use tokio::net::UnixStream;

/// A path in the system's temporary folder that nothing is at.
fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("purlin-{}-{name}.sock", std::process::id()));
    let _ = fs::remove_file(&path);
    path
}

#[tokio::test]
async fn a_unix_socket_is_served_and_its_file_removed() {
    let path = path("served");
    let server = start(Server::new(), UnixAccept::bind(&path).unwrap());
    let mut client = UnixStream::connect(&path).await.unwrap();
    ask(&mut client, &get("/peer"), "unix").await;
    assert!(path.exists());
    server.stop().await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_that_a_dead_process_left_is_replaced() {
    let path = path("left");
    drop(tokio::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _server = start(Server::new(), UnixAccept::bind(&path).unwrap());
    ask(&mut UnixStream::connect(&path).await.unwrap(), &get("/"), "hello").await;
}

#[tokio::test]
async fn a_socket_in_use_and_a_file_are_left_alone() {
    let used = path("used");
    let first = UnixAccept::bind(&used).unwrap();
    assert_eq!(UnixAccept::bind(&used).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert_eq!(first.path(), used);

    let file = path("file");
    fs::write(&file, "precious").unwrap();
    assert_eq!(UnixAccept::bind(&file).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    fs::remove_file(&file).unwrap();
}

#[tokio::test]
async fn a_successors_socket_is_not_removed() {
    let path = path("successor");
    let first = UnixAccept::bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let _second = UnixAccept::bind(&path).unwrap();
    drop(first);
    assert!(path.exists());
}

#[tokio::test]
async fn nobody_listens_in_memory_once_the_listener_is_gone() {
    let (accept, dial) = memory();
    drop(accept);
    assert_eq!(dial.connect().await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}
