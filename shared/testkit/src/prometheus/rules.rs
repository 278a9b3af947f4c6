//! The rules that are shipped, with their times divided and nothing else changed.

use std::fmt::Write as _;

use anyhow::{Context, ensure};

/// What each time of the rules is divided by: a minute is a second.
pub const HURRY: u64 = 60;

/// A length of time that the rules have as a plain number of seconds, because it is compared with
/// one that was measured.
#[derive(Debug, Clone, Copy)]
pub struct Length {
    /// As it stands in the rules, with what tells where.
    pub shipped: &'static str,
    /// The same, [`HURRY`] times shorter.
    pub hurried: &'static str,
}

/// All of them: what grows for as long as an outage lasts, and what turns a rate into a number.
pub const LENGTHS: [Length; 8] = [
    Length {
        shipped: "recado_lanes_oldest_due_seconds{kind=\"execution\"}) > 120",
        hurried: "recado_lanes_oldest_due_seconds{kind=\"execution\"}) > 2",
    },
    Length {
        shipped: "recado_lanes_oldest_due_seconds{kind=\"delivery\"}) > 300",
        hurried: "recado_lanes_oldest_due_seconds{kind=\"delivery\"}) > 5",
    },
    Length {
        shipped: "(recado_buffer_overdue_seconds) > 60",
        hurried: "(recado_buffer_overdue_seconds) > 1",
    },
    Length {
        shipped: "(rate(recado_broker_message_age_seconds_bucket{queue!=\"replies\"}[5m]))) > 60",
        hurried: "(rate(recado_broker_message_age_seconds_bucket{queue!=\"replies\"}[5m]))) > 1",
    },
    Length {
        shipped: "(recado_sources_oldest_due_seconds) > 300",
        hurried: "(recado_sources_oldest_due_seconds) > 5",
    },
    Length {
        shipped: "housekeeping_last_success_timestamp_seconds) > 1800",
        hurried: "housekeeping_last_success_timestamp_seconds) > 30",
    },
    Length {
        shipped: "recado_build_info{role=\"agent-runner\"}) > 1800",
        hurried: "recado_build_info{role=\"agent-runner\"}) > 30",
    },
    Length { shipped: " * 3600 > ", hurried: " * 60 > " },
];

/// A threshold that is a time, and stays as it is.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// As it stands in the rules, with what tells where.
    pub shipped: &'static str,
    /// Why it is not divided.
    pub reason: &'static str,
}

/// All of them. Numbers of events stay, too: a cause has to be as large as in production, and that
/// within the shorter time.
pub const KEPT: [Kept; 2] = [
    Kept {
        shipped: "recado_broker_publish_seconds_bucket[10m]))) > 0.5",
        reason: "RabbitMQ confirms no faster in a hurry, and ingress still waits for 1.5 s",
    },
    Kept {
        shipped: "recado_sources_tick_late_seconds_bucket[15m]))) > 10",
        reason: "schedules tick and are looked for as often as otherwise",
    },
];

/// A line of the rules that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number, from 1.
    pub line: usize,
    /// As it was shipped.
    pub shipped: String,
    /// As it is watched by.
    pub hurried: String,
}

/// Rules to be loaded, and how they differ from those that are shipped.
#[derive(Debug)]
pub struct HurriedRules {
    /// The whole file.
    pub text: String,
    /// Each line that is another one now.
    pub changes: Vec<Change>,
}

/// Divides every time in a file of rules by [`HURRY`]: `interval`, `for`, ranges, and [`LENGTHS`],
/// of which each has to be there.
pub fn hurried(shipped: &str) -> anyhow::Result<HurriedRules> {
    let mut text = String::new();
    let mut changes = Vec::new();
    let mut unused: Vec<&Length> = LENGTHS.iter().collect();
    // Comments speak of the times that are shipped.
    let is_comment = |line: &str| line.trim_start().starts_with('#');
    for (index, line) in shipped.lines().enumerate().filter(|(_, line)| !is_comment(line)) {
        let mut now = line.to_owned();
        for length in LENGTHS.iter().filter(|length| line.contains(length.shipped)) {
            now = now.replace(length.shipped, length.hurried);
            unused.retain(|other| other.shipped != length.shipped);
        }
        let now = line_in_a_hurry(&now).with_context(|| format!("line {}", index + 1))?;
        if now != line {
            let (shipped, hurried) = (line.trim().to_owned(), now.trim().to_owned());
            changes.push(Change { line: index + 1, shipped, hurried });
        }
        writeln!(text, "{now}")?;
    }
    ensure!(unused.is_empty(), "not in the rules any more: {unused:?}");
    Ok(HurriedRules { text, changes })
}

