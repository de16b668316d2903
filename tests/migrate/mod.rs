//! Configs of other servers, and what becomes of them: every setting of gunicorn's own list, and files as people have them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use monoceros_shared::config::{self, Address, Config, Engine};
use serde_json::Value;

use crate::harness::{Client, Site, program, python, repository};

/// What `supervisor migrate` says of a folder's file.
fn migrate(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program("supervisor"));
    command.arg("migrate").args(arguments).current_dir(folder).env_remove("GUNICORN_CMD_ARGS");
    for name in ["PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"] {
        command.env_remove(name);
    }
    // `python3` is the tests' own, whichever the machine has.
    let bin = python().parent().expect("python lies in a folder").display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{bin}:{path}"));
    command.envs(variables.iter().copied()).output().expect("supervisor can be run")
}

/// The YAML that it prints.
fn yaml(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = migrate(folder, arguments, variables);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}

/// The config that a YAML is.
fn checked(folder: &Path, yaml: &str) -> Config {
    let file = folder.join("server.yaml");
    fs::write(&file, yaml).expect("a file can be written");
    config::read(&file).unwrap_or_else(|why| panic!("{why}\n{yaml}")).config
}

/// A site with a file of `data/`, under a name of its own, and the application that they all name.
fn site(data: &str, name: &str) -> Site {
    let text = fs::read_to_string(repository().join("tests/migrate/data").join(data)).expect("the file is there");
    let app = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'shop']\n";
    let site = Site::empty().file("shop.py", app);
    let folder = site.path("");
    site.put(name, &text.replace("FOLDER", folder.to_str().expect("a path in UTF-8").trim_end_matches('/')));
    site
}

/// One line, whatever its breaks.
fn flat(yaml: &str) -> String {
    yaml.split_whitespace().filter(|word| *word != "#").collect::<Vec<_>>().join(" ")
}

/// gunicorn's own list: of each setting its flags, what they take, and a value that it accepts, as Python.
const KNOWN_SETTINGS: &str = r#"
import json, sys
from gunicorn import config
TYPICAL = {
    "worker_class": "gthread", "bind": ["127.0.0.1:8001"], "chdir": ".", "user": "www-data", "group": "www-data", "raw_env": ["A=1"],
    "secure_scheme_headers": {"X-FORWARDED-PROTO": "https"}, "forwarded_allow_ips": "10.0.0.1", "proxy_allow_ips": "10.0.0.1",
    "uwsgi_allow_ips": "10.0.0.1", "access_log_format": "%(h)s %(s)s", "loglevel": "debug", "statsd_host": "localhost:8125",
    "wsgi_app": "shop:application", "proxy_protocol": "v1", "protocol": "uwsgi", "http_protocols": "h2,h1", "header_map": "refuse",
    "reload_engine": "poll", "reload_extra_files": ["shop.py"], "logconfig_dict": {"version": 1}, "pythonpath": "lib",
    "certfile": "cert.pem", "keyfile": "key.pem", "ca_certs": "cert.pem", "config": "empty.py", "umask": 23,
    "cert_reqs": 2, "paste": "production.ini#main", "control_socket_mode": 384, "logger_class": "shop.Logger",
}
settings = {}
for setting in config.KNOWN_SETTINGS:
    value = TYPICAL.get(setting.name)
    if value is None:
        name = setting.validator.__name__
        value = True if "bool" in name else 50 if "int" in name else ["a"] if "list" in name else "x"
        if isinstance(setting.default, int) and not isinstance(setting.default, bool):
            value = setting.default + 1
    is_hook = callable(setting.default) and setting.section.endswith("Hooks")
    settings[setting.name] = {
        "hook": is_hook, "value": value, "flags": setting.cli or [],
        "takes": "nothing" if setting.action in ("store_true", "store_const") else "value",
    }
json.dump(settings, sys.stdout)
"#;

fn known_settings() -> serde_json::Map<String, Value> {
    let output = Command::new(python()).args(["-c", KNOWN_SETTINGS]).output().expect("python can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let Value::Object(settings) = serde_json::from_slice(&output.stdout).expect("it prints JSON") else {
        panic!("no object")
    };
    settings
}

/// What is said of a setting: how often it is told, and whether that has one of the verdicts.
fn verdict_of(yaml: &str, name: &str) -> Result<(), String> {
    let flat = flat(yaml);
    let told = [format!(" {name} = "), format!(" {name} (")];
    let mentions: usize = told.iter().map(|told| flat.matches(told.as_str()).count()).sum();
    let verdicts = [": carried over", ": changed: ", ": no counterpart: ", "To be looked at by a person:"];
    match mentions == 1
        && verdicts.iter().any(|verdict| flat.contains(verdict))
        && !flat.contains("no setting of gunicorn's")
    {
        true => Ok(()),
        false => Err(format!("{name} is told {mentions} times:\n{yaml}")),
    }
}

