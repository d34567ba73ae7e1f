use crate::Accept;
use purlin_endpoint::Peer;
use std::{
    fs,
    future::{Ready, ready},
    io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::UnixStream as BlockingStream,
    },
    path::{Path, PathBuf},
};
use tokio::net::{UnixListener, UnixStream};

impl Accept for UnixListener {
    type Io = UnixStream;
    type Handshake = Ready<io::Result<UnixStream>>;

    async fn accept(&mut self) -> io::Result<(Self::Handshake, Peer)> {
        let (stream, _unnamed) = UnixListener::accept(self).await?;
        Ok((ready(Ok(stream)), Peer::Unix))
    }
}

/// A Unix socket that removes its file when it is dropped.
///
/// A bare `UnixListener` leaves its file behind, and then the next start finds the address in use.
#[derive(Debug)]
pub struct UnixAccept {
    listener: UnixListener,
    path: PathBuf,
    /// The device and the inode of our file, so that a successor's is never removed.
    identity: (u64, u64),
}

impl UnixAccept {
    /// Listens on a path. A socket that a dead process left there is replaced.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if somebody listens there,
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if the path is not a socket, and whatever
    /// binding can fail with.
    ///
    /// # Panics
    ///
    /// If called outside a tokio runtime with I/O.
    pub fn bind(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        clear(&path)?;
        let listener = UnixListener::bind(&path)?;
        let identity = identity(&path)?;
        Ok(Self { listener, path, identity })
    }

    /// The path that it listens on.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Accept for UnixAccept {
    type Io = UnixStream;
    type Handshake = Ready<io::Result<UnixStream>>;

    async fn accept(&mut self) -> io::Result<(Self::Handshake, Peer)> {
        Accept::accept(&mut self.listener).await
    }
}

impl Drop for UnixAccept {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Removes a socket that nobody listens on.
fn clear(path: &Path) -> io::Result<()> {
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !file.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} exists and is not a socket", path.display()),
        ));
    }
    match BlockingStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // It answers, or it cannot be told whether it would: it is left alone.
        _ => Err(io::Error::new(io::ErrorKind::AddrInUse, format!("{} is in use", path.display()))),
    }
}
