//! `grpc-timeout`: one to eight digits and a unit.

#[cfg(feature = "client")]
use crate::serve::TIMEOUT;
#[cfg(feature = "client")]
use http::HeaderMap;
use http::HeaderValue;
use std::time::Duration;

/// The header is not a timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60 * 1_000_000_000),
    (b'H', 3600 * 1_000_000_000),
];

/// Reads a timeout, strictly: a caller whose deadline is not understood must not wait for ever.
pub(crate) fn parse(value: &[u8]) -> Result<Duration, Malformed> {
    let (&unit, digits) = value.split_last().ok_or(Malformed)?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    let number = digits.iter().fold(0_u64, |sum, digit| 10 * sum + u64::from(digit - b'0'));
    let (_, nanos) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(Malformed)?;
    // Eight digits of hours are more nanoseconds than fit.
    Ok(Duration::from_secs(number.saturating_mul(nanos / 1_000_000_000))
        + Duration::from_nanos(number * (nanos % 1_000_000_000)))
}

/// Writes a timeout in the finest unit that it fits in, and never a longer one than it is.
pub(crate) fn format(timeout: Duration) -> HeaderValue {
    let nanos = timeout.as_nanos();
    let (unit, number) = UNITS
        .into_iter()
        .map(|(unit, each)| (unit, nanos / u128::from(each)))
        .find(|(_, number)| *number <= 99_999_999)
        .unwrap_or((b'H', 99_999_999));
    let text = format!("{number}{}", char::from(unit));
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("99999999H"))
}

/// Takes what has passed since off the timeout in these headers, if there is one.
#[cfg(feature = "client")]
pub(crate) fn shorten(headers: &mut HeaderMap, passed: Duration) {
    if let Some(timeout) = headers.get_mut(TIMEOUT)
        && let Ok(known) = parse(timeout.as_bytes())
    {
        *timeout = format(known.saturating_sub(passed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_eight_digits_and_a_unit_are_a_timeout() {
        let table = [
            ("0n", Duration::ZERO),
            ("1n", Duration::from_nanos(1)),
            ("15u", Duration::from_micros(15)),
            ("00000100m", Duration::from_millis(100)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("2M", Duration::from_secs(120)),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
            ("99999999M", Duration::from_secs(99_999_999 * 60)),
        ];
        for (text, timeout) in table {
            assert_eq!(parse(text.as_bytes()), Ok(timeout), "{text}");
        }
    }

    #[cfg(feature = "client")]
    #[test]
    fn what_has_passed_is_taken_off() {
        let mut headers = HeaderMap::new();
        shorten(&mut headers, Duration::from_secs(1));
        assert!(headers.is_empty());
        headers.insert(TIMEOUT, format(Duration::from_millis(300)));
        shorten(&mut headers, Duration::from_millis(40));
        assert_eq!(parse(headers[TIMEOUT].as_bytes()), Ok(Duration::from_millis(260)));
        shorten(&mut headers, Duration::from_secs(1));
        assert_eq!(parse(headers[TIMEOUT].as_bytes()), Ok(Duration::ZERO));
    }

    #[test]
    fn anything_else_is_malformed() {
        for text in [
            "",
            "n",
            "5",
            "5s",
            "5h",
            "-5m",
            "+5m",
            " 5m",
            "5 m",
            "5m ",
            "5.0S",
            "123456789n",
            "5mm",
            "٥m",
            "1e3m",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_at_most_what_it_was_and_nearly_that() {
        let mut nanos = 1_u64;
        while nanos < u64::MAX / 7 {
            let timeout = Duration::from_nanos(nanos);
            let read = parse(format(timeout).as_bytes()).unwrap();
            assert!(read <= timeout && timeout - read <= timeout / 100_000, "{timeout:?} {read:?}");
            nanos = nanos * 7 + 3;
        }
        assert_eq!(format(Duration::ZERO), "0n");
        assert_eq!(format(Duration::MAX), "99999999H");
    }
}
