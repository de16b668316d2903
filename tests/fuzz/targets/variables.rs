//! What a gateway says of a request, as CGI's environment has it: read within its limits, and made a head that an environ can be made of.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monoceros_fuzz::connection::{BODY, HEAD, VARIABLES};
use monoceros_fuzz::wire::gateway::Limits;
use monoceros_fuzz::wire::gateway::head::{Given, fill};
use monoceros_fuzz::wire::{Head, cgi, percent};

fuzz_target!(|bytes: &[u8]| {
    let parts: Vec<&[u8]> = bytes.split(|&byte| byte == 0).collect();
    let pairs = parts.chunks_exact(2).map(|pair| (pair[0], pair[1]));
    let (mut text, mut variables) = (Vec::new(), Vec::new());
    if cgi::read(pairs, VARIABLES, &mut text, &mut variables).is_err() {
        return;
    }
    assert!(variables.len() <= VARIABLES.count_max && text.len() <= VARIABLES.bytes_max);
    let mut head = Head::default();
    let given = Given { variables: &variables, fields: &[] };
    if fill(&mut text, given, Limits { head: HEAD, body: BODY }, &mut head).is_err() {
        return;
    }
    assert!(head.fields.len() <= HEAD.header_count_max && head.target.of(&text).len() <= HEAD.request_line_max);
    let line = head.method.to(head.target).of(&text);
    assert_eq!(line.iter().filter(|byte| **byte <= b' ').count(), 1, "the request line is two words");
    for field in &head.fields {
        assert!(!field.name.is_empty() && !field.value.of(&text).iter().any(|byte| b"\r\n\0".contains(byte)));
    }
    // The path of both parts, decoded, is what the gateway decoded.
    let meta = head.meta.as_ref().expect("a gateway's head has it");
    let whole = [meta.script.of(&text), meta.info.of(&text)].concat();
    assert_eq!(percent::decoded(head.path.of(&text)), whole, "the path is decoded once");
});
