//! From the path of a request to the names of a file below a folder.

/// What a path means.
#[derive(Debug, PartialEq, Eq)]
pub enum Meant {
    /// The file of these names, joined by `/`; relative, and never up.
    File(Vec<u8>),
    /// No file can have this name.
    Nothing,
}

/// What a path below a prefix means. The prefix matched, so this says which file.
pub fn meant(path: &[u8], prefix: &str) -> Meant {
    // An encoded `/` would be a name's end to the kernel and none to whoever wrote it.
    let escapes =
        path.windows(3).any(|part| matches!(part, [b'%', b'2', b'F' | b'f'] | [b'%', b'5', b'C' | b'c'] | b"%00"));
    let decoded = decoded(path);
    let Some(rest) = below(&decoded, prefix).filter(|_| !escapes) else { return Meant::Nothing };
    let is_name =
        |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, 0 | b'\\'));
    if rest.split(|byte| *byte == b'/').all(is_name) { Meant::File(rest.to_vec()) } else { Meant::Nothing }
}

/// What follows a prefix in a decoded path, on a boundary of `/`.
pub fn below<'a>(decoded: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let rest = decoded.strip_prefix(prefix.as_bytes())?;
    match rest.split_first() {
        Some((b'/', rest)) => Some(rest),
        None => Some(b""),
        Some(_) if prefix.ends_with('/') => Some(rest),
        Some(_) => None,
    }
}

/// Each `%XX` replaced by its byte, once.
pub fn decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high << 4 | low) as u8);
                rest = &behind[2..];
            }
            (byte, _, _) => {
                decoded.push(byte);
                rest = behind;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_names_below_the_folder_or_nothing() {
        for (path, expected) in [
            ("/static/a.css", Some("a.css")),
            ("/static/a/b%20c.css", Some("a/b c.css")),
            ("/st%61tic/%C3%A9", Some("\u{e9}")),
            ("/static/a%2Bb", Some("a+b")),
            ("/static/a%", Some("a%")),
            ("/static/%2e%2e%2e", Some("...")),
            ("/static/a%252fb", Some("a%2fb")),
            ("/static", None),
            ("/static/", None),
            ("/static/a/", None),
            ("/static//a", None),
            ("/static/../secret", None),
            ("/static/%2e%2e/secret", None),
            ("/static/.%2E/secret", None),
            ("/static/a/../../secret", None),
            ("/static/./a", None),
            ("/static/..%2fsecret", None),
            ("/static/..%5csecret", None),
            ("/static/..\\secret", None),
            ("/static/a%2fb", None),
            ("/static/a%00.css", None),
            ("/static/%00", None),
        ] {
            let expected = expected.map_or(Meant::Nothing, |names: &str| Meant::File(names.as_bytes().to_vec()));
            assert_eq!(meant(path.as_bytes(), "/static"), expected, "{path}");
        }
    }

    #[test]
    fn a_prefix_ends_where_a_name_does() {
        for (path, prefix, rest) in [
            ("/static/a", "/static", Some("a")),
            ("/static", "/static", Some("")),
            ("/statics/a", "/static", None),
            ("/Static/a", "/static", None),
            ("/a", "/", Some("a")),
            ("/", "/", Some("")),
            ("*", "/", None),
        ] {
            assert_eq!(below(path.as_bytes(), prefix), rest.map(str::as_bytes), "{path} under {prefix}");
        }
    }
}