/// A folder with what typical values name.
fn furnished() -> Site {
    let site = site("netbox.py", "unused.txt");
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
    site.put("production.ini", "[app:main]\nuse = egg:shop\n");
    site.put("cert.pem", &certificate.cert.pem());
    site.put("key.pem", &certificate.signing_key.serialize_pem());
    fs::create_dir(site.path("lib")).expect("a folder can be made");
    site
}

#[test]
fn each_setting_of_gunicorns_own_list_is_answered_and_gives_a_config() {
    let site = furnished();
    let folder = site.path("");
    let settings = known_settings();
    assert!(settings.len() >= 120, "gunicorn 27 has 120 settings");
    for (name, setting) in settings {
        let value = match setting["hook"] == true {
            true => format!("def {name}(*arguments):\n    pass\n"),
            false => format!("import json\n{name} = json.loads({:?})\n", setting["value"].to_string()),
        };
        // What needs another setting beside it.
        let beside = match name.as_str() {
            "group" => "user = 'www-data'\n",
            "certfile" => "keyfile = 'key.pem'\n",
            "keyfile" => "certfile = 'cert.pem'\n",
            "ca_certs" => "certfile = 'cert.pem'\nkeyfile = 'key.pem'\ncert_reqs = 1\n",
            "cert_reqs" => "certfile = 'cert.pem'\nkeyfile = 'key.pem'\nca_certs = 'cert.pem'\n",
            _ => "",
        };
        site.put("gunicorn.conf.py", &format!("{beside}{value}"));
        let application: &[&str] =
            if matches!(name.as_str(), "wsgi_app" | "paste") { &[] } else { &["--", "shop:application"] };
        let yaml = yaml(&folder, &[&["gunicorn.conf.py"], application].concat(), &[]);
        verdict_of(&yaml, &name).unwrap();
        checked(&folder, &yaml);
    }
}

