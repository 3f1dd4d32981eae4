//! Times, durations and numbers as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

/// The console's clock, Unix ms. It is close to the server's; what must be exact, the server decides.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// `350 ms`, `42 s`, `3 m 20 s`, `2 h 5 m`, `4 d 3 h`.
pub(crate) fn duration(ms: i64) -> String {
    let ms = ms.max(0);
    let (s, m, h, d) = (ms / 1000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    match () {
        () if ms == 0 => "0 s".into(),
        () if ms < 1000 => format!("{ms} ms"),
        () if s < 60 => format!("{s} s"),
        () if m < 60 && (m >= 10 || s % 60 == 0) => format!("{m} m"),
        () if m < 60 => format!("{m} m {} s", s % 60),
        () if h < 24 && m % 60 == 0 => format!("{h} h"),
        () if h < 24 => format!("{h} h {} m", m % 60),
        () if h % 24 == 0 => format!("{d} d"),
        () => format!("{d} d {} h", h % 24),
    }
}

/// `1,234,567`.
pub(crate) fn number(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if n < 0 { format!("−{out}") } else { out }
}

/// `1.4 MiB`.
pub(crate) fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes.max(0) as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{value:.0} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

/// `1 item`, `2 items`.
pub(crate) fn count(n: i64, one: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {one}{s}", number(n))
}

/// A moment as `2026-11-21 18:04:05` in UTC.
pub(crate) fn moment(ms: i64) -> String {
    let seconds = ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {h:02}:{m:02}:{s:02}")
}

/// Days since 1970 as year, month and day (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year, month, doy - (153 * mp + 2) / 5 + 1)
}

/// A duration that somebody typed: a number of ms, or a number and s, m, h or d. None if it is neither.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let n: i64 = text[..split].parse().ok()?;
    let unit = match text[split..].trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    n.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_back() {
        for (ms, text) in [
            (0, "0 s"),
            (350, "350 ms"),
            (42_000, "42 s"),
            (200_000, "3 m 20 s"),
            (7_500_000, "2 h 5 m"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(ms), text);
        }
        assert_eq!(parse_duration("5 m"), Some(300_000));
        assert_eq!(parse_duration("250"), Some(250));
        assert_eq!(
            [
                parse_duration(""),
                parse_duration("-5"),
                parse_duration("5 y"),
                parse_duration("99999999999999999d")
            ],
            [None; 4]
        );
    }

    #[test]
    fn numbers_and_moments() {
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(number(-1000), "−1,000");
        assert_eq!(size(1_468_006), "1.4 MiB");
        assert_eq!(moment(1_795_236_763_358), "2026-11-21 04:52:43");
        assert_eq!(moment(951_782_400_000), "2000-02-29 00:00:00");
    }
}
