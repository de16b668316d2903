//! Environments, as web servers and shells make them.

use super::*;

const LIMITS: Limits = Limits { count_max: 4, bytes_max: 40 };

fn told(environment: &[(&str, &str)]) -> Result<Vec<String>, Refusal> {
    let (mut text, mut variables) = (b"before".to_vec(), vec![Field::default()]);
    let environment = environment.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    read(environment, LIMITS, &mut text, &mut variables)?;
    let word = |span: Span| String::from_utf8_lossy(span.of(&text)).into_owned();
    Ok(variables.iter().map(|field| format!("{}={}", word(field.name), word(field.value))).collect())
}

#[test]
fn the_environment_is_the_request() {
    let environment = [("REQUEST_METHOD", "GET"), ("HTTP_A", "b"), ("PATH_INFO", "/\n"), ("", "")];
    assert_eq!(told(&environment).unwrap(), ["REQUEST_METHOD=GET", "HTTP_A=b", "PATH_INFO=/\n"]);
    assert_eq!(told(&[]).unwrap(), [""; 0]);
}

#[test]
fn what_is_no_variable_is_passed_over_and_what_was_a_field_is_refused() {
    let shell = [("BASH_FUNC_f%%", "() { echo\n}"), ("A B", "1"), ("\u{e9}", "2"), ("OK", "3")];
    assert_eq!(told(&shell).unwrap(), ["BASH_FUNC_f%%=() { echo\n}", "OK=3"]);
    assert_eq!(told(&[("HTTP_A", "b\r\nc")]).unwrap_err().status, 400);
    assert_eq!(told(&[("HTTP_A B", "c")]).unwrap_err().status, 400);
}

#[test]
fn limits_are_kept() {
    let of = |length: usize| told(&[("A", &"x".repeat(20)), ("B", &"x".repeat(length))]);
    assert!(of(18).is_ok());
    assert_eq!(of(19), Err(variables::TOO_LONG));
    let many = [("A", ""), ("B", ""), ("C", ""), ("D", ""), ("E", "")];
    assert!(told(&many[..4]).is_ok());
    assert_eq!(told(&many), Err(variables::TOO_MANY));
}

#[test]
fn what_is_of_a_request_is_known_by_its_name() {
    let names = ["HTTP_PROXY", "HTTP_", "HTTPS", "http_proxy", "PATH"];
    assert_eq!(names.map(|name| is_of_a_request(name.as_bytes())), [true, true, false, false, false]);
    assert_eq!(MARK, "GATEWAY_INTERFACE");
}
