//! Times as documents write them: RFC 3339, in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub(crate) type Millis = i64;

const DAY: i64 = 86_400_000;

/// Returns the time in milliseconds; one that is out of range is at its end.
pub(crate) fn millis(time: SystemTime) -> Millis {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
    }
}

/// Returns the point in time.
pub(crate) fn system(millis: Millis) -> SystemTime {
    let distance = Duration::from_millis(millis.unsigned_abs());
    if millis < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

/// Days from 1970 to the first of March of a year, counted by years that begin there.
fn days_before(year: i64) -> i64 {
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) - 719_468
}

/// Days from the first of March to the first of a month, which is counted from March.
fn days_before_month(month: i64) -> i64 {
    (153 * month + 2) / 5
}

/// Writes a time, to the millisecond if it is not at a full second.
pub(crate) fn write(millis: Millis) -> String {
    let (day, of_day) = (millis.div_euclid(DAY), millis.rem_euclid(DAY));
    let (second, millis) = (of_day / 1000, of_day % 1000);
    let mut year = (day + 719_468).div_euclid(365);
    while days_before(year) > day {
        year -= 1;
    }
    let of_year = day - days_before(year);
    let month = (5 * of_year + 2) / 153;
    let (date, january) = (of_year - days_before_month(month) + 1, i64::from(month > 9));
    let (year, month) = (year + january, month + 3 - 12 * january);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = if millis > 0 { format!(".{millis:03}") } else { String::new() };
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Reads a time that ends in `Z`, with at most nine digits behind the second, which are cut to three.
pub(crate) fn read(text: &str) -> Option<Millis> {
    let rest = text.strip_suffix('Z')?;
    let (whole, fraction) = rest.split_once('.').map_or((rest, None), |(whole, rest)| (whole, Some(rest)));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    let field = |from: usize, to: usize| -> Option<i64> { digits(whole.get(from..to)?) };
    let marks = |(at, mark): (usize, u8)| whole.as_bytes().get(at) == Some(&mark);
    if whole.len() != 19 || ![(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')].into_iter().all(marks)
    {
        return None;
    }
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    let fraction = match fraction {
        Some(text) if (1..=9).contains(&text.len()) => digits(&format!("{text:0<9}"))? / 1_000_000,
        Some(_) => return None,
        None => 0,
    };
    let (year, month, date) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let january = i64::from(month < 3);
    let (from_march, of_march) = (month - 3 + 12 * january, year - january);
    let day = days_before(of_march) + days_before_month(from_march) + date - 1;
    let time = day * DAY + ((hour * 60 + minute) * 60 + second) * 1000;
    // A day, hour or minute that there is not would be written otherwise.
    (write(time).strip_suffix('Z')? == whole).then_some(time + fraction)
}
