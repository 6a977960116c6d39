//! `Range: bytes=…` of RFC 9110, section 14: one range. What is no range, or several, is passed over, as it says.

/// Which bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    /// From the one to the other, both included.
    Between(u64, u64),
    /// From this one on.
    From(u64),
    /// The last so many.
    Last(u64),
}

impl Range {
    /// What a header says.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (unit, range) = text.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = range.trim().split_once('-')?;
        match (first.trim(), last.trim()) {
            ("", last) => number(last).map(Self::Last),
            (first, "") => number(first).map(Self::From),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// The first byte and how many, of so many; none where there are no such bytes.
    pub(super) fn of(self, size: u64) -> Option<(u64, u64)> {
        let (first, length) = match self {
            Self::Between(first, last) => (first, last.min(size.saturating_sub(1)).checked_sub(first)? + 1),
            Self::From(first) => (first, size.checked_sub(first)?),
            Self::Last(length) => (size.saturating_sub(length), length.min(size)),
        };
        (first < size && length > 0).then_some((first, length))
    }
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_is_within_what_there_is() {
        for (text, size, wanted) in [
            ("bytes=0-4", 10, Some((0, 5))),
            ("bytes=0-0", 10, Some((0, 1))),
            ("Bytes=5-", 10, Some((5, 5))),
            ("bytes=5-99", 10, Some((5, 5))),
            ("bytes=-3", 10, Some((7, 3))),
            ("bytes=-30", 10, Some((0, 10))),
            ("bytes=10-", 10, None),
            ("bytes=10-12", 10, None),
            ("bytes=-0", 10, None),
            ("bytes=0-", 0, None),
            ("bytes=-5", 0, None),
            ("bytes=0-18446744073709551615", 10, Some((0, 10))),
        ] {
            assert_eq!(Range::parse(text).expect("a range").of(size), wanted, "{text} of {size}");
        }
    }

    #[test]
    fn what_is_no_range_is_passed_over() {
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-4",
            "bytes=0-1,3-4",
            "lines=0-4",
            "bytes=+1-4",
            "bytes=0-18446744073709551616",
        ] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_and_no_size_makes_it_point_beside(text in "bytes=[0-9]{0,20}-[0-9]{0,20}", size: u64) {
            if let Some((first, length)) = Range::parse(&text).and_then(|range| range.of(size)) {
                prop_assert!(length > 0 && first.checked_add(length).is_some_and(|end| end <= size));
            }
        }
    }
}
