use purlin_endpoint::Method;
use std::{fmt, sync::Arc};

/// Whether a call is allowed, and by which rule.
#[derive(Clone, Debug)]
pub struct Decision {
    pub(super) method: Option<&'static Method>,
    pub(super) why: Why,
}

#[derive(Clone, Debug)]
pub(super) enum Why {
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

/// A rule, as the policy has it.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) role: String,
    pub(super) pattern: String,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of role `{}`", self.pattern, self.role)
    }
}
