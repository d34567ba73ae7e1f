use serde::Serialize;
use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc, time::Duration};

/// Something that can be done to the process from the page.
///
/// It is offered only if [`Admin::enable_actions`](crate::Admin::enable_actions) was called.
///
/// ```
/// use purlin_admin::Action;
///
/// let level = Action::new("log-level", "Writes more or less, for a while")
///     .choice("level", ["debug", "info", "warn"])
///     .duration("for", "10m")
///     .run(|input| Ok(format!("{} for {:?}", input.text("level"), input.duration("for"))));
///
/// let said = level.perform([("level", "debug"), ("for", "1m")]).unwrap();
/// assert_eq!(said, "debug for 60s");
/// let refused = level.perform([("level", "loud"), ("for", "1m")]).unwrap_err();
/// assert_eq!(refused, "level: `loud` is none of debug, info, warn");
/// ```
#[derive(Clone, Serialize)]
pub struct Action {
    name: Cow<'static, str>,
    about: Cow<'static, str>,
    fields: Vec<Field>,
    #[serde(skip)]
    run: Run,
}

type Run = Arc<dyn Fn(&Input) -> Result<String, String> + Send + Sync>;

/// What an action asks for.
#[derive(Clone, Debug, Serialize)]
struct Field {
    name: Cow<'static, str>,
    kind: Kind,
    /// What may be said, of a choice.
    choices: Vec<Cow<'static, str>>,
    /// What stands there before somebody says something else.
    preset: Cow<'static, str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Choice,
    Duration,
    Number,
    Text,
}

impl Action {
    /// An action of this name, which stands in its path, and what it does.
    pub fn new(name: impl Into<Cow<'static, str>>, about: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            about: about.into(),
            fields: Vec::new(),
            run: Arc::new(|_| Err("nothing is done: the action has no `run`".to_owned())),
        }
    }

    /// Asks for one of these. The first is the preset.
    #[must_use]
    pub fn choice<T: Into<Cow<'static, str>>>(
        self,
        name: impl Into<Cow<'static, str>>,
        choices: impl IntoIterator<Item = T>,
    ) -> Self {
        let choices: Vec<_> = choices.into_iter().map(Into::into).collect();
        let preset = choices.first().cloned().unwrap_or_default();
        self.field(Field { name: name.into(), kind: Kind::Choice, choices, preset })
    }

    /// Asks for a duration such as `250ms` or `10m`.
    #[must_use]
    pub fn duration(
        self,
        name: impl Into<Cow<'static, str>>,
        preset: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.plain(name.into(), Kind::Duration, preset.into())
    }

    /// Asks for a number.
    #[must_use]
    pub fn number(
        self,
        name: impl Into<Cow<'static, str>>,
        preset: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.plain(name.into(), Kind::Number, preset.into())
    }

    /// Asks for a text, which may be empty.
    #[must_use]
    pub fn text(
        self,
        name: impl Into<Cow<'static, str>>,
        preset: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.plain(name.into(), Kind::Text, preset.into())
    }

    /// What is done, with what the fields say. The outcome is shown to whoever did it.
    #[must_use]
    pub fn run(
        self,
        run: impl Fn(&Input) -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        Self { run: Arc::new(run), ..self }
    }

    fn plain(self, name: Cow<'static, str>, kind: Kind, preset: Cow<'static, str>) -> Self {
        self.field(Field { name, kind, choices: Vec::new(), preset })
    }

    fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// The action's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Does it. A field that is not said has its preset.
    ///
    /// # Errors
    ///
    /// If a field says what it can't, if there is no such field, or if the action fails.
    pub fn perform<K, V>(&self, said: impl IntoIterator<Item = (K, V)>) -> Result<String, String>
    where
        K: Into<String>,
        V: Into<String>,
    {
        let preset = |field: &Field| (field.name.to_string(), field.preset.to_string());
        let mut values: BTreeMap<_, _> = self.fields.iter().map(preset).collect();
        for (name, value) in said {
            let (name, value) = (name.into(), value.into());
            let Some(known) = values.get_mut(&name) else {
                return Err(format!("there is no field `{name}`"));
            };
            *known = value;
        }
        let input = Input(values);
        self.fields.iter().try_for_each(|field| field.check(&input))?;
        (self.run)(&input)
    }
}

impl Field {
    fn check(&self, input: &Input) -> Result<(), String> {
        let (name, value) = (&self.name, input.text(&self.name));
        match self.kind {
            Kind::Choice if self.choices.iter().any(|choice| choice == value) => Ok(()),
            Kind::Choice => {
                Err(format!("{name}: `{value}` is none of {}", self.choices.join(", ")))
            }
            Kind::Duration => humantime::parse_duration(value)
                .map(drop)
                .map_err(|error| format!("{name}: `{value}` is no duration: {error}")),
            Kind::Number => match value.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(()),
                _ => Err(format!("{name}: `{value}` is no number")),
            },
            Kind::Text => Ok(()),
        }
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Action")
            .field("name", &self.name)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

/// What was said in an action's fields, each of which fits its kind.
#[derive(Clone, Debug)]
pub struct Input(BTreeMap<String, String>);

impl Input {
    /// What a field says. Empty if the action has none of that name.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// What a field of durations says. Zero if it is none.
    pub fn duration(&self, name: &str) -> Duration {
        humantime::parse_duration(self.text(name)).unwrap_or_default()
    }

    /// What a field of numbers says. Zero if it is none.
    pub fn number(&self, name: &str) -> f64 {
        self.text(name).parse().unwrap_or_default()
    }
}
