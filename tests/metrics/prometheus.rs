//! A real Prometheus of the distribution's asks, by the configuration of `examples/prometheus`; its own tool judges what it is told; and
//! the dashboard and the alerts there name nothing that is not told.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::page::Page;
use super::{Client, Watched, kill_one};
use crate::harness::{Process, Server, Site, eventually, installed, repository};

/// The example, served at addresses of its own.
fn example() -> Watched {
    let site = Site::copy_of(&repository().join("examples/prometheus"));
    let (listen, address) = (site.listen().to_string(), site.another_address());
    let site = site.variable("LISTEN", &listen).variable("METRICS", &address.to_string());
    Watched { server: site.serve(), address }
}

/// What a query of Prometheus finds.
fn query(prometheus: &mut Client, expression: &str) -> Value {
    let hex = |byte: u8| format!("%{byte:02X}");
    let query: String = expression.bytes().map(hex).collect();
    let answer = prometheus.get(&format!("/api/v1/query?query={query}"));
    let told: Value = serde_json::from_slice(&answer.body).expect("it answers in JSON");
    assert_eq!(told["status"], "success", "{expression}: {told}");
    told["data"]["result"].clone()
}

/// Starts it for a server, asking each second, and waits until it answers.
fn start(server: &Server, address: SocketAddr) -> (Client, Process) {
    let site = server.site();
    let listen = site.another_address();
    let config = site.read("prometheus.yml");
    let config = config.replace("127.0.0.1:9100", &address.to_string()).replace("15s", "1s");
    site.put("prometheus.yml", &config);
    let arguments = [
        "--config.file=prometheus.yml".to_owned(),
        "--storage.tsdb.path=data".to_owned(),
        format!("--web.listen-address={listen}"),
    ];
    let process = Process::start(&installed("prometheus"), &arguments, &site.path(""), &[]);
    let client = eventually("Prometheus to be ready", || {
        let mut client = Client::try_connect(listen).ok()?;
        (client.get("/-/ready").status == 200).then_some(client)
    });
    (client, process)
}

#[test]
fn a_real_prometheus_sees_what_happened_before_and_behind_a_reload() {
    let watched = example();
    let server = &watched.server;
    let (mut prometheus, _process) = start(server, watched.address);
    let ask = |times: usize| (0..times).for_each(|_| drop(server.get("/").expect_status(200)));
    let mut until = |expression: &str, expected: &str| {
        eventually(expression, || {
            let found = query(&mut prometheus, expression);
            if found[0]["value"][1] == expected { Ok(found[0]["metric"].clone()) } else { Err(found) }
        })
    };
    ask(7);
    let metric = until("monoceros_requests_total{class=\"2xx\"}", "7");
    assert_eq!((&metric["app"], &metric["job"]), (&"hello".into(), &"monoceros".into()));
    until("up{job=\"monoceros\"}", "1");
    until("monoceros_workers{state=\"serving\"}", "2");
    assert_eq!(server.command(&["reload", "--wait"]).0, 0);
    kill_one(server);
    ask(5);
    until("monoceros_requests_total{class=\"2xx\"}", "12");
    until("monoceros_request_duration_seconds_count", "12");
    until("monoceros_reloads_total{outcome=\"adopted\"}", "1");
    until("sum(monoceros_worker_restarts_total)", "1");
    until("resets(monoceros_requests_total{class=\"2xx\"}[5m])", "0");
    until("count(ALERTS{alertstate=\"firing\"}) or vector(0)", "0");
}

