use super::Users;
use crate::{Principal, Scheme};
use argon2::{Argon2, Params, PasswordHasher as _, password_hash::phc::PasswordHash};
use purlin_endpoint::BoxError;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::{collections::HashMap, error, fmt, sync::Arc, thread};
use subtle::ConstantTimeEq as _;
use tokio::{sync::Semaphore, task};

/// Users with argon2 hashes of their passwords, in a map.
///
/// A password is checked off the async threads, and no more of them at once than there are
/// processors; others wait, for as long as their callers do. For a user who is not known a hash of
/// nobody's is computed, so that it takes as long as for one who is, provided that all hashes have
/// the same parameters. Clones share the users.
#[derive(Clone)]
pub struct Hashes {
    users: Arc<HashMap<String, User>>,
    turns: Arc<Semaphore>,
}

/// What of a user is known.
#[derive(Clone)]
struct User {
    argon2: Argon2<'static>,
    salt: Vec<u8>,
    hash: Vec<u8>,
    roles: Vec<String>,
}

impl Hashes {
    /// Without users.
    pub fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, Into::into);
        Self { users: Arc::default(), turns: Arc::new(Semaphore::new(processors)) }
    }

    /// Reads users from lines, each `name:hash` or `name:hash:role,role`, where a hash is as
    /// [`hash`](Self::hash) makes it. Empty lines, and those that begin with `#`, are passed over.
    ///
    /// ```
    /// use purlin_auth::basic::Hashes;
    ///
    /// let hash = Hashes::hash("swordfish")?;
    /// let users = Hashes::parse(&format!("# who may shop\nada:{hash}:admin,buyer\n"))?;
    /// assert!(users.check("ada", "swordfish").unwrap().has_role("buyer"));
    /// assert!(users.check("ada", "marlin").is_none());
    /// # Ok::<_, purlin_auth::basic::BadUser>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a line is something else, a hash is not argon2's, or a user comes twice.
    pub fn parse(lines: &str) -> Result<Self, BadUser> {
        let mut users = Self::new();
        for (index, line) in lines.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |why| BadUser { line: index + 1, why };
            let mut fields = line.splitn(3, ':');
            let (Some(name), Some(hash)) = (fields.next(), fields.next()) else {
                return Err(bad("there is no hash"));
            };
            let roles = fields.next().unwrap_or_default().split(',').map(str::trim);
            let roles: Vec<&str> = roles.filter(|role| !role.is_empty()).collect();
            if users.users.contains_key(name) {
                return Err(bad("the user comes twice"));
            }
            users = users.user(name, hash, roles).map_err(|error| bad(error.why))?;
        }
        Ok(users)
    }

    /// Adds a user by the hash of its password, with these roles.
    ///
    /// # Errors
    ///
    /// If the hash is not argon2's.
    pub fn user(
        mut self,
        name: impl Into<String>,
        hash: &str,
        roles: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, BadUser> {
        let roles = roles.into_iter().map(Into::into).collect();
        let user =
            User::read(hash, roles).ok_or(BadUser { line: 0, why: "it is no argon2 hash" })?;
        Arc::make_mut(&mut self.users).insert(name.into(), user);
        Ok(self)
    }

    /// Adds a user by a password, which takes as long as checking one.
    ///
    /// # Errors
    ///
    /// As for [`hash`](Self::hash).
    pub fn password(self, name: impl Into<String>, password: &str) -> Result<Self, BadUser> {
        let hash = Self::hash(password)?;
        self.user(name, &hash, [""; 0])
    }

    /// The argon2id hash of a password, with a new salt, as it stands in a file.
    ///
    /// Its parameters are those of the [`argon2`] crate, which follow OWASP's advice.
    ///
    /// # Errors
    ///
    /// If the system has no random numbers.
    pub fn hash(password: &str) -> Result<String, BadUser> {
        let bad = BadUser { line: 0, why: "the password could not be hashed" };
        let mut salt = [0; 16];
        SystemRandom::new().fill(&mut salt).map_err(|_| bad.clone())?;
        let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
        hash.map(|hash: PasswordHash| hash.to_string()).map_err(|_| bad)
    }

    /// Who the user is, if that is the password. This computes a hash, which takes milliseconds.
    pub fn check(&self, user: &str, password: &str) -> Option<Principal> {
        let known = self.users.get(user);
        let matches = match known {
            Some(user) => user.matches(password),
            // Nobody's password: the hash is of nothing, and what it comes to does not count.
            None => self.users.values().next().is_some_and(|other| other.like().matches(password)),
        };
        let known = known.filter(|_| matches)?;
        Some(Principal::new(Scheme::Basic, user).roles(known.roles.iter().map(String::as_str)))
    }
}

impl Default for Hashes {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hashes").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

impl Users for Hashes {
    async fn verify(&self, user: &str, password: &str) -> Result<Option<Principal>, BoxError> {
        let turn = self.turns.clone().acquire_owned().await?;
        let (users, user, password) = (self.clone(), user.to_owned(), password.to_owned());
        let checked = task::spawn_blocking(move || {
            // Held by the work and not by who waits for it, who may leave.
            let _turn = turn;
            users.check(&user, &password)
        });
        Ok(checked.await?)
    }
}

impl User {
    fn read(hash: &str, roles: Vec<String>) -> Option<Self> {
        let hash = PasswordHash::new(hash).ok()?;
        let algorithm = argon2::Algorithm::new(hash.algorithm.as_str()).ok()?;
        let version = hash.version?.try_into().ok()?;
        let argon2 = Argon2::new(algorithm, version, Params::try_from(&hash).ok()?);
        let (salt, hash) = (hash.salt?.to_vec(), hash.hash?.as_bytes().to_vec());
        Some(Self { argon2, salt, hash, roles })
    }

    /// Nobody, whose password takes as long to check.
    fn like(&self) -> Self {
        let (salt, hash) = (vec![0; self.salt.len()], vec![0; self.hash.len()]);
        Self { argon2: self.argon2.clone(), salt, hash, roles: Vec::new() }
    }

    fn matches(&self, password: &str) -> bool {
        let mut hash = vec![0; self.hash.len()];
        let hashed = self.argon2.hash_password_into(password.as_bytes(), &self.salt, &mut hash);
        hashed.is_ok() && bool::from(hash.ct_eq(&self.hash))
    }
}

/// A user that can't be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadUser {
    /// The number of its line, from 1; 0 if there are no lines.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

impl fmt::Display for BadUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(self.why),
            line => write!(f, "line {line}: {}", self.why),
        }
    }
}

impl error::Error for BadUser {}
