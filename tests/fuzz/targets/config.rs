//! A config file: a config or one line of error, never a panic, and soon.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use monoceros_shared::config::read;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder can be made").keep();
    folder.join("server.yaml")
});

fuzz_target!(|text: &[u8]| {
    std::fs::write(&*FILE, text).expect("a file can be written");
    match read(&FILE) {
        Ok(checked) => {
            assert!(!checked.config.apps.is_empty(), "a config without an application");
            for app in &checked.config.apps {
                assert!(!app.listen.is_empty(), "an application that listens nowhere");
            }
        }
        Err(why) => {
            let why = why.to_string();
            assert!(!why.contains('\n') && why.len() < 2000, "an error is a line: {why}");
        }
    }
});
