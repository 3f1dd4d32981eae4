//! Requests as bytes, and a quick way through replies for loads that must not make [`Value`](crate::Value)s of them.

/// One request.
#[must_use]
pub fn request<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = Vec::new();
    header(&mut out, b'*', args.len());
    for arg in args {
        bulk(&mut out, arg.as_ref());
    }
    out
}

/// Appends one request.
pub fn push(out: &mut Vec<u8>, args: &[&[u8]]) {
    header(out, b'*', args.len());
    for arg in args {
        bulk(out, arg);
    }
}

fn header(out: &mut Vec<u8>, kind: u8, n: usize) {
    out.push(kind);
    number(out, n as u64);
    out.extend_from_slice(b"\r\n");
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    header(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut Vec<u8>, n: u64) {
    if n >= 10 {
        number(out, n / 10);
    }
    out.push(b'0' + (n % 10) as u8);
}

/// Goes through replies, as RESP2 has them. Every step answers none where the bytes end early, and panics at an error.
#[derive(Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// At the first of these bytes.
    #[must_use]
    pub fn new(data: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: data }
    }

    /// One line, with its first byte and without its end.
    pub fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|&byte| byte == b'\n')?;
        let line = &self.rest[..end - 1];
        self.rest = &self.rest[end + 1..];
        if line.first() == Some(&b'-') {
            panic!("the server answered {}", line.escape_ascii());
        }
        Some(line)
    }

    /// Passes over `n` lines.
    pub fn lines(&mut self, n: usize) -> Option<()> {
        (0..n).try_for_each(|_| self.line().map(drop))
    }

    /// A bulk string.
    pub fn bulk(&mut self) -> Option<&'a [u8]> {
        let len = self.line()?[1..]
            .iter()
            .fold(0, |n, digit| 10 * n + usize::from(digit - b'0'));
        let bulk = self.rest.get(..len)?;
        self.rest = self.rest.get(len + 2..)?;
        Some(bulk)
    }

    /// The digits of an integer.
    pub fn digits(&mut self) -> Option<&'a [u8]> {
        Some(&self.line()?[1..])
    }
}
