//! SCGI's netstring: read the same however it is cut, and written in one way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monoceros_fuzz::connection::VARIABLES;
use monoceros_fuzz::wire::scgi;

fuzz_target!(|bytes: &[u8]| {
    let mut variables = Vec::new();
    let read = scgi::read(bytes, VARIABLES, &mut variables);
    // What is refused or read of less is so of more.
    for cut in 0..bytes.len().min(200) {
        match scgi::read(&bytes[..cut], VARIABLES, &mut Vec::new()) {
            Ok(None) => {}
            other => assert_eq!(other, read, "cut at {cut}"),
        }
    }
    let Ok(Some(taken)) = read else { return };
    let texts = variables.iter().flat_map(|field| [field.name.of(bytes), b"\0", field.value.of(bytes), b"\0"]);
    let text = texts.collect::<Vec<_>>().concat();
    let written = [text.len().to_string().as_bytes(), b":", &text, b","].concat();
    assert_eq!(written, bytes[..taken], "there is another way to write it");
});
