//! Ids, names and payloads are bytes that strangers chose: how they go into addresses and onto pages.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// No bytes at all: a key may have the empty name, and a part of an address cannot be empty.
const EMPTY: &str = "~";

/// Bytes as a part of an address: base64url.
pub(crate) fn encode(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return EMPTY.to_owned();
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The other way round; none if it is not ours.
pub(crate) fn decode(part: &str) -> Option<Vec<u8>> {
    if part == EMPTY {
        return Some(Vec::new());
    }
    URL_SAFE_NO_PAD.decode(part).ok()
}

/// What would change how the text around it reads: control characters, and those that turn its direction or are unseen.
fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// An id or name on a page: its text with what is treacherous written out, or its bytes where it is no text. Two
/// different ids look different. Escaping for HTML comes after it.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                c if is_treacherous(c) => out.extend(c.escape_default()),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// What [`shown`] was made from: for an id that was copied from a page. None if the text cannot be one of its.
pub(crate) fn unshown(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        match chars.next()? {
            '\\' => out.push(b'\\'),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'x' => {
                let digits: String = chars.by_ref().take(2).collect();
                out.push(u8::from_str_radix(&digits, 16).ok()?);
            }
            'u' => {
                let rest = chars.as_str().strip_prefix('{')?;
                let (digits, rest) = rest.split_once('}')?;
                let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                out.extend(c.encode_utf8(&mut [0; 4]).bytes());
                chars = rest.chars();
            }
            _ => return None,
        }
    }
    Some(out)
}

/// What [`shown`] makes, cut in the middle where it is long.
pub(crate) fn short(bytes: &[u8], most: usize) -> String {
    if bytes.is_empty() {
        // A name that nobody could see could not be clicked either.
        return "(empty)".to_owned();
    }
    let all = shown(bytes);
    let length = all.chars().count();
    if length <= most {
        return all;
    }
    let head: String = all.chars().take(most * 2 / 3).collect();
    let tail: String = all
        .chars()
        .skip(length - (most - most * 2 / 3 - 1))
        .collect();
    format!("{head}…{tail}")
}

/// Words of a form: what stands between commas, so tags with spaces work.
pub(crate) fn words(text: &str) -> Vec<Vec<u8>> {
    let words = text.split(',').map(str::trim).filter(|w| !w.is_empty());
    words.map(|word| word.as_bytes().to_vec()).collect()
}

/// How a payload is best shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Empty,
    Text(String),
    /// Indented.
    Json(String),
    /// Lines of offset, bytes and characters.
    Binary(String),
}

/// The most of a payload that goes onto a page.
pub(crate) const SHOWN_BYTES: usize = 64 * 1024;
const HEX_BYTES: usize = 4096;

impl Payload {
    /// Looks at no more than [`SHOWN_BYTES`]: longer ones are cut, and no JSON.
    pub(crate) fn of(bytes: &[u8]) -> Payload {
        if bytes.is_empty() {
            return Payload::Empty;
        }
        if bytes.len() <= SHOWN_BYTES && matches!(bytes[0], b'{' | b'[') {
            let well = serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
            if let (true, Ok(text)) = (well, std::str::from_utf8(bytes)) {
                return Payload::Json(visible(&indented(text)));
            }
        }
        let head = &bytes[..bytes.len().min(SHOWN_BYTES)];
        match std::str::from_utf8(head) {
            Ok(text) => Payload::Text(visible(text)),
            // Cut in the middle of a character.
            Err(e) if head.len() < bytes.len() && e.error_len().is_none() => {
                Payload::Text(visible(&String::from_utf8_lossy(&head[..e.valid_up_to()])))
            }
            Err(_) => Payload::Binary(hex(&bytes[..bytes.len().min(HEX_BYTES)])),
        }
    }
}

/// Valid JSON with a line for each member. Only blanks between its parts change: names that come twice, the order and the
/// digits of numbers are what somebody sent, and may be what there is to judge.
fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    // Deep nesting is not made wide.
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth.min(40)));
    };
    let mut chars = json.chars().filter(|c| *c != '\r').peekable();
    while let Some(c) = chars.next() {
        if in_string {
            out.push(c);
            in_string = c != '"' || escaped;
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            ' ' | '\n' | '\t' => {}
            '"' => {
                in_string = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                if chars.peek().is_some_and(|c| matches!(c, '}' | ']')) {
                    out.extend(chars.next());
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c => out.push(c),
        }
    }
    out
}

/// Text of several lines, with what is treacherous written out.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            '\r' => {}
            c if is_treacherous(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    let line = |(n, line): (usize, &[u8])| {
        let codes: String = line.iter().map(|b| format!("{b:02x} ")).collect();
        let ascii = |b: &u8| {
            if b.is_ascii_graphic() || *b == b' ' {
                char::from(*b)
            } else {
                '.'
            }
        };
        let chars: String = line.iter().map(ascii).collect();
        format!("{:06x}  {codes:48} {chars}\n", n * 16)
    };
    bytes.chunks(16).enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_harmless_and_tells_apart() {
        assert_eq!(shown("héllo\u{202e}x\n".as_bytes()), "héllo\\u{202e}x\\n");
        assert_eq!(shown(b"\xff\\"), "\\xff\\\\");
        assert_ne!(shown(b"\xff"), shown(b"\\xff"));
        assert_eq!(short(&[b'a'; 100], 10).chars().count(), 10);
    }

    #[test]
    fn what_is_shown_leads_back() {
        for bytes in [
            "héllo\u{202e}x\n\t\0".as_bytes(),
            b"\xff\\x00\\u{1}",
            b"",
            b"plain",
        ] {
            assert_eq!(unshown(&shown(bytes)).as_deref(), Some(bytes));
            assert_eq!(decode(&encode(bytes)).as_deref(), Some(bytes));
        }
        assert_eq!(
            [unshown("a\\"), unshown("\\q"), unshown("\\u{110000}")],
            [None, None, None]
        );
        assert!(!encode(b"").is_empty());
    }

    #[test]
    fn payloads_of_all_kinds() {
        assert_eq!(
            Payload::of(b"{\"a\":1}"),
            Payload::Json("{\n  \"a\": 1\n}".into())
        );
        assert_eq!(Payload::of(b"[broken"), Payload::Text("[broken".into()));
        assert!(matches!(Payload::of(b"\x00\xff\x80"), Payload::Binary(_)));
        let mut long = vec![b'a'; SHOWN_BYTES - 1];
        long.extend("é".as_bytes());
        assert_eq!(
            Payload::of(&long),
            Payload::Text("a".repeat(SHOWN_BYTES - 1))
        );
        let twice = "{\"b\":\"x\\\"{,\", \"a\":[1.50,{}],\"b\":[ ]}";
        let shown = "{\n  \"b\": \"x\\\"{,\",\n  \"a\": [\n    1.50,\n    {}\n  ],\n  \"b\": []\n}";
        assert_eq!(Payload::of(twice.as_bytes()), Payload::Json(shown.into()));
        let deep = "[".repeat(5000);
        assert_eq!(Payload::of(deep.as_bytes()), Payload::Text(deep));
    }
}
