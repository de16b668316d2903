//! What is answered to those who watch: `/metrics`, `/live`, `/ready`.

use std::time::SystemTime;

use super::exposition;
use super::health;
use super::request::{Method, Request, Then};
use crate::status::Report;

/// Words without a meaning for a machine.
const TEXT: &str = "text/plain; charset=utf-8";

/// The answer to a request, as bytes.
pub fn to(request: &Request, report: &Report, now: SystemTime) -> Vec<u8> {
    let (status, kind, content) = match (request.method, request.path.as_str()) {
        (Method::Get | Method::Head, "/metrics") => (200, exposition::TYPE, exposition::of(report)),
        (Method::Get | Method::Head, "/live") => (200, TEXT, "live\n".to_owned()),
        (Method::Get | Method::Head, "/ready") => {
            let obstacles = health::obstacles(report);
            let words: String = obstacles.iter().map(|line| format!("{line}\n")).collect();
            if obstacles.is_empty() { (200, TEXT, "ready\n".to_owned()) } else { (503, TEXT, words) }
        }
        (Method::Other, "/metrics" | "/live" | "/ready") => (405, TEXT, "GET or HEAD\n".to_owned()),
        _ => (404, TEXT, "/metrics, /live or /ready\n".to_owned()),
    };
    whole((status, kind, &content), (request.method, request.then), now)
}

/// The answer to what is no request. It is the last of its connection.
pub fn refusal(status: u16, now: SystemTime) -> Vec<u8> {
    whole((status, TEXT, &format!("{}\n", reason(status))), (Method::Other, Then::Close), now)
}

fn whole((status, kind, content): (u16, &str, &str), (method, then): (Method, Then), now: SystemTime) -> Vec<u8> {
    let allow = if status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
    let close = if then == Then::Close { "Connection: close\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status} {}\r\nDate: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n{allow}{close}\r\n",
        reason(status),
        httpdate::fmt_http_date(now),
        content.len(),
    );
    let content = if method == Method::Head { "" } else { content };
    [head.as_bytes(), content.as_bytes()].concat()
}

/// RFC 9110 15, as far as it is answered here.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Bad Request",
    }
}
