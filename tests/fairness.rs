//! How the workers of one application share their clients.

use std::time::{Duration, Instant};

use crate::exhausted::allow_descriptors;
use crate::harness::{Client, Server, Site, descriptors, eventually};

/// Requests that each worker has served.
fn served(server: &Server) -> Vec<u64> {
    let status = server.status();
    let workers = status["apps"][0]["workers"].as_array().expect("there are workers").clone();
    workers.iter().map(|worker| worker["work"]["requests"].as_u64().expect("a count")).collect()
}

fn assert_fair(served: &[u64]) {
    let (least, most) = (served.iter().min().expect("one"), served.iter().max().expect("one"));
    assert!(*most <= 2 * least, "{served:?}");
}

#[test]
fn clients_that_keep_their_connections_are_shared_by_all_workers() {
    let server = Site::new("answers:application").app("workers: 4").serve();
    // All at once.
    let mut clients: Vec<Client> = (0..64).map(|_| server.connect()).collect();
    for _ in 0..5 {
        for client in &mut clients {
            client.send("GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n");
        }
        clients.iter_mut().for_each(|client| drop(client.answer().expect_status(200)));
    }
    assert_fair(&served(&server));
    // And one behind the other, beside those.
    let mut later = Vec::new();
    for _ in 0..64 {
        let mut client = server.connect();
        (0..10).for_each(|_| drop(client.get("/plain").expect_status(200)));
        later.push(client);
    }
    assert_fair(&served(&server));
}

/// Clients that keep their connections, each with the worker that has it.
fn kept_clients(server: &Server, count: usize) -> Vec<(Client, i32)> {
    let mut clients: Vec<Client> = (0..count).map(|_| server.connect()).collect();
    let told = clients.iter_mut().map(pid_by).collect::<Vec<_>>();
    clients.into_iter().zip(told).collect()
}

/// Which worker answers.
fn pid_by(client: &mut Client) -> i32 {
    let answer = client.get("/pid").expect_status(200);
    answer.text().trim_start_matches("/pid ").parse().expect("a number")
}

