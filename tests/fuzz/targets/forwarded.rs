//! What proxies say of their clients: two Forwarded fields mean what their list means, nothing of one is read into the other, and what
//! is told of a node can be written back.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use monoceros_fuzz::wire::forwarded::{Element, Malformed, elements, last, member};

fn read(value: &[u8]) -> Result<Vec<Element<'_>>, Malformed> {
    let mut read = Vec::new();
    elements(value, &mut read).map(|()| read)
}

/// As RFC 7239 6 writes it.
fn written((address, port): (IpAddr, Option<u16>)) -> String {
    let address = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    format!("for=\"{address}{}\"", port.map_or(String::new(), |port| format!(":{port}")))
}

fuzz_target!(|bytes: &[u8]| {
    // The two fields stand on two lines, as in a request.
    let mut lines = bytes.splitn(2, |&byte| byte == b'\n');
    let (first, second) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if let (Ok(mut one), Ok(two)) = (read(first), read(second)) {
        one.extend(two);
        let list = [first, b",", second].concat();
        assert!(one.len() > 64 || read(&list).as_ref() == Ok(&one), "a list of two is another than both");
        for element in &one {
            if let Some(client) = element.client {
                let again = written(client);
                assert_eq!(read(again.as_bytes()).map(|read| read[0].client), Ok(Some(client)), "{again}");
            }
        }
    }
    let _ = (member(bytes), last(bytes));
});
