//! Each folder of `examples/`, used as a person would: what the README shows must work.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::harness::{Answer, Client, Server, Site, python, repository, target_folder};

#[test]
fn each_example_has_a_test() {
    // `hello` is served in `serve.rs`, from its own four lines; the units of `systemd` are read in `systemd.rs`; web servers are before
    // `behind-…` in `web_servers`; `blue-green`, `docker` and `kubernetes` are carried out in `deployment`, and `prometheus` is
    // asked in `metrics`.
    let tested = [
        "behind-apache",
        "behind-haproxy",
        "behind-nginx",
        "blue-green",
        "django",
        "docker",
        "flask",
        "hello",
        "kubernetes",
        "prometheus",
        "systemd",
    ];
    let folders = fs::read_dir(repository().join("examples")).expect("there are examples");
    let mut found: Vec<String> =
        folders.map(|entry| entry.expect("an entry can be read").file_name().to_string_lossy().into_owned()).collect();
    found.sort();
    assert_eq!(found, tested, "an example without a test dies unseen");
}

/// An example in a folder of its own, with the tests' virtual environment.
fn example(name: &str) -> Site {
    python();
    let site = Site::copy_of(&repository().join("examples").join(name));
    let listen = site.listen().to_string();
    let environment = target_folder().join("venv");
    site.variable("LISTEN", &listen).variable("VENV", environment.to_str().expect("a path in UTF-8"))
}

// Flask.

#[test]
fn flask_answers_in_html_and_json() {
    let server = example("flask").serve();
    let mut client = server.connect();
    assert!(client.get("/").expect_status(200).text().contains("<form method=\"post\" action=\"/upload\""));
    let answer = client.get("/hello/J%C3%BCrgen?a=1").expect_status(200);
    assert_eq!(answer.field("content-type"), Some("application/json"));
    let told: serde_json::Value = serde_json::from_slice(&answer.body).expect("it is JSON");
    assert_eq!(told["hello"], "Jürgen");
    assert_eq!(told["query"]["a"], "1");
    client.get("/nowhere").expect_status(404);
    assert_eq!(
        client.post("/hello/x", b"").expect_status(405).field("allow").map(str::len),
        Some("HEAD, GET, OPTIONS".len())
    );
}

#[test]
fn flask_takes_twenty_megabytes_and_tells_their_sha256() {
    // Computed elsewhere: python -c "import hashlib; print(hashlib.sha256((bytes(range(251)) * 83600)[:20 << 20]).hexdigest())"
    const SHA256: &str = "99254018a4506cae413a471f8b9d968a1ab1771565f3247b6e1c3f927e9a572f";
    let server = example("flask").serve();
    let file: Vec<u8> = (0..20 << 20).map(|at: u32| (at % 251) as u8).collect();
    let mut form = b"--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"big.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n".to_vec();
    form.extend_from_slice(&file);
    form.extend_from_slice(b"\r\n--edge--\r\n");
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=edge\r\nContent-Length: {}\r\n\r\n",
        form.len()
    );
    let answer = server.connect().send(head).send(&form).answer().expect_status(200);
    let told: serde_json::Value = serde_json::from_slice(&answer.body).expect("it is JSON");
    assert_eq!(told["sha256"], SHA256);
    assert_eq!(told["size"], 20 << 20);
    assert_eq!(told["name"], "big.bin");
}

