//! Points in time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::{content, marker};

/// A point in time: JavaScript's `Date`, in milliseconds since 1970, possibly invalid.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Date(f64);

impl Date {
    /// Returns the date that JavaScript shows as "Invalid Date".
    pub const INVALID: Date = Date(f64::NAN);

    /// Returns the date `millis` milliseconds after 1970-01-01T00:00Z. Fractions are cut off; a number that is not
    /// finite or out of JavaScript's range (± 8.64e15) makes an invalid date.
    pub fn from_millis(millis: f64) -> Self {
        if millis.abs() <= 8.64e15 { Self(millis.trunc()) } else { Self::INVALID }
    }

    /// Returns the milliseconds since 1970-01-01T00:00Z, or `None` if the date is invalid.
    pub fn millis(self) -> Option<f64> {
        (!self.0.is_nan()).then_some(self.0)
    }
}

impl From<SystemTime> for Date {
    fn from(time: SystemTime) -> Self {
        let (distance, sign) = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => (after, 1.0),
            Err(before) => (before.duration(), -1.0),
        };
        Self::from_millis(distance.as_millis() as f64 * sign)
    }
}

impl TryFrom<Date> for SystemTime {
    type Error = crate::Error;

    fn try_from(date: Date) -> Result<Self, Self::Error> {
        let beyond = || crate::Error::new(crate::ErrorKind::Decode, "the date is invalid or out of range");
        let millis = date.millis().ok_or_else(beyond)?;
        // A date is a whole number, and less than 2^53.
        let distance = Duration::from_millis(millis.abs() as u64);
        let time =
            if millis < 0.0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
        time.ok_or_else(beyond)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(marker::DATE, &self.millis())
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let millis: Option<f64> = content(deserializer, marker::DATE, "a date")?;
        Ok(millis.map_or(Self::INVALID, Self::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_cut_and_bounded_as_in_javascript() {
        assert_eq!(Date::from_millis(5.9).millis(), Some(5.0));
        assert_eq!(Date::from_millis(-5.9).millis(), Some(-5.0));
        assert_eq!(Date::from_millis(8.64e15).millis(), Some(8.64e15));
        for beyond in [8.65e15, -8.65e15, f64::NAN, f64::INFINITY] {
            assert_eq!(Date::from_millis(beyond).millis(), None);
        }
    }

    #[test]
    fn dates_keep_every_millisecond_on_the_way_to_the_system_time_and_back() {
        for millis in [0, 1, 1_001, 1_749_342_170_815, -1, -1_500, -1_749_342_170_815] {
            let date = Date::from_millis(millis as f64);
            let distance = Duration::from_millis(i64::unsigned_abs(millis));
            let time = if millis < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance };
            assert_eq!(SystemTime::try_from(date).unwrap(), time);
            assert_eq!(Date::from(time), date);
        }
        assert!(SystemTime::try_from(Date::INVALID).is_err());
    }
}
