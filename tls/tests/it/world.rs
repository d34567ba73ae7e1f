//! An authority, servers that tell who calls them, and clients.

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use purlin_endpoint::Identity;
use purlin_http_client::{Connect, HttpClient, Tcp};
use purlin_serve::{Accept, Handle, Server};
use purlin_tls::{Acceptor, ClientTls, Connector, Credentials, Pem, ServerTls};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use std::{
    convert::Infallible,
    error::Error,
    fs,
    future::pending,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

/// Somebody who issues certificates.
pub(crate) struct Authority(pub(crate) CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> Pem {
        Pem::text(self.0.pem())
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let (uris, others): (Vec<&str>, Vec<&str>) =
            names.iter().partition(|name| name.contains("://"));
        let others: Vec<String> = others.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(others).unwrap();
        for uri in uris {
            params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        }
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// For this machine.
    pub(crate) fn server(&self) -> Issued {
        self.issue(&["localhost", "127.0.0.1"])
    }
}

impl Issued {
    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::new(Pem::text(&self.certificate), Pem::text(&self.key))
    }

    /// Writes both as a careful administrator does: each at once.
    pub(crate) fn put(&self, folder: &Path) {
        put(&folder.join("cert.pem"), &self.certificate);
        put(&folder.join("key.pem"), &self.key);
    }
}

/// Replaces a file at once.
pub(crate) fn put(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

/// A certificate and its key in a folder of their own.
pub(crate) fn in_folder(issued: &Issued) -> (tempfile::TempDir, Credentials) {
    let folder = tempfile::tempdir().unwrap();
    issued.put(folder.path());
    let path = |name| -> PathBuf { folder.path().join(name) };
    let credentials = Credentials::files(path("cert.pem"), path("key.pem"));
    (folder, credentials)
}

/// A server that runs until this is dropped.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    pub(crate) errors: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    /// Waits for an error with this in it.
    pub(crate) async fn says(&self, what: &str) {
        wait_for(what, || self.errors.lock().unwrap().iter().any(|said| said.contains(what))).await;
    }
}

/// Waits until something is so, for ten seconds at most.
pub(crate) async fn wait_for(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "no {what}");
        // sleeps: what is waited for happens in another task, on a disk or a socket.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said += &format!(": {error}");
        cause = error.source();
    }
    said
}

pub(crate) fn serve(server: Server, accept: impl Accept + 'static) -> Running {
    let errors = Arc::new(Mutex::new(Vec::new()));
    let said = errors.clone();
    let server = server.on_error(move |error| said.lock().unwrap().push(chain(error)));
    let handle = server.handle();
    let task = tokio::spawn(async move {
        server.serve(accept, tower::service_fn(answer), pending()).await;
    });
    Running { handle, errors, task }
}

/// Serves by TCP on this machine.
pub(crate) async fn serve_tcp(acceptor: &Acceptor) -> (Running, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (serve(Server::new(), acceptor.accept(listener)), address)
}

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let body = match request.uri().path() {
        "/version" => text(format!("{:?}", request.version())),
        "/identity" => {
            let identity = request.extensions().get::<Identity>();
            text(identity.map_or("nobody".to_owned(), ToString::to_string))
        }
        // It ends when it is told to, by the end of the request.
        "/until" => {
            let (send, receive) = mpsc::channel(1);
            tokio::spawn(async move {
                let _ = send.send(Ok(Frame::data(Bytes::from("begun ")))).await;
                let _ = request.into_body().collect().await;
                let _ = send.send(Ok(Frame::data(Bytes::from("ended")))).await;
            });
            StreamBody::new(Received(receive)).boxed_unsync()
        }
        _ => text("hello".to_owned()),
    };
    Ok(Response::new(body))
}

fn text(text: String) -> Body {
    Full::new(text.into()).boxed_unsync()
}

struct Received(mpsc::Receiver<Result<Frame<Bytes>, Infallible>>);

impl futures_core::Stream for Received {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

pub(crate) fn client(connector: &Connector) -> HttpClient {
    client_over(connector, Tcp::new())
}

pub(crate) fn client_over(connector: &Connector, connect: impl Connect) -> HttpClient {
    HttpClient::over(connector.over(connect)).timeout(Duration::from_secs(10))
}

pub(crate) fn uri(address: SocketAddr, path: &str) -> Uri {
    format!("https://localhost:{}{path}", address.port()).parse().unwrap()
}

/// What a GET is answered, or why not.
pub(crate) async fn get(client: &HttpClient, uri: Uri) -> Result<String, String> {
    match client.get_bytes(uri, 1 << 20).await {
        Ok(response) => Ok(String::from_utf8(response.into_body().to_vec()).unwrap()),
        Err(error) => Err(chain(&error)),
    }
}

/// A server and a client that trusts it.
pub(crate) fn pair(authority: &Authority) -> (ServerTls, ClientTls) {
    (ServerTls::new(authority.server().credentials()), ClientTls::new().ca(authority.pem()))
}
