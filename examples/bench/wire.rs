//! Requests as bytes, and as much of reading replies as the loads need.

/// Appends one request.
pub fn push(out: &mut Vec<u8>, args: &[&[u8]]) {
    out.push(b'*');
    number(out, args.len() as u64);
    out.extend_from_slice(b"\r\n");
    for arg in args {
        out.push(b'$');
        number(out, arg.len() as u64);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

fn number(out: &mut Vec<u8>, n: u64) {
    if n >= 10 {
        number(out, n / 10);
    }
    out.push(b'0' + (n % 10) as u8);
}

/// A number as a name of 16 bytes.
pub fn name16(n: u64) -> [u8; 16] {
    let mut name = [0; 16];
    for (i, byte) in name.iter_mut().enumerate() {
        *byte = b"0123456789abcdef"[(n >> (60 - 4 * i)) as usize & 15];
    }
    name
}

/// Goes through replies, as RESP2 has them. Every step answers none where the bytes end early.
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(data: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: data }
    }

    pub fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|&byte| byte == b'\n')?;
        let line = &self.rest[..end - 1];
        self.rest = &self.rest[end + 1..];
        if line.first() == Some(&b'-') {
            panic!("the server answered {}", line.escape_ascii());
        }
        Some(line)
    }

    pub fn lines(&mut self, n: usize) -> Option<()> {
        (0..n).try_for_each(|_| self.line().map(drop))
    }

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
