//! The rules as a decision needs them: found by the segments of the method's name, not one by one.

use super::{InvalidPolicy, Policy, Role};
use crate::{Principal, Scheme};
use purlin_endpoint::{Context, Method};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::Arc,
};

/// Where a rule is in the table.
type RuleId = u32;
/// Where a role is in the table.
type RoleId = usize;

/// How many segments a pattern has at most, and over how many others a role is inherited: whatever
/// follows them takes a level of the stack for each.
const DEEPEST: usize = 64;

/// A policy that makes sense, compiled.
#[derive(Debug)]
pub(super) struct Table {
    rules: Vec<Arc<Rule>>,
    /// The rules of each role, with those that it inherits.
    roles: Vec<Node>,
    names: HashMap<String, RoleId>,
    subjects: Subjects,
}

#[derive(Debug)]
struct Rule {
    role: String,
    pattern: String,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of role `{}`", self.pattern, self.role)
    }
}

#[derive(Debug, Default)]
struct Subjects {
    anyone: Vec<RoleId>,
    authenticated: Vec<RoleId>,
    basic: Named,
    jwt: Named,
    tls: Named,
}

/// The subjects of one scheme.
#[derive(Debug, Default)]
struct Named {
    any: Vec<RoleId>,
    by_name: HashMap<String, Vec<RoleId>>,
}

/// What allows and what denies at one place: the first rule of either kind.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    allow: Option<RuleId>,
    deny: Option<RuleId>,
}

impl Found {
    fn add(&mut self, other: Self) {
        self.allow = self.allow.or(other.allow);
        self.deny = self.deny.or(other.deny);
    }
}

/// The rules for services whose names begin with certain segments.
#[derive(Debug, Default)]
struct Node {
    /// By the next segment of the service's name.
    next: HashMap<String, Node>,
    /// Whatever the next segment is.
    any: Option<Box<Node>>,
    /// By the method's name, where the service's ends here.
    methods: HashMap<String, Found>,
    any_method: Found,
    /// Whatever comes, one segment at least; at the root, everything.
    rest: Found,
}

impl Node {
    fn find(&self, service: Option<&str>, method: &str, found: &mut Found) {
        let Some(service) = service else {
            found.add(self.any_method);
            if let Some(named) = self.methods.get(method) {
                found.add(*named);
            }
            return;
        };
        found.add(self.rest);
        let (segment, rest) = match service.split_once('.') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (service, None),
        };
        if let Some(next) = self.next.get(segment) {
            next.find(rest, method, found);
        }
        if let Some(any) = &self.any {
            any.find(rest, method, found);
        }
    }

    /// The place of a pattern's rules.
    fn place(&mut self, pattern: &str) -> Result<&mut Found, &'static str> {
        let below = match pattern {
            "**" => Some(""),
            _ => pattern.strip_suffix(".**"),
        };
        if let Some(service) = below {
            return Ok(&mut self.at(service)?.rest);
        }
        let (service, method) =
            pattern.rsplit_once('/').ok_or("names no method: it has no `/` and no `**`")?;
        if service.is_empty() {
            return Err("names no service");
        }
        let node = self.at(service)?;
        match method {
            "" => Err("names no method after its `/`"),
            "*" => Ok(&mut node.any_method),
            _ if method.contains('*') => Err("has a `*` that is not a whole segment"),
            _ => Ok(node.methods.entry(method.to_owned()).or_default()),
        }
    }

    fn at(&mut self, service: &str) -> Result<&mut Self, &'static str> {
        if service.split('.').count() > DEEPEST {
            return Err("has more than 64 segments");
        }
        let segments = service.split('.').filter(|_| !service.is_empty());
        segments.into_iter().try_fold(self, |node, segment| match segment {
            "" => Err("has an empty segment"),
            "*" => Ok(&mut **node.any.get_or_insert_default()),
            "**" => Err("has a `**` that is not at its end"),
            _ if segment.contains('*') => Err("has a `*` that is not a whole segment"),
            _ if segment.contains('/') => Err("has more than one `/`"),
            _ => Ok(node.next.entry(segment.to_owned()).or_default()),
        })
    }
}

/// The way through the roles that a role inherits.
#[derive(Default)]
struct Way<'a> {
    /// From the role to where it is just now: it must not meet itself.
    path: Vec<&'a str>,
    /// Those that were met already, by whatever path.
    seen: HashSet<&'a str>,
}

