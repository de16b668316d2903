//! The page that a browser is shown in the place of an application that cannot be loaded, in development.
//!
//! Rule: what the application's error says is text, never markup: a traceback quotes what strangers sent and wrote.

use monoceros_shared::link::Failure;

/// What stands before the title. The page asks for itself again, for the next save may have mended what it tells of.
const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta http-equiv=\"refresh\" content=\"2\">\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
    <style>\n\
    :root { color-scheme: light dark; }\n\
    body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 3rem auto; padding: 0 1rem; }\n\
    h1 { font-size: 1.2rem; border-left: .3rem solid #c33; padding-left: .7rem; overflow-wrap: anywhere; }\n\
    pre { font: 14px/1.45 ui-monospace, monospace; overflow-x: auto; padding: 1rem; background: #8881; }\n\
    </style>\n";

/// Bytes of the traceback as it stands in the page, which travels to a worker in one message of 64 KiB.
const DETAIL_BYTES_MAX: usize = 40 * 1024;

/// Characters of the title, which stands there twice, and of which each can take five bytes.
const WHY_CHARACTERS_MAX: usize = 1000;

/// The page.
pub fn page(failure: &Failure) -> String {
    let why = escaped(&failure.why.chars().take(WHY_CHARACTERS_MAX).collect::<String>());
    let detail = match failure.detail.as_str() {
        "" => String::new(),
        detail => format!("<pre>{}</pre>\n", fitting(detail)),
    };
    let hint = "It is loaded again as soon as a file of it changes. This page follows by itself.";
    format!("{HEAD}<title>{why}</title>\n</head>\n<body>\n<h1>{why}</h1>\n{detail}<p>{hint}</p>\n</body>\n</html>\n")
}

/// The last lines of a traceback, which say what happened, as many as fit.
fn fitting(detail: &str) -> String {
    let mut left = DETAIL_BYTES_MAX;
    let lines = detail.lines().rev().map(escaped).map_while(|line| {
        left = left.checked_sub(line.len() + 1)?;
        Some(line)
    });
    let mut lines: Vec<String> = lines.collect();
    if lines.len() < detail.lines().count() {
        lines.push("[what stands before is in the log]".to_owned());
    }
    lines.reverse();
    lines.join("\n")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_says_is_shown_and_never_run() {
        let failure = Failure::new("cannot import a:b: <script>", "File \"a.py\"\n  x = '</pre><script>alert(1)' & 2");
        let page = page(&failure);
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        assert!(page.contains("<h1>cannot import a:b: &lt;script&gt;</h1>"), "{page}");
        assert!(
            page.contains("File &quot;a.py&quot;\n  x = &#39;&lt;/pre&gt;&lt;script&gt;alert(1)&#39; &amp; 2</pre>")
        );
        assert!(!page.contains("<script"));
    }

    #[test]
    fn a_page_fits_one_message_whatever_it_quotes() {
        let lines: String = (0..4000).map(|number| format!("\"\"\"\"\" {number}\n")).collect();
        let page = page(&Failure::new("\"".repeat(10_000), lines));
        assert!(page.len() < 56 * 1024, "{}", page.len());
        assert!(page.contains("&quot; 3999</pre>") && page.contains("<pre>[what stands before is in the log]\n"));
    }

    #[test]
    fn an_error_without_a_traceback_has_no_empty_box() {
        assert!(!page(&Failure::new("not loaded within 60s", "")).contains("<pre>"));
    }
}
