//! The type of a file's content, by what its name ends with.

/// What is not known is bytes, which browsers keep and do not show.
const UNKNOWN: &str = "application/octet-stream";

/// Endings and types, sorted by ending.
#[rustfmt::skip]
const KINDS: &[(&str, &str)] = &[
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("eot", "application/vnd.ms-fontobject"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/vnd.microsoft.icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("ogg", "audio/ogg"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xml", "text/xml; charset=utf-8"),
    ("zip", "application/zip"),
];

/// The value of Content-Type for a file of this name.
pub fn of(name: &[u8]) -> &'static str {
    let last = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let Some(dot) = memchr::memrchr(b'.', last) else { return UNKNOWN };
    let ending = last[dot + 1..].to_ascii_lowercase();
    KINDS.binary_search_by(|(known, _)| known.as_bytes().cmp(&ending)).map_or(UNKNOWN, |at| KINDS[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_is_found_and_others_are_bytes() {
        assert!(KINDS.is_sorted());
        for (ending, kind) in KINDS {
            assert_eq!(of(format!("a.b/x.{}", ending.to_uppercase()).as_bytes()), *kind);
        }
        for name in ["css", "a.css/x", "x.", "x.exe", "", ".x"] {
            assert_eq!(of(name.as_bytes()), UNKNOWN, "{name}");
        }
    }
}
