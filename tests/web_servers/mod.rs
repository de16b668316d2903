//! nginx, Apache httpd, HAProxy and lighttpd before the server, by the configurations of `examples/`: all that HTTP gives arrives through them.

mod front;
mod hosts;
mod shared;
mod tour;

use front::Kind;
use tour::{Cut, USUAL, Upstream, Way};

use crate::harness::Answer;

#[test]
fn the_examples_tell_how_the_request_came() {
    for (kind, ports) in [
        (Kind::Nginx, &[8081, 8082, 8083, 8084][..]),
        (Kind::Apache, &[8081, 8082, 8083, 8084, 8086]),
        (Kind::Haproxy, &[8081, 8082, 8085]),
    ] {
        let front = kind.with_its_own_application();
        for &port in ports {
            let mut client = front.connect(port);
            let client_ip = client.local_address().ip();
            let get = "GET /caf%C3%A9/x?q=1 HTTP/1.1\r\nHost: shop.example\r\n\r\n";
            let told: Answer = client.send(get).answer().expect_status(200);
            let expected = format!(
                "REQUEST_METHOD = GET\nSCRIPT_NAME = \nPATH_INFO = /café/x\nQUERY_STRING = q=1\nHTTP_HOST = shop.example\n\
                REMOTE_ADDR = {client_ip}\nwsgi.url_scheme = http\n"
            );
            assert_eq!(told.text(), expected, "{kind:?} on {port}");
        }
    }
}

/// A test for each way of each web server: what arrives, and a reload in the middle.
macro_rules! ways {
    ($($name:ident: $kind:ident $port:literal $way:expr;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn all_that_http_gives_arrives() {
                tour::tour(&Kind::$kind.with_every_answer(), $port, $way);
            }

            #[test]
            fn a_reload_in_the_middle_fails_no_request() {
                tour::reload(&Kind::$kind.with_every_answer(), $port, $way);
            }
        })*

        const WAYS: &[(Kind, u16, Way)] = &[$((Kind::$kind, $port, $way)),*];
    };
}

ways! {
    nginx_http: Nginx 8081 USUAL;
    nginx_fastcgi: Nginx 8082 USUAL;
    nginx_scgi: Nginx 8083 Way { cut: Cut::ByLength, upstream: Upstream::Closed, ..USUAL };
    nginx_uwsgi: Nginx 8084 Way { cut: Cut::ByLength, upstream: Upstream::Closed, ..USUAL };
    nginx_proxy_protocol: Nginx 8085 USUAL;
    apache_http: Apache 8081 USUAL;
    apache_fastcgi: Apache 8082 Way { length_of_head: None, ..USUAL };
    apache_scgi: Apache 8083 Way {
        chunks: 411, many_chunks: None, length_of_head: None, cut: Cut::Hidden, upstream: Upstream::Closed, ..USUAL
    };
    apache_uwsgi: Apache 8084 Way { escaped_twice: 500, chunks: 411, many_chunks: None, cut: Cut::ByLength, upstream: Upstream::Closed, ..USUAL };
    apache_ajp: Apache 8086 Way { length_of_head: None, ..USUAL };
    haproxy_http: Haproxy 8081 USUAL;
    // It passes no body on whose length it does not know.
    haproxy_fastcgi: Haproxy 8082 Way { many_chunks: None, ..USUAL };
    haproxy_proxy_protocol: Haproxy 8085 USUAL;
    // It writes targets anew, lets fields with an underscore through, and keeps no connection.
    lighttpd_fastcgi: Lighttpd 8081 Way { query: "q=A&r=a+b", own: "one, evil", upstream: Upstream::Closed, ..USUAL };
    lighttpd_scgi: Lighttpd 8083 Way { query: "q=A&r=a+b", own: "one, evil", cut: Cut::ByLength, upstream: Upstream::Closed, ..USUAL };
    lighttpd_http: Lighttpd 8082 Way { query: "q=A&r=a+b", upstream: Upstream::Closed, ..USUAL };
    lighttpd_uwsgi: Lighttpd 8084 Way { query: "q=A&r=a+b", own: "one, evil", cut: Cut::ByLength, upstream: Upstream::Closed, ..USUAL };
}

#[test]
fn a_cgi_program_of_apaches_gives_all_that_http_gives() {
    let front = Kind::Apache.with_every_answer();
    tour::alone(&front, 8087, Way { length_of_head: None, cut: Cut::Hidden, ..USUAL });
}

#[test]
fn a_server_that_apache_starts_gives_all_that_http_gives() {
    // One request at a time for each of them.
    tour::alone(&Kind::Apache.with_every_answer(), 8088, USUAL);
}

#[test]
fn a_server_that_lighttpd_starts_gives_all_that_http_gives() {
    let front = Kind::Lighttpd.with_every_answer();
    let way = Way { query: "q=A&r=a+b", own: "one, evil", ..USUAL };
    tour::alone(&front, 8088, way);
    tour::streaming(&front, 8088, way);
}

/// All ways of a web server by the other kind of sockets.
fn by_other_sockets(kind: Kind) {
    let front = kind.with_other_sockets();
    for (_, port, way) in WAYS.iter().filter(|(of, ..)| *of == kind) {
        eprintln!("the way by {port}");
        // Unix sockets have no reset, which all of them hear.
        tour::tour(&front, *port, Way { cut: Cut::Seen, ..*way });
    }
}

#[test]
fn nginx_gives_the_same_by_other_sockets() {
    by_other_sockets(Kind::Nginx);
}

#[test]
fn apache_gives_the_same_by_other_sockets() {
    by_other_sockets(Kind::Apache);
}

#[test]
fn haproxy_gives_the_same_by_other_sockets() {
    by_other_sockets(Kind::Haproxy);
}

#[test]
fn lighttpd_gives_the_same_by_other_sockets() {
    by_other_sockets(Kind::Lighttpd);
}

#[test]
fn nginx_gives_the_same_without_its_buffers() {
    let front = Kind::NginxUnbuffered.with_every_answer();
    for (_, port, way) in WAYS.iter().filter(|(of, port, _)| *of == Kind::Nginx && *port != 8083) {
        eprintln!("the way by {port}");
        // By FastCGI it takes the end of a connection for that of an answer then.
        let cut = if *port == 8082 { Cut::ByLength } else { way.cut };
        tour::tour(&front, *port, Way { cut, ..*way });
    }
    // By SCGI it tells as CONTENT_LENGTH what it has read so far; the application must not take that for the body.
    let mut client = front.connect(8083);
    client.send("POST /count HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1000000\r\n\r\n");
    assert_eq!(client.answer().status, 400);
}
