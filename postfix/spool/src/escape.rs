//! Percent-encoding of envelope values: addresses are bytes, envelope lines are text.

/// Appends `value`; every byte but visible ASCII becomes `%XX`, and so does `%` itself.
pub fn escape(value: &[u8], out: &mut String) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for &byte in value {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// The bytes that [`escape`] was given; `None` for a text it cannot have written.
pub fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => value.push(hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?),
            _ if byte.is_ascii_graphic() => value.push(byte),
            _ => return None,
        }
    }
    Some(value)
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_blank_a_percent_and_a_line_feed_are_hidden() {
        let mut text = String::new();
        escape(b"odd name@x%\n\xfc", &mut text);
        assert_eq!(text, "odd%20name@x%25%0A%FC");
    }

    #[test]
    fn what_escape_cannot_have_written_is_refused() {
        for text in [&b"a b"[..], b"%", b"%4", b"%zz", b"\n", b"\xc3\xbc"] {
            assert_eq!(unescape(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_survive(value: Vec<u8>) {
            let mut text = String::new();
            escape(&value, &mut text);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(unescape(text.as_bytes()), Some(value));
        }
    }
}
