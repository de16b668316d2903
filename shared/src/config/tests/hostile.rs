//! Files that nobody wrote in good faith: no panic, no hang, one line of error.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// What a text ends in; it must end soon. The debug build takes a tenth of this at the worst.
fn outcome(text: &str) -> String {
    const SOON: Duration = Duration::from_secs(20);
    let start = Instant::now();
    let outcome = Folder::new().check(text).map_or_else(|error| error, |_| "accepted".into());
    let took = start.elapsed();
    assert!(took < SOON, "{took:?} for {} bytes that end in: {outcome}", text.len());
    assert!(!outcome.contains('\n'), "more than a line: {outcome}");
    outcome
}

#[test]
fn aliases_that_multiply_are_counted() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ('b'..='z').zip('a'..) {
        text.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 9].join(", ")));
    }
    let outcome = outcome(&text);
    assert!(outcome.ends_with("more than 100000 values: make it smaller"), "{outcome}");
}

#[test]
fn an_alias_of_itself_is_refused() {
    assert_eq!(outcome("a: &a [*a]"), "f:1:4: nested too deeply: make it flatter, or use fewer aliases");
}

#[test]
fn deep_nesting_is_refused() {
    for text in ["[", "{", "- ", "? "] {
        let outcome = outcome(&text.repeat((1 << 20) / text.len()));
        assert!(outcome.contains("nested too deeply") || outcome.contains("more than 100000 values"), "{outcome}");
    }
}

#[test]
fn a_file_of_one_kind_of_thing_takes_linear_time() {
    for text in [
        format!("[{}]", "01,".repeat(90_000)),
        (0..40_000).map(|i| format!("- &a{i} x\n- *a{i}\n")).collect(),
        format!("{}: 1", "a".repeat(1 << 20)),
        format!("apps: \"{}\"", "a".repeat(1 << 20)),
        "# a\n".repeat(1 << 18),
        format!("a{}", "\n b".repeat(1 << 18)),
        ":".repeat(1 << 20),
        "!".repeat(1 << 20),
        "'\n".repeat(1 << 19),
        (0..90_000).map(|i| format!("k{i}: 1\n")).collect(),
    ] {
        assert!(outcome(&text).len() < 2000);
    }
}

#[test]
fn ten_thousand_apps_are_read() {
    let mut text = "apps:\n".to_owned();
    for i in 0..10_000 {
        text.push_str(&format!(" a{i}:\n  wsgi: a:b\n  listen: unix:/s{i}\n"));
    }
    assert_eq!(outcome(&text), "accepted");
}

/// Pieces that configs are made of, and pieces that break them.
fn piece() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "apps:",
        "log:",
        "wsgi:",
        "listen:",
        "limits:",
        "environment:",
        "a:",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"",
        "'",
        "&a ",
        "*a",
        "!x ",
        "!!int ",
        "${",
        "}",
        "$",
        "$$",
        "${HOST}",
        ":-",
        "? ",
        "|\n",
        ">\n",
        "---\n",
        "...\n",
        "#",
        "\t",
        "é",
        "\u{85}",
        "\u{2028}",
        "\r",
        "0660",
        "8KiB",
        "30s",
        "unix:",
        "127.0.0.1:8000",
        "a:b",
        "true",
        "~",
        "<<:",
        "\\0",
    ];
    prop_oneof![4 => proptest::sample::select(WORDS).prop_map(str::to_owned), 1 => "\\PC{0,4}", 1 => "(?s).{0,3}"]
}

proptest! {
    #[test]
    fn any_text_ends_in_a_config_or_one_line(text in "(?s).{0,200}") {
        outcome(&text);
    }

    #[test]
    fn any_yaml_ends_in_a_config_or_one_line(pieces in proptest::collection::vec(piece(), 0..40)) {
        outcome(&pieces.concat());
    }

    #[test]
    fn a_config_with_something_amiss_ends_in_a_config_or_one_line(at in 0usize..90, what in piece()) {
        let mut text = app_with("workers: 2\ntimeouts: {head: 3s}");
        let at = at.min(text.len());
        text.insert_str(at, &what);
        outcome(&text);
    }
}
