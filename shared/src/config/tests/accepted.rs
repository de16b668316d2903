//! What a config says, and what it means.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::super::{
    Access, Address, Atom, Bodies, BrokenStart, CALLS_MAX, Callable, ClientCertificates, Commands, Engine, Limits,
    Listener, Log, LogFormat, LogLevel, Origin, Piece, Place, Protocol, Proxies, Ready, Recycle, Reload, RequestId,
    RunAs, StaticFiles, Statsd, SupervisorLoss, Timeouts, Tls, TlsVersion, Underscores, keys, reference,
};
use super::super::{Paste, Source};
use super::*;
use crate::tls::Material;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What is believed when nobody says otherwise.
fn usual_origin() -> Origin {
    Origin {
        proxies: Proxies::default(),
        client: None,
        host: None,
        prefix: None,
        https: pairs(&[("x-forwarded-proto", "https"), ("x-forwarded-protocol", "ssl"), ("x-forwarded-ssl", "on")]),
        mount: String::new(),
        underscores: Underscores::Drop,
        request_id: RequestId::WithAccessLog,
    }
}

#[test]
fn four_lines_are_enough() {
    let folder = Folder::new();
    let config = folder.check(&app_with("")).unwrap();
    let app = App {
        name: "hello".into(),
        wsgi: Source::Callable(Callable { module: "hello".into(), attribute: "application".into(), factory: false }),
        wsgi_place: Some(Place { line: 3, column: 11 }),
        directory: folder.path().to_owned(),
        virtualenv: None,
        python_path: vec![],
        hooks: None,
        hooks_place: None,
        environment: BTreeMap::new(),
        run_as: None,
        umask: None,
        no_new_privileges: true,
        listen: vec![Listener {
            address: Address::Tcp("127.0.0.1:8000".parse().unwrap()),
            protocol: Protocol::Http,
            backlog: 2048,
            mode: 0o660,
            owner: (None, None),
            tls: None,
            proxy_protocol: None,
            allow: None,
            secret: None,
        }],
        statics: vec![],
        workers: 1,
        threads: 1,
        threads_min: 1,
        switch_interval: None,
        engine: Engine::Threads,
        body: Bodies::Buffer,
        limits: default_limits(),
        timeouts: default_timeouts(),
        reload: Reload { ready: None, on_change: vec![], ignore: vec![], surge: None },
        on_broken_start: BrokenStart::Apologise,
        recycle: Recycle { requests: None, memory: None, age: None },
        origin: usual_origin(),
    };
    let log = Log { format: LogFormat::Text, level: LogLevel::Info, access: Access::Off, file: None };
    let expected = Config {
        file: None,
        log,
        watch: false,
        control: None,
        metrics: None,
        statsd: None,
        pid_file: None,
        on_supervisor_loss: SupervisorLoss::Adopt,
        orphan_timeout: seconds(600),
        commands: Commands { timeout: seconds(30), ..Commands::default() },
        apps: vec![app],
    };
    assert_eq!(config, expected);
}

fn default_limits() -> Limits {
    Limits {
        request_line_max: 8 << 10,
        header_count_max: 100,
        header_bytes_max: 64 << 10,
        body_bytes_max: 100 << 20,
        body_memory_max: 256 << 10,
        connections_max: 10_000,
        queue_max: 1000,
        body_rate_min: 240,
    }
}

fn default_timeouts() -> Timeouts {
    Timeouts {
        boot: seconds(60),
        head: seconds(10),
        body: seconds(30),
        request: seconds(60),
        queue: seconds(30),
        keepalive: seconds(75),
        write: seconds(30),
        drain: seconds(30),
        heartbeat: seconds(30),
        drain_delay: seconds(0),
    }
}

/// Each key once, none at its default.
pub(super) const EVERY_KEY: &str = r#"
log: {format: json, level: debug, access: {format: '%(h)s'}, file: srv/shop.log}
watch: true
control: run/control.sock
metrics: 127.0.0.1:9100
statsd: {address: unix:run/statsd.sock, prefix: shop.., tags: {env: prod, canary: }, interval: 10s}
pid_file: srv/shop.pid
on_supervisor_loss: drain
orphan_timeout: 30s
commands:
  start: [srv/run, -x, 7]
  ready: [touch, "a b"]
  reload: [touch, 0660]
  worker_exit: [/bin/true]
  stop: [touch]
  timeout: 5s
