//! Which compressed forms a client takes (RFC 9110 12.5.3), the one that it likes best first.

/// A content coding, and what the name of a file that is in it ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coding {
    /// Its name in fields.
    pub name: &'static str,
    /// The ending.
    pub ending: &'static str,
}

/// Those that are looked for, the smallest first.
const CODINGS: [Coding; 3] = [
    Coding { name: "br", ending: ".br" },
    Coding { name: "zstd", ending: ".zst" },
    Coding { name: "gzip", ending: ".gz" },
];

/// Those of them that an Accept-Encoding takes and likes at least as much as the plain form.
pub fn accepted(field: &[u8]) -> Vec<Coding> {
    let field = String::from_utf8_lossy(field).to_ascii_lowercase();
    let weights: Vec<(&str, u16)> = field.split(',').filter_map(weighed).collect();
    let weight_of = |name: &str| weights.iter().find(|(known, _)| *known == name).map(|(_, weight)| *weight);
    let any = weight_of("*");
    // The plain form is acceptable unless it is excluded, and nothing says how much it is liked (12.5.3, rule 2).
    let plain = weight_of("identity").unwrap_or(0);
    let weigh = |coding: &Coding| {
        let by_name = weight_of(coding.name).or_else(|| weight_of(&format!("x-{}", coding.name)));
        by_name.or(any).unwrap_or(0)
    };
    let mut taken: Vec<Coding> =
        CODINGS.into_iter().filter(|coding| weigh(coding) > 0 && weigh(coding) >= plain).collect();
    // A stable sort: among equals the smallest stays first.
    taken.sort_by_key(|coding| std::cmp::Reverse(weigh(coding)));
    taken
}

/// `gzip;q=0.5` as its name and its weight in thousandths; `None` for what is no member.
fn weighed(member: &str) -> Option<(&str, u16)> {
    let mut parts = member.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let weight = parts.find_map(|part| part.strip_prefix("q="));
    Some((name, weight.map_or(Some(1000), thousandths)?))
}

/// RFC 9110 12.4.2: `0.8`, `1`, `1.000`.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let is_digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let fraction: u16 = format!("{fraction:0<3}").parse().ok().filter(|_| is_digits)?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_what_it_likes_best() {
        for (field, expected) in [
            ("", ""),
            ("gzip", "gzip"),
            ("gzip, deflate, br, zstd", "br zstd gzip"),
            ("br;q=0.5, gzip", "gzip br"),
            ("br;q=0, gzip", "gzip"),
            ("*", "br zstd gzip"),
            ("*;q=0", ""),
            ("*;q=0, gzip;q=0.1", "gzip"),
            ("identity, gzip;q=0.5", ""),
            ("identity;q=0.5, gzip", "gzip"),
            ("X-GZip ; Q=1.000", "gzip"),
            ("gzip;q=2, br;q=x, zstd;q=0.1234", ""),
            (" , ,gzip;q=0.001", "gzip"),
            ("identity;q=0", ""),
        ] {
            let names: Vec<&str> = accepted(field.as_bytes()).iter().map(|coding| coding.name).collect();
            assert_eq!(names.join(" "), expected, "{field}");
        }
    }
}
