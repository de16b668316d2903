//! What `check --print` prints: the same config, and where each value came from.

use super::super::read::{Checked, CommandLine};
use super::super::resolved::Source;
use super::super::{from_command_line, read, resolved};
use super::accepted::{EVERY_KEY, shop};
use super::*;

/// A config and its origin, as if it had been read from the file `f`.
fn checked(folder: &Folder, text: &str) -> Checked {
    let tree = tree_of(text).unwrap();
    let config = check_tree(tree.clone(), &environment, &folder.machine()).unwrap().config;
    Checked { config, warnings: vec![], overdue: vec![], source: Source::File { path: "f".into(), tree } }
}

/// As it is compared: what only tells of places is left out.
fn without_places(mut config: Config) -> Config {
    config.apps.iter_mut().for_each(|app| (app.wsgi_place, app.hooks_place) = (None, None));
    config
}

/// The line of what is printed that has this key at this depth, its spaces made one.
fn line(printed: &str, beginning: &str) -> String {
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut lines = printed.lines().map(squeezed);
    lines.find(|line| line.starts_with(beginning)).unwrap_or_else(|| panic!("no {beginning} in\n{printed}"))
}

#[test]
fn what_is_printed_is_a_file_that_means_the_same() {
    let folder = shop();
    for text in [
        EVERY_KEY.replace("        secret: s3cret\n", ""),
        app_with(""),
        app_with(
            "threads: {max: 7}\nrequest_id: none\nmount: /\nscheme_headers: {}\nworkers: auto\ntrusted_proxies: all",
        ),
        app_with(
            "environment: {A: \"<${EMPTY}>\", B: \"$${HOST} $$\", C: \"${TRICK}\", D: '', E: 'true', F: \"a\\tb\", G: \"#é\"}",
        ),
        app_with("user: root\ngroups: []\nreload: {on_change: ['**/[!a]*.{py,html}'], ready: '/a?b=%20'}"),
        format!("log: {{access: {{format: '%(h)s 100%% \"%({{X-A}}i)s\" %({{C.d}}e)s'}}}}\n{}", app_with("")),
        app_with("")
            .replace("127.0.0.1:8000", "[unix:@a, {address: unix:b, owner: ':34'}, {address: unix:c, owner: 'root'}]"),
    ] {
        let first = checked(&folder, &text);
        let printed = resolved(&first);
        let second = folder.check(&printed).unwrap_or_else(|why| panic!("{why}\n{printed}"));
        assert_eq!(without_places(second), without_places(first.config), "{printed}");
    }
}

#[test]
fn each_value_says_where_it_came_from() {
    let folder = Folder::new();
    let text = app_with(
        "workers: ${NUMBER}\nthreads: ${NO:-4}\ntimeouts: {head: 7s}\nreload: {ready: /healthz}\nenvironment: {KEY: \"${DOLLAR}\", B: c}",
    );
    let printed = resolved(&checked(&folder, &text.replace("8000", "80${NO:-00}")));
    for (beginning, expected) in [
        ("watch:", "watch: false # default"),
        ("# control:", "# control: none # default"),
        ("wsgi:", "wsgi: hello:application # f:3:11"),
        ("- address:", "- address: \"127.0.0.1:8000\" # f:4:13, NO is not set"),
        ("backlog:", "backlog: 2048 # default"),
        // The variables of these tests are not the process's.
        ("workers:", "workers: 3 # f:5:14, NUMBER is not set"),
        ("threads:", "threads: 4 # f:6:14, NO is not set"),
        ("head:", "head: 7s # f:7:22"),
        ("boot:", "boot: 1m # default"),
        ("path:", "path: /healthz # f:8:21"),
        ("host:", "host: localhost # default"),
        ("KEY:", "KEY: \"${DOLLAR}\" # f:9:24, DOLLAR is not set"),
        ("B:", "B: c # f:9:40"),
        ("recycle:", "recycle: {} # default"),
        ("# requests:", "# requests: never # default"),
        ("# user:", "# user: the supervisor's # default"),
        ("scheme_headers:", "scheme_headers:"),
        ("x-forwarded-proto:", "x-forwarded-proto: https # default"),
    ] {
        assert_eq!(line(&printed, beginning), expected, "{printed}");
    }
}

#[test]
fn a_secret_is_not_told() {
    let folder = Folder::new();
    let text = |secret: &str| {
        let listener = format!("{{address: 'localhost:1', protocol: ajp, secret: '{secret}'}}");
        app_with("").replace("127.0.0.1:8000", &listener)
    };
    let printed = resolved(&checked(&folder, &text("s3cret")));
    assert!(!printed.contains("s3cret"), "{printed}");
    assert_eq!(line(&printed, "# secret:"), "# secret: it is not shown # f:4:61");
    let printed = resolved(&checked(&folder, &text("${HOST}")));
    assert!(line(&printed, "secret:").starts_with("secret: \"${HOST}\" # f:4:61"), "{printed}");
}

#[test]
fn a_variable_that_is_set_is_named() {
    let folder = Folder::new();
    // Cargo sets it for every test.
    folder.write("server.yaml", &app_with("environment: {A: \"${CARGO_PKG_NAME}\"}\nmount: \"/${CARGO_PKG_NAME:-x}\""));
    let file = folder.path().join("server.yaml");
    let printed = resolved(&read(&file).unwrap());
    let name = file.display();
    assert_eq!(line(&printed, "A:"), format!("A: \"${{CARGO_PKG_NAME}}\" # {name}:5:22, environment CARGO_PKG_NAME"));
    assert_eq!(line(&printed, "mount:"), format!("mount: /monoceros-shared # {name}:6:12, environment CARGO_PKG_NAME"));
}

#[test]
fn an_application_of_pastedeploys_is_printed_as_one() {
    let folder = Folder::new();
    folder.write("production.ini", "[app:main]\n");
    let text = "apps: {a: {paste: production.ini, listen: 'localhost:1'}}\n";
    let first = checked(&folder, text);
    let printed = resolved(&first);
    assert_eq!(line(&printed, "# wsgi:"), "# wsgi: required, or `paste` # default");
    assert!(line(&printed, "paste:").ends_with("production.ini#main\" # f:1:19"), "{printed}");
    assert_eq!(without_places(folder.check(&printed).unwrap()), without_places(first.config));
}

#[test]
fn a_command_line_is_named_as_such() {
    let line_of = CommandLine { wsgi: "a:b".into(), threads: Some("2".into()), ..CommandLine::default() };
    let checked = from_command_line(line_of).unwrap().with_control(Some("/run/c.sock".into()));
    let printed = resolved(&checked);
    for (beginning, expected) in [
        ("wsgi:", "wsgi: a:b # command line"),
        ("threads:", "threads: 2 # command line"),
        ("workers:", "workers: 1 # default"),
        ("- address:", "- address: \"127.0.0.1:8000\" # default"),
        ("control:", "control: /run/c.sock # command line"),
        ("keepalive:", "keepalive: 75s # default"),
    ] {
        assert_eq!(line(&printed, beginning), expected, "{printed}");
    }
}
