//! What the file says of static files.

use super::fault::{Fault, shown};
use super::listen::short_or_long;
use super::schema::{self, Range};
use super::section::{At, Field, Key, Read, section, unknown_key};
use super::tree::{self, Node};
use super::value::{FieldText, PathText};

section! {
    /// A folder of static files.
    StaticFolder at "apps.NAME.static.PATH", later [] {
        /// The folder; relative to the file.
        path: At<PathText>;
        /// The Cache-Control of its files, such as `public, max-age=31536000, immutable`.
        cache_control: Option<At<FieldText>> = "none is sent";
    }
}

/// Folders of static files, by what their paths begin with.
#[derive(Clone, Debug)]
pub(super) struct StaticFolders(pub Vec<(tree::Key, StaticFolder)>);

impl Read for StaticFolders {
    const FORM: &'static str = "a map of paths to folders";

    fn schema(_: Range) -> serde_json::Value {
        schema::map_of("^/", schema::any_of([PathText::schema(None), StaticFolder::schema(None)]))
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let folder = |(prefix, node): &(tree::Key, Node)| {
            check_prefix(prefix)?;
            let folder =
                short_or_long::<PathText, StaticFolder>(node, "path").map_err(|fault| fault.of_key(&prefix.text))?;
            Ok((prefix.clone(), folder))
        };
        node.map()?.iter().map(folder).collect::<Result<_, _>>().map(StaticFolders)
    }
}

/// What paths of static files begin with is written as it is matched: decoded, and at the end of a name.
fn check_prefix(prefix: &tree::Key) -> Result<(), Fault> {
    let text = prefix.text.as_str();
    let is_name = |name: &str| !matches!(name, "" | "." | "..");
    let is_path = text == "/" || text.strip_prefix('/').is_some_and(|names| names.split('/').all(is_name));
    if is_path && !text.contains(['?', '#', '%', '\\']) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let text = format!("{} is no path of static files: write `/static`, without a `/` at its end", shown(text));
    Err(Fault::whole(prefix.place, text))
}
