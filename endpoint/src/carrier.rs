/// Headers or metadata, seen without their transport.
///
/// A concern such as tracing or authentication reads and writes what travels with a call through
/// this, once for all transports: `extract(&dyn Carrier, Context) -> Result<Context, Error>` and
/// `inject(&Context, &mut dyn Carrier)`.
///
/// Names are lower case. Values are visible ASCII; a carrier drops what its transport can't carry.
pub trait Carrier {
    /// The value of this name: the first one, if there are several. `None` if that is no text.
    fn get(&self, name: &str) -> Option<&str>;

    /// All values of this name, in their order. One that is no text is there as an empty one, so that
    /// whoever takes a single value sees that there are others.
    fn get_all<'a>(&'a self, name: &str) -> Vec<&'a str>;

    /// Sets the only value of this name.
    fn set(&mut self, name: &str, value: &str);

    /// Removes all values of this name.
    fn remove(&mut self, name: &str);
}
