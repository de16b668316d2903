//! Numbers of other servers, brought into the ranges of our keys.

use std::time::Duration;

use monoceros_shared::config::{self, Key};

use super::said::{Said, Whole};

/// A number that fits a key, and what had to change for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// As it stands in the file.
    pub yaml: String,
    /// Why it is another.
    pub why: Option<String>,
}

/// Brings a count into the range of the key at a path.
///
/// # Errors
/// When it is no whole number.
pub fn count(said: &Said, path: &str) -> Result<Fitted, String> {
    let (min, max) = range(path).unwrap_or(("0", "1000000000"));
    let number = |text: &str| text.parse().unwrap_or(u64::MAX);
    fit(said, number(min), number(max), |value| value.to_string(), |later| quoted(&later))
}

/// Brings seconds into the range of a key for durations.
///
/// # Errors
/// When it is no whole number.
pub fn seconds(said: &Said, path: &str) -> Result<Fitted, String> {
    let (min, max) = range(path).unwrap_or(("0s", "24h"));
    let whole = |text: &str| config::duration(text).unwrap_or(Duration::MAX);
    let (min, max) = (whole(min), whole(max));
    // The ranges of some keys begin below a second, which no whole number of seconds is.
    let least = min.as_secs() + u64::from(min.subsec_nanos() > 0);
    let mut fitted =
        fit(said, least, max.as_secs(), |value| format!("{value}s"), |later| quoted(&format!("{later}s")))?;
    if fitted.why.is_some() && said.whole() == Ok(Whole::Now(0)) {
        fitted.yaml = format!("{}ms", min.as_millis());
        fitted.why = Some(format!("{} is the least here", fitted.yaml));
    }
    Ok(fitted)
}

/// Brings bytes into the range of a key for sizes.
///
/// # Errors
/// When it is no whole number.
pub fn bytes(said: &Said, path: &str) -> Result<Fitted, String> {
    let (min, max) = range(path).unwrap_or(("0B", "1TiB"));
    let whole = |text: &str| config::size(text).unwrap_or(u64::MAX);
    fit(said, whole(min), whole(max), |value| format!("{value}B"), |later| quoted(&format!("{later}B")))
}

fn fit(
    said: &Said,
    min: u64,
    max: u64,
    write: impl Fn(u64) -> String,
    later: impl Fn(String) -> String,
) -> Result<Fitted, String> {
    Ok(match said.whole()? {
        Whole::Later(text) => Fitted { yaml: later(text), why: None },
        Whole::Now(value) if value < min => {
            Fitted { yaml: write(min), why: Some(format!("{} is the least here", write(min))) }
        }
        Whole::Now(value) if value > max => {
            Fitted { yaml: write(max), why: Some(format!("{} is the most here", write(max))) }
        }
        Whole::Now(value) => Fitted { yaml: write(value), why: None },
    })
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The range of the key at a path.
fn range(path: &str) -> Option<(&'static str, &'static str)> {
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    let is_it = |key: &&Key| key.section == section && key.name == name;
    config::keys().iter().find(is_it).and_then(|key| key.range)
}

#[cfg(test)]
mod tests {
    use super::super::said::Dollars;
    use super::*;

    #[test]
    fn what_is_out_of_range_is_the_nearest_that_is_in_it() {
        let said = |value: u64| Said::new("x", value, "f:1");
        let told = |fitted: Result<Fitted, String>| fitted.map(|fitted| (fitted.yaml, fitted.why.is_some())).unwrap();
        assert_eq!(told(count(&said(4), "apps.NAME.workers")), ("4".into(), false));
        assert_eq!(told(count(&said(0), "apps.NAME.workers")), ("1".into(), true));
        assert_eq!(told(count(&said(9999), "apps.NAME.workers")), ("512".into(), true));
        assert_eq!(told(seconds(&said(120), "apps.NAME.timeouts.request")), ("120s".into(), false));
        assert_eq!(told(seconds(&said(0), "apps.NAME.timeouts.request")), ("100ms".into(), true));
        assert_eq!(told(seconds(&said(999_999), "apps.NAME.timeouts.heartbeat")), ("3600s".into(), true));
        assert_eq!(told(bytes(&said(100), "apps.NAME.limits.request_line_max")), ("256B".into(), true));
        let later = Said::new("x", "${T:-3}", "f:1").with(Dollars::Variables);
        assert_eq!(told(seconds(&later, "apps.NAME.timeouts.request")), ("\"${T:-3}s\"".into(), false));
    }
}
