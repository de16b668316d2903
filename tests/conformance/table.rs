//! The table of `make conformance`, and that the documents' is of this suite.

use std::fs;

use super::case::{Case, Level};
use super::judge::{Judge, Manner, Measure};
use super::peers::{PEERS, Peer};
use super::{CATEGORIES, judge, site};
use crate::harness::{Server, repository};

/// What one server did in each category: cases kept, and what was broken.
struct Column {
    heading: String,
    kept: Vec<usize>,
    broken: Vec<String>,
}

/// Asks everybody everything, and prints what came of it.
pub fn print() {
    let mut columns = vec![ours()];
    columns.extend(PEERS.iter().map(theirs));
    for column in &columns {
        println!("\n{} breaks {}:\n  {}", column.heading, column.broken.len(), column.broken.join("\n  "));
    }
    println!("\n{}", table(&columns));
    let ours = &columns[0];
    assert!(ours.broken.is_empty(), "ours is to keep all of them");
}

fn ours() -> Column {
    let server = site().app("threads: 4").serve();
    let judge = judge(&server, std::time::Duration::from_secs(10), Manner::Whole, Measure::TheCase);
    let mut column = Column { heading: "monoceros".to_owned(), kept: Vec::new(), broken: Vec::new() };
    column.fill(|case| judge.hear(case));
    column
}

fn theirs(peer: &Peer) -> Column {
    let mut column =
        Column { heading: format!("{} {}", peer.name, peer.version()), kept: Vec::new(), broken: Vec::new() };
    let mut server = peer.start();
    let mut judge = peer.judge(&server);
    column.fill(|case| {
        let verdict = judge.hear(case);
        // After a failure it may be dead, or stuck with what it did not understand.
        if verdict.is_err() && !judge.is_served() {
            (server, judge) = anew(peer);
        }
        verdict
    });
    column
}

fn anew(peer: &Peer) -> (Server, Judge) {
    let server = peer.start();
    let judge = peer.judge(&server);
    (server, judge)
}

impl Column {
    fn fill(&mut self, mut ask: impl FnMut(&Case) -> Result<(), String>) {
        for (category, cases) in CATEGORIES {
            let mut kept = 0;
            for case in cases() {
                match ask(&case) {
                    Ok(()) => kept += 1,
                    Err(why) => self.broken.push(told(category, &case, &why)),
                }
            }
            self.kept.push(kept);
        }
    }
}

fn told(category: &str, case: &Case, why: &str) -> String {
    let level = match case.level {
        Level::Must => "MUST",
        Level::Should => "SHOULD",
    };
    format!("{category}: {} ({} {level}): {why}", case.name, case.section)
}

fn table(columns: &[Column]) -> String {
    let headings: String = columns.iter().map(|column| format!(" {} |", column.heading)).collect();
    let mut text = format!("| | cases |{headings}\n|---|---|{}\n", "---|".repeat(columns.len()));
    let mut sums = vec![0; columns.len()];
    for (at, (category, cases)) in CATEGORIES.iter().enumerate() {
        for (sum, column) in sums.iter_mut().zip(columns) {
            *sum += column.kept[at];
        }
        text += &row(category, cases().len(), columns.iter().map(|column| column.kept[at]));
    }
    text + &row("all", super::all().count(), sums.into_iter())
}

fn row(name: &str, cases: usize, kept: impl Iterator<Item = usize>) -> String {
    let kept: String = kept.map(|kept| format!(" {kept} |")).collect();
    format!("| {name} | {cases} |{kept}\n")
}

#[test]
fn the_documents_show_the_table_of_these_cases() {
    let page = repository().join("docs/explanation/to-the-letter.md");
    let shown = fs::read_to_string(page).expect("there is a document with the table");
    let counts = CATEGORIES.iter().map(|(category, cases)| (*category, cases().len()));
    let lacking: Vec<String> = counts
        .chain([("all", super::all().count())])
        .map(|(category, count)| format!("| {category} | {count} | {count} |"))
        .filter(|row| !shown.contains(row.as_str()))
        .collect();
    assert!(
        lacking.is_empty(),
        "the document's table is old (`make conformance` prints it); it lacks:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let mut names: Vec<String> = CATEGORIES
        .iter()
        .flat_map(|(category, cases)| cases().into_iter().map(move |case| format!("{category}: {}", case.name)))
        .collect();
    names.sort();
    let twice: Vec<&String> = names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
    assert!(twice.is_empty(), "two cases of one name: {twice:?}");
}
