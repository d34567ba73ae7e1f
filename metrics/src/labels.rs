use crate::{semconv::OTHER, sink::Pairs};
use purlin_endpoint::Context;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// Labels of the user's, each with a bounded number of values.
#[derive(Clone, Default)]
pub(crate) struct UserLabels(Vec<Arc<UserLabel>>);

struct UserLabel {
    name: String,
    limit: usize,
    read: Box<Read>,
    /// The number of each value that has come, from 2 on.
    known: RwLock<HashMap<String, u128>>,
}

type Read = dyn Fn(&Context) -> Option<&str> + Send + Sync;

/// The number of a value that is not there.
const NONE: u128 = 0;
/// The number of all values that are not told apart.
const REST: u128 = 1;

/// What is longer than this is no label but a text.
const LONGEST: usize = 128;

impl UserLabels {
    pub(crate) fn push<F>(&mut self, name: String, limit: usize, read: F)
    where
        F: Fn(&Context) -> Option<&str> + Send + Sync + 'static,
    {
        let label = UserLabel { name, limit, read: Box::new(read), known: RwLock::default() };
        self.0.push(Arc::new(label));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A number for the values of all labels of a call. It is made like one of several digits,
    /// each with a base of its own. A label for which no room is left is `_OTHER` for every call.
    pub(crate) fn number(&self, context: &Context) -> u128 {
        self.walk(context, |_, _| {})
    }

    pub(crate) fn pairs(&self, context: &Context) -> Pairs {
        let mut pairs = Pairs::new();
        self.walk(context, |name, value| pairs.push((name.to_owned(), value.to_owned())));
        pairs
    }

    fn walk(&self, context: &Context, mut each: impl FnMut(&str, &str)) -> u128 {
        let (mut number, mut base) = (0_u128, 1_u128);
        for label in &self.0 {
            let value = (label.read)(context);
            let next = base.checked_mul(label.limit as u128 + 2);
            let digit = if next.is_some() { label.digit(value) } else { REST };
            match value {
                Some(value) if digit != REST => each(&label.name, value),
                _ if digit == NONE => {}
                _ => each(&label.name, OTHER),
            }
            if let Some(next) = next {
                number += digit * base;
                base = next;
            }
        }
        number
    }
}

impl UserLabel {
    fn digit(&self, value: Option<&str>) -> u128 {
        let Some(value) = value else { return NONE };
        // A value that could speak to a terminal or break a line is none that anybody wants to see.
        if value.len() > LONGEST || value.chars().any(char::is_control) {
            return REST;
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(digit) = known.get(value) {
            return *digit;
        }
        let full = known.len() >= self.limit;
        drop(known);
        if full {
            return REST;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match known.get(value) {
            Some(digit) => *digit,
            None if known.len() >= self.limit => REST,
            None => {
                let digit = known.len() as u128 + 2;
                known.insert(value.to_owned(), digit);
                digit
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tenant(String);

    fn call(tenant: &str) -> Context {
        Context::new().with(Tenant(tenant.to_owned()))
    }

    fn tenant(context: &Context) -> Option<&str> {
        context.get::<Tenant>().map(|tenant| &*tenant.0)
    }

    fn shown(labels: &UserLabels, context: &Context) -> Vec<String> {
        labels.pairs(context).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn beyond_the_limit_all_values_are_one() {
        let mut labels = UserLabels::default();
        labels.push("tenant".to_owned(), 2, tenant);
        for (name, expected) in
            [("a", "a"), ("b", "b"), ("c", "_OTHER"), ("d", "_OTHER"), ("a", "a")]
        {
            assert_eq!(shown(&labels, &call(name)), [format!("tenant={expected}")]);
        }
        assert_eq!(labels.number(&call("c")), labels.number(&call("d")));
        assert_ne!(labels.number(&call("a")), labels.number(&call("b")));
        assert_eq!(shown(&labels, &Context::new()), [""; 0]);
    }

    #[test]
    fn a_text_or_a_control_character_is_no_label() {
        let mut labels = UserLabels::default();
        labels.push("tenant".to_owned(), 2, tenant);
        for wrong in ["\u{1b}[2J".to_owned(), "a\nb".to_owned(), "x".repeat(10 * 1024)] {
            assert_eq!(shown(&labels, &call(&wrong)), ["tenant=_OTHER"]);
        }
        assert_eq!(shown(&labels, &call("a")), ["tenant=a"], "none of them took a place");
    }

    #[test]
    fn several_labels_have_one_number_for_each_combination() {
        let mut labels = UserLabels::default();
        labels.push("one".to_owned(), 3, tenant);
        labels.push("two".to_owned(), 3, |context| tenant(context)?.get(1..));
        let numbers: std::collections::HashSet<_> =
            ["ax", "bx", "ay", "by", "a"].map(|name| labels.number(&call(name))).into();
        assert_eq!(numbers.len(), 5);
    }

    #[test]
    fn a_label_for_which_there_is_no_room_is_other_for_all() {
        let mut labels = UserLabels::default();
        for name in ["a", "b", "c"] {
            labels.push(name.to_owned(), usize::MAX - 2, tenant);
        }
        assert_eq!(shown(&labels, &call("x")), ["a=x", "b=x", "c=_OTHER"]);
    }
}
