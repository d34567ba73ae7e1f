//! What a client shows to prove who it is: chosen by flags.

use crate::access::is_local;
use clap::Args;
use purlin::{
    Context,
    auth::{
        Authenticate, Authenticating, Credentials,
        oidc::{ClientCredentials, Tokens},
    },
    http_client::HttpClient,
    log::Logger,
};
use std::{error, fs, path::PathBuf, sync::Arc};

/// The flags.
#[derive(Debug, Args)]
pub struct Flags {
    /// Who it is, as NAME:PASSWORD.
    #[arg(long, env = "GREETER_FULL_USER", conflicts_with_all = ["token", "issuer"], hide_env_values = true)]
    user: Option<String>,
    /// A token that shows who it is.
    #[arg(long, env = "GREETER_FULL_TOKEN", conflicts_with = "issuer", hide_env_values = true)]
    token: Option<String>,
    /// The issuer that gives it a token, and a new one before that ends.
    #[arg(long, env = "GREETER_FULL_ISSUER", requires_all = ["client_id", "client_secret_file"])]
    issuer: Option<String>,
    /// Who it is for the issuer.
    #[arg(long, env = "GREETER_FULL_CLIENT_ID", requires = "issuer")]
    client_id: Option<String>,
    /// The file with the secret that the issuer knows it by.
    #[arg(long, env = "GREETER_FULL_CLIENT_SECRET_FILE", requires = "issuer")]
    client_secret_file: Option<PathBuf>,
    /// What the token is to permit, if the issuer wants to be asked for that.
    #[arg(long, env = "GREETER_FULL_SCOPE", requires = "issuer")]
    scope: Option<String>,
}

/// What is shown with each call.
pub enum Proof {
    /// Nothing.
    None,
    /// The same each time.
    Same(Credentials),
    /// A token of an issuer, as it is just now.
    Token(Arc<Tokens>),
}

impl Authenticate for Proof {
    fn authenticate(self: &Arc<Self>, context: Context) -> Authenticating {
        match &**self {
            Self::None => Authenticating::Now(Ok(context)),
            Self::Same(credentials) => Authenticating::Now(Ok(context.with(credentials.clone()))),
            Self::Token(tokens) => tokens.authenticate(context),
        }
    }
}

impl Flags {
    /// Makes what is shown. An issuer that gives no token is logged.
    ///
    /// # Errors
    ///
    /// If a flag makes no sense, or the file of the secret can't be read.
    pub fn proof(&self, log: &Logger) -> Result<Proof, Box<dyn error::Error>> {
        if let Some(user) = &self.user {
            let (name, password) = user.split_once(':').ok_or("--user is not NAME:PASSWORD")?;
            return Ok(Proof::Same(Credentials::basic(name, password)));
        }
        if let Some(token) = &self.token {
            return Ok(Proof::Same(Credentials::bearer(token)));
        }
        let (Some(issuer), Some(id), Some(file)) =
            (&self.issuer, &self.client_id, &self.client_secret_file)
        else {
            return Ok(Proof::None);
        };
        let secret = fs::read_to_string(file)
            .map_err(|why| format!("--client-secret-file {}: {why}", file.display()))?;
        // An editor ends the last line.
        let mut client = ClientCredentials::at(issuer, id, secret.trim_end_matches(['\r', '\n']));
        if let Some(scope) = &self.scope {
            client = client.scope(scope);
        }
        if is_local(issuer) {
            client = client.without_tls();
        }
        let log = log.clone();
        let tokens = client.start(HttpClient::new(), move |error| {
            log.warn("issuer").field("error", &*format!("{error:#}")).send();
        })?;
        Ok(Proof::Token(Arc::new(tokens)))
    }
}
