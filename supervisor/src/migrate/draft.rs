//! The file that is being written: what stands behind each key, why, and what of the other server's settings is not in it.
//!
//! Rule: the keys come in the order of the reference, whatever order the settings came in. Each setting of the other server is told
//! exactly once with its verdict, above what it became or at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use monoceros_shared::config::{self, Key, scalar};

use super::said::{Dollars, Said};

/// A file in the making.
#[derive(Debug, Default)]
pub struct Draft {
    /// The application's name.
    pub name: Option<String>,
    /// What stands behind each key, by its path in the reference: `apps.NAME.timeouts.request`.
    values: BTreeMap<String, String>,
    /// What is said above it.
    comments: BTreeMap<String, Vec<String>>,
    /// Addresses, as they are written, and what each says beside it.
    listeners: Vec<(String, Vec<(&'static str, String)>)>,
    /// What holds for each of them, by its key.
    of_listeners: BTreeMap<&'static str, String>,
    /// What holds for those of them that are files.
    of_unix_listeners: BTreeMap<&'static str, String>,
    /// Settings that have no counterpart, and why.
    left: Vec<String>,
    /// Settings that a person must look at.
    open: Vec<String>,
    /// What is said at the top.
    pub head: Vec<String>,
    /// Where relative paths begin, if not in the folder of the file.
    pub base: Option<String>,
}

/// Columns of a line of comments: more is cut by many terminals.
const COLUMNS: usize = 118;

impl Draft {
    /// Writes a key for a setting, which is carried over as it is.
    pub fn put(&mut self, path: &str, yaml: impl Into<String>, said: &Said) {
        self.values.insert(path.to_owned(), yaml.into());
        self.note(path, format!("{}: carried over", said.told()));
    }

    /// Writes a key for a setting, of which something is different here.
    pub fn change(&mut self, path: &str, yaml: impl Into<String>, said: &Said, how: &str) {
        self.values.insert(path.to_owned(), yaml.into());
        self.note(path, format!("{}: changed: {how}", said.told()));
    }

    /// Writes a key that no setting names but one implies.
    pub fn add(&mut self, path: &str, yaml: impl Into<String>) {
        self.values.insert(path.to_owned(), yaml.into());
    }

    /// What stands behind a key.
    pub fn value(&self, path: &str) -> Option<&str> {
        self.values.get(path).map(String::as_str)
    }

    /// Says something above a key.
    pub fn note(&mut self, path: &str, comment: impl Into<String>) {
        self.comments.entry(path.to_owned()).or_default().push(comment.into());
    }

    /// A setting that is not in the file, and why that is well.
    pub fn leave(&mut self, said: &Said, why: &str) {
        self.left.push(format!("{}: no counterpart: {why}", said.told()));
    }

    /// A setting that is not in the file, and what a person has to do about it.
    pub fn open(&mut self, said: &Said, what: &str) {
        self.open.push(format!("{}: {what}", said.told()));
    }

    /// A remark that a person has to look at.
    pub fn ask(&mut self, what: impl Into<String>) {
        self.open.push(what.into());
    }

    /// One address more.
    pub fn listen(&mut self, address: String) {
        self.listen_with(address, Vec::new());
    }

    /// One address more, with keys of its own.
    pub fn listen_with(&mut self, address: String, keys: Vec<(&'static str, String)>) {
        if !self.listeners.iter().any(|(known, _)| *known == address) {
            self.listeners.push((address, keys));
        }
    }

    /// A key of every listener, and above them why it is there.
    pub fn on_listeners(&mut self, key: &'static str, yaml: String, said: &Said, how: &str) {
        self.of_listeners.insert(key, yaml);
        let how = if how.is_empty() { "carried over".to_owned() } else { format!("changed: {how}") };
        self.note("apps.NAME.listen", format!("{}: {how}", said.told()));
    }

    /// The same without a word of it.
    pub fn of_each(&mut self, key: &'static str, yaml: String) {
        self.of_listeners.insert(key, yaml);
    }

    /// A key of every listener that is a file.
    pub fn on_unix_listeners(&mut self, key: &'static str, yaml: String) {
        self.of_unix_listeners.insert(key, yaml);
    }

    /// Whether there is a listener that is a file.
    pub fn has_unix_listener(&self) -> bool {
        self.listeners.iter().any(|(address, _)| is_unix(address))
    }

    /// Whether there is any.
    pub fn has_listener(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// A path as the file has it: relative ones begin where the other server's did.
    pub fn path(&self, text: &str, dollars: Dollars) -> String {
        let path = match &self.base {
            Some(base) if !text.starts_with('/') && text != base => format!("{}/{text}", base.trim_end_matches('/')),
            Some(_) | None => text.to_owned(),
        };
        written(&path, dollars)
    }

    /// The file.
    pub fn render(&self) -> String {
        let mut page = String::new();
        self.head.iter().for_each(|line| comment(&mut page, 0, line));
        self.section(&mut page, &config::keys(), "", 0);
        for (title, lines) in
            [("To be looked at by a person:", &self.open), ("Without counterpart here, and why:", &self.left)]
        {
            if !lines.is_empty() {
                page.push('\n');
                comment(&mut page, 0, title);
                lines.iter().for_each(|line| comment(&mut page, 0, &format!("- {line}")));
            }
        }
        page
    }

    /// How many settings a person must look at.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    fn section(&self, page: &mut String, keys: &[Key], section: &str, indent: usize) {
        for key in keys.iter().filter(|key| key.section == section) {
            let path = if section.is_empty() { key.name.to_owned() } else { format!("{section}.{}", key.name) };
            if path == "apps" {
                comments(page, indent, self.comments.get("apps"));
                let name = self.name.as_deref().unwrap_or("app");
                let _ = writeln!(page, "apps:\n  {}:", scalar(name));
                self.section(page, keys, "apps.NAME", 4);
            } else if path == "apps.NAME.listen" {
                self.listeners_of(page, indent);
            } else if let Some(value) = self.values.get(&path) {
                comments(page, indent, self.comments.get(&path));
                let _ = writeln!(page, "{:indent$}{}: {value}", "", key.name);
            } else if self.values.keys().any(|known| known.starts_with(&format!("{path}."))) {
                comments(page, indent, self.comments.get(&path));
                let _ = writeln!(page, "{:indent$}{}:", "", key.name);
                self.section(page, keys, &path, indent + 2);
            } else {
                comments(page, indent, self.comments.get(&path));
            }
        }
    }

    fn listeners_of(&self, page: &mut String, indent: usize) {
        comments(page, indent, self.comments.get("apps.NAME.listen"));
        let _ = writeln!(page, "{:indent$}listen:", "");
        for (address, own) in &self.listeners {
            let of_unix = self.of_unix_listeners.iter().filter(|_| is_unix(address));
            let shared = self.of_listeners.iter().chain(of_unix).map(|(key, value)| (*key, value));
            let keys = own.iter().map(|(key, value)| (*key, value)).chain(shared);
            let keys: Vec<String> = keys.map(|(key, value)| format!(", {key}: {value}")).collect();
            let _ = match keys.is_empty() {
                true => writeln!(page, "{:indent$}  - {address}", ""),
                false => writeln!(page, "{:indent$}  - {{address: {address}{}}}", "", keys.concat()),
            };
        }
    }
}

fn is_unix(address: &str) -> bool {
    let address = address.trim_matches('"');
    address.starts_with("unix:") && !address.starts_with("unix:@")
}

/// A text as our file has it.
pub fn written(text: &str, dollars: Dollars) -> String {
    match dollars {
        Dollars::Plain => scalar(text),
        Dollars::Variables if text.contains('$') => serde_json::Value::from(text).to_string(),
        Dollars::Variables => scalar(text),
    }
}

/// Texts as our file has them: one, or a list of them.
pub fn written_list(texts: &[String], dollars: Dollars) -> String {
    format!("[{}]", texts.iter().map(|text| written(text, dollars)).collect::<Vec<_>>().join(", "))
}

fn comments(page: &mut String, indent: usize, lines: Option<&Vec<String>>) {
    lines.into_iter().flatten().for_each(|line| comment(page, indent, line));
}

/// A comment, in as many lines as it takes. What follows a break is further in.
fn comment(page: &mut String, indent: usize, text: &str) {
    let mut line = format!("{:indent$}#", "");
    let mut is_first = true;
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > COLUMNS && !is_first {
            let _ = writeln!(page, "{line}");
            line = format!("{:indent$}#  ", "");
        }
        line.push(' ');
        line.push_str(word);
        is_first = false;
    }
    let _ = writeln!(page, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_in_the_order_of_the_reference_with_their_reasons() {
        let said = |name: &str| Said::new(name, 1, "f:1");
        let mut draft = Draft { name: Some("shop".into()), ..Draft::default() };
        draft.put("apps.NAME.timeouts.request", "7s", &said("timeout"));
        draft.change("log.level", "info", &said("loglevel"), "it is less");
        draft.put("apps.NAME.wsgi", "a:b", &said("wsgi_app"));
        draft.listen(written("unix:/run/a.sock", Dollars::Plain));
        draft.listen(written("127.0.0.1:80", Dollars::Plain));
        draft.on_listeners("protocol", "uwsgi".into(), &said("protocol"), "");
        draft.on_unix_listeners("mode", "\"0777\"".into());
        draft.leave(&said("spew"), "nobody wants it");
        draft.open(&said("paste"), "write a module");
        let expected = r#"log:
  # loglevel = 1 (f:1): changed: it is less
  level: info
apps:
  shop:
    # wsgi_app = 1 (f:1): carried over
    wsgi: a:b
    # protocol = 1 (f:1): carried over
    listen:
      - {address: unix:/run/a.sock, protocol: uwsgi, mode: "0777"}
      - {address: "127.0.0.1:80", protocol: uwsgi}
    timeouts:
      # timeout = 1 (f:1): carried over
      request: 7s

# To be looked at by a person:
# - paste = 1 (f:1): write a module

# Without counterpart here, and why:
# - spew = 1 (f:1): no counterpart: nobody wants it
"#;
        assert_eq!(draft.render(), expected);
    }

    #[test]
    fn a_long_comment_is_broken_between_words() {
        let mut page = String::new();
        comment(&mut page, 2, &"word ".repeat(40));
        assert_eq!(page.lines().count(), 2);
        assert!(page.lines().all(|line| line.len() <= COLUMNS && line.starts_with("  #")), "{page}");
    }

    #[test]
    fn a_dollar_that_came_through_a_shell_stays_a_variable() {
        assert_eq!(written("a$b", Dollars::Plain), "\"a$$b\"");
        assert_eq!(written("${PORT}", Dollars::Variables), "\"${PORT}\"");
    }
}
