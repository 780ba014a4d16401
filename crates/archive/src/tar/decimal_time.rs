//! Times as tar's extended headers write them: seconds with a fraction, in decimal.

use vnode_core::Timespec;

/// Parses `[-]SECONDS[.FRACTION]`; digits past nanoseconds are dropped.
pub(crate) fn parse(text: &str) -> Option<Timespec> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !is_digits(seconds) || !is_digits(fraction) {
        return None;
    }
    let seconds: i64 = seconds.parse().ok()?;
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    Some(match (negative, nanos) {
        (false, nsec) => Timespec { sec: seconds, nsec },
        (true, 0) => Timespec { sec: -seconds, nsec: 0 },
        // Nanoseconds count forward from the second before.
        (true, nanos) => Timespec { sec: -seconds - 1, nsec: 1_000_000_000 - nanos },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_either_side_of_the_epoch() {
        assert_eq!(parse("12"), Some(Timespec { sec: 12, nsec: 0 }));
        assert_eq!(parse("12.5"), Some(Timespec { sec: 12, nsec: 500_000_000 }));
        assert_eq!(parse("12.0000000019"), Some(Timespec { sec: 12, nsec: 1 }));
        assert_eq!(parse("-1"), Some(Timespec { sec: -1, nsec: 0 }));
        assert_eq!(parse("-1.25"), Some(Timespec { sec: -2, nsec: 750_000_000 }));
        for bad in ["", "-", ".5", "1.x", "1e3", "+1", "99999999999999999999"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
