//! An engine whose package is not there is said at the check and at the start, with the place in the file.

use std::fs;

use crate::harness::{Site, python};

const PACKAGES: [&str; 3] = ["gevent", "eventlet", "tornado"];

/// A site whose virtualenv has no package at all.
fn site(engine: &str) -> Site {
    let site = Site::new("greens:application").app(&format!("engine: {engine}\nvirtualenv: empty"));
    let home = fs::canonicalize(python()).expect("the python of the tests is there");
    let home = home.parent().expect("it lies in a folder");
    fs::create_dir_all(site.path("empty/bin")).expect("a folder can be made");
    std::os::unix::fs::symlink(home.join("python3"), site.path("empty/bin/python")).expect("a link can be made");
    let config = format!("home = {}\ninclude-system-site-packages = false\n", home.display());
    site.file("empty/pyvenv.cfg", &config)
}

fn expect_said(engine: &str, output: &str) {
    let said = format!("cannot use engine {engine}: the package is not in the virtualenv ");
    assert!(output.contains(&said), "{output}");
    assert!(output.contains(&format!("-m pip install {engine}")), "{output}");
}

#[test]
fn a_check_says_which_package_is_missing_and_where_the_engine_is_named() {
    for engine in PACKAGES {
        let site = site(engine);
        let process = site.supervisor(&["check", "-c", "server.yaml"]);
        assert_eq!(process.exit_code(), 2);
        let output = process.whole_output();
        expect_said(engine, &output);
        assert!(output.contains("server.yaml:4:11: "), "the place of `wsgi`: {output}");
        assert!(!output.contains("Traceback"), "there is nothing to trace: {output}");
    }
}

#[test]
fn a_start_says_it_too_and_goes_on_to_apologise() {
    let server = site("gevent").launch();
    expect_said("gevent", &server.process().line("cannot use engine"));
    server.get("/").expect_status(503);
}
