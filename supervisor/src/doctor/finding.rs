//! What was found: a row for people, an object for programs.

use std::fmt::Write as _;

use serde::Serialize;

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should.
    Ok,
    /// It works, and not as well or as safely as it could.
    Warn,
    /// Something does not work for it.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `worker`, `open files`; with the application where it is one's own, `shop: virtualenv`.
    pub check: String,
    /// What was found.
    pub found: String,
    /// How that stands.
    pub verdict: Verdict,
    /// What to do; `null` where there is nothing to do.
    pub advice: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding { check: check.into(), found: found.into(), verdict: Verdict::Ok, advice: None }
    }

    /// It could be better.
    pub fn warn(check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { check: check.into(), found: found.into(), verdict: Verdict::Warn, advice: Some(advice.into()) }
    }

    /// It does not work.
    pub fn wrong(check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { check: check.into(), found: found.into(), verdict: Verdict::Wrong, advice: Some(advice.into()) }
    }
}

/// The worst of them.
pub fn worst(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
}

/// For people: a line each, with what to do below it, and one that sums up.
pub fn table(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { check, found, verdict, advice } in findings {
        let mark = match verdict {
            Verdict::Ok => "ok   ",
            Verdict::Warn => "warn ",
            Verdict::Wrong => "WRONG",
        };
        let mut lines = found.lines();
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{mark}  {check:width$}  {}", lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(text, "       {:width$}  {line}", "");
        }
        for line in advice.iter().flat_map(|advice| advice.lines()) {
            let _ = writeln!(text, "       {:width$}  -> {line}", "");
        }
    }
    text + &summary(findings)
}

fn summary(findings: &[Finding]) -> String {
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let warnings = match count(Verdict::Warn) {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        several => format!(", {several} warnings"),
    };
    match count(Verdict::Wrong) {
        0 => format!("nothing is wrong{warnings}\n"),
        1 => format!("1 thing is wrong{warnings}\n"),
        several => format!("{several} things are wrong{warnings}\n"),
    }
}

/// For programs.
pub fn json(findings: &[Finding]) -> String {
    let told = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "verdict": worst(findings),
        "findings": findings,
    });
    format!("{told:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Vec<Finding> {
        vec![
            Finding::ok("worker", "0.1.0"),
            Finding::warn("open files", "1024", "raise it"),
            Finding::wrong("shop: user", "shop cannot read it\nnobody can", "chmod it\nor move it"),
        ]
    }

    #[test]
    fn people_read_what_is_wrong_and_below_it_what_to_do() {
        let expected = "\
ok     worker      0.1.0
warn   open files  1024
                   -> raise it
WRONG  shop: user  shop cannot read it
                   nobody can
                   -> chmod it
                   -> or move it
1 thing is wrong, 1 warning
";
        assert_eq!(table(&some()), expected);
        assert_eq!(table(&some()[..1]), "ok     worker  0.1.0\nnothing is wrong\n");
    }

    #[test]
    fn programs_read_the_same() {
        let told: serde_json::Value = serde_json::from_str(&json(&some())).unwrap();
        assert_eq!(told["verdict"], "wrong");
        assert_eq!(told["findings"][1]["advice"], "raise it");
        assert_eq!(told["findings"][0]["advice"], serde_json::Value::Null);
    }

    #[test]
    fn the_worst_counts() {
        assert_eq!(worst(&some()), Verdict::Wrong);
        assert_eq!(worst(&some()[..2]), Verdict::Warn);
        assert_eq!(worst(&[]), Verdict::Ok);
    }
}
