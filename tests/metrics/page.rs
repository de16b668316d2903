//! A page of Prometheus' text format, read by its rules. It shares no code with the server that it judges.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::harness::Client;

/// What was told at one moment.
pub struct Page {
    /// As it was sent.
    pub text: String,
    /// By name and labels, as they stand there.
    pub samples: BTreeMap<String, f64>,
    /// The type of each family.
    pub families: BTreeMap<String, String>,
}

impl Page {
    /// Asks for it.
    pub fn ask(address: SocketAddr) -> Page {
        let answer = Client::connect(address).get("/metrics").expect_status(200);
        assert_eq!(answer.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        Page::read(answer.text())
    }

    fn read(text: &str) -> Page {
        let mut page = Page { text: text.to_owned(), samples: BTreeMap::new(), families: BTreeMap::new() };
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').expect("a family has a type");
                page.families.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
                let value = value.parse().unwrap_or_else(|why| panic!("{line}: {why}"));
                assert!(page.samples.insert(series.to_owned(), value).is_none(), "{series} stands there twice");
            }
        }
        page
    }

    /// The value of the one series of this name (without `monoceros_`) that has these labels among its own.
    #[track_caller]
    pub fn of(&self, name: &str, labels: &str) -> f64 {
        let is_it = |series: &&String| {
            let bare = series.strip_prefix("monoceros_").unwrap_or(series);
            bare.split('{').next() == Some(name) && series.contains(labels)
        };
        let found: Vec<&String> = self.samples.keys().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{name} with {labels}: {found:?} in\n{}", self.text);
        self.samples[found[0]]
    }

    /// Whether a series is of those that only grow, and are the server's and not its program's.
    pub fn only_grows(series: &str) -> bool {
        let name = series.split('{').next().unwrap_or_default();
        let is_of_program = name.starts_with("process_") || name.starts_with("monoceros_supervisor_");
        !is_of_program && ["_total", "_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end))
    }
}