#[test]
fn each_flag_of_gunicorns_is_understood() {
    let site = furnished();
    let folder = site.path("");
    site.put("empty.py", "");
    for (name, setting) in known_settings() {
        for flag in setting["flags"].as_array().expect("a list").iter().filter_map(Value::as_str) {
            let value = match &setting["value"] {
                Value::Array(items) => items[0].as_str().expect("text").to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let arguments = match setting["takes"].as_str() {
                Some("nothing") => vec!["--", flag, "shop:application"],
                _ => vec!["--", flag, &value, "shop:application"],
            };
            let yaml = yaml(&folder, &arguments, &[]);
            verdict_of(&yaml, &name).unwrap();
            assert!(flat(&yaml).contains(&format!("({flag})")), "{yaml}");
        }
    }
}

#[test]
fn a_plain_file_is_carried_over() {
    let site = site("netbox.py", "gunicorn.py");
    let folder = site.path("");
    let app = &checked(&folder, &yaml(&folder, &["gunicorn.py", "--", "shop"], &[])).apps[0];
    assert_eq!((app.name.as_str(), app.wsgi.to_string().as_str()), ("shop", "shop:application"));
    assert_eq!(app.listen[0].address, Address::Tcp("127.0.0.1:8001".parse().unwrap()));
    assert_eq!((app.workers, app.threads, app.engine), (5, 3, Engine::Threads));
    assert_eq!((app.timeouts.request.as_secs(), app.timeouts.heartbeat.as_secs()), (120, 120));
    assert_eq!(app.recycle.requests, Some(5000));
}

#[test]
fn a_file_of_an_image_is_what_the_environment_makes_of_it() {
    let site = site("environment.py", "gunicorn_conf.py");
    let folder = site.path("");
    let arguments = ["gunicorn_conf.py", "--", "shop:application"];
    let yaml = yaml(&folder, &arguments, &[("PORT", "9000"), ("WEB_CONCURRENCY", "4"), ("LOG_LEVEL", "warning")]);
    let config = checked(&folder, &yaml);
    assert_eq!(config.apps[0].listen[0].address.to_string(), "0.0.0.0:9000");
    assert_eq!((config.apps[0].workers, config.log.level), (4, config::LogLevel::Warning));
    let flat = flat(&yaml);
    for variable in ["WORKERS_PER_CORE", "WEB_CONCURRENCY", "LOG_LEVEL", "TIMEOUT"] {
        assert!(flat.contains(variable), "{variable} was asked for:\n{yaml}");
    }
    assert!(flat.contains("computed by `web_concurrency`"), "{yaml}");
}

#[test]
fn a_file_with_hooks_and_a_slip_says_where_they_go() {
    let site = site("hooks.py", "gunicorn.conf.py");
    let folder = site.path("");
    let yaml = yaml(&folder, &[], &[]);
    let config = checked(&folder, &yaml);
    let app = &config.apps[0];
    assert_eq!(app.name, "shop-main");
    assert_eq!(app.listen[0].address, Address::Unix(folder.join("shop.sock")));
    assert_eq!((app.listen[0].mode, app.umask), (0o770, Some(0o007)));
    assert_eq!((app.environment["COLOUR"].as_str(), app.environment["PRICE"].as_str()), ("blue", "5$"));
    assert_eq!((app.limits.connections_max, app.timeouts.keepalive.as_secs()), (500, 65));
    assert_eq!(config.pid_file, Some(folder.canonicalize().unwrap().join("shop.pid")));
    let flat = flat(&yaml);
    for told in [
        "post_fork (gunicorn.conf.py:36) is code: `worker_start(worker)`",
        "pre_request (gunicorn.conf.py:40) is code: `request_start(environ)`",
        "child_exit (gunicorn.conf.py:44) is code: a command",
        "when_ready (gunicorn.conf.py:32) is code: a command",
        "statd_host = \"localhost:8125\" (gunicorn.conf.py:27): it is no setting of gunicorn's, which ignores it: was `statsd_host` meant?",
        "preload_app = True (gunicorn.conf.py:23): no counterpart: each worker imports the application itself",
    ] {
        assert!(flat.contains(told), "{told:?} is not in\n{yaml}");
    }
}

#[test]
fn a_procfile_keeps_its_variables() {
    let site = site("Procfile", "Procfile");
    let folder = site.path("");
    let yaml = yaml(&folder, &["Procfile"], &[]);
    let flat = flat(&yaml);
    assert!(flat.contains("- \"0.0.0.0:${PORT}\"") && flat.contains("workers: \"${WEB_CONCURRENCY:-2}\""), "{yaml}");
    assert!(flat.contains("`newrelic-admin run-program` stands before it"), "{yaml}");
    let config = checked(&folder, &yaml.replace("${PORT}", "8123").replace("${WEB_CONCURRENCY:-2}", "${NOT_SET:-2}"));
    let app = &config.apps[0];
    assert_eq!((app.listen[0].address.to_string().as_str(), app.workers), ("0.0.0.0:8123", 2));
    assert_eq!(app.environment["COLOUR"], "blue");
    let config::Access::Format(pieces) = &config.log.access else { panic!("{:?}", config.log.access) };
    assert_eq!(pieces.iter().map(ToString::to_string).collect::<String>(), "%(h)s \"%(r)s\" %(s)s");
}

#[test]
fn a_unit_says_how_gunicorn_is_started() {
    let site = site("shop.service", "shop.service");
    let folder = site.path("");
    let yaml = yaml(&folder, &["shop.service"], &[]);
    let config = checked(&folder, &yaml);
    let app = &config.apps[0];
    assert_eq!((app.workers, app.threads, app.timeouts.request.as_secs()), (3, 4, 90));
    assert_eq!(app.listen[0].address, Address::Unix("/run/shop.sock".into()));
    assert_eq!(app.directory, folder.as_path());
    let flat = flat(&yaml);
    assert!(flat.contains("User = \"www-data\" (shop.service:7): no counterpart: it stays in the unit"), "{yaml}");
}

#[test]
fn an_ini_of_uwsgis_is_answered_option_by_option() {
    let site = site("shop.ini", "shop.ini");
    let folder = site.path("");
    for name in ["site/static", "venv"] {
        fs::create_dir_all(site.path(name)).expect("a folder can be made");
    }
    site.put("venv/pyvenv.cfg", "");
    let yaml = yaml(&folder, &["shop.ini"], &[]);
    let config = checked(&folder, &yaml);
    let app = &config.apps[0];
    let at = |name: &str| folder.join(name);
    assert_eq!((app.wsgi.to_string().as_str(), &app.directory), ("shop:application", &at("site")));
    assert_eq!((app.workers, app.threads, app.timeouts.request.as_secs()), (2, 3, 45));
    let addresses: Vec<String> = app.listen.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:8001".to_owned(), format!("unix:{}", at("shop.sock").display())]);
    assert_eq!((app.listen[1].protocol, app.listen[1].mode), (config::Protocol::Uwsgi, 0o664));
    assert_eq!((app.recycle.requests, app.recycle.memory), (Some(5000), Some(512 << 20)));
    assert_eq!((app.environment["COLOUR"].as_str(), app.environment["SHAPE"].as_str()), ("blue", "round"));
    assert_eq!((app.statics[0].prefix.as_str(), &app.statics[0].folder), ("/static", &at("site/static")));
    assert_eq!((config.log.file, app.timeouts.drain.as_secs()), (Some(at("shop.log")), 20));
    let text = fs::read_to_string(site.path("shop.ini")).expect("it is there");
    let flat = flat(&yaml);
    for key in text.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key).filter(|key| *key != "base") {
        assert_eq!(flat.matches(&format!(" {key} = ")).count(), 1, "{key} is told once:\n{yaml}");
    }
    assert!(flat.contains("no-such-option = \"7\" (shop.ini:37): it is not known here"), "{yaml}");
}

