//! uwsgi's packet: read the same however it is cut, and written in one way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monoceros_fuzz::connection::VARIABLES;
use monoceros_fuzz::wire::uwsgi;

fuzz_target!(|bytes: &[u8]| {
    let mut variables = Vec::new();
    let read = uwsgi::read(bytes, VARIABLES, &mut variables);
    // What is refused or read of less is so of more.
    for cut in 0..bytes.len().min(200) {
        match uwsgi::read(&bytes[..cut], VARIABLES, &mut Vec::new()) {
            Ok(None) => {}
            other => assert_eq!(other, read, "cut at {cut}"),
        }
    }
    let Ok(Some(taken)) = read else { return };
    let mut written = vec![0, (taken - 4) as u8, ((taken - 4) >> 8) as u8, 0];
    for field in &variables {
        for text in [field.name.of(bytes), field.value.of(bytes)] {
            written.extend_from_slice(&(text.len() as u16).to_le_bytes());
            written.extend_from_slice(text);
        }
    }
    assert_eq!(written, bytes[..taken], "there is another way to write it");
});
