//! The documents keep their word: commands are carried out, files for the server are read, links lead somewhere.
//!
//! ```text
//!   page     a document, read: blocks, links, headings
//!   reader   somebody who does what it says
//! ```

mod page;
mod reader;

use std::fs;
use std::path::{Component, Path, PathBuf};

use monoceros_shared::config;
use page::{Block, Page};
use reader::{NOT_CARRIED_OUT, Reader};

use crate::harness::{Machine, Site, repository};

/// One test for each page that says what to type, and the list of them.
macro_rules! carried_out {
    ($($name:ident: $path:literal $place:ident,)*) => {
        const CARRIED_OUT: &[&str] = &[$($path),*];
        $(
            #[test]
            fn $name() {
                carry_out($path, Place::$place);
            }
        )*
    };
}

/// Where a page's commands belong.
enum Place {
    /// Into a folder of theirs.
    Folder,
    /// On a copy of this machine, for they change it.
    Machine,
}

carried_out! {
    the_readme_serves_in_four_lines: "README.md" Folder,
    what_contributors_type_is_known: "docs/CONTRIBUTING.md" Folder,
    a_supervisor_is_killed_followed_and_upgraded: "docs/explanation/succession.md" Folder,
    a_file_is_checked_and_printed: "docs/how-to/config.md" Folder,
    who_works_on_an_application_has_no_file: "docs/how-to/develop.md" Folder,
    hooks_and_commands_are_called: "docs/how-to/hooks.md" Folder,
    it_is_installed_in_each_way: "docs/how-to/install.md" Machine,
    a_log_is_turned_over: "docs/how-to/logs.md" Folder,
    what_is_counted_is_shown: "docs/how-to/metrics.md" Folder,
    a_config_of_gunicorns_becomes_ours: "docs/how-to/migrate.md" Folder,
    each_command_to_a_server_does_what_is_said: "docs/how-to/operate.md" Folder,
    a_trusted_proxy_is_believed_as_far_as_is_said: "docs/how-to/proxies.md" Folder,
    a_deploy_goes_through_or_changes_nothing: "docs/how-to/reload.md" Folder,
    a_request_that_takes_too_long_is_ended_alone: "docs/how-to/slow-requests.md" Folder,
    static_files_are_served_as_is_said: "docs/how-to/static-files.md" Folder,
    a_container_needs_no_file: "docs/how-to/systemd-and-containers.md" Folder,
    a_certificate_is_made_and_served: "docs/how-to/tls.md" Folder,
    what_is_wrong_is_found_by_place: "docs/how-to/troubleshoot.md" Folder,
    the_tutorial_leads_from_nothing_to_a_project_under_systemd: "docs/tutorial.md" Machine,
    apache_finds_an_application: "examples/behind-apache/README.md" Machine,
    haproxy_finds_an_application: "examples/behind-haproxy/README.md" Machine,
    nginx_finds_an_application: "examples/behind-nginx/README.md" Machine,
    blue_and_green_are_started_and_stopped: "examples/blue-green/README.md" Folder,
    a_project_of_djangos_is_served: "examples/django/README.md" Folder,
    an_image_is_built_and_run: "examples/docker/README.md" Folder,
    an_application_of_flasks_is_served: "examples/flask/README.md" Folder,
    a_cluster_is_told_of_it: "examples/kubernetes/README.md" Folder,
    a_server_is_watched: "examples/prometheus/README.md" Folder,
    a_unit_is_installed: "examples/systemd/README.md" Machine,
}

fn carry_out(path: &str, place: Place) {
    let page = Page::read(path);
    match place {
        Place::Folder => Reader::of(&page, None).read(),
        Place::Machine => match Machine::copy() {
            Ok(machine) => Reader::of(&page, Some(machine)).read(),
            Err(why) => eprintln!("not tried here: {why}"),
        },
    }
}

#[test]
fn every_page_with_commands_is_carried_out() {
    let has_commands = |page: &Page| page.blocks().iter().any(Block::is_console);
    let with: Vec<String> = pages().into_iter().filter(has_commands).map(|page| page.path).collect();
    assert_eq!(with, CARRIED_OUT, "a command that no test runs dies unseen");
}

#[test]
fn what_is_not_carried_out_is_still_said_somewhere() {
    let words: Vec<String> = pages()
        .iter()
        .flat_map(Page::blocks)
        .filter(Block::is_console)
        .flat_map(|block| block.commands())
        .map(|command| command.words)
        .collect();
    let idle = NOT_CARRIED_OUT.iter().filter(|(beginning, _)| !words.iter().any(|words| words.starts_with(beginning)));
    assert_eq!(idle.map(|(beginning, _)| *beginning).collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn what_one_is_to_type_is_marked_as_that() {
    let marked = |page: Page| {
        page.unmarked_blocks()
            .into_iter()
            .map(move |line| format!("{}:{line}: not a fenced block", page.path))
            .collect::<Vec<_>>()
    };
    assert_eq!(pages().into_iter().flat_map(marked).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        for link in page.links() {
            let (path, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
            let target = if path.is_empty() { PathBuf::from(&page.path) } else { plain(&page.folder().join(path)) };
            let is_there = repository().join(&target).exists();
            let is_heading =
                || Page::read(target.to_str().expect("a path in UTF-8")).anchors().iter().any(|one| one == anchor);
            if !is_there || !anchor.is_empty() && !is_heading() {
                broken.push(format!("{}:{}: {}", page.path, link.line, link.target));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new(), "a link leads nowhere");
}

/// What makes a good file a bad one on a machine that is not the reader's.
const OF_THE_MACHINE: &[&str] =
    &["there is no user", "there is no group", "cannot read", "does not exist", "not set", "cannot find the program"];

#[test]
fn files_for_the_server_are_such() {
    let mut broken = Vec::new();
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.about.split(' ').next() == Some("yaml")) {
            let site = Site::empty().yaml(&whole(&block.text));
            let Err(why) = config::read(&site.path("server.yaml")) else { continue };
            if !OF_THE_MACHINE.iter().any(|cause| why.to_string().contains(cause)) {
                broken.push(format!("{}:{}: {why}", page.path, block.line));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

/// A part of a file as a file: indented lines are an application's, others stand at the top.
fn whole(text: &str) -> String {
    if text.lines().any(|line| line.starts_with("apps:")) {
        return text.to_owned();
    }
    let (inner, top): (Vec<&str>, Vec<&str>) =
        if text.starts_with(' ') { (text.lines().collect(), Vec::new()) } else { (Vec::new(), text.lines().collect()) };
    let has = |key: &str| inner.iter().any(|line| line.trim_start().starts_with(key));
    let wsgi = if has("wsgi:") || has("paste:") { "" } else { "    wsgi: shop:application\n" };
    let listen = if has("listen:") { "" } else { "    listen: 127.0.0.1:8000\n" };
    format!("{}\napps:\n  shop:\n{wsgi}{listen}{}\n", top.join("\n"), inner.join("\n"))
}

/// All documents of the repository.
fn pages() -> Vec<Page> {
    let mut found = vec!["CHANGELOG.md".to_owned(), "README.md".to_owned()];
    gather("docs", &mut found);
    gather("examples", &mut found);
    found.sort();
    found.iter().map(|path| Page::read(path)).collect()
}

fn gather(folder: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(repository().join(folder)).expect("the documents can be listed") {
        let entry = entry.expect("the documents can be listed");
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            gather(&path, found);
        } else if path.ends_with(".md") {
            found.push(path);
        }
    }
}

/// A path without `..` in it.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}
