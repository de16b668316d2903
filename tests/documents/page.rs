//! A document of Markdown, read as far as the tests need: its headings, its links, its fenced blocks.
//!
//! What a fence says after its backticks decides what a block is:
//!
//! ```text
//!   console             commands behind `$ `, each followed by what of its output is promised
//!   LANGUAGE NAME       a file: it is written into the folder in which the page's commands run
//!   yaml                a file for the server, or a part of one
//!   anything else       to be looked at
//! ```
//!
//! A block within an HTML comment is read too: readers do not see it, and the page's commands find what it has prepared.

use std::fs;
use std::path::Path;

use crate::harness::repository;

/// A document.
pub struct Page {
    /// Relative to the repository.
    pub path: String,
    text: String,
}

/// A fenced block.
pub struct Block {
    /// The line of its first fence, counted from 1.
    pub line: usize,
    /// What stands behind the first backticks.
    pub about: String,
    /// What stands between the fences.
    pub text: String,
}

/// A command, and what it is promised to print.
pub struct Command {
    /// The line that it stands in, counted from 1.
    pub line: usize,
    /// As one would type it; further lines where it ends in a backslash.
    pub words: String,
    /// Lines that its output has in this order. `…` in them stands for anything.
    pub output: Vec<String>,
}

/// A link to somewhere in the repository.
pub struct Link {
    /// The line that it stands in, counted from 1.
    pub line: usize,
    /// As written.
    pub target: String,
}

impl Page {
    /// The one at this path in the repository.
    pub fn read(path: &str) -> Page {
        let text =
            fs::read_to_string(repository().join(path)).unwrap_or_else(|why| panic!("cannot read {path}: {why}"));
        Page { path: path.to_owned(), text }
    }

    /// Its fenced blocks, those within lists without their indentation.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<(Block, usize, &str)> = None;
        for (number, line) in (1..).zip(self.text.lines()) {
            let inner = line.trim_start();
            let fence = &inner[..inner.len() - inner.trim_start_matches('`').len()];
            match &mut open {
                None if fence.len() >= 3 => {
                    let about = inner[fence.len()..].trim().to_owned();
                    open = Some((Block { line: number, about, text: String::new() }, line.len() - inner.len(), fence));
                }
                None => {}
                Some((_, _, first)) if fence == *first && inner == fence => {
                    blocks.extend(open.take().map(|(block, _, _)| block));
                }
                Some((block, indentation, _)) => {
                    let blank = line.len() - inner.len();
                    block.text.push_str(&line[blank.min(*indentation)..]);
                    block.text.push('\n');
                }
            }
        }
        assert!(open.is_none(), "{}: a fence is never closed", self.path);
        blocks
    }

    /// Its lines outside fenced blocks, each with its number.
    fn prose(&self) -> Vec<(usize, String)> {
        let blocks = self.blocks();
        let is_within = |number: usize| {
            blocks.iter().any(|block| (block.line..block.line + block.text.lines().count() + 2).contains(&number))
        };
        let lines = (1..).zip(self.text.lines().map(str::to_owned));
        lines.filter(|(number, _)| !is_within(*number)).collect()
    }

    /// What a link to each of its headings is called, as GitHub makes it.
    pub fn anchors(&self) -> Vec<String> {
        let headings = self.prose().into_iter().filter(|(_, line)| line.starts_with('#'));
        headings.map(|(_, line)| anchor(line.trim_start_matches('#').trim())).collect()
    }

    /// Links to somewhere in the repository.
    pub fn links(&self) -> Vec<Link> {
        let mut links = Vec::new();
        for (line, text) in self.prose() {
            let text = without_code(&text);
            let inline = text.match_indices("](").filter_map(|(at, _)| text[at + 2..].split_once(')'));
            let named = text.split_once("]: ").filter(|_| text.starts_with('['));
            let targets = inline.map(|(target, _)| target).chain(named.map(|(_, target)| target.trim()));
            let own = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
            links.extend(own.map(|target| Link { line, target: target.to_owned() }));
        }
        links
    }

    /// Its lines that are indented by four spaces or more after an empty line, and are no list: Markdown's other kind of
    /// block, which nothing marks as what it is.
    pub fn unmarked_blocks(&self) -> Vec<usize> {
        let prose = self.prose();
        let pairs = prose.iter().zip(prose.iter().skip(1));
        let is_list = |line: &str| line.trim_start().starts_with(['-', '*']) || line.trim_start().starts_with("1.");
        let starts = pairs.filter(|((above, before), (own, line))| {
            above + 1 == *own && before.trim().is_empty() && line.starts_with("    ") && !is_list(line)
        });
        starts.map(|(_, (number, _))| *number).collect()
    }

    /// The folder that it lies in.
    pub fn folder(&self) -> &Path {
        Path::new(&self.path).parent().unwrap_or(Path::new(""))
    }
}

