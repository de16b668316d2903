//! gunicorn's command line, read as its argparse reads it: long flags may be cut where they stay unique, `-w4`, `--workers=4`,
//! `--bind A --bind B`, and one argument that is no flag, the application.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::said::Said;
use super::super::shell::Word;
use super::table::{Row, Takes, rows};

/// A command line, read.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// What its flags say, by the setting's name.
    pub settings: BTreeMap<String, Said>,
    /// The application.
    pub application: Option<Said>,
}

impl Line {
    /// The same, all of it from this place.
    pub fn renamed(mut self, place: &str) -> Line {
        for said in self.settings.values_mut().chain(&mut self.application) {
            said.place = format!("{place}, {}", said.place);
        }
        self
    }
}

/// Reads a command line.
///
/// # Errors
/// When a flag is unknown or lacks its value.
pub(super) fn parse(words: &[Word]) -> Result<Line, String> {
    let rows = rows();
    let mut line = Line::default();
    let mut words = words.iter().peekable();
    let mut only_arguments = false;
    while let Some(word) = words.next() {
        if word.text == "--" && !only_arguments {
            only_arguments = true;
        } else if word.text.starts_with('-') && word.text.len() > 1 && !only_arguments {
            let (row, flag, inline) = flag(&rows, &word.text)?;
            let value = match row.takes {
                Takes::Nothing | Takes::Off if inline.is_some() => return Err(format!("{flag} takes no value")),
                Takes::Nothing => json!(true),
                Takes::Off => json!(false),
                Takes::One | Takes::Many => {
                    let text = inline.or_else(|| words.next().map(|next| next.text.clone()));
                    text.map(Value::from).ok_or_else(|| format!("{flag} needs a value"))?
                }
                Takes::Perhaps(otherwise) => {
                    let next = inline
                        .or_else(|| words.next_if(|next| !next.text.starts_with('-')).map(|next| next.text.clone()));
                    next.unwrap_or_else(|| otherwise.to_owned()).into()
                }
            };
            keep(&mut line, row, Said::new(row.name, value, flag).with(word.dollars));
        } else if line.application.is_some() {
            return Err(format!("`{}` is one argument too many: gunicorn takes the application alone", word.text));
        } else {
            line.application = Some(Said::new("APP_MODULE", word.text.clone(), "command line").with(word.dollars));
        }
    }
    Ok(line)
}

fn keep(line: &mut Line, row: &Row, said: Said) {
    match (row.takes, line.settings.get_mut(row.name)) {
        (Takes::Many, Some(Said { value: Value::Array(items), .. })) => items.push(said.value),
        (Takes::Many, _) => {
            line.settings.insert(row.name.into(), Said { value: json!([said.value]), ..said });
        }
        (Takes::One | Takes::Nothing | Takes::Off | Takes::Perhaps(_), _) => {
            line.settings.insert(row.name.into(), said);
        }
    }
}

/// The row of a flag, the flag as it is spelt out, and the value that stands within it.
fn flag<'a>(rows: &'a [Row], text: &str) -> Result<(&'a Row, &'static str, Option<String>), String> {
    let all = || rows.iter().flat_map(|row| row.flags.iter().map(move |flag| (row, *flag)));
    if !text.starts_with("--") {
        let end = text.char_indices().nth(2).map_or(text.len(), |(end, _)| end);
        let (short, rest) = text.split_at(end);
        let (row, flag) = all().find(|(_, flag)| *flag == short).ok_or_else(|| unknown(rows, text))?;
        return match row.takes {
            Takes::Nothing | Takes::Off if !rest.is_empty() => Err(format!("{text}: {flag} takes no value")),
            Takes::Nothing | Takes::Off | Takes::One | Takes::Many | Takes::Perhaps(_) => {
                let rest = rest.strip_prefix('=').unwrap_or(rest);
                Ok((row, flag, Some(rest.to_owned()).filter(|rest| !rest.is_empty())))
            }
        };
    }
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.to_owned())));
    if let Some((row, flag)) = all().find(|(_, flag)| *flag == name) {
        return Ok((row, flag, value));
    }
    let mut near = all().filter(|(_, flag)| flag.starts_with(name));
    match (near.next(), near.next()) {
        (Some((row, flag)), None) => Ok((row, flag, value)),
        (Some((_, one)), Some((_, other))) => Err(format!("{name} may be {one} or {other}")),
        (None, _) => Err(unknown(rows, name)),
    }
}

fn unknown(rows: &[Row], text: &str) -> String {
    let flags = rows.iter().flat_map(|row| row.flags);
    let near = flags.min_by_key(|flag| strsim::damerau_levenshtein(text, flag));
    let near = near.filter(|flag| strsim::damerau_levenshtein(text, flag) * 3 <= flag.len());
    let advice = near.map_or(String::new(), |flag| format!(": did you mean {flag}?"));
    format!("{text} is no flag of gunicorn's{advice}")
}

#[cfg(test)]
mod tests {
    use super::super::super::shell::plain_words;
    use super::*;

    fn parsed(line: &str) -> Result<Line, String> {
        parse(&plain_words(line).unwrap())
    }

    #[test]
    fn flags_are_taken_in_each_of_their_forms() {
        let line = parsed(
            "-w4 --timeout=9 -b :80 --bind unix:/s -k=gevent --proxy-protocol --reload --no-sendfile -e A=1 --env B=2 --thre 3 shop:app",
        );
        let line = line.unwrap();
        let value = |name: &str| line.settings[name].value.clone();
        for (name, expected) in [
            ("workers", json!("4")),
            ("timeout", json!("9")),
            ("bind", json!([":80", "unix:/s"])),
            ("worker_class", json!("gevent")),
            ("proxy_protocol", json!("auto")),
            ("reload", json!(true)),
            ("sendfile", json!(false)),
            ("raw_env", json!(["A=1", "B=2"])),
            ("threads", json!("3")),
        ] {
            assert_eq!(value(name), expected, "{name}");
        }
        assert_eq!(line.application.unwrap().value, json!("shop:app"));
        assert_eq!(parsed("--proxy-protocol v2 a:b").unwrap().settings["proxy_protocol"].value, json!("v2"));
    }

    #[test]
    fn what_gunicorn_would_refuse_is_refused_in_a_line() {
        for (line, expected) in [
            ("--wrokers 3", "--wrokers is no flag of gunicorn's: did you mean --workers?"),
            ("-z", "-z is no flag of gunicorn's"),
            ("--workers", "--workers needs a value"),
            ("--reload=1", "--reload takes no value"),
            ("--limit", "--limit may be --limit-request-line or --limit-request-fields"),
            ("a:b c:d", "`c:d` is one argument too many: gunicorn takes the application alone"),
        ] {
            assert_eq!(parsed(line).unwrap_err(), expected);
        }
    }
}
