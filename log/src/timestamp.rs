//! The time as RFC 3339 in UTC with microseconds, as in `2026-11-21T15:14:33.123456Z`.

use std::{
    cell::Cell,
    time::{SystemTime, UNIX_EPOCH},
};

const LENGTH: usize = 27;

/// The last second of the year 9999: the format has four digits for the year.
const LAST: u64 = 253_402_300_799;

thread_local! {
    /// The last second that was written, with its text: most lines share it with the line before.
    static SECOND: Cell<(u64, [u8; LENGTH])> =
        const { Cell::new((0, *b"1970-01-01T00:00:00.000000Z")) };
}

/// Writes the time. What is before 1970 or after 9999 becomes the nearest that can be told.
pub(crate) fn write(out: &mut Vec<u8>, at: SystemTime) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let second = since.as_secs().min(LAST);
    let (known, mut text) = SECOND.get();
    if known != second {
        text = second_text(second);
        SECOND.set((second, text));
    }
    digits(&mut text[20..26], since.subsec_micros());
    out.extend_from_slice(&text);
}

fn second_text(second: u64) -> [u8; LENGTH] {
    let (days, rest) = (second / 86_400, (second % 86_400) as u32);
    let (year, month, day) = date(days);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], rest / 3600);
    digits(&mut text[14..16], rest / 60 % 60);
    digits(&mut text[17..19], rest % 60);
    text
}

fn digits(room: &mut [u8], mut number: u32) {
    for digit in room.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of so many days after 1970-01-01.
///
/// Years begin in March here, so that the leap day is a year's last: `civil_from_days` in
/// [Howard Hinnant's date algorithms](https://howardhinnant.github.io/date_algorithms.html).
fn date(days: u64) -> (u32, u32, u32) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    // All three are small: the year has four digits.
    ((400 * era + year_of_era + next) as u32, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn text(seconds: u64, micros: u32) -> String {
        let mut out = Vec::new();
        write(&mut out, UNIX_EPOCH + Duration::new(seconds, micros * 1000));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_times_are_written_as_rfc_3339_says() {
        assert_eq!(text(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(951_782_400, 1), "2000-02-29T00:00:00.000001Z");
        assert_eq!(text(1_709_251_199, 999_999), "2024-02-29T23:59:59.999999Z");
        assert_eq!(text(1_795_274_073, 123_456), "2026-11-21T15:14:33.123456Z");
        assert_eq!(text(LAST, 0), "9999-12-31T23:59:59.000000Z");
    }

    #[test]
    fn each_day_follows_the_one_before_it() {
        let mut yesterday = date(0);
        for days in 1..200_000 {
            let (year, month, day) = date(days);
            let follows = match yesterday {
                (y, 12, 31) => (year, month, day) == (y + 1, 1, 1),
                (y, m, d) if (m, day) != (month, d + 1) => {
                    (year, month, day) == (y, m + 1, 1) && d >= 28
                }
                (y, ..) => year == y,
            };
            assert!(follows, "{yesterday:?} is followed by {:?}", (year, month, day));
            yesterday = (year, month, day);
        }
    }

    #[test]
    fn a_time_that_cannot_be_told_becomes_the_nearest_one() {
        assert_eq!(text(LAST + 10, 0), "9999-12-31T23:59:59.000000Z");
        let mut out = Vec::new();
        write(&mut out, UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(out, b"1970-01-01T00:00:00.000000Z");
    }
}
