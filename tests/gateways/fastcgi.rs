//! What FastCGI alone has: requests beside each other on one connection, aborts, management records, roles, the log of the web server.

use crate::harness::gateway::fastcgi::{
    ABORT_REQUEST, GET_VALUES, GET_VALUES_RESULT, KEEP_CONN, OVERLOADED, REQUEST_COMPLETE, STDIN, Said, UNKNOWN_ROLE,
    UNKNOWN_TYPE, answer, begin, head, next, pairs, record, request, stream,
};
use crate::harness::gateway::{Asked, Wire, cgi_answer};
use crate::harness::{Client, Ending, eventually};

use super::Gateways;

fn text(said: &Said) -> String {
    cgi_answer(&said.stdout, "GET").unwrap_or_else(|broken| panic!("{broken}")).text().to_owned()
}

fn connect(gateways: &Gateways) -> Client {
    Client::connect(gateways.address(Wire::FastCgi))
}

/// What comes for two requests until both have ended, and which of them ended first.
fn both(client: &mut Client, ids: [u16; 2]) -> ([Said; 2], u16) {
    let (mut said, mut ended) = ([Said::default(), Said::default()], Vec::new());
    while ended.len() < 2 {
        let record = next(client).expect("a record");
        let index = ids.iter().position(|id| *id == record.id).expect("it is for one of the two");
        if said[index].add(&record).expect("a record of an answer") {
            ended.push(record.id);
        }
    }
    (said, ended[0])
}

#[test]
fn a_connection_is_kept_if_the_web_server_wants_to_and_only_then() {
    let gateways = Gateways::serve("mirror:counted", "");
    let mut client = connect(&gateways);
    for length in [3, 0, 70_000] {
        client.send(request(1, KEEP_CONN, &Asked::post("/", &vec![b'x'; length])));
        assert_eq!(text(&answer(&mut client, 1).unwrap()), length.to_string());
    }
    client.send(request(7, 0, &Asked::get("/")));
    assert_eq!(answer(&mut client, 7).unwrap().status, (0, REQUEST_COMPLETE));
    client.expect_close();
}

