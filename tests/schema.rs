//! What editors and people are told of a file: its JSON Schema, and `supervisor check --print`.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Site, program, python, repository};

/// What the command line prints on standard output alone, and its exit code.
fn printed(site: &Site, arguments: &[&str]) -> (i32, String) {
    let process = site.supervisor(arguments);
    let code = process.exit_code();
    (code, process.whole_output())
}

/// A validator that is not ours: says what it marks in each file, one a line.
const VALIDATOR: &str = "
import json, sys, jsonschema
schema, *files = (json.load(open(name)) for name in sys.argv[1:])
jsonschema.Draft7Validator.check_schema(schema)
for name, file in zip(sys.argv[2:], files):
    for error in jsonschema.Draft7Validator(schema).iter_errors(file):
        print(name, error.json_path, error.message[:300])
";

/// What a validator marks in these files, by the schema that the program prints.
fn marked(files: &[(String, String)]) -> String {
    let site = Site::empty();
    let (code, schema) = printed(&site, &["schema"]);
    assert_eq!(code, 0, "{schema}");
    site.put("schema.json", &schema);
    for (name, yaml) in files {
        let json: Value = serde_yaml::from_str(yaml).expect("it is YAML");
        site.put(name, &json.to_string());
    }
    let mut command = Command::new(python());
    command.args(["-c", VALIDATOR]).arg(site.path("schema.json")).args(files.iter().map(|(name, _)| site.path(name)));
    let output = command.output().expect("python can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}

#[test]
fn the_schema_fits_every_example_and_every_file_of_the_readme() {
    let mut files = Vec::new();
    let mut folders = vec![repository().join("examples")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder can be listed") {
            let path = entry.expect("an entry can be read").path();
            let is_yaml = path.extension().is_some_and(|suffix| suffix == "yaml");
            match path.is_dir() {
                true => folders.push(path),
                false if is_yaml => {
                    files.push((format!("example-{}", files.len()), fs::read_to_string(path).expect("text")))
                }
                false => {}
            }
        }
    }
    // Others are Kubernetes'.
    files.retain(|(_, yaml)| yaml.lines().any(|line| line.starts_with("apps:")));
    let readme = fs::read_to_string(repository().join("README.md")).expect("there is a README");
    let whole = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    files.extend(
        whole.filter(|yaml| yaml.contains("apps:")).zip(0..).map(|(yaml, at)| (format!("readme-{at}"), yaml.into())),
    );
    assert!(files.len() > 8, "{files:?}");
    assert_eq!(marked(&files), "");
}

#[test]
fn the_schema_marks_a_slip() {
    let file = "apps: {a: {wsgi: 'a:b', listen: 'localhost:1', worker: 3, timeouts: {boot: 30}}}";
    let marked = marked(&[("slip".into(), file.into())]);
    assert!(marked.contains("$.apps.a") && marked.contains("'worker' was unexpected"), "{marked}");
    assert!(marked.contains("$.apps.a.timeouts.boot"), "{marked}");
}

#[test]
fn check_prints_a_file_that_prints_itself() {
    let app = "def application(environ, start_response):\n    return []\n";
    let listen = "listen: '${ADDRESS:-127.0.0.1:8000}'";
    let site = Site::empty().file("hello.py", app).variable("COUNT", "3");
    let site = site.yaml(&format!("apps: {{hello: {{wsgi: 'hello:application', {listen}, workers: '${{COUNT}}'}}}}\n"));
    let (code, first) = printed(&site, &["check", "--print", "-c", "server.yaml"]);
    assert_eq!(code, 0, "{first}");
    let squeezed: String = first.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(squeezed.contains("workers: 3 # server.yaml:1:"), "{first}");
    assert!(squeezed.contains(", environment COUNT"), "{first}");
    assert!(squeezed.contains("address: \"127.0.0.1:8000\" # server.yaml:1:"), "{first}");
    assert!(squeezed.contains("threads: 1 # default"), "{first}");
    assert!(first.ends_with("\n# server.yaml: ok"), "{first}");
    site.put("again.yaml", &first);
    let (code, second) = printed(&site, &["check", "--print", "-c", "again.yaml"]);
    assert_eq!(code, 0, "{second}");
    let values = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.split(" # ").next()).map(|line| line.trim_end().to_owned()).collect()
    };
    let [first, second] = [values(&first), values(&second)];
    assert_eq!(first[..first.len() - 1], second[..second.len() - 1]);
}

#[test]
fn who_reads_only_the_beginning_is_no_fault_and_a_full_disk_is_one() {
    let site = Site::empty().file("hello.py", "def application(environ, start_response):\n    return []\n");
    let supervisor = program("supervisor");
    for (command, expected) in [
        ("schema | head -n 1; echo ${PIPESTATUS[0]}", "0"),
        ("check --print hello:application | head -n 1; echo ${PIPESTATUS[0]}", "0"),
        ("schema > /dev/full; echo $?", "1"),
        ("check --print hello:application > /dev/full; echo $?", "1"),
        ("migrate -- hello > /dev/full; echo $?", "1"),
    ] {
        let line = format!("{} {command}", supervisor.display());
        let output =
            Command::new("bash").args(["-c", &line]).current_dir(site.path("")).output().expect("bash can be run");
        let errors = String::from_utf8_lossy(&output.stderr);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.lines().last(), Some(expected), "{command}: {errors}");
        assert!(!errors.contains("panicked"), "{errors}");
    }
}

#[test]
fn check_prints_what_a_command_line_comes_to() {
    let site = Site::empty().file("hello.py", "def application(environ, start_response):\n    return []\n");
    let site = site.variable("WEB_CONCURRENCY", "2").variable("PORT", "8123");
    let (code, printed) = printed(&site, &["check", "--print", "hello:application", "--threads", "4"]);
    assert_eq!(code, 0, "{printed}");
    let squeezed: String = printed.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "wsgi: hello:application # command line",
        "threads: 4 # command line",
        "workers: 2 # environment WEB_CONCURRENCY",
        "address: \"0.0.0.0:8123\" # environment PORT",
    ] {
        assert!(squeezed.contains(expected), "{expected} is not in\n{printed}");
    }
}
