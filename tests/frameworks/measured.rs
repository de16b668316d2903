//! prometheus_client's multiprocess mode, which depends on processes that end in good order.

use std::collections::BTreeSet;
use std::fs;

use crate::harness::{Server, eventually};

use super::tour::site;

fn served() -> Server {
    let site = site("measured:application");
    fs::create_dir(site.path("metrics")).expect("a folder can be made");
    let folder = site.path("metrics");
    site.variable("PROMETHEUS_MULTIPROC_DIR", folder.to_str().expect("a path in UTF-8")).app("workers: 2").serve()
}

/// A number that the site tells, whichever worker is asked.
fn measured(server: &Server, name: &str) -> f64 {
    let page = server.get("/metrics").expect_status(200);
    let line = page.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{}", page.text()))
}

/// Asks until both workers have answered; how often that was.
fn ask_both(server: &Server) -> f64 {
    let mut seen = BTreeSet::new();
    let mut asked = 0_u32;
    eventually("both workers to answer", || {
        asked += 1;
        seen.insert(server.get("/page").expect_status(200).text().to_owned());
        (seen.len() >= 2).then_some(())
    });
    f64::from(asked)
}

#[test]
fn counters_of_all_workers_add_up_and_outlive_reloads_and_crashes() {
    let server = served();
    let counter = "shop_requests_total{path=\"/page\"}";
    let mut asked = ask_both(&server);
    assert_eq!(measured(&server, counter), asked);
    assert_eq!(measured(&server, "shop_seconds_count"), asked);
    let (code, said) = server.command(&["reload", "--wait"]);
    assert_eq!(code, 0, "{said}");
    asked += ask_both(&server);
    assert_eq!(measured(&server, counter), asked);
    server.kill_worker(server.workers()[0]);
    asked += ask_both(&server);
    assert_eq!(measured(&server, counter), asked);
}

#[test]
fn a_gauge_of_living_workers_forgets_those_that_drained() {
    let server = served();
    assert_eq!(measured(&server, "shop_alive"), 2.0);
    for _ in 0..2 {
        let (code, said) = server.command(&["reload", "--wait"]);
        assert_eq!(code, 0, "{said}");
        // Those of before are gone when they have run what they had registered for their exit.
        eventually("two workers to count themselves", || {
            Some(measured(&server, "shop_alive")).filter(|alive| *alive == 2.0)
        });
    }
}
