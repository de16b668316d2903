//! Applications by an ini file of PasteDeploy's.

use crate::harness::{Site, eventually};

use super::tour::{site, unserved};

/// Exit status and words of `supervisor check`.
fn check(site: &Site) -> (i32, String) {
    let process = site.supervisor(&["check", "-c", "server.yaml"]);
    (process.exit_code(), process.whole_output())
}

#[test]
fn a_pipeline_of_an_ini_file_is_served_with_its_settings_and_its_logging() {
    let server = unserved("paste: production.ini").serve();
    let answer = server.get("/").expect_status(200);
    let folder = server.site().path("").canonicalize().expect("the folder is there");
    assert_eq!(answer.text(), format!("<p>of the ini in {}</p>", folder.display()));
    assert_eq!(answer.field("x-stamp"), Some("stamped"));
    server.process().line("by the ini: stamp GET /");
    assert_eq!(server.process().output().matches("`[server:main]` in it is ignored").count(), 1, "said, and once");
}

#[test]
fn one_application_of_several_is_named_behind_the_file() {
    let server = unserved("paste: production.ini#shop").serve();
    let answer = server.get("/").expect_status(200);
    assert_eq!((answer.field("x-stamp"), answer.status), (None, 200));
}

#[test]
fn what_is_wrong_with_an_ini_file_is_said_with_its_place() {
    for (what, source, part) in [
        ("paste: production.ini#nobody", "", "LookupError"),
        ("paste: broken.ini", "[app:main]\nuse = call:nowhere_at_all:main\n", "nowhere_at_all"),
        ("paste: broken.ini", "no section\n", "MissingSectionHeaderError"),
        ("paste: broken.ini", "[app:main]\nuse = egg:not_installed_anywhere\n", "not_installed_anywhere"),
    ] {
        let (code, said) = check(&unserved(what).file("broken.ini", source));
        assert_eq!(code, 2, "{said}");
        // The place of the key: the first of the application's lines.
        assert!(said.contains("server.yaml:4:12: cannot import ") && said.contains(part), "{part}: {said}");
    }
}

#[test]
fn without_pastedeploy_the_package_is_named_with_what_installs_it() {
    // No virtualenv: the Python that the worker was built with has none.
    let site = Site::new("hello:application").file("p.ini", "[app:main]\n");
    let listen = site.listen();
    let site = site.yaml(&format!("apps:\n  main:\n    paste: p.ini\n    listen: {listen}\n"));
    let bare = site.variable("PYTHONNOUSERSITE", "1");
    let (code, said) = check(&bare);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("server.yaml:3:12: cannot import ") && said.contains("-m pip install PasteDeploy"), "{said}");
}

#[test]
fn a_command_line_can_name_an_ini_file() {
    let site = site("none:none");
    let listen = site.listen().to_string();
    let environment = crate::harness::target_folder().join("venv");
    let packages = std::fs::read_dir(environment.join("lib")).expect("it has a library").flatten();
    let packages =
        packages.map(|entry| entry.path().join("site-packages")).find(|path| path.exists()).expect("it has packages");
    let site = site.variable("PYTHONPATH", packages.to_str().expect("a path in UTF-8"));
    let _process = site.supervisor(&["run", "--paste", "production.ini", "--listen", &listen]);
    let answer = eventually("an answer", || {
        let mut client = crate::harness::Client::try_connect(site.listen()).ok()?;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.try_answer("GET").ok()
    });
    assert_eq!(answer.expect_status(200).field("x-stamp"), Some("stamped"));
}

#[test]
fn a_change_of_the_ini_file_is_one_of_the_code() {
    let server = unserved("paste: production.ini\nreload: {on_change: [\"**/*.py\"]}").serve();
    assert_eq!(server.get("/").field("x-stamp"), Some("stamped"));
    let changed = server.site().read("production.ini").replace("word = stamped", "word = sealed");
    server.site().put("production.ini", &changed);
    eventually("the new word", || (server.get("/").field("x-stamp") == Some("sealed")).then_some(()));
}