#[test]
fn a_request_may_come_byte_by_byte_and_its_pairs_over_any_records() {
    let gateways = Gateways::serve("mirror:application", "");
    let asked =
        Asked::post("/x", b"body").field("X-Long", &"l".repeat(300)).variable("N\u{a}".trim(), &"n".repeat(127));
    let variables = asked.all_variables();
    let all = pairs(variables.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
    let mut client = connect(&gateways);
    for most in [1, 7, 128] {
        client.send(begin(1, 1, KEEP_CONN)).send(stream(4, 1, &all, most)).send(stream(STDIN, 1, b"body", 1));
        let told = text(&answer(&mut client, 1).unwrap());
        assert!(told.contains("\"body\": \"body\"") && told.contains(&"l".repeat(300)), "{told}");
    }
    client.send_bytewise(request(1, 0, &asked));
    assert!(text(&answer(&mut client, 1).unwrap()).contains("\"body\": \"body\""));
}

#[test]
fn requests_beside_each_other_are_answered_interleaved() {
    let gateways = Gateways::serve("calls:application", "threads: 3");
    let mut client = connect(&gateways);
    // The first stays in the application until the second has been answered, on the same connection.
    client.send(request(1, KEEP_CONN, &Asked::get("/wait")));
    eventually("the first to be in its call", || {
        let mut other = connect(&gateways);
        other.send(request(1, 0, &Asked::get("/told")));
        text(&answer(&mut other, 1).unwrap()).contains("waits").then_some(())
    });
    client.send(request(2, KEEP_CONN, &Asked::get("/agent").field("User-Agent", "second")));
    client.send(request(3, KEEP_CONN, &Asked::get("/slow")));
    assert_eq!(text(&answer(&mut client, 2).unwrap()), "second");
    let mut other = connect(&gateways);
    other.send(request(1, 0, &Asked::get("/open")));
    answer(&mut other, 1).unwrap();
    let (said, _) = both(&mut client, [1, 3]);
    assert_eq!(said.map(|said| text(&said)), ["ok".to_owned(), "0 1 2 3 ".to_owned()]);
}

#[test]
fn requests_beside_each_other_are_answered_with_one_thread_too() {
    let gateways = Gateways::serve("calls:application", "threads: 1");
    let mut client = connect(&gateways);
    client.send([request(1, KEEP_CONN, &Asked::get("/slow")), request(2, KEEP_CONN, &Asked::get("/agent"))].concat());
    let (said, first) = both(&mut client, [1, 2]);
    assert_eq!(text(&said[0]), "0 1 2 3 ");
    assert_eq!(first, 2, "between two pieces of the one there is time for the other");
    // The connection goes on as if nothing had been.
    client.send(request(1, KEEP_CONN, &Asked::get("/agent").field("User-Agent", "third")));
    assert_eq!(text(&answer(&mut client, 1).unwrap()), "third");
}

#[test]
fn bodies_of_requests_beside_each_other_may_come_mixed() {
    let gateways = Gateways::serve("mirror:counted", "limits: {body_memory_max: 64KiB}");
    let mut client = connect(&gateways);
    let asked = [Asked::post("/", &vec![b'a'; 300_000]), Asked::post("/", &vec![b'b'; 200_000])];
    client.send(head(1, KEEP_CONN, &asked[0])).send(head(2, KEEP_CONN, &asked[1]));
    for at in (0..300_000).step_by(10_000) {
        client.send(record(STDIN, 1, &asked[0].body[at..at + 10_000]));
        if at < 200_000 {
            client.send(record(STDIN, 2, &asked[1].body[at..at + 10_000]));
        }
    }
    client.send(record(STDIN, 2, b"")).send(record(STDIN, 1, b""));
    let (said, _) = both(&mut client, [1, 2]);
    assert_eq!(said.map(|said| text(&said)), ["300000", "200000"]);
}

#[test]
fn large_answers_beside_each_other_come_in_whole_records() {
    for (engine, gateways) in Gateways::by_each_engine("calls:application", "") {
        let mut client = connect(&gateways);
        // 16 MiB each, more than any socket holds: both are cut off again and again.
        let both_asked = [request(1, KEEP_CONN, &Asked::get("/large")), request(2, KEEP_CONN, &Asked::get("/large"))];
        client.send(both_asked.concat());
        client.turn_deaf(std::time::Duration::from_millis(200));
        let (said, _) = both(&mut client, [1, 2]);
        for said in said {
            let answer = cgi_answer(&said.stdout, "GET").unwrap();
            assert!(answer.body.len() == 16 << 20 && answer.body.iter().all(|byte| *byte == b'x'), "{engine}");
        }
    }
}

#[test]
fn without_keep_conn_the_connection_ends_behind_all_that_are_on_it() {
    let gateways = Gateways::serve("calls:application", "threads: 2");
    let mut client = connect(&gateways);
    client.send([request(1, 0, &Asked::get("/agent")), request(2, 0, &Asked::get("/slow"))].concat());
    let (said, first) = both(&mut client, [1, 2]);
    assert_eq!((text(&said[1]).as_str(), first), ("0 1 2 3 ", 1));
    client.expect_close();
}

#[test]
fn an_abort_ends_a_request_whose_body_is_still_to_come() {
    let gateways = Gateways::serve("mirror:counted", "");
    let mut client = connect(&gateways);
    client.send(head(1, KEEP_CONN, &Asked::post("/", b"never"))).send(record(ABORT_REQUEST, 1, b""));
    let said = answer(&mut client, 1).unwrap();
    assert_eq!((said.stdout.as_slice(), said.status), (&b""[..], (0, REQUEST_COMPLETE)));
    client.send(request(1, KEEP_CONN, &Asked::post("/", b"next")));
    assert_eq!(text(&answer(&mut client, 1).unwrap()), "4");
    // Beside another too, whose answer is not touched.
    client.send(head(1, KEEP_CONN, &Asked::post("/", b"one"))).send(head(2, KEEP_CONN, &Asked::post("/", b"two")));
    client.send(record(ABORT_REQUEST, 2, b""));
    assert_eq!(answer(&mut client, 2).unwrap().stdout, b"");
    client.send(stream(STDIN, 1, b"one", 9));
    assert_eq!(text(&answer(&mut client, 1).unwrap()), "3");
}

#[test]
fn an_abort_closes_the_iterable_of_an_answer_that_is_on_its_way() {
    for (engine, gateways) in Gateways::by_each_engine("calls:application", "") {
        let mut client = connect(&gateways);
        client.send(request(1, KEEP_CONN, &Asked::get("/endless")));
        let mut said = Said::default();
        while said.stdout.len() < 1 << 20 {
            assert!(!said.add(&next(&mut client).unwrap()).unwrap());
        }
        client.send(record(ABORT_REQUEST, 1, b""));
        while !said.add(&next(&mut client).unwrap()).unwrap() {
            assert!(said.stdout.len() < 1 << 28, "it goes on and on");
        }
        assert_eq!(said.status, (0, REQUEST_COMPLETE), "{engine}");
        client.send(request(1, KEEP_CONN, &Asked::get("/told")));
        assert_eq!(text(&answer(&mut client, 1).unwrap()), "['endless over']");
    }
}

#[test]
fn the_web_server_may_ask_what_we_can() {
    let gateways = Gateways::serve("mirror:counted", "threads: 3\nlimits: {connections_max: 50, queue_max: 20}");
    let mut client = connect(&gateways);
    let asked = pairs(["FCGI_MAX_CONNS", "FCGI_MPXS_CONNS", "FCGI_MAX_REQS", "OTHER"].map(|name| (name, &b""[..])));
    client.send(record(GET_VALUES, 0, &asked));
    let told = next(&mut client).unwrap();
    assert_eq!((told.kind, told.id), (GET_VALUES_RESULT, 0));
    let mut expected = Vec::new();
    for pair in [("FCGI_MAX_CONNS", "50"), ("FCGI_MAX_REQS", "23"), ("FCGI_MPXS_CONNS", "1")] {
        expected.extend(pairs([(pair.0, pair.1.as_bytes())]));
    }
    assert_eq!(told.content.escape_ascii().to_string(), expected.escape_ascii().to_string());
    client.send(record(77, 0, b"what"));
    let told = next(&mut client).unwrap();
    assert_eq!((told.kind, told.id, &told.content[..]), (UNKNOWN_TYPE, 0, &[77, 0, 0, 0, 0, 0, 0, 0][..]));
    client.send(request(1, KEEP_CONN, &Asked::post("/", b"123")));
    assert_eq!(text(&answer(&mut client, 1).unwrap()), "3");
}

#[test]
fn another_role_than_a_responders_is_told_so() {
    let gateways = Gateways::serve("mirror:counted", "");
    let mut client = connect(&gateways);
    for role in [2, 3, 9] {
        client.send(begin(1, role, KEEP_CONN)).send(stream(4, 1, b"", 9)).send(stream(STDIN, 1, b"", 9));
        let said = answer(&mut client, 1).unwrap();
        assert_eq!((said.stdout.as_slice(), said.status.1), (&b""[..], UNKNOWN_ROLE), "role {role}");
    }
    client.send(request(1, KEEP_CONN, &Asked::post("/", b"123")));
    assert_eq!(text(&answer(&mut client, 1).unwrap()), "3");
}

#[test]
fn a_request_that_finds_no_room_to_wait_is_told_overloaded() {
    let gateways = Gateways::serve("turnstile:application", "threads: 1\nlimits: {queue_max: 1}");
    let mut client = connect(&gateways);
    client.send(request(1, KEEP_CONN, &Asked::get("/wait")));
    eventually("the call", || (gateways.server.site().read("calls") == "/wait\n").then_some(()));
    let mut others: Vec<Client> = (0..3).map(|_| connect(&gateways)).collect();
    for other in &mut others {
        other.send(request(1, KEEP_CONN, &Asked::get("/later")));
    }
    let count =
        |others: &mut Vec<Client>| others.iter_mut().filter_map(|other| other.has_something().then_some(())).count();
    eventually("two to be refused", || (count(&mut others) == 2).then_some(()));
    gateways.server.site().put("open", "");
    let mut ends: Vec<u8> = others.iter_mut().map(|other| answer(other, 1).unwrap().status.1).collect();
    ends.sort_unstable();
    assert_eq!(ends, [REQUEST_COMPLETE, OVERLOADED, OVERLOADED]);
}

#[test]
fn what_is_written_to_wsgi_errors_is_in_the_web_servers_log_and_in_ours() {
    let gateways = Gateways::serve("answers:application", "");
    let mut client = connect(&gateways);
    client.send(request(1, KEEP_CONN, &Asked::get("/complains")));
    let said = answer(&mut client, 1).unwrap();
    assert_eq!(String::from_utf8(said.stderr.clone()).unwrap(), "to wsgi.errors: \u{263a}\nand more of it\n");
    assert_eq!(text(&said), "x");
    gateways.server.logged("the application wrote to wsgi.errors");
}

#[test]
fn what_is_no_fastcgi_is_not_answered() {
    let gateways = Gateways::serve("mirror:counted", "");
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[1, 1, 0, 0, 0, 8, 0, 0]] {
        let mut client = connect(&gateways);
        client.send(bytes);
        let (seen, ending) = client.ending();
        assert_eq!((seen.as_slice(), matches!(ending, Ending::Eof | Ending::Reset)), (&b""[..], true));
    }
    // Of a request that is wrong within its records its connection survives.
    let mut client = connect(&gateways);
    client.send(begin(1, 1, KEEP_CONN)).send(record(4, 1, b"\x7f")).send(record(4, 1, b""));
    let said = answer(&mut client, 1).unwrap();
    assert!(said.stdout.starts_with(b"Status: 400 "), "{said:?}");
    client.send(request(1, KEEP_CONN, &Asked::post("/", b"123")));
    assert_eq!(text(&answer(&mut client, 1).unwrap()), "3");
}