#[test]
fn flask_streams_as_the_client_reads() {
    let server = example("flask").serve();
    let mut client = server.connect();
    // Whole, the answer has nearly a gigabyte; so its beginning can only arrive before it is made.
    client.send("GET /count?to=100000000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.head().status, 200);
    let mut beginning = Vec::new();
    while beginning.len() < 100_000 {
        beginning.extend(client.chunk().expect("the stream goes on"));
    }
    assert!(beginning.starts_with(b"1\n2\n3\n"));
    drop(client);
    server.get("/hello/again").expect_status(200);
}

// Django.

/// A browser in small: one connection, cookies, forms.
struct Browser {
    client: Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    fn new(server: &Server) -> Browser {
        Browser { client: server.connect(), cookies: BTreeMap::new() }
    }

    fn request(&mut self, method: &str, target: &str, form: &str) -> Answer {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
        if !cookies.is_empty() {
            request += &format!("Cookie: {}\r\n", cookies.join("; "));
        }
        if method == "POST" {
            request +=
                &format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", form.len());
        }
        let answer = self.client.send(request + "\r\n" + form).answer();
        for cookie in answer.values("set-cookie") {
            let pair = cookie.split(';').next().expect("a split has a first part");
            let (name, value) = pair.split_once('=').expect("a cookie is a pair");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    fn get(&mut self, target: &str) -> Answer {
        self.request("GET", target, "")
    }

    /// Fetches the page with the form, fills it in and sends it, as its hidden field and the cookie demand.
    fn submit(&mut self, target: &str, fields: &[(&str, &str)]) -> Answer {
        let page = self.get(target).expect_status(200);
        let token = between(page.text(), "name=\"csrfmiddlewaretoken\" value=\"", "\"");
        let fields = fields.iter().copied().chain([("csrfmiddlewaretoken", token)]);
        let form: Vec<String> = fields.map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        self.request("POST", target, &form.join("&"))
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let found = text.split_once(before).and_then(|(_, rest)| rest.split_once(after));
    found.unwrap_or_else(|| panic!("there is no {before}…{after} in:\n{text}")).0
}

/// A form's value, each byte but the plainest as `%XX`.
fn escaped(value: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(escape).collect()
}

/// The commands that the example's README gives before the server's.
fn prepared_django() -> Site {
    let site = example("django");
    for command in [["migrate", "--verbosity=0"], ["collectstatic", "--no-input"], ["createsuperuser", "--no-input"]] {
        let output = Command::new(python())
            .arg("manage.py")
            .args(command)
            .current_dir(site.path(""))
            .env("DJANGO_SUPERUSER_USERNAME", "ada")
            .env("DJANGO_SUPERUSER_EMAIL", "ada@example.com")
            .env("DJANGO_SUPERUSER_PASSWORD", "note G, 1843")
            .output()
            .expect("python can be run");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    site
}

#[test]
fn django_lets_a_person_log_in_write_a_note_and_see_it_listed() {
    let server = prepared_django().serve();
    let mut browser = Browser::new(&server);
    let refused = browser.get("/admin/notes/note/").expect_status(302);
    assert!(refused.field("location").is_some_and(|place| place.starts_with("/admin/login/")), "{refused}");

    let wrong = browser.submit("/admin/login/?next=/admin/", &[("username", "ada"), ("password", "wrong")]);
    assert!(wrong.expect_status(200).text().contains("Please enter the correct username and password"));
    let login = [("username", "ada"), ("password", "note G, 1843"), ("next", "/admin/")];
    let right = browser.submit("/admin/login/?next=/admin/", &login).expect_status(302);
    assert_eq!(right.field("location"), Some("/admin/"));
    assert!(browser.cookies.contains_key("sessionid"), "{right}");

    let note = [("title", "Über Maschinen & <Menschen>"), ("text", "It can follow analysis.")];
    let added = browser.submit("/admin/notes/note/add/", &note).expect_status(302);
    assert_eq!(added.field("location"), Some("/admin/notes/note/"));
    let list = browser.get("/admin/notes/note/").expect_status(200);
    assert!(list.text().contains("Über Maschinen &amp; &lt;Menschen&gt;</a>"), "{}", list.text());
    let page = browser.get("/").expect_status(200);
    assert!(
        page.text().contains("<b>Über Maschinen &amp; &lt;Menschen&gt;</b> It can follow analysis."),
        "{}",
        page.text()
    );
}

#[test]
fn django_serves_its_static_files() {
    let server = prepared_django().serve();
    let page = server.get("/admin/login/").expect_status(200);
    let style = between(page.text(), "<link rel=\"stylesheet\" href=\"", "\"");
    let answer = server.get(style).expect_status(200);
    assert_eq!(answer.field("content-type"), Some("text/css; charset=\"utf-8\""));
    let file = fs::read(server.site().path(style.trim_start_matches('/'))).expect("collectstatic put it there");
    assert!(answer.body == file, "the file arrives as it is");
    let head = server.connect().send(format!("HEAD {style} HTTP/1.1\r\nHost: localhost\r\n\r\n")).answer_to_head();
    assert_eq!(head.field("content-length"), Some(&*file.len().to_string()));
}

// systemd: its config, without the manager.

#[test]
fn what_the_unit_serves_is_served() {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().expect("somebody runs the tests");
    let site = example("systemd");
    let another = site.another_address().to_string();
    let site = site.variable("APP_USER", &user.name).variable("DIRECTORY", ".").variable("LISTEN_6", &another);
    let server = site.variable("PID_FILE", "server.pid").serve();
    assert_eq!(server.get("/").expect_status(200).text(), format!("Hello from {}\n", user.name));
    assert_eq!(server.site().read("server.pid"), format!("{}\n", server.process().pid()));
}