impl Block {
    /// The language of a file's content, and the file's name, if it is one.
    pub fn file(&self) -> Option<&str> {
        self.about.split_once(' ').map(|(_, name)| name.trim())
    }

    /// Whether it says what to type.
    pub fn is_console(&self) -> bool {
        self.about == "console"
    }

    /// What to type, in this order.
    pub fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        for (number, line) in (self.line + 1..).zip(self.text.lines()) {
            let goes_on =
                commands.last().is_some_and(|command| command.output.is_empty() && command.words.ends_with('\\'));
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(words), _) => {
                    commands.push(Command { line: number, words: words.to_owned(), output: Vec::new() });
                }
                (None, Some(command)) if goes_on => {
                    command.words.push('\n');
                    command.words.push_str(line);
                }
                (None, Some(command)) if !line.trim().is_empty() => command.output.push(line.trim().to_owned()),
                (None, _) => {}
            }
        }
        commands
    }
}

/// A heading as a link's fragment: lower case, hyphens for spaces, without marks.
fn anchor(heading: &str) -> String {
    let plain = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    plain.flat_map(char::to_lowercase).map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

/// A line whose `code` is blank.
fn without_code(line: &str) -> String {
    let parts = line.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 0 { part.to_owned() } else { " ".repeat(part.len()) }).collect()
}

/// Whether `output` has these lines in this order, spaces counted as one; gives the first that it lacks.
pub fn lacking<'a>(expected: &'a [String], output: &str) -> Option<&'a str> {
    let found: Vec<String> = output.lines().map(single_spaced).collect();
    let mut lines = found.iter();
    let mut unmet = expected.iter().filter(|line| *line != "…");
    unmet.find(|wanted| !lines.any(|line| matches(line, &single_spaced(wanted)))).map(String::as_str)
}

fn single_spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a line is the wanted one, in which `…` stands for anything.
fn matches(line: &str, wanted: &str) -> bool {
    let pieces: Vec<&str> = wanted.split('…').map(str::trim).collect();
    let mut rest = line;
    for (at, piece) in pieces.iter().enumerate() {
        let found = if at == 0 { rest.starts_with(piece).then_some(0) } else { rest.find(piece) };
        let Some(place) = found else { return false };
        rest = &rest[place + piece.len()..];
    }
    rest.is_empty() || pieces.last().is_some_and(|last| last.is_empty())
}

#[test]
fn an_output_is_what_was_promised_or_it_is_not() {
    let promised = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let output = "shop  serving   2 of 2\nworker 1  pid 4711\nend\n";
    assert_eq!(lacking(&promised(&["shop serving 2 of 2", "…", "worker 1 pid …"]), output), None);
    assert_eq!(lacking(&promised(&["worker … 4711", "shop serving 2 of 2"]), output), Some("shop serving 2 of 2"));
    assert_eq!(lacking(&promised(&["shop serving"]), output), Some("shop serving"));
    assert_eq!(lacking(&promised(&["… of 3"]), output), Some("… of 3"));
}

#[test]
fn a_page_is_taken_apart_into_what_is_run() {
    let text = "# A `page` (of mine)\n[one](a.md#b) `[two](b.md)`\n\n<!--\n```console\n$ cd x\n```\n-->\n- item\n\n  ```yaml server.yaml\n  apps:\n    a: 1\n  ```\n\n```console\n$ a \\\n    b\nsaid\n\n$ c\n```\n";
    let page = Page { path: "docs/x.md".to_owned(), text: text.to_owned() };
    let blocks = page.blocks();
    assert_eq!(
        blocks.iter().map(|block| block.about.as_str()).collect::<Vec<_>>(),
        ["console", "yaml server.yaml", "console"]
    );
    assert_eq!((blocks[1].file(), blocks[1].text.as_str()), (Some("server.yaml"), "apps:\n  a: 1\n"));
    let commands = blocks[2].commands();
    assert_eq!(commands.iter().map(|command| command.words.as_str()).collect::<Vec<_>>(), ["a \\\n    b", "c"]);
    assert_eq!(commands[0].output, ["said"]);
    assert_eq!(page.anchors(), ["a-page-of-mine"]);
    assert_eq!(page.links().iter().map(|link| link.target.as_str()).collect::<Vec<_>>(), ["a.md#b"]);
}
