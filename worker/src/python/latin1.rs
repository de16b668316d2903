//! WSGI's strings: a `str` whose code points are bytes (PEP 3333, Unicode Issues), to and from those bytes.

use std::borrow::Cow;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// The bytes as a `str` of the same code points. Empty and one-byte strings are Python's own shared ones.
///
/// # Errors
/// When memory is out.
#[expect(unsafe_code, reason = "pyo3 offers no latin-1 decoder, and one through UTF-8 would copy twice")]
pub fn decode<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    // SAFETY: pointer and length are of one live slice, which the call copies; a null it returns for an error is checked
    // by `from_owned_ptr_or_err`, and anything else is a new reference to a str.
    unsafe {
        let text = ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), bytes.len() as ffi::Py_ssize_t, std::ptr::null());
        Ok(Bound::from_owned_ptr_or_err(py, text)?.cast_into_unchecked())
    }
}

/// The bytes that the `str` stands for; `None` when a code point is above U+00FF and so stands for none.
pub fn encode<'a>(text: &'a Bound<'_, PyString>) -> Option<Cow<'a, [u8]>> {
    let text = text.to_str().ok()?;
    if text.is_ascii() {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    text.chars().map(|letter| u8::try_from(letter).ok()).collect::<Option<Vec<u8>>>().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_becomes_its_code_point_and_comes_back() {
        Python::initialize();
        Python::attach(|py| {
            let all: Vec<u8> = (0..=255).collect();
            let text = decode(py, &all).unwrap();
            assert_eq!(
                text.to_str().unwrap().chars().map(|letter| letter as u32).collect::<Vec<_>>(),
                (0..256).collect::<Vec<_>>()
            );
            assert_eq!(encode(&text).as_deref(), Some(&all[..]));
        });
    }

    #[test]
    fn a_letter_beyond_latin_1_is_never_cut_to_a_byte() {
        Python::initialize();
        Python::attach(|py| {
            // Their low bytes are LF and CR: cutting them would let a header end where the application wrote none.
            for text in ["a\u{10a}b", "a\u{10d}b", "\u{1f600}"] {
                assert_eq!(encode(&PyString::new(py, text)), None);
            }
            let lone = py.eval(c"'\\udc80'", None, None).unwrap().cast_into::<PyString>().unwrap();
            assert_eq!(encode(&lone), None);
        });
    }
}
