//! TLS with the certificates that the suite hands out.

use super::proto::{ClientCompatRequest, ServerCompatRequest, TlsCreds};
use purlin_tls::{Acceptor, ClientTls, Connector, Credentials, Pem, ServerTls};
use std::io;

fn pem(bytes: &[u8]) -> Pem {
    Pem::text(String::from_utf8_lossy(bytes))
}

fn credentials(given: &TlsCreds) -> Credentials {
    Credentials::new(pem(&given.cert), pem(&given.key))
}

/// What the server under test is asked to be.
pub(super) fn acceptor(asked: &ServerCompatRequest) -> io::Result<Option<Acceptor>> {
    if !asked.use_tls {
        return Ok(None);
    }
    let own = asked.server_creds.as_ref();
    let own = own.ok_or_else(|| io::Error::other("there is no certificate for the server"))?;
    let mut tls = ServerTls::new(credentials(own));
    if !asked.client_tls_cert.is_empty() {
        tls = tls.client_ca(pem(&asked.client_tls_cert));
    }
    tls.acceptor().map(Some).map_err(io::Error::other)
}

/// What the client under test is asked to be.
pub(super) fn connector(asked: &ClientCompatRequest) -> Result<Option<Connector>, String> {
    if asked.server_tls_cert.is_empty() {
        return Ok(None);
    }
    let mut tls = ClientTls::new().ca(pem(&asked.server_tls_cert));
    if let Some(own) = &asked.client_tls_creds {
        tls = tls.credentials(credentials(own));
    }
    tls.connector().map(Some).map_err(|error| error.to_string())
}
