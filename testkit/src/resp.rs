//! RESP2 and RESP3 as they are on the wire: nothing is converted, so that tests can tell a null bulk from a null
//! array, a simple string from a bulk one and a map from a flat array.

use std::fmt;
use std::io::{self, BufRead, Read};

/// One reply, exactly as the server shaped it.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// `+text`, such as a status.
    Simple(String),
    /// `-CODE message`, and RESP3's blob errors.
    Error(String),
    /// `:n`.
    Int(i64),
    /// `$length`, a string of any bytes.
    Bulk(Vec<u8>),
    /// RESP2 `$-1`.
    NullBulk,
    /// RESP2 `*-1`.
    NullArray,
    /// RESP3 `_`.
    Null,
    /// `*n`.
    Array(Vec<Value>),
    /// RESP3 `%n`.
    Map(Vec<(Value, Value)>),
    /// RESP3 `~n`.
    Set(Vec<Value>),
    /// RESP3 `>n`, which comes between replies.
    Push(Vec<Value>),
    /// RESP3 `,n`.
    Double(f64),
    /// RESP3 `#t` and `#f`.
    Bool(bool),
    /// RESP3 `(n`, its digits.
    BigNumber(String),
    /// RESP3 `=length`: the three letters of the format, and the text.
    Verbatim(String, Vec<u8>),
}

impl Value {
    /// Reads one value. Attributes, which no server sends unasked, are skipped.
    pub fn read(from: &mut impl BufRead) -> io::Result<Value> {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !line.ends_with(b"\r\n") || line.len() < 3 {
            return Err(malformed(&line));
        }
        let rest = std::str::from_utf8(&line[1..line.len() - 2]).map_err(|_| malformed(&line))?;
        let number = || rest.parse::<i64>().map_err(|_| malformed(&line));
        let count = || usize::try_from(number()?).map_err(|_| malformed(&line));
        Ok(match line[0] {
            b'+' => Value::Simple(rest.to_owned()),
            b'-' => Value::Error(rest.to_owned()),
            b':' => Value::Int(number()?),
            b'$' if rest == "-1" => Value::NullBulk,
            b'*' if rest == "-1" => Value::NullArray,
            b'$' => Value::Bulk(read_blob(from, count()?)?),
            b'*' => Value::Array(read_values(from, count()?)?),
            b'_' if rest.is_empty() => Value::Null,
            b'%' => Value::Map(read_pairs(from, count()?)?),
            b'~' => Value::Set(read_values(from, count()?)?),
            b'>' => Value::Push(read_values(from, count()?)?),
            b',' => Value::Double(rest.parse().map_err(|_| malformed(&line))?),
            b'#' if rest == "t" => Value::Bool(true),
            b'#' if rest == "f" => Value::Bool(false),
            b'(' => Value::BigNumber(rest.to_owned()),
            b'!' => Value::Error(lossy(&read_blob(from, count()?)?)),
            b'=' => {
                let blob = read_blob(from, count()?)?;
                if blob.get(3) != Some(&b':') {
                    return Err(malformed(&blob));
                }
                Value::Verbatim(lossy(&blob[..3]), blob[4..].to_vec())
            }
            b'|' => {
                read_pairs(from, count()?)?;
                Value::read(from)?
            }
            _ => return Err(malformed(&line)),
        })
    }

    /// Whether it is one of the three nulls.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::NullBulk | Value::NullArray | Value::Null)
    }

    /// The code an error starts with; empty for anything else.
    #[must_use]
    pub fn err_code(&self) -> &str {
        match self {
            Value::Error(message) => message.split(' ').next().unwrap_or(""),
            _ => "",
        }
    }

    /// The number of an integer.
    #[track_caller]
    pub fn int(&self) -> i64 {
        match self {
            Value::Int(n) => *n,
            other => panic!("expected an integer, got {other:?}"),
        }
    }

    /// The bytes of a bulk, simple or verbatim string.
    #[must_use]
    #[track_caller]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Value::Bulk(b) | Value::Verbatim(_, b) => b,
            Value::Simple(s) => s.as_bytes(),
            other => panic!("expected a string, got {other:?}"),
        }
    }

    /// The same as text.
    #[must_use]
    #[track_caller]
    pub fn text(&self) -> String {
        lossy(self.bytes())
    }

    /// The elements of an array, a set or a push.
    #[must_use]
    #[track_caller]
    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => items,
            other => panic!("expected an array, got {other:?}"),
        }
    }

    /// The field-value pairs of a RESP3 map, or of the flat array that stands for one in RESP2.
    #[must_use]
    #[track_caller]
    pub fn pairs(&self) -> Vec<(Value, Value)> {
        match self {
            Value::Map(pairs) => pairs.clone(),
            Value::Array(flat) if flat.len() % 2 == 0 => flat
                .chunks(2)
                .map(|pair| (pair[0].clone(), pair[1].clone()))
                .collect(),
            other => panic!("expected a map, got {other:?}"),
        }
    }

    /// The value of a map's field (see `pairs`).
    #[must_use]
    #[track_caller]
    pub fn field(&self, name: &str) -> Value {
        let mut found = self
            .pairs()
            .into_iter()
            .filter(|(field, _)| field.bytes() == name.as_bytes());
        match (found.next(), found.next()) {
            (Some((_, value)), None) => value,
            (None, _) => panic!("no field {name} in {self:?}"),
            _ => panic!("field {name} twice in {self:?}"),
        }
    }
}