#[test]
fn who_keeps_a_connection_to_a_busy_worker_is_served_by_a_free_one() {
    let server = Site::new("turnstile:application").app("workers: 2").serve();
    let mut clients = kept_clients(&server, 12);
    let (mut holder, busy) = clients.pop().expect("there are twelve");
    holder.send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
    eventually("the call", || server.site().read("calls").contains("/wait").then_some(()));
    assert!(clients.iter().any(|(_, pid)| *pid == busy), "all clients are with one worker");
    // All of them twice: the second time they are where they were served the first time. A body travels too.
    for (client, _) in &mut clients {
        assert_ne!(pid_by(client), busy);
        assert_eq!(client.post("/echo", &[b'x'; 1000]).expect_status(200).body.len(), 1005);
        assert_ne!(pid_by(client), busy);
    }
    // Two requests behind each other come back in their order.
    let (client, _) = &mut clients[0];
    client.send("GET /one HTTP/1.1\r\nHost: localhost\r\n\r\nGET /two HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((client.answer().text(), client.answer().text()), ("/one", "/two"));
    server.site().put("open", "");
    holder.answer().expect_status(200);
}

#[test]
fn a_request_that_no_sibling_takes_comes_home_and_is_answered_in_time() {
    let server = Site::new("turnstile:application").app("workers: 2\ntimeouts: {queue: 1s}").serve();
    let mut clients = kept_clients(&server, 12);
    let (mut holder, busy) = clients.pop().expect("there are twelve");
    // It seems to be free, and never takes anything.
    let other = clients.iter().map(|(_, pid)| *pid).find(|pid| *pid != busy).expect("there are two workers");
    crate::harness::stop(other);
    holder.send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
    eventually("the call", || server.site().read("calls").contains("/wait").then_some(()));
    let (client, _) = clients.iter_mut().find(|(_, pid)| *pid == busy).expect("it has several");
    client.get("/quick").expect_status(503);
    server.site().put("open", "");
    holder.answer().expect_status(200);
}

/// A call that lasts until there is a file `open`, with the worker that has it; the others' clients.
fn held(server: &Server, mut clients: Vec<(Client, i32)>) -> (Client, i32, Vec<(Client, i32)>) {
    let (mut holder, busy) = clients.pop().expect("there are some");
    holder.send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
    eventually("the call", || server.site().read("calls").contains("/wait").then_some(()));
    (holder, busy, clients)
}

#[test]
fn requests_that_cannot_travel_keep_none_behind_them_from_it() {
    let server = Site::new("turnstile:application").app("workers: 2").serve();
    let (mut holder, busy, clients) = held(&server, kept_clients(&server, 24));
    let mut staying: Vec<Client> = clients.into_iter().filter(|(_, pid)| *pid == busy).map(|known| known.0).collect();
    let mut last = staying.pop().expect("it has several");
    assert!(staying.len() >= 5, "{}", staying.len());
    for client in &mut staying {
        client
            .send("POST /chunks HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
    }
    eventually("all of them to wait", || {
        (queued(&server) == staying.len() as u64).then_some(()).ok_or(queued(&server))
    });
    assert_ne!(pid_by(&mut last), busy);
    server.site().put("open", "");
    staying.iter_mut().chain([&mut holder]).for_each(|client| drop(client.answer().expect_status(200)));
}

/// Requests that wait for a thread.
pub fn queued(server: &Server) -> u64 {
    let status = server.status();
    let workers = status["apps"][0]["workers"].as_array().expect("there are workers").clone();
    workers.iter().map(|worker| worker["work"]["queued"].as_u64().expect("a count")).sum()
}

#[test]
fn who_is_taken_over_by_a_worker_with_one_descriptor_left_is_not_lost() {
    let server = Site::new("turnstile:application").app("workers: 2").serve();
    let (mut holder, busy, mut clients) = held(&server, kept_clients(&server, 12));
    let other = clients.iter().map(|(_, pid)| *pid).find(|pid| *pid != busy).expect("there are two workers");
    let open = descriptors(other);
    let free =
        (0..).zip(&open).find(|(number, (used, _))| number != used).map_or(open.len() as i32, |(number, _)| number);
    allow_descriptors(other, free as usize + 1);
    let (client, _) = clients.iter_mut().find(|(_, pid)| *pid == busy).expect("it has several");
    client.send("GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // The application needs a descriptor of its own, and may well fail without.
    client.try_answer("GET").unwrap_or_else(|broken| panic!("an answer, whatever it is: {broken}"));
    allow_descriptors(other, 4096);
    server.site().put("open", "");
    holder.answer().expect_status(200);
}

#[test]
fn a_worker_that_is_replaced_after_reloads_that_failed_is_relieved_as_ever() {
    let server = Site::new("turnstile:application").app("workers: 2").serve();
    let good = server.site().read("turnstile.py");
    for _ in 0..4 {
        server.site().put("turnstile.py", "raise SystemError('not this one')\n");
        assert_eq!(server.command(&["reload", "--wait"]).0, 1);
    }
    server.site().put("turnstile.py", &good);
    let victim = server.workers()[0];
    server.kill_worker(victim);
    eventually("two workers", || {
        let workers = server.workers();
        (workers.len() == 2 && !workers.contains(&victim)).then_some(()).ok_or(workers)
    });
    let (mut holder, busy, mut clients) = held(&server, kept_clients(&server, 12));
    assert!(clients.iter().any(|(_, pid)| *pid == busy), "all clients are with one worker");
    for (client, _) in &mut clients {
        assert_ne!(pid_by(client), busy);
    }
    server.site().put("open", "");
    holder.answer().expect_status(200);
}

#[test]
fn nobody_waits_for_a_worker_that_is_busy_or_gone() {
    let server = Site::new("turnstile:application").app("workers: 2").serve();
    let mut holder = server.connect();
    holder.send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
    eventually("the call", || (server.site().read("calls") == "/wait\n").then_some(()));
    let began = Instant::now();
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..30 {
        let mut client = server.connect();
        client.get("/quick").expect_status(200);
        clients.push(client);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    server.site().put("open", "");
    holder.answer().expect_status(200);

    // The one that is killed holds nothing any more, and its replacement has a place of its own.
    let victim = server.workers()[0];
    server.kill_worker(victim);
    for _ in 0..30 {
        let mut client = server.connect();
        client.get("/quick").expect_status(200);
    }
    eventually("two workers", || {
        let workers = server.workers();
        (workers.len() == 2 && !workers.contains(&victim)).then_some(()).ok_or(workers)
    });
}