impl Table {
    pub(super) fn new(policy: &Policy) -> Result<Self, InvalidPolicy> {
        let names: HashMap<_, _> =
            policy.roles.keys().enumerate().map(|(id, name)| (name.clone(), id)).collect();
        let mut table = Self {
            rules: Vec::new(),
            roles: Vec::with_capacity(names.len()),
            names,
            subjects: Subjects::default(),
        };
        let mut ids = BTreeMap::new();
        for (name, role) in &policy.roles {
            ids.insert(name.as_str(), table.number(name, role));
        }
        for name in policy.roles.keys() {
            let mut node = Node::default();
            let mut way = Way::default();
            table.gather(policy, &ids, name, &mut way, &mut node)?;
            table.roles.push(node);
        }
        for (subject, roles) in &policy.subjects {
            let unknown = |role: &String| {
                InvalidPolicy(format!(
                    "subject `{subject}` has the role `{role}`, which is not defined"
                ))
            };
            let roles: Result<Vec<_>, _> = roles
                .iter()
                .map(|role| table.names.get(role).copied().ok_or_else(|| unknown(role)))
                .collect();
            table.subjects.add(subject, roles?)?;
        }
        Ok(table)
    }

    /// Keeps the rules of a role; the first number of those that allow, and of those that deny.
    fn number(&mut self, name: &str, role: &Role) -> (RuleId, RuleId) {
        // Nobody writes four billion rules.
        let at = |table: &Self| RuleId::try_from(table.rules.len()).unwrap_or(RuleId::MAX);
        let keep = |table: &mut Self, patterns: &[String]| {
            let first = at(table);
            let rule = |pattern: &String| {
                Arc::new(Rule { role: name.to_owned(), pattern: pattern.clone() })
            };
            table.rules.extend(patterns.iter().map(rule));
            first
        };
        (keep(self, &role.allow), keep(self, &role.deny))
    }

    /// Puts the rules of a role, and of those that it inherits, into a node.
    fn gather<'a>(
        &self,
        policy: &'a Policy,
        ids: &BTreeMap<&str, (RuleId, RuleId)>,
        name: &'a str,
        way: &mut Way<'a>,
        node: &mut Node,
    ) -> Result<(), InvalidPolicy> {
        if way.path.contains(&name) {
            return Err(InvalidPolicy(format!("role `{name}` inherits itself")));
        }
        if !way.seen.insert(name) {
            return Ok(());
        }
        let (Some(role), Some((allow, deny))) = (policy.roles.get(name), ids.get(name)) else {
            let heir = way.path.last().copied().unwrap_or_default();
            let why = format!("role `{heir}` inherits `{name}`, which is not defined");
            return Err(InvalidPolicy(why));
        };
        if way.path.len() > DEEPEST {
            return Err(InvalidPolicy(format!(
                "role `{name}` is inherited over more than 64 others"
            )));
        }
        let place = |node: &mut Node, pattern: &str, id: RuleId, denies: bool| {
            let found = node
                .place(pattern)
                .map_err(|why| InvalidPolicy(format!("rule `{pattern}` of role `{name}` {why}")))?;
            let slot = if denies { &mut found.deny } else { &mut found.allow };
            slot.get_or_insert(id);
            Ok(())
        };
        for (pattern, id) in role.allow.iter().zip(*allow..) {
            place(node, pattern, id, false)?;
        }
        for (pattern, id) in role.deny.iter().zip(*deny..) {
            place(node, pattern, id, true)?;
        }
        way.path.push(name);
        for inherited in &role.inherits {
            self.gather(policy, ids, inherited, way, node)?;
        }
        way.path.pop();
        Ok(())
    }

    /// How many roles, rules and subjects there are.
    pub(super) fn size(&self) -> (usize, usize, usize) {
        (self.roles.len(), self.rules.len(), self.subjects.count())
    }

    /// Decides about a call.
    pub(super) fn decide(&self, context: &Context) -> Decision {
        let Some(method) = context.method() else {
            return Decision { method: None, why: Why::NoMethod };
        };
        let mut found = Found::default();
        self.each_role(context, |role| {
            self.roles[role].find(Some(method.service()), method.name(), &mut found);
        });
        let rule = |id: RuleId| self.rules.get(id as usize).cloned();
        let why = match found {
            Found { deny: Some(id), .. } => rule(id).map_or(Why::NoRule, Why::Denied),
            Found { allow: Some(id), .. } => rule(id).map_or(Why::NoRule, Why::Allowed),
            Found { .. } => Why::NoRule,
        };
        Decision { method: Some(method), why }
    }

    fn each_role(&self, context: &Context, mut look: impl FnMut(RoleId)) {
        let subjects = &self.subjects;
        subjects.anyone.iter().copied().for_each(&mut look);
        let (principal, identity) = (context.get::<Principal>(), context.peer_identity());
        if principal.is_some() || identity.is_some() {
            subjects.authenticated.iter().copied().for_each(&mut look);
        }
        if let Some(principal) = principal {
            let named = match principal.scheme() {
                Scheme::Basic => &subjects.basic,
                Scheme::Jwt => &subjects.jwt,
                Scheme::Tls => &subjects.tls,
            };
            named.any.iter().copied().for_each(&mut look);
            named.roles(principal.name()).iter().copied().for_each(&mut look);
            let carried = principal.all_roles().iter().filter_map(|role| self.names.get(role));
            carried.copied().for_each(&mut look);
        }
        if let Some(identity) = identity {
            subjects.tls.any.iter().copied().for_each(&mut look);
            // A URI has a scheme; without one it could be taken for a DNS name, which it is not.
            let uris = identity.uris().iter().filter(|uri| uri.contains(':'));
            for name in uris.chain(identity.dns_names()) {
                subjects.tls.roles(name).iter().copied().for_each(&mut look);
            }
        }
    }
}

