/// What a component shows of itself on an admin page.
///
/// Layers, registries and servers implement it; `main` collects them by hand.
pub trait Inspect: Send + Sync {
    /// What it is called on the page: `ratelimit`, `breaker greeter.Greeter/Greeting`.
    fn name(&self) -> String;

    /// Its state just now, as one JSON value.
    ///
    /// It is asked for while calls run, so it takes no lock that a call waits for.
    fn snapshot(&self) -> String;
}
