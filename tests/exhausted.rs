//! A worker that is out of something: descriptors, or room on the disk. It serves on, nobody in the backlog is lost, and it takes up all of
//! its work again when there is enough.

use std::fs;
use std::process::Command;

use nix::unistd::Uid;

use crate::harness::{Client, Server, Site, descriptors, eventually, program};

const LIMIT: usize = 4096;

/// Lets a process have descriptors below this number only.
pub fn allow_descriptors(pid: i32, below: usize) {
    let status = Command::new("prlimit").args([format!("--pid={pid}"), format!("--nofile={below}:")]).status();
    assert!(status.expect("prlimit can be run").success());
}

/// The one worker, which can have no further descriptor.
fn out_of_descriptors(server: &Server) -> i32 {
    let worker = server.workers()[0];
    let highest = descriptors(worker).last().expect("a worker has descriptors").0;
    allow_descriptors(worker, highest as usize + 1);
    worker
}

#[test]
fn clients_wait_in_the_backlog_while_a_worker_has_no_descriptor_for_them() {
    let server = Site::new("answers:application").app("workers: 1").serve();
    let mut kept = server.connect();
    kept.get("/plain").expect_status(200);
    let worker = out_of_descriptors(&server);

    // Numbers below the highest may be free, so more come than can be taken.
    let mut others: Vec<Client> = (0..30).map(|_| server.connect()).collect();
    for client in &mut others {
        client.send("GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    let said = server.logged("cannot accept connections: they wait in the backlog");
    assert!(said["why"].as_str().is_some_and(|why| why.contains("Too many open files")), "{said}");
    kept.get("/plain").expect_status(200);
    assert!(!others.last_mut().expect("there are some").has_something(), "the last of them waits");

    allow_descriptors(worker, LIMIT);
    others.iter_mut().for_each(|client| drop(client.answer().expect_status(200)));
    kept.get("/plain").expect_status(200);
    assert_eq!(server.workers(), [worker]);
}

#[test]
fn an_upload_for_which_there_is_no_file_is_told_so_and_the_next_is_stored() {
    let limits = "workers: 1\nlimits: {body_memory_max: 1KiB}";
    let server = Site::new("mirror:counted").app(limits).serve();
    let mut client = server.connect();
    client.get("/").expect_status(200);
    let worker = out_of_descriptors(&server);
    fill(worker, &server);
    client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4096\r\n\r\n").send([b'x'; 4096]);
    client.answer().expect_status(503);

    allow_descriptors(worker, LIMIT);
    assert_eq!(server.connect().post("/", &[b'x'; 4096]).expect_status(200).text(), "4096");
    assert_eq!(server.workers(), [worker]);
}

/// Takes the numbers that are free below a worker's highest.
fn fill(worker: i32, server: &Server) {
    let open: Vec<i32> = descriptors(worker).iter().map(|(number, _)| *number).collect();
    let highest = *open.last().expect("a worker has descriptors");
    let free = highest as usize + 1 - open.len();
    let fillers: Vec<Client> = (0..free).map(|_| server.connect()).collect();
    eventually("the last descriptor to be taken", || (descriptors(worker).len() > highest as usize).then_some(()));
    // They stay open for as long as the server does.
    fillers.into_iter().for_each(std::mem::forget);
}

#[test]
fn a_full_disk_costs_an_upload_its_place_and_nothing_else() {
    if !Uid::effective().is_root() {
        return eprintln!("not tried: only root mounts a disk");
    }
    let site = Site::new("mirror:counted").app("workers: 1\nlimits: {body_memory_max: 1KiB}");
    fs::create_dir(site.path("disk")).expect("a folder can be made");
    let disk = site.path("disk").display().to_string();
    let script = format!(
        "set -e; mount -t tmpfs -o size=1m tmpfs {disk}; export TMPDIR={disk}; exec {} run -c server.yaml",
        program("supervisor").display()
    );
    let server = site.launch_as(&["unshare", "--mount", "sh", "-c", &script].map(str::to_owned));
    server.wait_until_serving();
    let worker = server.workers()[0];
    let mut kept = server.connect();

    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n");
    let _ = client.try_send(vec![b'x'; 4_000_000]);
    client.answer().expect_status(503);
    // What it had stored is given back, so a smaller one has room.
    for _ in 0..3 {
        assert_eq!(kept.post("/", &[b'x'; 500_000]).expect_status(200).text(), "500000");
    }
    assert_eq!(server.workers(), [worker]);
}
