use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, Visitor},
};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    error, fmt, fs,
    marker::PhantomData,
    path::Path,
};

/// The rules, as data: roles with what they allow and deny, and who has which.
///
/// A rule names methods: `greeter.Greeter/Greeting` is one, `greeter.Greeter/*` is all of a service,
/// `greeter.*/Get` has any one segment there, `greeter.**` is everything below, `**` is everything.
/// A role [inherits](Role::inherits) all rules of others. Neither the segments of a service nor the
/// roles between a role and its heir may be more than 64.
///
/// A subject is `basic:NAME`, `jwt:SUBJECT`, `tls:` with a URI or DNS name of the certificate, any of
/// these with `*` in place of the name, `authenticated` (who has proved who it is in any way), or
/// `anyone`. Roles that a token carries count as well, if the policy defines them.
///
/// As JSON it is what the [module](super) shows; unknown and repeated members are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    #[serde(deserialize_with = "unique")]
    pub(super) roles: BTreeMap<String, Role>,
    #[serde(deserialize_with = "unique")]
    pub(super) subjects: BTreeMap<String, Vec<String>>,
}

/// What a role allows and denies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Role {
    pub(super) inherits: Vec<String>,
    pub(super) allow: Vec<String>,
    pub(super) deny: Vec<String>,
}

impl Policy {
    /// A policy that allows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Defines a role.
    #[must_use]
    pub fn role(mut self, name: impl Into<String>, role: Role) -> Self {
        self.roles.insert(name.into(), role);
        self
    }

    /// Gives a subject these roles, in place of those that it had.
    #[must_use]
    pub fn subject(
        mut self,
        subject: impl Into<String>,
        roles: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.subjects.insert(subject.into(), roles.into_iter().map(Into::into).collect());
        self
    }

    /// Reads a policy from JSON.
    ///
    /// # Errors
    ///
    /// If it is none, with the line and what is wrong there, or if it makes no sense.
    pub fn parse(json: &str) -> Result<Self, InvalidPolicy> {
        let policy: Self =
            serde_json::from_str(json).map_err(|error| InvalidPolicy(error.to_string()))?;
        policy.check()?;
        Ok(policy)
    }

    /// Reads a policy from a JSON file, at once.
    ///
    /// # Errors
    ///
    /// As for [`parse`](Self::parse), or if the file can't be read; each names the file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, InvalidPolicy> {
        let path = path.as_ref();
        let named = |why: &dyn fmt::Display| InvalidPolicy(format!("{}: {why}", path.display()));
        let json = fs::read_to_string(path).map_err(|error| named(&error))?;
        Self::parse(&json).map_err(|error| named(&error))
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    ///
    /// If a subject or a rule is written wrong, if a role is not defined that is inherited or given,
    /// or if a role inherits itself.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        super::table::Table::new(self).map(drop)
    }
}

impl Role {
    /// A role that allows and denies nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows the methods that this pattern names.
    #[must_use]
    pub fn allow(mut self, pattern: impl Into<String>) -> Self {
        self.allow.push(pattern.into());
        self
    }

    /// Denies the methods that this pattern names, whatever allows them.
    #[must_use]
    pub fn deny(mut self, pattern: impl Into<String>) -> Self {
        self.deny.push(pattern.into());
        self
    }

    /// Has all rules of this role too.
    #[must_use]
    pub fn inherits(mut self, role: impl Into<String>) -> Self {
        self.inherits.push(role.into());
        self
    }
}

/// A policy that makes no sense, with what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPolicy(pub(super) String);

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for InvalidPolicy {}

/// Reads a map. A key that comes twice is refused: one of the two would count for nothing.
fn unique<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Unique<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Unique<T> {
        type Value = BTreeMap<String, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some(key) = access.next_key()? {
                match map.entry(key) {
                    Entry::Vacant(entry) => drop(entry.insert(access.next_value()?)),
                    Entry::Occupied(entry) => {
                        return Err(A::Error::custom(format!(
                            "`{}` stands there twice",
                            entry.key()
                        )));
                    }
                }
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Unique(PhantomData))
}
