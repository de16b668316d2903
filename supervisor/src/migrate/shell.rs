//! A line for a shell, taken apart into words, its variables left for our own files to expand.
//!
//! It is the part of POSIX's shell language that Procfiles, units and `GUNICORN_CMD_ARGS` use: quotes, backslashes, `$NAME` and
//! `${NAME:-default}`. What else a shell does (globs, pipes, substitutions) stays as it is written.

use super::said::Dollars;

/// A word, in which a `$` means what `dollars` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Its text.
    pub text: String,
    /// Whether it may have variables.
    pub dollars: Dollars,
}

/// The words of a line in which `$NAME` is a variable.
///
/// # Errors
/// When a quote is not closed.
pub fn words(line: &str) -> Result<Vec<Word>, String> {
    split(line, Dollars::Variables)
}

/// The words of a line in which a `$` means nothing, as Python's `shlex.split` has it.
///
/// # Errors
/// When a quote is not closed.
pub fn plain_words(line: &str) -> Result<Vec<Word>, String> {
    split(line, Dollars::Plain)
}

fn split(line: &str, dollars: Dollars) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\\' && letters.next_if_eq(&'\n').is_some() {
            continue;
        }
        if quote.is_none() && letter.is_whitespace() {
            words.extend(word.take().map(|text| Word { text, dollars }));
            continue;
        }
        let text = word.get_or_insert_default();
        match (quote, letter) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (Some('"') | None, '\\') => match letters.next() {
                None => {}
                Some(next) if quote.is_some() && !"\"\\$`".contains(next) => text.extend(['\\', next]),
                Some(next) => literal(text, next, dollars),
            },
            (Some('"') | None, '$') if dollars == Dollars::Variables => {
                text.push('$');
                match letters.peek() {
                    Some('{') => text.push_str(&through(&mut letters, '}')),
                    Some(next) if is_name(*next) => {
                        text.push('{');
                        while let Some(next) = letters.next_if(|next| is_name(*next)) {
                            text.push(next);
                        }
                        text.push('}');
                    }
                    Some(_) | None => text.push('$'),
                }
            }
            (_, letter) => literal(text, letter, dollars),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".into());
    }
    words.extend(word.map(|text| Word { text, dollars }));
    Ok(words)
}

fn literal(text: &mut String, letter: char, dollars: Dollars) {
    text.push(letter);
    if letter == '$' && dollars == Dollars::Variables {
        text.push('$');
    }
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// The letters up to and with this one.
fn through(letters: &mut impl Iterator<Item = char>, last: char) -> String {
    let mut taken = String::new();
    for letter in letters {
        taken.push(letter);
        if letter == last {
            break;
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        words(line).unwrap().into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_a_shells_and_variables_ours() {
        for (line, expected) in [
            ("gunicorn  a:b -w 4", vec!["gunicorn", "a:b", "-w", "4"]),
            ("-b 0.0.0.0:$PORT x", vec!["-b", "0.0.0.0:${PORT}", "x"]),
            ("-b \":${PORT:-8000}\"", vec!["-b", ":${PORT:-8000}"]),
            ("a 'b c' d\\ e \"f \\\" g\"", vec!["a", "b c", "d e", "f \" g"]),
            ("'$A' \\$B \"\\$C\" $ $$", vec!["$$A", "$$B", "$$C", "$$", "$$$$"]),
            ("--x='%(h)s \"%(r)s\"'", vec!["--x=%(h)s \"%(r)s\""]),
            ("a '' \"\" b ''", vec!["a", "", "", "b", ""]),
            ("a \\\n  b", vec!["a", "b"]),
            ("  ", vec![]),
            ("\"a\\n\"", vec!["a\\n"]),
        ] {
            assert_eq!(texts(line), expected, "{line}");
        }
        assert!(words("a 'b").is_err());
        assert_eq!(plain_words("$A '$B'").unwrap()[0].text, "$A");
    }
}