#[test]
fn a_module_that_is_a_file_becomes_a_name_and_a_folder() {
    let site = site("netbox.py", "unused.txt");
    let folder = site.path("");
    fs::create_dir(site.path("site")).expect("a folder can be made");
    site.put("site/wsgi.py", "");
    site.put("uwsgi.ini", "[uwsgi]\nhttp = :8001\nwsgi-file = site/wsgi.py\ngevent = 100\n");
    let config = checked(&folder, &yaml(&folder, &["uwsgi.ini"], &[]));
    let app = &config.apps[0];
    assert_eq!((app.wsgi.to_string().as_str(), &app.directory), ("wsgi:application", &folder.join("site")));
    assert_eq!((app.engine, app.limits.connections_max), (Engine::Gevent, 100));
    assert_eq!(config.log.access, config::Access::Lines);
}

#[test]
fn an_ini_of_pastedeploys_names_its_application_and_its_server() {
    let site = site("netbox.py", "unused.txt");
    let folder = site.path("");
    let server = "[app:main]\nuse = egg:shop\n\n[server:main]\nuse = egg:gunicorn#main\nhost = 127.0.0.1\nport = 8123\n\
        workers = 3\nno_such = 1\n";
    site.put("production.ini", server);
    let printed = yaml(&folder, &["production.ini"], &[]);
    let app = &checked(&folder, &printed).apps[0];
    let config::Source::Paste(paste) = &app.wsgi else { panic!("{:?}", app.wsgi) };
    assert_eq!((paste.file.as_path(), paste.name.as_str()), (folder.join("production.ini").as_path(), "main"));
    assert_eq!(
        (app.name.as_str(), app.workers, app.listen[0].address.to_string().as_str()),
        ("production", 3, "127.0.0.1:8123")
    );
    assert!(flat(&printed).contains("no_such = \"1\" (production.ini:9): it is not known here"), "{printed}");
    site.put(
        "waitress.ini",
        "[app:main]\n[server:main]\nuse = egg:waitress#main\nlisten = localhost:6543 [::1]:6543\nthreads = 6\n",
    );
    let app = &checked(&folder, &yaml(&folder, &["waitress.ini"], &[])).apps[0];
    let addresses: Vec<String> = app.listen.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!((addresses, app.threads), (vec!["127.0.0.1:6543".into(), "[::1]:6543".into()], 6));
}

#[test]
fn numbers_go_to_the_same_statsd_server_by_the_same_names() {
    let site = site("netbox.py", "unused.txt");
    let folder = site.path("");
    site.put("a.py", "statsd_host = 'localhost:8125'\nstatsd_prefix = 'shop.'\ndogstatsd_tags = 'env:live,plain'\n");
    let printed = yaml(&folder, &["a.py", "--", "shop"], &[]);
    checked(&folder, &printed);
    let flat = flat(&printed);
    match config::keys().iter().any(|key| key.section == "statsd") {
        true => {
            for line in ["address: localhost:8125", "prefix: shop", "tags: {env: live, plain: \"\"}"] {
                assert!(flat.contains(line), "{line} is not in\n{printed}");
            }
        }
        false => assert!(flat.contains("- statsd_host = \"localhost:8125\" (a.py:1): "), "{printed}"),
    }
}

