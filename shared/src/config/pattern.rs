//! Globs as the file has them: checked here, matched by whoever watches.
//!
//! ```text
//!   ?        one character      *      any number of them within a name      [a-z], [!a-z]   one of these, none of these
//!   {a,b}    one of these       **     as a whole name: any number of folders, none included
//! ```
//!
//! Rule: what passes here means the same to every glob library of the field. So there is no escape by `\`, which some take
//! for a letter (`[*]` is a star), no nesting of braces, and no path that leaves its folder.

use super::fault::{Fault, shown};
use super::schema::{self, Range};
use super::section::{At, Read};
use super::tree::Node;
use super::value::one_or_more;

/// A glob, relative to a folder.
#[derive(Clone, Debug)]
pub(super) struct Pattern(pub String);

impl Read for Pattern {
    const FORM: &'static str = "a glob";

    fn schema(_: Range) -> serde_json::Value {
        schema::matching("^[^/]", &["**/*.py"])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = String::read(node)?;
        check(&text).map_err(|why| Fault::at(node.place, format!("{} is no glob: {why}", shown(&text))))?;
        Ok(Pattern(text))
    }
}

/// Globs, one or a list.
#[derive(Clone, Debug)]
pub(super) struct Patterns(pub Vec<At<Pattern>>);

impl Read for Patterns {
    const FORM: &'static str = "a glob, or a list of them";

    fn schema(range: Range) -> serde_json::Value {
        schema::one_or_more(Pattern::schema(range))
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        one_or_more(node).map(Patterns)
    }
}

impl Patterns {
    /// Their texts.
    pub fn into_texts(self) -> Vec<String> {
        self.0.into_iter().map(|pattern| pattern.value.0).collect()
    }
}

fn check(text: &str) -> Result<(), String> {
    if text.contains('\\') {
        return Err("`\\` escapes nothing: write `[*]` for a star, and `/` between folders".into());
    }
    if text.starts_with('/') {
        return Err("it begins with `/`, but is relative to the folder of the application".into());
    }
    let mut inside = None;
    let mut name = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, inside) {
            ('[', _) => {
                class(&mut letters)?;
                name.push('x');
            }
            ('{', None) => inside = Some('{'),
            ('{', Some(_)) => return Err("a `{` within braces".into()),
            ('}', Some(_)) => inside = None,
            ('}', None) => return Err("a `}` without its `{`".into()),
            ('/', Some(_)) => return Err("a `/` within braces: write a glob for each".into()),
            ('/', None) => part(&std::mem::take(&mut name))?,
            (letter, _) => name.push(letter),
        }
    }
    match inside {
        Some(_) => Err("its `{` is not closed".into()),
        None if name.is_empty() && !text.ends_with('}') => {
            Err("it ends in `/`: write `folder/**` for all in it".into())
        }
        None => part(&name),
    }
}

/// The rest of a class, behind its `[`.
fn class(letters: &mut std::str::Chars) -> Result<(), String> {
    let (text, _) = letters.as_str().split_once('/').unwrap_or((letters.as_str(), ""));
    let members = text.strip_prefix('!').unwrap_or(text);
    // A `]` that is first stands for itself.
    let first = members.chars().next().map_or(0, char::len_utf8);
    let end = members.get(first..).and_then(|rest| rest.find(']')).ok_or("its `[` is not closed")? + first;
    let members: Vec<char> = members[..end].chars().collect();
    let is_reversed = |range: &[char]| range[1] == '-' && range[0] > range[2];
    if members.windows(3).any(is_reversed) {
        return Err("a range that runs backwards".into());
    }
    let length = end + 1 + usize::from(text.starts_with('!'));
    *letters = letters.as_str()[length..].chars();
    Ok(())
}

/// A name between slashes.
fn part(name: &str) -> Result<(), String> {
    match name {
        "" => Err("two `/` in a row".into()),
        "." | ".." => Err(format!("`{name}` is no name: it is relative to the folder of the application")),
        "**" => Ok(()),
        _ if name.contains("**") => Err("`**` stands alone between slashes".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_taken() {
        for text in [
            "*.py",
            "**/*.py",
            "**",
            "a/**/b",
            "templates/**",
            "?",
            "[a-z]*",
            "[!a-z]",
            "[]]",
            "[!]]",
            "[-a]",
            "[*]",
            "[{]",
            "*.{py,html}",
            "{a,b}",
            "a/{b,[c]}",
            "é*",
            ".env",
            "a..b",
            "x y",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_no_glob_is_told_why() {
        for (text, why) in [
            ("/srv/*.py", "begins with `/`"),
            ("a//b", "two `/` in a row"),
            ("a/", "ends in `/`"),
            ("../a", "`..` is no name"),
            ("./a", "`.` is no name"),
            ("a/.", "`.` is no name"),
            ("a**", "stands alone"),
            ("**.py", "stands alone"),
            ("***", "stands alone"),
            ("[", "`[` is not closed"),
            ("[]", "`[` is not closed"),
            ("[!]", "`[` is not closed"),
            ("[a/b]", "`[` is not closed"),
            ("[z-a]", "runs backwards"),
            ("{a", "`{` is not closed"),
            ("a}", "without its `{`"),
            ("{a,{b}}", "a `{` within braces"),
            ("{a/b,c}", "a `/` within braces"),
            ("a\\*", "escapes nothing"),
        ] {
            let told = check(text).expect_err(text);
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
