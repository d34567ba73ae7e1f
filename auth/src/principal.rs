use std::fmt;

/// Who makes a call, as an authenticating layer has found out.
///
/// It is in the context of the calls that such a layer has let in: `context.get::<Principal>()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    scheme: Scheme,
    name: String,
    roles: Vec<String>,
    scopes: Vec<String>,
}

/// How a caller has proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// By a name and a password.
    Basic,
    /// By a signed token.
    Jwt,
    /// By a certificate of its connection.
    Tls,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic => "basic",
            Self::Jwt => "jwt",
            Self::Tls => "tls",
        })
    }
}

impl Principal {
    /// A caller of this name: a user, the subject of a token, the subject of a certificate.
    pub fn new(scheme: Scheme, name: impl Into<String>) -> Self {
        Self { scheme, name: name.into(), roles: Vec::new(), scopes: Vec::new() }
    }

    /// Gives it these roles besides those that it has.
    #[must_use]
    pub fn roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.roles.extend(roles.into_iter().map(Into::into));
        self
    }

    /// Gives it these scopes besides those that it has: what the caller was permitted to do in
    /// somebody's name.
    #[must_use]
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// How it has proved who it is.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its name, unique among those with the same scheme.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has this role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|known| known == role)
    }

    /// Whether it has this scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|known| known == scope)
    }

    /// Its roles, in the order in which they were given.
    pub fn all_roles(&self) -> &[String] {
        &self.roles
    }

    /// Its scopes, in the order in which they were given.
    pub fn all_scopes(&self) -> &[String] {
        &self.scopes
    }
}
