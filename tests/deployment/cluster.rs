//! The manifests for Kubernetes: valid by its schemas, consistent with each other, and what they configure does what their probes ask.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Process, Site, program, python, repository};

/// The manifests of a file, valid, as JSON.
fn validated(file: &Path) -> Result<Vec<Value>, String> {
    let script = repository().join("tests/deployment/manifests.py");
    let output = Command::new(python()).args([&script, file]).output().expect("python can be run");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("it prints JSON"))
}

fn manifests() -> Vec<Value> {
    validated(&repository().join("examples/kubernetes/shop.yaml")).unwrap_or_else(|why| panic!("{why}"))
}

fn of<'a>(manifests: &'a [Value], kind: &str) -> &'a Value {
    manifests.iter().find(|manifest| manifest["kind"] == kind).unwrap_or_else(|| panic!("there is no {kind}"))
}

fn seconds(yaml: &str, key: &str) -> u64 {
    let line =
        yaml.lines().find_map(|line| line.trim().strip_prefix(&format!("{key}: "))).expect("it is written there");
    line.trim_end_matches('s').parse().expect("a number of seconds")
}

#[test]
fn the_manifests_are_valid_and_mean_each_other() {
    let manifests = manifests();
    let deployment = of(&manifests, "Deployment");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&of(&manifests, "Service")["spec"]["selector"], labels);
    assert_eq!(&of(&manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"], labels);
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["configMap"]["name"], of(&manifests, "ConfigMap")["metadata"]["name"]);
    let container = &pod["containers"][0];
    assert_eq!(container["lifecycle"], Value::Null, "a drain needs no preStop");
    let ports = container["ports"].as_array().expect("it has ports");
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert!(ports.iter().any(|port| port["name"] == container[probe]["httpGet"]["port"]), "{probe}");
    }
    // The kill comes after the drain, and the start is not given up before the boot is.
    let config = of(&manifests, "ConfigMap")["data"]["server.yaml"].as_str().expect("it has a file");
    let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("a number");
    assert!(grace > seconds(config, "drain_delay") + seconds(config, "drain"), "{grace}");
    let probe = &container["startupProbe"];
    let patience =
        probe["periodSeconds"].as_u64().expect("a number") * probe["failureThreshold"].as_u64().expect("a number");
    assert!(patience > seconds(config, "boot"), "{patience}");
}

#[test]
fn a_manifest_that_is_wrong_is_seen_to_be() {
    let site = Site::empty();
    let right = fs::read_to_string(repository().join("examples/kubernetes/shop.yaml")).expect("it can be read");
    for (from, to) in [("replicas: 3", "replicas: three"), ("readinessProbe:", "readynessProbe:")] {
        let site = &site;
        fs::write(site.path("wrong.yaml"), right.replace(from, to)).expect("a file can be written");
        assert!(validated(&site.path("wrong.yaml")).is_err(), "{to}");
    }
}

/// The container's server, on the config of the manifests and the application of the image, asked what its probes ask.
#[test]
fn the_probes_are_answered_a_change_of_the_configmap_is_a_reload_and_a_term_is_survived_without_prestop() {
    let manifests = manifests();
    let config = of(&manifests, "ConfigMap")["data"]["server.yaml"].as_str().expect("it has a file");
    // Nobody wants to wait for it.
    let config = &config.replace("drain_delay: 10s", "drain_delay: 1s");
    let pod = &of(&manifests, "Deployment")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let site = Site::copy_of(&repository().join("examples/docker"));
    let folder = site.path("").to_string_lossy().into_owned();
    // The volume as kubelet lays it: a link into a folder that a turned link leads to.
    let lay = |version: &str, text: &str| {
        fs::create_dir(site.path(version)).expect("a folder can be made");
        fs::write(
            site.path(version).join("server.yaml"),
            text.replace("directory: /srv/shop", &format!("directory: {folder}")),
        )
        .expect("a file can be written");
        std::os::unix::fs::symlink(version, site.path("..fresh")).expect("a link can be made");
        fs::rename(site.path("..fresh"), site.path("..data")).expect("a link can be turned");
    };
    fs::remove_file(site.path("server.yaml")).expect("it was copied");
    lay("..first", config);
    std::os::unix::fs::symlink("..data/server.yaml", site.path("server.yaml")).expect("a link can be made");
    let words: Vec<String> = container["command"].as_array().expect("a list").iter().map(text).collect();
    let words: Vec<&str> = words[1..].iter().map(|word| word.strip_prefix("/etc/monoceros/").unwrap_or(word)).collect();
    let metrics = site.another_address();
    let variables =
        [("LISTEN", site.listen().to_string()), ("METRICS", metrics.to_string()), ("XDG_RUNTIME_DIR", folder.clone())];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let server = Process::start(&program("supervisor"), &words, &site.path(""), &variables);
    server.line("\"serving\"");

    let asked = |probe: &str| {
        assert_eq!(container[probe]["httpGet"]["port"], "metrics", "{probe}");
        let path = container[probe]["httpGet"]["path"].as_str().expect("a path");
        crate::harness::Client::connect(metrics).get(path).status
    };
    assert_eq!(["startupProbe", "readinessProbe", "livenessProbe"].map(asked), [200; 3]);
    let scraped = crate::harness::Client::connect(metrics).get("/metrics").expect_status(200);
    assert!(scraped.text().contains("monoceros_workers_wanted{app=\"shop\"}"), "{scraped}");

    lay("..second", &config.replace("threads: 4", "threads: 3"));
    server.line("\"reloaded\"");
    lay("..third", &config.replace("threads: 4", "threads: many"));
    server.line("reload abandoned");

    server.signal(Signal::SIGTERM);
    server.line("stopping: workers serve on");
    // As long as nodes still send some.
    crate::harness::Client::connect(site.listen()).get("/").expect_status(200);
    assert_eq!(["readinessProbe", "livenessProbe"].map(asked), [503, 200]);
    assert_eq!(server.exit_code(), 0);
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
