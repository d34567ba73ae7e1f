//! The rules as a decision needs them: found by the segments of the method's name, not one by one.

use super::{
    Decision, InvalidPolicy, Policy,
    decision::{Rule, Why},
};
use crate::{Principal, Scheme};
use purlin_endpoint::Context;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Where a role is in the table.
type RoleId = usize;

/// How many segments a pattern has at most, and over how many others a role is inherited: whatever
/// follows them takes a level of the stack for each.
const DEEPEST: usize = 64;

/// A policy that makes sense, compiled.
#[derive(Debug)]
pub(super) struct Table {
    rules: Node,
    count: usize,
    /// Each role, with those that it inherits.
    roles: Vec<RoleSet>,
    names: HashMap<String, RoleId>,
    subjects: Subjects,
}

/// Some of the roles, a bit for each.
#[derive(Debug)]
struct RoleSet(Box<[u64]>);

impl RoleSet {
    fn none_of(roles: usize) -> Self {
        Self(vec![0; roles.div_ceil(64)].into())
    }

    fn add(&mut self, role: RoleId) {
        self.0[role / 64] |= 1 << (role % 64);
    }

    fn add_all(&mut self, roles: &Self) {
        self.0.iter_mut().zip(&roles.0).for_each(|(mine, more)| *mine |= more);
    }

    fn has(&self, role: RoleId) -> bool {
        self.0[role / 64] & (1 << (role % 64)) != 0
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

/// The rules with one pattern, each with its role.
#[derive(Debug, Default)]
struct Place {
    allow: Vec<(RoleId, Arc<Rule>)>,
    deny: Vec<(RoleId, Arc<Rule>)>,
}

/// What somebody with certain roles calls, and the first rules that are found for it.
struct Search<'t> {
    method: &'t str,
    roles: RoleSet,
    allow: Option<&'t Arc<Rule>>,
    deny: Option<&'t Arc<Rule>>,
}

impl<'t> Search<'t> {
    fn look(&mut self, place: &'t Place) {
        let first = |rules: &'t [(RoleId, Arc<Rule>)]| {
            rules.iter().find(|(role, _)| self.roles.has(*role)).map(|(_, rule)| rule)
        };
        self.allow = self.allow.or_else(|| first(&place.allow));
        self.deny = self.deny.or_else(|| first(&place.deny));
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
    methods: HashMap<String, Place>,
    any_method: Place,
    /// Whatever comes, one segment at least; at the root, everything.
    rest: Place,
}

impl Node {
    fn find<'t>(&'t self, service: Option<&str>, search: &mut Search<'t>) {
        let Some(service) = service else {
            search.look(&self.any_method);
            if let Some(named) = self.methods.get(search.method) {
                search.look(named);
            }
            return;
        };
        search.look(&self.rest);
        let (segment, rest) = match service.split_once('.') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (service, None),
        };
        if let Some(next) = self.next.get(segment) {
            next.find(rest, search);
        }
        if let Some(any) = &self.any {
            any.find(rest, search);
        }
    }

    /// The place of a pattern's rules.
    fn place(&mut self, pattern: &str) -> Result<&mut Place, &'static str> {
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
            rules: Node::default(),
            count: 0,
            roles: Vec::with_capacity(names.len()),
            names,
            subjects: Subjects::default(),
        };
        for (id, (name, role)) in policy.roles.iter().enumerate() {
            for pattern in &role.allow {
                let rule = Arc::new(Rule { role: name.clone(), pattern: pattern.clone() });
                table.place(&rule)?.allow.push((id, rule));
            }
            for pattern in &role.deny {
                let rule = Arc::new(Rule { role: name.clone(), pattern: pattern.clone() });
                table.place(&rule)?.deny.push((id, rule));
            }
            let mut roles = RoleSet::none_of(policy.roles.len());
            table.gather(policy, name, &mut Way::default(), &mut roles)?;
            table.roles.push(roles);
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

    /// The place of a rule, which counts from now on.
    fn place(&mut self, rule: &Rule) -> Result<&mut Place, InvalidPolicy> {
        self.count += 1;
        let wrong = |why| InvalidPolicy(format!("rule {rule} {why}"));
        self.rules.place(&rule.pattern).map_err(wrong)
    }

    /// Puts a role, and those that it inherits, into a set.
    fn gather<'a>(
        &self,
        policy: &'a Policy,
        name: &'a str,
        way: &mut Way<'a>,
        roles: &mut RoleSet,
    ) -> Result<(), InvalidPolicy> {
        if way.path.contains(&name) {
            return Err(InvalidPolicy(format!("role `{name}` inherits itself")));
        }
        if !way.seen.insert(name) {
            return Ok(());
        }
        let (Some(role), Some(id)) = (policy.roles.get(name), self.names.get(name)) else {
            let heir = way.path.last().copied().unwrap_or_default();
            let why = format!("role `{heir}` inherits `{name}`, which is not defined");
            return Err(InvalidPolicy(why));
        };
        if way.path.len() > DEEPEST {
            let why = format!("role `{name}` is inherited over more than 64 others");
            return Err(InvalidPolicy(why));
        }
        roles.add(*id);
        way.path.push(name);
        for inherited in &role.inherits {
            self.gather(policy, inherited, way, roles)?;
        }
        way.path.pop();
        Ok(())
    }

    /// How many roles, rules and subjects there are.
    pub(super) fn size(&self) -> (usize, usize, usize) {
        (self.roles.len(), self.count, self.subjects.count())
    }

    /// Decides about a call.
    pub(super) fn decide(&self, context: &Context) -> Decision {
        let Some(method) = context.method() else {
            return Decision { method: None, why: Why::NoMethod };
        };
        let mut roles = RoleSet::none_of(self.roles.len());
        self.each_role(context, |role| roles.add_all(&self.roles[role]));
        let mut search = Search { method: method.name(), roles, allow: None, deny: None };
        self.rules.find(Some(method.service()), &mut search);
        let why = match search {
            Search { deny: Some(rule), .. } => Why::Denied(rule.clone()),
            Search { allow: Some(rule), .. } => Why::Allowed(rule.clone()),
            Search { .. } => Why::NoRule,
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