apps:
  shop:
    wsgi: shop.wsgi:make.app()
    directory: srv
    virtualenv: .venv
    python_path: [lib, srv/lib]
    hooks: shop.hooks
    environment: {TEXT: a b, NUMBER: 1.10, YES: true, EMPTY: ""}
    user: root
    group: "12"
    groups: [root, 34]
    umask: "0027"
    no_new_privileges: false
    listen:
      - address: unix:run/shop.sock
        protocol: http
        backlog: 7
        mode: "0600"
        owner: root:34
        proxy_protocol: true
      - address: "[::1]:8000"
        tls:
          certificate: [one.pem, two.pem]
          key: [one.key, two.pem]
          client_certificates: required
          client_authorities: [one.pem, two.pem]
          min_version: 1.3
      - address: 127.0.0.1:8009
        protocol: ajp
        secret: s3cret
        allow: unix
    static:
      /static: srv/lib
      /: {path: lib, cache_control: "public, max-age=60"}
    backlog: 8
    workers: 3
    threads: {min: 2, max: 4}
    switch_interval: 20ms
    engine: threads
    body: stream
    limits:
      request_line_max: 1KiB
      header_count_max: 20
      header_bytes_max: 2KB
      body_bytes_max: 3MiB
      body_memory_max: 4MB
      connections_max: 5
      queue_max: 6
      body_rate_min: 1KiB
    timeouts: {boot: 1m1s, head: 2s, body: 3s, request: 9s, queue: 7s, keepalive: 1h30m, write: 500ms, drain: 1h, heartbeat: 8s, drain_delay: 5s}
    reload:
      ready: {path: /shop/healthz?deep=1, host: "shop.example:8000", scheme: https, status: 204}
      on_change: ["**/*.py", "templates/*.{html,txt}"]
      ignore: tests/**
      surge: 2
    on_broken_start: exit
    recycle: {requests: 1000, memory: 512MiB, age: 1d}
    trusted_proxies: [10.0.0.0/8, "2001:db8::1"]
    forwarded: {client: X-Real-IP, host: X-Forwarded-Host, prefix: X-Script-Name}
    scheme_headers: {Forwarded: HTTPS, X-Ssl: on}
    mount: /shop/
    underscore_headers: keep
    request_id: X-Trace
"#;

/// A folder with all that `EVERY_KEY` names.
pub(super) fn shop() -> Folder {
    let folder = Folder::new();
    for name in ["srv/lib", "lib", ".venv"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join(".venv/pyvenv.cfg"), "").unwrap();
    folder.write("srv/run", "");
    let [one, two] = [tls::made("one.example"), tls::made("two.example")];
    folder.write("one.pem", &one.certificate).write("one.key", &one.key);
    folder.write("two.pem", &format!("{}{}", two.key, two.certificate));
    folder
}

fn shop_listeners(folder: &Folder) -> Vec<Listener> {
    vec![
        Listener {
            address: Address::Unix(folder.path().join("run/shop.sock")),
            protocol: Protocol::Http,
            backlog: 7,
            mode: 0o600,
            owner: (Some(0), Some(34)),
            tls: None,
            proxy_protocol: Some(shop_origin().proxies),
            allow: None,
            secret: None,
        },
        Listener {
            address: Address::Tcp("[::1]:8000".parse().unwrap()),
            protocol: Protocol::Http,
            backlog: 8,
            mode: 0o660,
            owner: (None, None),
            proxy_protocol: None,
            allow: None,
            secret: None,
            tls: Some(Tls {
                certificates: vec![
                    (folder.path().join("one.pem"), folder.path().join("one.key")),
                    (folder.path().join("two.pem"), folder.path().join("two.pem")),
                ],
                client_certificates: ClientCertificates::Required,
                client_authorities: vec![folder.path().join("one.pem"), folder.path().join("two.pem")],
                min_version: TlsVersion::Tls13,
                material: Material::default(),
            }),
        },
        Listener {
            address: Address::Tcp("127.0.0.1:8009".parse().unwrap()),
            protocol: Protocol::Ajp,
            backlog: 8,
            mode: 0o660,
            owner: (None, None),
            proxy_protocol: None,
            allow: Some(proxies("unix")),
            secret: Some("s3cret".into()),
            tls: None,
        },
    ]
}

fn shop_commands(folder: &Folder) -> Commands {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Commands {
        start: words(&[folder.path().join("srv/run").to_str().unwrap(), "-x", "7"]),
        ready: words(&["touch", "a b"]),
        reload: words(&["touch", "0660"]),
        worker_exit: words(&["/bin/true"]),
        stop: words(&["touch"]),
        timeout: seconds(5),
    }
}

fn shop_limits() -> Limits {
    Limits {
        request_line_max: 1024,
        header_count_max: 20,
        header_bytes_max: 2000,
        body_bytes_max: 3 << 20,
        body_memory_max: 4_000_000,
        connections_max: 5,
        queue_max: 6,
        body_rate_min: 1024,
    }
}

fn shop_timeouts() -> Timeouts {
    Timeouts {
        boot: seconds(61),
        head: seconds(2),
        body: seconds(3),
        request: seconds(9),
        queue: seconds(7),
        keepalive: seconds(5400),
        write: Duration::from_millis(500),
        drain: seconds(3600),
        heartbeat: seconds(8),
        drain_delay: seconds(5),
    }
}

fn shop_reload() -> Reload {
    let ready = Ready {
        path: "/shop/healthz?deep=1".into(),
        host: "shop.example:8000".into(),
        scheme: "https".into(),
        status: Some(204),
    };
    Reload {
        ready: Some(ready),
        on_change: vec!["**/*.py".into(), "templates/*.{html,txt}".into()],
        ignore: vec!["tests/**".into()],
        surge: Some(2),
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn proxies(text: &str) -> Proxies {
    app(&format!("trusted_proxies: {text}")).origin.proxies
}

fn shop_origin() -> Origin {
    Origin {
        proxies: proxies("[10.0.0.0/8, \"2001:db8::1/128\"]"),
        client: Some("x-real-ip".into()),
        host: Some("x-forwarded-host".into()),
        prefix: Some("x-script-name".into()),
        https: pairs(&[("forwarded", "https"), ("x-ssl", "on")]),
        mount: "/shop".into(),
        underscores: Underscores::Keep,
        request_id: RequestId::Field("X-Trace".into()),
    }
}

#[test]
fn every_key_is_taken() {
    let folder = shop();
    let config = folder.check(EVERY_KEY).unwrap();
    let at = |path: &str| folder.path().join(path);
    let environment = [("TEXT", "a b"), ("NUMBER", "1.10"), ("YES", "true"), ("EMPTY", "")];
    let app = App {
        name: "shop".into(),
        wsgi: Source::Callable(Callable { module: "shop.wsgi".into(), attribute: "make.app".into(), factory: true }),
        wsgi_place: Some(Place { line: 19, column: 11 }),
        directory: at("srv"),
        virtualenv: Some(at(".venv")),
        python_path: vec![at("lib"), at("srv/lib")],
        hooks: Some("shop.hooks".into()),
        hooks_place: Some(Place { line: 23, column: 12 }),
        environment: environment.map(|(name, value)| (name.into(), value.into())).into(),
        run_as: Some(RunAs { user: "root".into(), uid: 0, gid: 12, groups: Some(vec![0, 34]), home: "/root".into() }),
        umask: Some(0o027),
        no_new_privileges: false,
        listen: shop_listeners(&folder),
        statics: vec![
            StaticFiles { prefix: "/static".into(), folder: folder.path().join("srv/lib"), cache_control: None },
            StaticFiles {
                prefix: "/".into(),
                folder: folder.path().join("lib"),
                cache_control: Some("public, max-age=60".into()),
            },
        ],
        workers: 3,
        threads: 4,
        threads_min: 2,
        switch_interval: Some(Duration::from_millis(20)),
        engine: Engine::Threads,
        body: Bodies::Stream,
        limits: shop_limits(),
        timeouts: shop_timeouts(),
        reload: shop_reload(),
        on_broken_start: BrokenStart::Exit,
        recycle: Recycle { requests: Some(1000), memory: Some(512 << 20), age: Some(seconds(24 * 3600)) },
        origin: shop_origin(),
    };
    let access = Access::Format(vec![Piece::Atom(Atom::Client)]);
    let log = Log { format: LogFormat::Json, level: LogLevel::Debug, access, file: Some(at("srv/shop.log")) };
    let expected = Config {
        file: None,
        log,
        watch: true,
        control: Some(at("run/control.sock")),
        metrics: Some(Address::Tcp("127.0.0.1:9100".parse().unwrap())),
        statsd: Some(Statsd {
            address: Address::Unix(at("run/statsd.sock")),
            prefix: "shop.".into(),
            tags: [("env", "prod"), ("canary", "")].map(|(name, value)| (name.into(), value.into())).into(),
            interval: seconds(10),
        }),
        pid_file: Some(at("srv/shop.pid")),
        on_supervisor_loss: SupervisorLoss::Drain,
        orphan_timeout: seconds(30),
        commands: shop_commands(&folder),
        apps: vec![app],
    };
    assert_eq!(config, expected);
}

#[test]
fn every_key_stands_in_the_file_that_has_every_key_and_in_the_reference() {
    let reference = reference();
    for key in keys() {
        let example = format!("{}:", key.name);
        // `paste` has tests of its own, for it stands in the place of another key.
        assert!(EVERY_KEY.contains(&example) || example == "paste:", "no example of {key:?}");
        assert!(reference.contains(&format!("| `{}` |", key.name)), "no row for {key:?}");
        assert!(key.about.ends_with('.') || key.about.ends_with("list"), "no sentence about {key:?}");
    }
}

#[test]
fn a_path_alone_is_a_readiness_request_with_defaults() {
    let ready =
        |path: &str| Some(Ready { path: path.into(), host: "localhost".into(), scheme: "http".into(), status: None });
    assert_eq!(app("reload: {ready: /healthz}").reload.ready, ready("/healthz"));
    assert_eq!(app("reload: {ready: {path: /}}").reload.ready, ready("/"));
    assert_eq!(app("reload: {ready: \"${NO:-/a?b=%20}\"}").reload.ready, ready("/a?b=%20"));
}

#[test]
fn all_workers_may_boot_at_once_by_name() {
    assert_eq!(app("reload: {surge: all}").reload.surge, None);
    assert_eq!(app("reload: {surge: 512}").reload.surge, Some(512));
    assert_eq!(app("reload: {surge: \"${NO:-all}\", on_change: \"*.py\"}").reload.on_change, ["*.py"]);
}

#[test]
fn what_may_be_a_list_may_be_one() {
    let folder = shop();
    let config = folder.check(&app_with("python_path: lib")).unwrap();
    assert_eq!(config.apps[0].python_path, [folder.path().join("lib")]);
    let config = folder.check("apps: {a: {wsgi: \"a:b\", listen: [localhost:1, {address: localhost:2}]}}").unwrap();
    let names: Vec<_> = config.apps[0].listen.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(names, ["127.0.0.1:1", "127.0.0.1:2"]);
}

#[test]
fn addresses_mean_what_they_say() {
    let folder = Folder::new();
    for (written, meant) in [
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        ("localhost:8000", "127.0.0.1:8000"),
        (":8000", "0.0.0.0:8000"),
        ("0.0.0.0:0", "0.0.0.0:0"),
        ("\"[::]:65535\"", "[::]:65535"),
        ("unix:/run/a.sock", "unix:/run/a.sock"),
        ("unix:@name", "unix:@name"),
    ] {
        let text = format!("apps: \n  a:\n    wsgi: a:b\n    listen: {written}\n");
        let address = folder.check(&text).unwrap().apps[0].listen[0].address.to_string();
        assert_eq!(address, meant);
    }
    let longest = format!("/{}", "a".repeat(106));
    let text = format!("apps: \n  a:\n    wsgi: a:b\n    listen: unix:{longest}\n");
    assert_eq!(folder.check(&text).unwrap().apps[0].listen[0].address, Address::Unix(longest.into()));
}

#[test]
fn apps_keep_the_order_of_the_file_and_know_the_place_of_their_wsgi() {
    let text = "# two apps\napps:\n  z: {listen: \"localhost:1\",\n      \"wsgi\": \"é:b\"}\n  a:\n    listen: \n    - localhost:2\n    wsgi:   a:b # here\n";
    let config = Folder::new().check(text).unwrap();
    let places: Vec<_> = config.apps.iter().map(|app| (app.name.as_str(), app.wsgi_place.unwrap())).collect();
    assert_eq!(places, [("z", Place { line: 4, column: 15 }), ("a", Place { line: 8, column: 13 })]);
}

#[test]
fn variables_stand_in_any_value() {
    let text = "\
log: {access: \"${YES}\", level: \"${NO:-debug}\"}
apps:
  hello:
    wsgi: ${NO:-hello}:application
    listen: [\"${HOST}:800${NUMBER}\", {address: unix:s, mode: \"${NO:-0600}\"}]
    workers: ${NUMBER}
    timeouts: {head: \"${SPAN}\"}
    environment: {A: \"<${EMPTY}>\", B: \"${EMPTY:-x}\", C: \"$${HOST} $$\", D: \"${DOLLAR}\", E: \"${TRICK}\", F: '${NO:-}'}
";
    let config = Folder::new().check(text).unwrap();
    let app = &config.apps[0];
    assert_eq!((config.log.access, config.log.level), (Access::Lines, LogLevel::Debug));
    assert_eq!(app.wsgi.to_string(), "hello:application");
    assert_eq!(app.listen[0].address.to_string(), "127.0.0.1:8003");
    assert_eq!(app.listen[1].mode, 0o600);
    assert_eq!((app.workers, app.timeouts.head), (3, seconds(7)));
    let values: Vec<_> = app.environment.values().map(String::as_str).collect();
    assert_eq!(values, ["<>", "x", "${HOST} $", "${HOST}", "a\nlisten: [b]", ""]);
}

#[test]
fn keys_are_not_expanded() {
    let app = app("environment: {\"${HOST}\": x}");
    assert_eq!(app.environment.into_keys().collect::<Vec<_>>(), ["${HOST}"]);
}

#[test]
fn auto_is_what_the_machine_leaves_us() {
    assert_eq!(app("workers: auto").workers, 2);
    assert_eq!(app("workers: ${NO:-auto}").workers, 2);
}

#[test]
fn threads_are_a_number_or_what_it_may_grow_to() {
    let app_with = |threads: &str| {
        let app = app(&format!("threads: {threads}"));
        (app.threads_min, app.threads)
    };
    assert_eq!(app_with("7"), (7, 7));
    assert_eq!(app_with("{max: 7}"), (1, 7));
    assert_eq!(app_with("{min: 7, max: 7}"), (7, 7));
}

#[test]
fn sync_means_one_thread() {
    let app = app("engine: sync");
    assert_eq!((app.engine, app.threads), (Engine::Threads, 1));
}

#[test]
fn each_engine_can_be_named() {
    for (word, engine) in [
        ("threads", Engine::Threads),
        ("gevent", Engine::Gevent),
        ("eventlet", Engine::Eventlet),
        ("tornado", Engine::Tornado),
    ] {
        let app = app(&format!("engine: {word}\nthreads: 1\nlimits: {{connections_max: 70000}}"));
        assert_eq!((app.engine, app.engine.word()), (engine, word));
        let calls = if app.engine.has_greenlets() { CALLS_MAX } else { 1 };
        let rows = if engine == Engine::Threads { 1 } else { CALLS_MAX };
        assert_eq!((app.calls_max(), app.rows_max()), (calls, rows));
    }
}

#[test]
fn a_value_behind_an_alias_is_the_same_value() {
    let app = app("environment: {A: &a 3, B: *a}\ntimeouts: &t {head: 7s}");
    assert_eq!(app.environment["B"], "3");
    let text = "apps:\n  a: {wsgi: \"a:b\", listen: \"localhost:1\", timeouts: &t {head: 7s}}\n  b: {wsgi: \"a:b\", listen: \"localhost:2\", timeouts: *t}\n";
    let config = Folder::new().check(text).unwrap();
    assert_eq!(config.apps[1].timeouts, config.apps[0].timeouts);
}

#[test]
fn a_short_head_bounds_the_request_line_by_default() {
    let limits = app("limits: {header_bytes_max: 2KiB}").limits;
    assert_eq!((limits.request_line_max, limits.header_bytes_max), (2048, 2048));
}

#[test]
fn more_memory_than_body_is_no_error() {
    let limits = app("limits: {body_bytes_max: 0B, body_memory_max: 1GiB}").limits;
    assert_eq!((limits.body_bytes_max, limits.body_memory_max), (0, 1 << 30));
}

#[test]
fn a_user_may_be_a_number() {
    let run_as = app("user: 0").run_as;
    assert_eq!(run_as, Some(RunAs { user: "root".into(), uid: 0, gid: 0, groups: None, home: "/root".into() }));
}

#[test]
fn a_byte_order_mark_and_dos_line_ends_are_no_matter() {
    let text = format!("\u{feff}{}", app_with("workers: 2").replace('\n', "\r\n"));
    assert_eq!(Folder::new().check(&text).unwrap().apps[0].workers, 2);
}

#[test]
fn a_backlog_above_the_kernels_is_warned_of_once_for_each_place() {
    let folder = Folder::new();
    let warnings = |lines: &str, somaxconn| {
        let machine = Machine { somaxconn, ..folder.machine() };
        let outcome = check_text(&app_with(lines), &environment, &machine).unwrap();
        let backlog = outcome.config.apps[0].listen[0].backlog;
        (
            backlog,
            outcome
                .warnings
                .into_iter()
                .map(|fault| fault.in_file(Some(Path::new("f"))).to_string())
                .collect::<Vec<_>>(),
        )
    };
    let told = |place: &str, asked: u32| {
        vec![format!("f:{place}: `backlog`: {asked} is above net.core.somaxconn: 128 is what the kernel allows")]
    };
    assert_eq!(warnings("", Some(128)), (2048, told("2:3", 2048)));
    assert_eq!(warnings("backlog: 200", Some(128)), (200, told("5:14", 200)));
    assert_eq!(warnings("backlog: 128", Some(128)), (128, vec![]));
    assert_eq!(warnings("backlog: 65535", None), (65535, vec![]));
    let text = "apps: {a: {wsgi: \"a:b\", listen: [localhost:1, localhost:2, {address: localhost:3, backlog: 4097}]}}";
    let machine = Machine { somaxconn: Some(128), ..folder.machine() };
    let found = check_text(text, &environment, &machine).unwrap().warnings;
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn proxies_are_named_one_by_one_or_all_at_once_or_not_at_all() {
    let contain = |text: &str, address: &str| proxies(text).contain(address.parse().unwrap());
    assert_eq!(proxies("[127.0.0.1, \"::1\", unix]"), Proxies::default());
    assert!(contain("10.0.0.0/8", "10.1.2.3") && !contain("10.0.0.0/8", "127.0.0.1"));
    assert!(contain("all", "192.0.2.1") && contain("all", "2001:db8::1") && proxies("all").unix);
    assert!(!contain("[]", "127.0.0.1") && !proxies("[]").unix);
    assert!(!contain("unix", "127.0.0.1") && proxies("unix").unix && !proxies("127.0.0.1").unix);
}

#[test]
fn a_listener_may_know_other_proxies_than_its_application() {
    let allowed = |proxy_protocol: &str| {
        let listener = format!("{{address: localhost:2, proxy_protocol: {proxy_protocol}}}");
        let text = format!("apps: {{a: {{wsgi: \"a:b\", listen: [{listener}], trusted_proxies: unix}}}}");
        Folder::new().check(&text).unwrap().apps[0].listen[0].proxy_protocol.clone()
    };
    assert_eq!(allowed("false"), None);
    assert_eq!(allowed("true"), Some(proxies("unix")));
    assert_eq!(allowed("\"${YES}\""), Some(proxies("unix")));
    assert_eq!(allowed("[10.0.0.0/8]"), Some(proxies("10.0.0.0/8")));
}

#[test]
fn the_identifier_of_requests_can_be_left_out_and_the_root_be_named() {
    assert_eq!(app("request_id: none").origin.request_id, RequestId::None);
    assert_eq!(app("mount: /").origin.mount, "");
    assert_eq!(app("mount: /a/b").origin.mount, "/a/b");
    assert_eq!(app("scheme_headers: {}").origin.https, pairs(&[]));
}

#[test]
fn an_access_log_has_lines_objects_or_a_format_of_gunicorns() {
    let access = |written: &str| {
        let text = format!("log: {{access: {written}}}\n{}", app_with(""));
        Folder::new().check(&text).unwrap().log.access
    };
    assert_eq!(access("false"), Access::Off);
    assert_eq!(access("true"), Access::Lines);
    assert_eq!(access("{}"), Access::Lines);
    assert_eq!(access("{format: json}"), Access::Json);
    let text = |text: &str| Piece::Text(text.into());
    let format = |text: &str| access(&format!("{{format: '{text}'}}"));
    assert_eq!(format("100%%"), Access::Format(vec![text("100%")]));
    let all = format(
        "%(h)s%(l)s%(u)s%(t)s%(r)s%(s)s%(m)s%(U)s%(q)s%(H)s%(b)s%(B)d%(f)s%(a)s%(T)d%(D)s%(M)s%(L)s%(p)s%({X-A}i)s%({b}o)s%({C.d}e)s",
    );
    let atoms = [
        Atom::Client,
        Atom::Dash,
        Atom::User,
        Atom::Time,
        Atom::Line,
        Atom::Status,
        Atom::Method,
        Atom::Path,
        Atom::Query,
        Atom::Protocol,
        Atom::Bytes,
        Atom::Bytes,
        Atom::Referer,
        Atom::Agent,
        Atom::Seconds,
        Atom::Microseconds,
        Atom::Milliseconds,
        Atom::Decimal,
        Atom::Process,
        Atom::Asked("x-a".into()),
        Atom::Answered("b".into()),
        Atom::Variable("C.d".into()),
    ];
    assert_eq!(all, Access::Format(atoms.map(Piece::Atom).into()));
    let combined = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;
    assert_eq!(access("{format: combined}"), format(combined));
}

#[test]
fn each_listener_speaks_a_protocol_and_may_choose_its_peers() {
    let listener = |keys: &str| {
        let text = format!("apps: {{a: {{wsgi: \"a:b\", listen: [{{address: localhost:2, {keys}}}]}}}}");
        Folder::new().check(&text).unwrap().apps[0].listen[0].clone()
    };
    for (name, protocol) in [
        ("http", Protocol::Http),
        ("fastcgi", Protocol::FastCgi),
        ("scgi", Protocol::Scgi),
        ("ajp", Protocol::Ajp),
        ("uwsgi", Protocol::Uwsgi),
    ] {
        assert_eq!(listener(&format!("protocol: {name}")).protocol, protocol);
    }
    let ajp = listener("protocol: ajp, secret: s3cret word, allow: [10.0.0.0/8, unix]");
    assert_eq!(ajp.secret.as_deref(), Some("s3cret word"));
    assert_eq!(ajp.allow, Some(proxies("[10.0.0.0/8, unix]")));
}

#[test]
fn an_application_of_pastes_stands_in_an_ini_file_relative_to_its_directory() {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("shop")).unwrap();
    folder.write("shop/production.ini", "[app:main]\nuse = egg:shop\n\n[server:main]\nuse = egg:waitress#main\n");
    for (written, name) in
        [("production.ini", "main"), ("production.ini#api", "api"), ("config:production.ini#main", "main")]
    {
        let text = format!("apps:\n  a:\n    directory: shop\n    paste: {written}\n    listen: localhost:1\n");
        let app = folder.check(&text).unwrap().apps.remove(0);
        let file = folder.path().join("shop/production.ini");
        assert_eq!(app.wsgi, Source::Paste(Paste { file, name: name.into() }), "{written}");
        assert_eq!(app.wsgi_place, Some(Place { line: 4, column: 12 }));
        // What it says of a server is not what holds, and that is told.
        let warnings = check_text(&text, &environment, &folder.machine()).unwrap().warnings;
        let warnings: Vec<String> = warnings.into_iter().map(|fault| fault.in_file(None).to_string()).collect();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("`paste`: `[server:main]` in it is ignored"), "{warnings:?}");
    }
}
