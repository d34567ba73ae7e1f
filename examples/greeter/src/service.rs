//! The business: it knows nothing of endpoints, transports or Purlin.

use std::{error::Error, fmt, future::Future, time::Duration};

/// Greets people.
pub trait Greeter: Send + Sync + 'static {
    /// Whether greetings can be given at all.
    fn health(&self) -> impl Future<Output = bool> + Send;

    /// Greets one person.
    ///
    /// # Errors
    ///
    /// If the name can't be greeted.
    fn greeting(&self, name: String) -> impl Future<Output = Result<String, GreeterError>> + Send;

    /// Greets each person in each language, one greeting after the other.
    ///
    /// # Errors
    ///
    /// If a name or a language can't be used.
    fn greet_many(
        &self,
        names: Vec<String>,
        languages: Vec<String>,
    ) -> impl Future<Output = Result<Greetings, GreeterError>> + Send;
}

/// Greetings, made one by one as they are asked for.
pub type Greetings = Box<dyn Iterator<Item = String> + Send>;

/// Why somebody can't be greeted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GreeterError {
    /// What is wrong: `name`, `names[1]`.
    pub field: String,
    /// Why.
    pub why: &'static str,
}

impl fmt::Display for GreeterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.why)
    }
}

impl Error for GreeterError {}

/// Greets politely.
#[derive(Clone, Copy, Debug, Default)]
pub struct Polite {
    /// How long a greeting takes.
    pub delay: Duration,
}

impl Greeter for Polite {
    async fn health(&self) -> bool {
        true
    }

    async fn greeting(&self, name: String) -> Result<String, GreeterError> {
        checked("name", &name)?;
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        Ok(format!("{}, {name}!", hello("en").unwrap_or_default()))
    }

    async fn greet_many(
        &self,
        names: Vec<String>,
        languages: Vec<String>,
    ) -> Result<Greetings, GreeterError> {
        if names.is_empty() {
            return Err(GreeterError { field: "names".to_owned(), why: "is missing" });
        }
        for (index, name) in names.iter().enumerate() {
            checked(&format!("names[{index}]"), name)?;
        }
        let languages = if languages.is_empty() { vec!["en".to_owned()] } else { languages };
        let mut hellos = Vec::new();
        for (index, language) in languages.iter().enumerate() {
            let field = || format!("languages[{index}]");
            let why = "is not one of de, en, es, fr, it";
            hellos.push(hello(language).ok_or_else(|| GreeterError { field: field(), why })?);
        }
        Ok(Box::new(names.into_iter().flat_map(move |name| {
            hellos.clone().into_iter().map(move |hello| format!("{hello}, {name}!"))
        })))
    }
}

/// The longest name, in characters.
const LONGEST: usize = 256;

fn checked(field: &str, name: &str) -> Result<(), GreeterError> {
    let why = match name {
        "" => "is missing",
        long if long.chars().count() > LONGEST => "is longer than 256 characters",
        odd if odd.chars().any(char::is_control) => "contains a control character",
        _ => return Ok(()),
    };
    Err(GreeterError { field: field.to_owned(), why })
}

fn hello(language: &str) -> Option<&'static str> {
    Some(match language {
        "de" => "Hallo",
        "en" => "Hello",
        "es" => "Hola",
        "fr" => "Bonjour",
        "it" => "Ciao",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_person_is_greeted_by_name() {
        assert_eq!(Polite::default().greeting("Ann".to_owned()).await.unwrap(), "Hello, Ann!");
        assert_eq!(Polite::default().greeting("é".repeat(256)).await.unwrap().chars().count(), 264);
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_greeted_is_refused_with_its_reason() {
        for (name, message) in [
            (String::new(), "name is missing"),
            ("é".repeat(257), "name is longer than 256 characters"),
            ("Ann\n".to_owned(), "name contains a control character"),
            ("\u{7f}".to_owned(), "name contains a control character"),
        ] {
            assert_eq!(Polite::default().greeting(name).await.unwrap_err().to_string(), message);
        }
    }

    #[tokio::test]
    async fn each_person_is_greeted_in_each_language() {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let all = Polite::default()
            .greet_many(words(&["Ann", "Bo"]), words(&["en", "de"]))
            .await
            .unwrap();
        let all: Vec<_> = all.collect();
        assert_eq!(all, ["Hello, Ann!", "Hallo, Ann!", "Hello, Bo!", "Hallo, Bo!"]);

        let error = Polite::default()
            .greet_many(words(&["Ann"]), words(&["en", "xx"]))
            .await
            .err()
            .unwrap();
        assert_eq!(error.to_string(), "languages[1] is not one of de, en, es, fr, it");
        let error =
            Polite::default().greet_many(words(&["Ann", ""]), Vec::new()).await.err().unwrap();
        assert_eq!(error.to_string(), "names[1] is missing");
        let error = Polite::default().greet_many(Vec::new(), Vec::new()).await.err().unwrap();
        assert_eq!(error.to_string(), "names is missing");
    }
}
