//! Requests as real web servers pass them on.

use super::check;

/// What is understood of `http-get` is this behind its path, whoever sent it.
const GET: &str = "?q=1&r=%20 1.1 keep; wait";

macro_rules! sent {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../tests/data/", $name))
    };
}

#[test]
fn nginx_and_haproxy_are_understood() {
    let get = format!("GET /http/caf%C3%A9%20x/%2F/a+b%252F{GET}");
    check("nginx", sent!("nginx/http-get"), &get);
    check("haproxy", sent!("haproxy/http-get"), &get);
    check("nginx", sent!("nginx/http-head"), "HEAD /http/head 1.1 keep; wait");
    check("haproxy", sent!("haproxy/http-head"), "HEAD /http/head 1.1 keep; wait");
    let post = "POST /http/post 1.1 keep length=5 [hello]";
    check("nginx", sent!("nginx/http-post"), &format!("{post}; wait"));
    check("haproxy", sent!("haproxy/http-post"), &format!("{post}; wait"));
    check("nginx", sent!("nginx/http-keep"), &format!("{post}; {get}"));
    check("haproxy", sent!("haproxy/http-keep"), &format!("{post}; {get}"));
    check("nginx", sent!("nginx/http-chunked"), "POST /http/chunked 1.1 keep length=5 [hello]; wait");
    check("haproxy", sent!("haproxy/http-chunked"), "POST /http/chunked 1.1 keep chunked [hello]; wait");
}

#[test]
fn apache_is_understood() {
    // Without `nocanon` it takes one escape back itself.
    check("apache", sent!("apache/http-get"), &format!("GET /http/caf%C3%A9%20x/%2F/a+b%2F{GET}"));
    check("apache", sent!("apache/http-head"), "HEAD /http/head 1.1 keep; wait");
    let post = "POST /http/post 1.1 keep length=5 [hello]";
    check("apache", sent!("apache/http-post"), &format!("{post}; wait"));
    check("apache", sent!("apache/http-chunked"), "POST /http/chunked 1.1 keep length=5 [hello]; wait");
    check("apache", sent!("apache/http-keep"), &format!("{post}; GET /http/caf%C3%A9%20x/%2F/a+b%2F{GET}"));
}