/// `for: 5m`, `interval: 30s`, and whatever stands in brackets and is a time.
fn line_in_a_hurry(line: &str) -> anyhow::Result<String> {
    for key in ["for: ", "interval: "] {
        if let Some(time) = line.trim_start().strip_prefix(key) {
            let indent = &line[..line.len() - line.trim_start().len()];
            let millis = millis(time.trim()).with_context(|| format!("{time:?} is no time"))?;
            return Ok(format!("{indent}{key}{}", divided(millis)?));
        }
    }
    let mut parts = line.split('[');
    let mut now = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        now.push('[');
        match part.split_once(']').map(|(time, rest)| (millis(time), rest)) {
            Some((Some(millis), rest)) => write!(now, "{}]{rest}", divided(millis)?)?,
            _ => now.push_str(part),
        }
    }
    Ok(now)
}

/// A time such as `30s`, `5m` or `1d`, in milliseconds.
fn millis(time: &str) -> Option<u64> {
    let unit = time.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = time.split_at(unit);
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(millis)
}

fn divided(millis: u64) -> anyhow::Result<String> {
    ensure!(millis.is_multiple_of(HURRY), "{millis} ms cannot be divided by {HURRY}");
    let millis = millis / HURRY;
    Ok(if millis.is_multiple_of(1_000) {
        format!("{}s", millis / 1_000)
    } else {
        format!("{millis}ms")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../../../deploy/alerts/recado.yaml");

    #[test]
    fn times_are_divided_and_patterns_are_left_alone() {
        let line = |line| line_in_a_hurry(line).unwrap();
        assert_eq!(line("    interval: 30s"), "    interval: 500ms");
        assert_eq!(line("        for: 2m"), "        for: 2s");
        assert_eq!(
            line(
                r#"  rate(a{queue!~".+[.]dlq", b=~"[0-9]d"}[5m]) > 300 or avg_over_time(b[1d]) > 1"#
            ),
            r#"  rate(a{queue!~".+[.]dlq", b=~"[0-9]d"}[5s]) > 300 or avg_over_time(b[24m]) > 1"#
                .replace("24m", "1440s")
        );
        let odd = line_in_a_hurry("        for: 10ms").unwrap_err();
        assert_eq!(odd.to_string(), "10 ms cannot be divided by 60");
        assert!(line_in_a_hurry("        for: a while").is_err());
    }

    /// Whoever changes a time of the rules that stands there as a number has to change it here.
    #[test]
    fn lengths_are_in_the_rules_and_divided_like_the_rest() {
        let HurriedRules { text, changes } = hurried(SHIPPED).unwrap();
        for Length { shipped, hurried } in LENGTHS {
            let number = |text: &str| {
                let end = text.trim_end_matches(" > ");
                let digits = end.rsplit(|c: char| !c.is_ascii_digit()).next();
                digits.and_then(|digits| digits.parse::<u64>().ok()).unwrap()
            };
            assert_eq!(number(shipped), HURRY * number(hurried), "{shipped}");
        }
        for Kept { shipped, reason } in KEPT {
            assert!(SHIPPED.contains(shipped), "{shipped}, kept because {reason}");
        }
        assert!(changes.len() > 60, "{}", changes.len());
        assert!(!text.contains("for: 5m") && text.contains("for: 5s"));
        let gone = SHIPPED.replace("(recado_buffer_overdue_seconds) > 60", "none > 60");
        assert!(hurried(&gone).unwrap_err().to_string().contains("recado_buffer_overdue_seconds"));
    }
}
