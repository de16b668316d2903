//! Work on an application: what is saved is served, what is broken is shown, what is mended heals.

use std::net::SocketAddr;

use nix::sys::signal::Signal;

use crate::harness::{Answer, Client, Process, Site, eventually};

/// An application whose answer is `text`.
fn app(text: &str) -> String {
    format!(
        "def application(environ, start_response):\n    \
        start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '{}')])\n    \
        return [b'{text}']\n",
        text.len()
    )
}

/// `supervisor dev` on the application in `shop.py`.
fn develop(source: &str) -> (Site, Process) {
    let site = Site::empty().file("shop.py", source);
    let listen = site.listen().to_string();
    let process = site.supervisor(&["dev", "shop:application", "--listen", &listen]);
    process.line(&format!("http://{listen}/"));
    (site, process)
}

/// What a browser gets.
fn browse(address: SocketAddr) -> Option<Answer> {
    let mut client = Client::try_connect(address).ok()?;
    client.try_send("GET / HTTP/1.1\r\nHost: h\r\nAccept: text/html,*/*;q=0.8\r\nConnection: close\r\n\r\n").ok()?;
    client.try_answer("GET").ok()
}

/// Waits until a browser sees `part`.
#[track_caller]
fn wait_to_see(address: SocketAddr, status: u16, part: &str) {
    eventually(&format!("a page with {part:?}"), || {
        let page = browse(address).ok_or("no answer".to_owned())?;
        let seen = page.status == status && page.text().contains(part);
        if seen { Ok(()) } else { Err(page.to_string()) }
    });
}

#[test]
fn a_save_is_served_without_a_word() {
    let (site, process) = develop(&app("first"));
    wait_to_see(site.listen(), 200, "first");
    site.put("shop.py", &app("another"));
    wait_to_see(site.listen(), 200, "another");
    process.signal(Signal::SIGINT);
    process.exit_code();
    assert!(process.session().is_empty(), "nothing is left behind");
}

#[test]
fn a_broken_first_save_is_shown_in_the_browser_and_heals() {
    for (broken, shown) in [
        ("def application(:\n", "SyntaxError"),
        ("import nothing_of_that_name\n", "No module named"),
        ("raise SystemExit('no')\n", "SystemExit"),
    ] {
        let (site, _process) = develop(broken);
        wait_to_see(site.listen(), 503, shown);
        site.put("shop.py", &app("mended"));
        wait_to_see(site.listen(), 200, "mended");
    }
}

#[test]
fn a_broken_later_save_is_shown_to_browsers_while_programs_are_served() {
    let (site, _process) = develop(&app("first"));
    wait_to_see(site.listen(), 200, "first");
    site.put("shop.py", "raise LookupError('no such shop')\n");
    wait_to_see(site.listen(), 503, "LookupError: no such shop");
    assert_eq!(Client::connect(site.listen()).get("/").expect_status(200).text(), "first");
    site.put("shop.py", &app("mended"));
    wait_to_see(site.listen(), 200, "mended");
}

#[test]
fn a_module_that_is_imported_by_the_application_is_watched_too() {
    let imports = "from shelf import text\n\ndef application(environ, start_response):\n    \
        start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [text]\n";
    let site = Site::new("shop:application").file("shop.py", imports).file("shelf.py", "text = b'one'\n");
    let server = site.app("reload: {on_change: 'nothing/*.py'}").serve();
    wait_to_see(server.address(), 200, "one");
    server.site().put("shelf.py", "text = b'two'\nmore = None\n");
    wait_to_see(server.address(), 200, "two");
    assert!(server.logged("reloading")["cause"].as_str().is_some_and(|cause| cause.contains("shelf.py")));
}

#[test]
fn a_change_of_the_yaml_is_a_reload_of_what_differs_when_it_is_watched() {
    let site = Site::new("gate:application").top("watch: true").app("workers: 1\nthreads: 1");
    let second = site.another_address();
    let server = site.serve();
    let yaml = server.site().read("server.yaml");
    let with_other = |workers: usize| {
        format!("{yaml}  other: {{wsgi: 'gate:application', listen: '{second}', workers: {workers}, threads: 1}}\n")
    };
    let before = server.workers();
    server.site().put("server.yaml", &with_other(1));
    eventually("the new application to answer", || {
        Client::try_connect(second).ok().map(|mut client| client.get("/pid").expect_status(200))
    });
    server.site().put("server.yaml", &with_other(2));
    eventually("four workers", || (server.workers().len() == 3).then_some(()).ok_or(server.workers()));
    assert!(before.iter().all(|pid| server.workers().contains(pid)), "what is the same in the file goes on");
    server.site().put("server.yaml", &format!("{yaml}nonsense: ["));
    server.logged("reload abandoned");
    server.get("/pid").expect_status(200);
    server.site().put("server.yaml", &yaml);
    eventually("the first worker alone", || (server.workers() == before).then_some(()).ok_or(server.workers()));
}