#[test]
fn the_command_line_is_stronger_than_the_variable_and_that_than_the_file() {
    let site = site("netbox.py", "gunicorn.conf.py");
    let folder = site.path("");
    let variables = [("GUNICORN_CMD_ARGS", "--threads 7 -w 6 --bind :81")];
    for line in [vec!["--", "-w", "9", "shop"], vec!["--", "/usr/bin/gunicorn", "shop", "-w", "9"]] {
        let app = &checked(&folder, &yaml(&folder, &line, &variables)).apps[0];
        assert_eq!((app.workers, app.threads, app.timeouts.request.as_secs()), (9, 7, 120));
        assert_eq!(app.listen[0].address.to_string(), "0.0.0.0:81");
    }
    let app =
        &checked(&folder, &yaml(&folder, &["--", "uwsgi", "--http", ":82", "-w", "shop", "-p", "2"], &[])).apps[0];
    assert_eq!((app.workers, app.listen[0].address.to_string().as_str()), (2, "0.0.0.0:82"));
}

#[test]
fn what_cannot_be_migrated_says_where_and_why() {
    let site = site("netbox.py", "unused.txt");
    let folder = site.path("");
    for (name, text, expected) in [
        ("a.py", "workers = 2\nbind = nowhere\n", "a.py:2: NameError: name 'nowhere' is not defined"),
        ("b.py", "workers = 2\nbind == = 3\n", "b.py:2: SyntaxError: invalid syntax"),
        ("c.py", "import sys\n\nsys.exit(3)\n", "c.py:3: SystemExit: 3"),
        ("d.py", "import os\nos._exit(0)\n", "it ended without saying what the file sets"),
        ("e.py", "def f():\n    return 1 / 0\n\nworkers = f()\n", "e.py:2: ZeroDivisionError"),
        ("f.txt", "", "f.txt: expected a `*.py` of gunicorn's"),
        ("g.yaml", "", "`uwsgi --show-config` prints any of them as ini"),
        ("Procfile", "web: celery\n", "none of its processes starts gunicorn or uwsgi"),
        ("h.service", "[Service]\nExecStart=/bin/true\n", "h.service:2: it starts neither gunicorn nor uwsgi"),
        ("i.ini", "[uwsgi]\nini = i.ini\n", "i.ini: more than 20 files include each other"),
    ] {
        site.put(name, text);
        let output = migrate(&folder, &[name], &[]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{name}: {errors}");
        assert!(errors.contains(expected), "{name}: {expected:?} is not in {errors}");
        assert!(output.stdout.is_empty());
    }
    let output = migrate(&folder, &["nowhere.py"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot read nowhere.py"));
}

#[test]
fn values_that_nobody_expects_are_told_and_left_out() {
    let site = site("netbox.py", "unused.txt");
    let folder = site.path("");
    let text = "itself = []\nitself.append(itself)\nbind = itself\n\nclass Mute:\n    def __repr__(self):\n        raise ValueError\n\n\
        errorlog = Mute()\nproc_name = 'a\\udc80b'\ntimeout = float('nan')\nworkers = 10 ** 40\nkeepalive = -1\nraw_env = [7]\n";
    site.put("a.py", text);
    let yaml = yaml(&folder, &["a.py", "--", "shop"], &[]);
    let app = &checked(&folder, &yaml).apps[0];
    assert_eq!((app.name.as_str(), app.listen[0].address.to_string().as_str()), ("a-b", "127.0.0.1:8000"));
    let flat = flat(&yaml);
    for name in ["timeout", "workers"] {
        assert!(flat.contains(&format!("- {name} = ")) && flat.contains("is no whole number"), "{yaml}");
    }
}

#[test]
fn a_config_file_may_print_and_leave_a_child_behind() {
    let site = site("netbox.py", "unused.txt");
    let folder = site.path("");
    let text =
        "import subprocess, sys\nprint('x' * 100000)\nsubprocess.Popen(['cat'], stdin=subprocess.PIPE)\nworkers = 3\n";
    site.put("a.py", text);
    let app = &checked(&folder, &yaml(&folder, &["a.py", "--", "shop"], &[])).apps[0];
    assert_eq!(app.workers, 3);
}

#[test]
fn what_is_written_serves_as_gunicorn_did() {
    let site = site("hooks.py", "gunicorn.conf.py");
    let folder = site.path("");
    // Its second address would be another test's.
    let text = site.read("gunicorn.conf.py").replace("127.0.0.1:8001", &site.listen().to_string());
    site.put("gunicorn.conf.py", &text);
    let yaml = yaml(&folder, &[], &[]);
    let server = site.yaml(&yaml).serve();
    assert_eq!(server.get("/").expect_status(200).text(), "shop");
    let socket = folder.join("shop.sock");
    let mut client = Client::connect_unix(&socket);
    client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n");
    assert_eq!(client.answer().expect_status(200).text(), "shop");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&socket).expect("it is there").permissions());
    assert_eq!(mode & 0o777, 0o770);
}