impl Named {
    fn roles(&self, name: &str) -> &[RoleId] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }
}

impl Subjects {
    fn add(&mut self, subject: &str, roles: Vec<RoleId>) -> Result<(), InvalidPolicy> {
        let (scheme, name) = match subject.split_once(':') {
            None if subject == "anyone" => {
                self.anyone = roles;
                return Ok(());
            }
            None if subject == "authenticated" => {
                self.authenticated = roles;
                return Ok(());
            }
            Some(("basic", name)) => (&mut self.basic, name),
            Some(("jwt", name)) => (&mut self.jwt, name),
            Some(("tls", name)) => (&mut self.tls, name),
            _ => {
                let why = "is none of basic:NAME, jwt:NAME, tls:NAME, authenticated and anyone";
                return Err(InvalidPolicy(format!("subject `{subject}` {why}")));
            }
        };
        *match name {
            "" => return Err(InvalidPolicy(format!("subject `{subject}` names nobody"))),
            "*" => &mut scheme.any,
            name => scheme.by_name.entry(name.to_owned()).or_default(),
        } = roles;
        Ok(())
    }

    fn count(&self) -> usize {
        let whole =
            [&self.anyone, &self.authenticated, &self.basic.any, &self.jwt.any, &self.tls.any];
        let whole = whole.iter().filter(|roles| !roles.is_empty()).count();
        let named = [&self.basic, &self.jwt, &self.tls];
        whole + named.iter().map(|named| named.by_name.len()).sum::<usize>()
    }
}

/// Whether a call is allowed, and by which rule.
#[derive(Clone, Debug)]
pub struct Decision {
    method: Option<&'static Method>,
    why: Why,
}

#[derive(Clone, Debug)]
enum Why {
    Allowed(Arc<Rule>),
    Denied(Arc<Rule>),
    NoRule,
    NoMethod,
}

impl Decision {
    /// Whether the call is allowed.
    pub fn is_allowed(&self) -> bool {
        matches!(self.why, Why::Allowed(_))
    }

    /// The pattern of the rule that decided, as the policy has it. `None` if there is none.
    pub fn rule(&self) -> Option<&str> {
        self.deciding().map(|rule| &*rule.pattern)
    }

    /// The role whose rule that is. `None` if no rule decided.
    pub fn role(&self) -> Option<&str> {
        self.deciding().map(|rule| &*rule.role)
    }

    fn deciding(&self) -> Option<&Rule> {
        match &self.why {
            Why::Allowed(rule) | Why::Denied(rule) => Some(rule),
            Why::NoRule | Why::NoMethod => None,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(method) = self.method else {
            return f.write_str("the call has no method that a rule could name");
        };
        match &self.why {
            Why::Allowed(rule) => write!(f, "{rule} allows {method}"),
            Why::Denied(rule) => write!(f, "{rule} denies {method}"),
            Why::NoRule | Why::NoMethod => write!(f, "no rule allows {method}"),
        }
    }
}