/// How a request has ended whose answer is cut: with the exit status of a program that failed.
const CUT: (u32, u8) = (1, REQUEST_COMPLETE);

#[test]
fn an_answer_that_is_cut_beside_others_ends_as_one_that_failed() {
    for (engine, gateways) in Gateways::by_each_engine("calls:application", "") {
        for paths in [["/slow?0.05", "/cut"], ["/cut", "/slow?0.05"]] {
            let mut client = connect(&gateways);
            client.send(
                [request(1, KEEP_CONN, &Asked::get(paths[0])), request(2, KEEP_CONN, &Asked::get(paths[1]))].concat(),
            );
            let (said, first) = both(&mut client, [1, 2]);
            let cut = usize::from(first) - 1;
            assert_eq!((paths[cut], said[cut].status), ("/cut", CUT), "{engine}: {said:?}");
            assert!(said[cut].stdout.ends_with(b"first "), "{engine}: {said:?}");
            assert_eq!(
                (text(&said[1 - cut]).as_str(), said[1 - cut].status),
                ("0 1 2 3 ", (0, REQUEST_COMPLETE)),
                "{engine}"
            );
        }
    }
}

#[test]
fn a_late_call_beside_others_costs_its_own_request_alone() {
    let gateways = Gateways::serve("calls:application", "threads: 3\ntimeouts: {request: 400ms}");
    let mut client = connect(&gateways);
    client
        .send([request(1, KEEP_CONN, &Asked::get("/raised")), request(2, KEEP_CONN, &Asked::get("/chunks"))].concat());
    client.send(request(3, KEEP_CONN, &Asked::get("/slow").field("X", "y")));
    // Four pauses of 600 ms do not fit, so none of these ends well; but each by itself.
    let mut ended = 0;
    let mut said = [Said::default(), Said::default(), Said::default()];
    while ended < 3 {
        let record = next(&mut client).expect("a record");
        ended += usize::from(said[usize::from(record.id) - 1].add(&record).unwrap());
    }
    assert!(said[0].stdout.starts_with(b"Status: 504 "), "{said:?}");
    assert!(said[1].stdout.ends_with(b"first "), "{said:?}");
    // A 504 is a whole answer.
    assert_eq!(said.map(|said| said.status), [(0, REQUEST_COMPLETE), CUT, (0, REQUEST_COMPLETE)]);
}
