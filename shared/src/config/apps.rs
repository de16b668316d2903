//! The applications of a file, and what may name one.

use super::fault::{Fault, shown};
use super::raw::App;
use super::section::Read;
use super::tree::{self, Node};

/// The applications by name, in the order of the file. Never empty.
#[derive(Clone, Debug)]
pub(super) struct Apps(pub Vec<(tree::Key, App)>);

impl Read for Apps {
    const FORM: &'static str = "a map of names to applications";

    fn read(node: &Node) -> Result<Self, Fault> {
        let entries = node.map()?;
        if entries.is_empty() {
            return Err(Fault::at(node.place, "there is no application in it"));
        }
        let app = |(name, node): &(tree::Key, Node)| {
            check_name(name)?;
            Ok((name.clone(), App::read(node).map_err(|fault| fault.of_key(&name.text))?))
        };
        entries.iter().map(app).collect::<Result<_, _>>().map(Apps)
    }
}

/// A name stands in process titles, log lines and commands, so it must be one short word.
fn check_name(name: &tree::Key) -> Result<(), Fault> {
    // Longer ones would push what else a process title says out of sight.
    const LONGEST: usize = 64;
    let first = name.text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let all = name.text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if first && all && name.text.len() <= LONGEST {
        return Ok(());
    }
    let text = format!(
        "{} cannot name an application: use at most {LONGEST} letters, digits, `-`, `_` and `.`, a letter or digit first",
        shown(&name.text)
    );
    Err(Fault::whole(name.place, text))
}