/// `reply[2]` is the third element of an array.
impl std::ops::Index<usize> for Value {
    type Output = Value;
    #[track_caller]
    fn index(&self, i: usize) -> &Value {
        self.items()
            .get(i)
            .unwrap_or_else(|| panic!("no element {i} in {self:?}"))
    }
}

fn malformed(bytes: &[u8]) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("not RESP: {}", bytes.escape_ascii()),
    )
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn read_blob(from: &mut impl BufRead, len: usize) -> io::Result<Vec<u8>> {
    let mut blob = Vec::new();
    from.take(len as u64 + 2).read_to_end(&mut blob)?;
    if blob.len() != len + 2 || blob.split_off(len) != b"\r\n" {
        return Err(malformed(&blob));
    }
    Ok(blob)
}

fn read_values(from: &mut impl BufRead, count: usize) -> io::Result<Vec<Value>> {
    (0..count).map(|_| Value::read(from)).collect()
}

fn read_pairs(from: &mut impl BufRead, count: usize) -> io::Result<Vec<(Value, Value)>> {
    (0..count)
        .map(|_| Ok((Value::read(from)?, Value::read(from)?)))
        .collect()
}

/// Reads like the constructors below, so a failed assertion can be pasted as the expected value.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Simple(s) => write!(f, "simple({s:?})"),
            Value::Error(s) => write!(f, "error({s:?})"),
            Value::Int(n) => write!(f, "{n}"),
            Value::Bulk(b) => write!(f, "\"{}\"", b.escape_ascii()),
            Value::NullBulk => f.write_str("NullBulk"),
            Value::NullArray => f.write_str("NullArray"),
            Value::Null => f.write_str("Null"),
            Value::Array(items) => f.debug_list().entries(items).finish(),
            Value::Map(pairs) => f
                .debug_map()
                .entries(pairs.iter().map(|(k, v)| (k, v)))
                .finish(),
            Value::Set(items) => f
                .write_str("Set")
                .and_then(|()| f.debug_set().entries(items).finish()),
            Value::Push(items) => f
                .write_str("Push")
                .and_then(|()| f.debug_list().entries(items).finish()),
            Value::Double(d) => write!(f, "Double({d:?})"),
            Value::Bool(b) => write!(f, "Bool({b})"),
            Value::BigNumber(s) => write!(f, "BigNumber({s})"),
            Value::Verbatim(format, b) => write!(f, "Verbatim({format}:{})", b.escape_ascii()),
        }
    }
}

/// What tests write an expected reply with: integers are integers, strings and bytes are bulk strings.
impl From<i64> for Value {
    fn from(n: i64) -> Value {
        Value::Int(n)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Bulk(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Bulk(text.into())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Value {
        Value::Bulk(bytes.into())
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Value {
        Value::Bulk(bytes.into())
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Value {
        Value::Array(items.into_iter().map(Into::into).collect())
    }
}

/// A simple string, such as a status.
#[must_use]
pub fn simple(text: &str) -> Value {
    Value::Simple(text.into())
}

/// The status OK.
#[must_use]
pub fn ok() -> Value {
    simple("OK")
}

/// A bulk string.
#[must_use]
pub fn bulk(bytes: impl AsRef<[u8]>) -> Value {
    Value::Bulk(bytes.as_ref().into())
}

/// An array reply: `arr!["item", 3, ok(), arr![]]`.
#[macro_export]
macro_rules! arr {
    ($($item:expr),* $(,)?) => { $crate::Value::Array(vec![$($crate::Value::from($item)),*]) };
}

/// A RESP3 map reply: `map!{"lock" => 300000}`.
#[macro_export]
macro_rules! map {
    ($($field:expr => $value:expr),* $(,)?) => {
        $crate::Value::Map(vec![
            $(($crate::Value::from($field), $crate::Value::from($value))),*
        ])
    };
}

/// Asserts that a reply is an error with exactly this code, and, if given, that its message contains a text.
#[macro_export]
macro_rules! assert_err {
    ($reply:expr, $code:expr $(, $part:expr)?) => {{
        let reply = $reply;
        assert_eq!(reply.err_code(), $code, "expected error {}, got {reply:?}", $code);
        $(assert!(format!("{reply:?}").contains($part), "expected {:?} in {reply:?}", $part);)?
    }};
}
