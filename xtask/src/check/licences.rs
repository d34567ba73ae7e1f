//! Under which licences we take other people's code.

use super::outcome;
use crate::workspace::Workspace;

/// Licences that ask for no more than a notice.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// Crates under a licence that asks for more, and why they are taken all the same.
const EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "smartstring",
    "MPL-2.0+",
    "Casbin's interpreter needs it; only `auth/casbin` needs Casbin, and it is used as it is",
)];

fn is_exception(name: &str, license: &str) -> bool {
    EXCEPTIONS.iter().any(|(known, under, _)| *known == name && *under == license)
}

pub(super) fn check(workspace: &Workspace) -> Result<(), String> {
    let mut findings = Vec::new();
    for package in &workspace.foreign {
        let name = format!("{} {}", package.name, package.version);
        let license = package.license.as_deref();
        if license.is_some_and(|license| is_exception(&package.name, license)) {
            continue;
        }
        match license.map(allowed) {
            Some(Ok(true)) => {}
            Some(Ok(false)) => findings.push(format!(
                "{name} is under {}, which is not allowed",
                package.license.as_deref().unwrap_or_default()
            )),
            Some(Err(why)) => findings.push(format!("{name} has an unreadable licence: {why}")),
            None => findings.push(format!("{name} names no licence")),
        }
    }
    outcome(&findings)
}

/// Whether an SPDX expression can be met with allowed licences alone.
fn allowed(expression: &str) -> Result<bool, String> {
    // Before SPDX expressions crates wrote `MIT/Apache-2.0` for a choice.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = Words { rest: spaced.split_whitespace().collect(), whole: expression };
    let met = words.choice()?;
    if words.rest.is_empty() { Ok(met) } else { Err(words.unexpected()) }
}

/// The words of an expression that are not read yet. `OR` binds weakest, `WITH` strongest.
struct Words<'a> {
    rest: Vec<&'a str>,
    whole: &'a str,
}

impl Words<'_> {
    fn choice(&mut self) -> Result<bool, String> {
        let mut met = self.all()?;
        while self.skip("OR") {
            met |= self.all()?;
        }
        Ok(met)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut met = self.one()?;
        while self.skip("AND") {
            met &= self.one()?;
        }
        Ok(met)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.skip("(") {
            let met = self.choice()?;
            return if self.skip(")") { Ok(met) } else { Err(self.unexpected()) };
        }
        let name = self.name()?;
        // An exception takes conditions away and adds none.
        if self.skip("WITH") {
            self.name()?;
        }
        Ok(ALLOWED.contains(&name.as_str()))
    }

    fn name(&mut self) -> Result<String, String> {
        match self.rest.first() {
            Some(word) if !["(", ")", "AND", "OR", "WITH"].contains(word) => {
                Ok(self.rest.remove(0).to_owned())
            }
            _ => Err(self.unexpected()),
        }
    }

    fn skip(&mut self, word: &str) -> bool {
        let next = self.rest.first() == Some(&word);
        if next {
            self.rest.remove(0);
        }
        next
    }

    fn unexpected(&self) -> String {
        let at = self.rest.first().unwrap_or(&"the end");
        format!("unexpected {at} in {:?}", self.whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_allowed_licence_of_a_choice_is_enough() {
        assert_eq!(allowed("MIT"), Ok(true));
        assert_eq!(allowed("GPL-3.0 OR MIT"), Ok(true));
        assert_eq!(allowed("MIT/Apache-2.0"), Ok(true));
        assert_eq!(allowed("Unlicense/MIT"), Ok(true));
        assert_eq!(allowed("Apache-2.0 WITH LLVM-exception OR GPL-2.0"), Ok(true));
    }

    #[test]
    fn all_licences_of_a_sum_must_be_allowed() {
        assert_eq!(allowed("Apache-2.0 AND ISC"), Ok(true));
        assert_eq!(allowed("Apache-2.0 AND MPL-2.0"), Ok(false));
        assert_eq!(allowed("(MIT OR Apache-2.0) AND Unicode-3.0"), Ok(true));
        assert_eq!(allowed("(MIT OR Apache-2.0) AND OpenSSL"), Ok(false));
    }

    #[test]
    fn and_binds_more_tightly_than_or() {
        assert_eq!(allowed("MIT OR GPL-3.0 AND LGPL-3.0"), Ok(true));
        assert_eq!(allowed("GPL-3.0 AND MIT OR LGPL-3.0"), Ok(false));
    }

    #[test]
    fn licences_that_are_not_listed_are_refused() {
        assert_eq!(allowed("MPL-2.0"), Ok(false));
        assert_eq!(allowed("GPL-3.0 WITH Classpath-exception-2.0"), Ok(false));
    }

    #[test]
    fn what_is_no_expression_is_an_error() {
        for expression in ["", "MIT OR", "(MIT", "MIT)", "MIT Apache-2.0", "AND MIT", "MIT WITH"] {
            assert!(allowed(expression).is_err(), "{expression:?} was read");
        }
    }
}
