//! Sizes, counts and times as they are written in options.

use std::time::Duration;

/// Parses a size in bytes: `4096`, `64M`, `64MiB` (1024 each), `64MB` (1000 each), `50%` (of the machine's memory).
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "%" => return percent_of_memory(text, number),
        _ => unit_factor(unit).ok_or_else(|| {
            format!("\"{text}\" has an unknown unit \"{unit}\"; write bytes, or K, M, G, T (64M), or a share of memory (50%)")
        })?,
    };
    parse(text, number)?.checked_mul(factor).ok_or_else(|| format!("\"{text}\" is too large"))
}

/// Parses a count: `1024`, `64k`, `1M` (1000 each).
pub(crate) fn count(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit {
        "" => 1,
        "k" | "K" => 1_000,
        "M" => 1_000_000,
        _ => {
            return Err(format!(
                "\"{text}\" has an unknown unit \"{unit}\"; write a number, or k or M behind it"
            ));
        }
    };
    parse(text, number)?.checked_mul(factor).ok_or_else(|| format!("\"{text}\" is too large"))
}

/// Parses a time: `10`, `10s`, `1.5s`, `500ms`, `2m`, `1h`; seconds without a unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.is_empty() {
        return Err(not_a_number(text));
    }
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => {
            return Err(format!(
                "\"{text}\" has an unknown unit \"{unit}\"; write ms, s, m, h or d (10s, 500ms)"
            ));
        }
    };
    let number: f64 = number.parse().map_err(|_| not_a_number(text))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| format!("\"{text}\" is too long"))
}

/// Parses permission bits: octal, `1777` say.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(mode),
        _ => Err(format!("\"{text}\" is no mode; write permission bits in octal (755, 1777)")),
    }
}

/// The machine's memory in bytes.
#[cfg(target_os = "linux")]
pub(crate) fn machine_memory() -> u64 {
    let info = rustix::system::sysinfo();
    #[allow(clippy::unnecessary_cast, reason = "the fields are narrower on 32-bit machines")]
    (info.totalram as u64).saturating_mul(info.mem_unit as u64)
}

/// The machine's memory in bytes, as the system's own program tells it; 4 GiB, less than any new one has, if it can't be
/// asked.
#[cfg(not(target_os = "linux"))]
pub(crate) fn machine_memory() -> u64 {
    static MEMORY: std::sync::LazyLock<Option<u64>> = std::sync::LazyLock::new(|| {
        let told = std::process::Command::new("/usr/sbin/sysctl").args(["-n", "hw.memsize"]).output().ok()?;
        std::str::from_utf8(&told.stdout).ok()?.trim().parse().ok()
    });
    MEMORY.unwrap_or(4 << 30)
}

fn percent_of_memory(text: &str, number: &str) -> Result<u64, String> {
    let percent = parse(text, number)?;
    Ok(u64::try_from(u128::from(machine_memory()) * u128::from(percent) / 100).unwrap_or(u64::MAX))
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn parse(text: &str, number: &str) -> Result<u64, String> {
    number
        .parse()
        .map_err(|_| if number.is_empty() { not_a_number(text) } else { format!("\"{text}\" is too large") })
}

fn not_a_number(text: &str) -> String {
    format!("\"{text}\" is not a number")
}

fn unit_factor(unit: &str) -> Option<u64> {
    let (letter, rest) = unit.split_at_checked(1)?;
    let base: u64 = match rest {
        "" | "iB" => 1024,
        "B" => 1000,
        _ => return None,
    };
    let power = match letter {
        "k" | "K" => 1,
        "M" | "m" => 2,
        "G" | "g" => 3,
        "T" | "t" => 4,
        _ => return None,
    };
    Some(base.pow(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("64M"), Ok(64 << 20));
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("2kB"), Ok(2000));
        assert_eq!(bytes("1T"), Ok(1 << 40));
        assert_eq!(bytes("100%"), Ok(machine_memory()));
        for bad in ["", "M", "-1", "1.5G", "64Q", "18446744073709551616", "16777216T", "1\u{e9}"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn counts_times_and_modes() {
        assert_eq!(count("1M"), Ok(1_000_000));
        assert!(count("1MiB").is_err());
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        for bad in ["", "s", "-1", "1w", "1..2", "9999999999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(mode("1777"), Ok(0o1777));
        for bad in ["", "8", "+7", "10000", "rwx"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }
}
