//! Limits as `sbatch` writes them: how long a job may take, how much memory it may have.
//!
//! Source: sbatch(1) of Slurm 22.05, `--time`, `--mem`, `--mem-per-cpu`. Unlike Slurm, which counts whole minutes, seconds
//! are kept.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A time in one of the six forms of `--time`; `Some(None)` is "without a limit", `None` is no time.
pub(super) fn time(text: &str) -> Option<Option<Duration>> {
    if ["unlimited", "infinite"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Some(None);
    }
    let (days, clock) = match text.split_once('-') {
        Some((days, clock)) => (Some(number(days)?), clock),
        None => (None, text),
    };
    let parts = clock.split(':').map(number).collect::<Option<Vec<u64>>>()?;
    let seconds = match (days, parts.as_slice()) {
        (None, [minutes]) => minutes.checked_mul(MINUTE)?,
        (None, [minutes, seconds]) => sum(&[(*minutes, MINUTE), (*seconds, 1)])?,
        (None, [hours, minutes, seconds]) => sum(&[(*hours, HOUR), (*minutes, MINUTE), (*seconds, 1)])?,
        (Some(days), [hours]) => sum(&[(days, DAY), (*hours, HOUR)])?,
        (Some(days), [hours, minutes]) => sum(&[(days, DAY), (*hours, HOUR), (*minutes, MINUTE)])?,
        (Some(days), [hours, minutes, seconds]) => {
            sum(&[(days, DAY), (*hours, HOUR), (*minutes, MINUTE), (*seconds, 1)])?
        }
        _ => return None,
    };
    Some((seconds > 0).then(|| Duration::from_secs(seconds)))
}

/// An amount of memory in bytes: megabytes, or with one of the units K, M, G, T, which may be followed by a B.
/// `Some(None)` is all of the machine's (`0`).
pub(super) fn memory(text: &str) -> Option<Option<u64>> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (amount, unit) = text.split_at_checked(digits)?;
    let shift = match unit.to_ascii_uppercase().as_str() {
        "K" | "KB" => 10,
        "" | "M" | "MB" => 20,
        "G" | "GB" => 30,
        "T" | "TB" => 40,
        _ => return None,
    };
    let bytes = number(amount)?.checked_mul(1 << shift)?;
    Some((bytes > 0).then_some(bytes))
}

/// Digits only: no sign, no space.
pub(super) fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Below a century, so that no sum with a point in time overflows.
fn sum(parts: &[(u64, u64)]) -> Option<u64> {
    let mut sum = 0_u64;
    for (amount, unit) in parts {
        sum = sum.checked_add(amount.checked_mul(*unit)?)?;
    }
    (sum < 100 * 366 * DAY).then_some(sum)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_of_a_time_are_those_of_the_manual() {
        let table = [
            ("90", 90 * 60),
            ("1:30", 90),
            ("01:00:00", 3600),
            ("00:45:00", 2700),
            ("2-3", 51 * 3600),
            ("2-3:4", 51 * 3600 + 240),
            ("2-03:04:05", 51 * 3600 + 245),
        ];
        for (text, seconds) in table {
            assert_eq!(time(text), Some(Some(Duration::from_secs(seconds))), "{text}");
        }
        for text in ["0", "UNLIMITED", "infinite"] {
            assert_eq!(time(text), Some(None), "{text}");
        }
        for text in
            ["", "-", "1-", "-1", "1:2:3:4", "1h", " 1", "+1", "1::2", "99999999999999999999", "99999-0"]
        {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn memory_is_megabytes_unless_it_says_so() {
        let table = [
            ("5GB", Some(5 << 30)),
            ("5g", Some(5 << 30)),
            ("300", Some(300 << 20)),
            ("64K", Some(64 << 10)),
            ("1T", Some(1 << 40)),
            ("0", None),
        ];
        for (text, bytes) in table {
            assert_eq!(memory(text), Some(bytes), "{text}");
        }
        for text in ["", "G", "1P", "-1", "1.5G", "99999999999T", "1 G"] {
            assert_eq!(memory(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_written_time_is_read_again(seconds in 1_u64..4_000_000) {
            let text = format!(
                "{}-{:02}:{:02}:{:02}",
                seconds / DAY, seconds % DAY / HOUR, seconds % HOUR / MINUTE, seconds % MINUTE,
            );
            prop_assert_eq!(time(&text), Some(Some(Duration::from_secs(seconds))));
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,12}") {
            let _ = time(&text);
            let _ = memory(&text);
        }
    }
}
