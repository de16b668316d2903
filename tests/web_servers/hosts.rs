//! Many hosts behind one nginx, each an application of one server: `examples/behind-nginx/hosts.conf`.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::harness::{Client, Process, Server, Site, eventually, installed, program, repository};

/// Where the example's applications lie.
const PLACE: &str = "/srv/hosts";

fn served() -> (Server, Process, SocketAddr) {
    let site = Site::copy_of(&repository().join("examples/behind-nginx")).variable("MODE", "0666");
    fs::set_permissions(site.path(""), fs::Permissions::from_mode(0o755)).expect("our own folder's mode can be set");
    let address = site.another_address();
    let folder = site.path("").to_string_lossy().trim_end_matches('/').to_owned();
    let hosts = site.read("hosts.conf").replace(PLACE, &folder).replace("127.0.0.1:8081", &address.to_string());
    let around = format!(
        "daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n\
        client_body_temp_path {folder}/body;\nproxy_temp_path {folder}/proxy;\nfastcgi_temp_path {folder}/fastcgi;\n\
        scgi_temp_path {folder}/scgi;\nuwsgi_temp_path {folder}/uwsgi;\n{hosts}}}\n"
    );
    let site = site.file("nginx-around.conf", &around);
    let command = [program("supervisor").display().to_string(), "run".into(), "-c".into(), "hosts.yaml".into()];
    let server = site.launch_as(&command);
    server.process().wait("every application to serve", |lines, _| {
        (lines.iter().filter(|line| line.contains("serving app=")).count() >= 3).then_some(())
    });
    let file = server.site().path("nginx-around.conf").display().to_string();
    let nginx = Process::start(&installed("nginx"), &["-e", "stderr", "-c", &file], &server.site().path(""), &[]);
    eventually("nginx to listen", || Client::try_connect(address).map(drop).map_err(|why| (why, nginx.output())));
    (server, nginx, address)
}

fn asked(address: SocketAddr, host: &str) -> Client {
    let mut client = Client::connect(address);
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    client
}

#[test]
fn each_host_is_answered_by_its_own_application_and_a_strange_one_by_nobody() {
    let (_server, _nginx, address) = served();
    for (host, site) in
        [("shop.example", "shop"), ("www.shop.example", "shop"), ("blog.example", "blog"), ("api.example:81", "api")]
    {
        let mut client = asked(address, host);
        let ip = client.local_address().ip();
        assert_eq!(client.answer().expect_status(200).text(), format!("{site} for {host}, asked by {ip}\n"));
    }
    asked(address, "evil.example").expect_close();
}

/// The processes of an application's workers.
fn workers(server: &Server, app: &str) -> Vec<Value> {
    let process = server.site().supervisor(&["status", "--json", "-c", "hosts.yaml"]);
    let status: Value = serde_json::from_str(&process.whole_output()).expect("it is JSON");
    let apps = status["apps"].as_array().expect("a list");
    let app = apps.iter().find(|found| found["name"] == app).expect("there is one of that name");
    app["workers"].as_array().expect("a list").iter().map(|worker| worker["pid"].clone()).collect()
}

#[test]
fn another_setting_of_one_application_costs_the_others_not_even_a_worker() {
    let (server, _nginx, address) = served();
    let (shop, blog) = (workers(&server, "shop"), workers(&server, "blog"));
    let yaml = server.site().read("hosts.yaml");
    server.site().put("hosts.yaml", &yaml.replacen("{SITE: blog}", "{SITE: diary}", 1));
    eventually("the new setting", || {
        let told = asked(address, "blog.example").answer().expect_status(200).text().to_owned();
        told.starts_with("diary for blog.example").then_some(()).ok_or(told)
    });
    assert_eq!(workers(&server, "shop"), shop);
    assert_ne!(workers(&server, "blog"), blog);
    // One that is wrong is not taken over, and the other hosts hear nothing of it.
    server.site().put("hosts.yaml", &yaml.replacen("hosts:application", "nowhere:application", 1));
    server.process().line("reload abandoned");
    for host in ["shop.example", "blog.example", "api.example"] {
        asked(address, host).answer().expect_status(200);
    }
}
