use std::fmt::Write as _;

/// Writes a number as JSON does, which has none that are not finite.
pub(crate) fn number(out: &mut String, number: f64) {
    if number.is_finite() {
        let _ = write!(out, "{number}");
    } else {
        out.push_str("null");
    }
}