fn promtool(arguments: &[&str], input: &Path) -> (bool, String) {
    let output = Command::new(installed("promtool"))
        .args(arguments)
        .stdin(fs::File::open(input).expect("there is an input"))
        .output()
        .expect("promtool can be run");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_tool_of_prometheus_finds_nothing_wrong_with_the_page_the_alerts_and_the_configuration() {
    let watched = example();
    watched.server.get("/").expect_status(200);
    watched.server.site().put("page", &watched.page().text);
    let path = |name: &str| watched.server.site().path(name);
    let (is_well, told) = promtool(&["check", "metrics"], &path("page"));
    assert!(is_well && told.trim().is_empty(), "{told}");
    let config = path("prometheus.yml").display().to_string();
    let (is_well, told) = promtool(&["check", "config", &config], Path::new("/dev/null"));
    assert!(is_well && told.contains("6 rules found"), "{told}");
}

/// Every name of a metric in an expression of PromQL: the words that look like one.
fn names(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let is_name = |word: &&str| word.starts_with("monoceros_") || word.starts_with("process_");
    words.filter(is_name).map(str::to_owned).collect()
}

/// Names that are not told, and labels of them.
fn unknown(page: &Page, expression: &str) -> Vec<String> {
    let is_told = |name: &String| page.samples.keys().any(|series| series.split('{').next() == Some(name.as_str()));
    names(expression).into_iter().filter(|name| !is_told(name)).collect()
}

#[test]
fn each_panel_and_each_alert_names_what_the_server_tells() {
    let watched = example();
    let page = watched.page();
    let folder = repository().join("examples/prometheus");
    let text = fs::read_to_string(folder.join("dashboard.json")).expect("there is a dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("it is JSON");
    for key in ["title", "uid", "schemaVersion", "panels", "templating", "time", "annotations"] {
        assert!(!dashboard[key].is_null(), "Grafana wants {key}");
    }
    let (mut shown, mut ids) = (BTreeSet::new(), BTreeSet::new());
    let mut expressions = 0;
    for panel in dashboard["panels"].as_array().expect("it has panels") {
        let title = panel["title"].as_str().expect("a panel has a title");
        assert!(ids.insert(panel["id"].as_u64()), "{title} has the number of another");
        let (x, width) = (panel["gridPos"]["x"].as_u64(), panel["gridPos"]["w"].as_u64());
        assert!(x.zip(width).is_some_and(|(x, width)| x + width <= 24), "{title} is beside the grid");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().expect("a target has an expression");
            assert_eq!(unknown(&page, expression), [""; 0], "{title}: {expression}");
            assert!(!names(expression).is_empty(), "{title}: {expression}");
            shown.extend(names(expression));
            expressions += 1;
        }
    }
    assert!(expressions > 20, "{expressions}");
    let family = |name: &str| shown.iter().any(|shown| shown.starts_with(name));
    let hidden: Vec<&String> = page.families.keys().filter(|name| !family(name)).collect();
    let left_out = ["monoceros_last_reload_timestamp_seconds", "monoceros_state"];
    assert_eq!(hidden, left_out, "what is told is on the dashboard");
    let manual = fs::read_to_string(repository().join("docs/how-to/metrics.md")).expect("there is a page");
    let untold: Vec<&String> = page.families.keys().filter(|name| !manual.contains(&format!("`{name}`"))).collect();
    assert_eq!(untold, [""; 0], "the manual tells of what is told");
    let alerts = fs::read_to_string(folder.join("alerts.yml")).expect("there are alerts");
    assert_eq!(unknown(&page, &alerts), [""; 0]);
}

#[test]
fn each_expression_of_the_dashboard_is_understood_by_prometheus() {
    let watched = example();
    let (mut prometheus, _process) = start(&watched.server, watched.address);
    eventually("the first scrape", || {
        let found = query(&mut prometheus, "monoceros_ready");
        found[0]["value"].is_array().then_some(())
    });
    let text =
        fs::read_to_string(repository().join("examples/prometheus/dashboard.json")).expect("there is a dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    for target in panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten() {
        let expression = target["expr"].as_str().expect("a target has an expression");
        let mut filled = expression.replace("$__rate_interval", "1m");
        for variable in ["$job", "$instance", "$app"] {
            filled = filled.replace(variable, ".*");
        }
        let found = query(&mut prometheus, &filled);
        // A rate needs two scrapes; what is so at this moment is there with the first.
        assert!(expression.contains("rate(") || expression.contains("increase(") || !found[0].is_null(), "{filled}");
    }
}
