use std::{fmt, sync::Arc};

/// Who makes a call, as an authenticating layer has found out.
///
/// It is in the context of the calls that such a layer has let in: `context.get::<Principal>()`.
///
/// Clones share what they know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal(Arc<Known>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
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
        let (roles, scopes) = (Vec::new(), Vec::new());
        Self(Arc::new(Known { scheme, name: name.into(), roles, scopes }))
    }

    /// Gives it these roles besides those that it has.
    #[must_use]
    pub fn roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Arc::make_mut(&mut self.0).roles.extend(roles.into_iter().map(Into::into));
        self
    }

    /// Gives it these scopes besides those that it has: what the caller was permitted to do in
    /// somebody's name.
    #[must_use]
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Arc::make_mut(&mut self.0).scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// How it has proved who it is.
    pub fn scheme(&self) -> Scheme {
        self.0.scheme
    }

    /// Its name, unique among those with the same scheme.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether it has this role.
    pub fn has_role(&self, role: &str) -> bool {
        self.0.roles.iter().any(|known| known == role)
    }

    /// Whether it has this scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.scopes.iter().any(|known| known == scope)
    }

    /// Its roles, in the order in which they were given.
    pub fn all_roles(&self) -> &[String] {
        &self.0.roles
    }

    /// Its scopes, in the order in which they were given.
    pub fn all_scopes(&self) -> &[String] {
        &self.0.scopes
    }
}
