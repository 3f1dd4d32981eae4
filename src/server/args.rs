//! The arguments of a command, read in place.

use super::api::api;
use super::context::Refusal;
use redis_module::raw;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

/// A string of the server's: a key's name, a word of a command.
#[derive(Clone, Copy)]
pub struct ServerStr<'a> {
    raw: *mut raw::RedisModuleString,
    life: PhantomData<&'a ()>,
}

impl<'a> ServerStr<'a> {
    /// # Safety
    /// `raw` is a string that lives, unchanged, for `'a`.
    pub unsafe fn new(raw: *mut raw::RedisModuleString) -> ServerStr<'a> {
        ServerStr {
            raw,
            life: PhantomData,
        }
    }

    pub fn raw(self) -> *mut raw::RedisModuleString {
        self.raw
    }

    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        let mut len = 0;
        // SAFETY: the string lives, unchanged, for `'a`.
        unsafe {
            let ptr = api!(RedisModule_StringPtrLen(self.raw, &mut len));
            std::slice::from_raw_parts(ptr.cast(), len)
        }
    }
}

/// The words of a command, the name first.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    first: *const *mut raw::RedisModuleString,
    len: usize,
    life: PhantomData<&'a ()>,
}

impl<'a> Args<'a> {
    /// # Safety
    /// `argv` and `argc` are what the server called a command with, and `'a` ends with the call.
    pub unsafe fn new(argv: *mut *mut raw::RedisModuleString, argc: i32) -> Args<'a> {
        Args {
            first: argv,
            len: argc as usize,
            life: PhantomData,
        }
    }

    /// How many words there are.
    pub fn count(&self) -> usize {
        self.len
    }

    /// The server's own string at `i`, for functions that want it.
    ///
    /// # Panics
    /// If there is no such word.
    pub fn string(&self, i: usize) -> ServerStr<'a> {
        assert!(i < self.len);
        // SAFETY: within the array the server handed in; its strings live as long as the call.
        unsafe { ServerStr::new(*self.first.add(i)) }
    }

    /// The bytes of a word.
    ///
    /// # Panics
    /// If there is no such word.
    #[inline]
    pub fn get(&self, i: usize) -> &'a [u8] {
        self.string(i).bytes()
    }
}

/// Reads a number as the server does: decimal, no sign but a minus, no leading zero.
#[inline]
pub fn parse_i64(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 19 || digits[0] == b'0' && bytes.len() > 1 {
        return None;
    }
    let mut n: u64 = 0;
    for digit in digits {
        let value = digit.wrapping_sub(b'0');
        if value > 9 {
            return None;
        }
        n = n * 10 + u64::from(value);
    }
    if negative {
        0i64.checked_sub_unsigned(n)
    } else {
        i64::try_from(n).ok()
    }
}

/// Numbers that are durations, by the names they have in errors.
const IN_MS: &[&str] = &["LOCK", "TTL", "BLOCK", "DELAY", "BOOST", "AGING", "ms"];

/// A word as errors may show it: one that could be an option. Anything else might not print, or
/// be what was meant to stay between client and server.
fn shown(word: &[u8]) -> Option<&str> {
    let plain = |b: &u8| b.is_ascii_alphabetic() || *b == b'_' || *b == b'-';
    let fits = (1..=24).contains(&word.len()) && word.iter().all(plain);
    fits.then(|| std::str::from_utf8(word).ok()).flatten()
}

/// A word and where it is, as errors name it.
fn named(word: &[u8], at: usize) -> String {
    match shown(word) {
        Some(word) => format!("'{word}' (argument {at})"),
        None => format!("at argument {at}"),
    }
}

/// Walks through the words of a command from left to right.
pub struct Parser<'a> {
    args: Args<'a>,
    at: usize,
    seen: u32,
}

impl<'a> Parser<'a> {
    /// Begins at word `at`.
    pub fn new(args: Args<'a>, at: usize) -> Parser<'a> {
        Parser { args, at, seen: 0 }
    }

    /// Where the next word is.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether there are more words.
    #[inline]
    pub fn more(&self) -> bool {
        self.at < self.args.count()
    }

    /// The next word, called `name` in errors.
    #[inline]
    pub fn word(&mut self, name: &'static str) -> Result<&'a [u8], Refusal> {
        if !self.more() {
            return Err(Refusal::missing(name));
        }
        self.at += 1;
        Ok(self.args.get(self.at - 1))
    }

    /// The next word without taking it.
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.more().then(|| self.args.get(self.at))
    }

    /// The next word, of a length in bytes within `range`.
    #[inline]
    pub fn bytes(
        &mut self,
        name: &'static str,
        range: RangeInclusive<usize>,
    ) -> Result<&'a [u8], Refusal> {
        let word = self.word(name)?;
        if range.contains(&word.len()) {
            Ok(word)
        } else {
            Err(wrong_length(name, range))
        }
    }

    /// The next word as a number within `range`.
    #[inline(always)]
    pub fn number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<i64>,
    ) -> Result<i64, Refusal> {
        match parse_i64(self.word(name)?) {
            Some(n) if range.contains(&n) => Ok(n),
            _ => Err(out_of_range(name, range)),
        }
    }

    /// The next word as a non-negative number up to `high`.
    #[inline(always)]
    pub fn unsigned(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<u64, Refusal> {
        let (low, high) = range.into_inner();
        self.number(name, low as i64..=high as i64)
            .map(|n| n as u64)
    }

    /// As `unsigned`, of milliseconds, which the error says.
    #[inline]
    pub fn ms(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Result<u64, Refusal> {
        match parse_i64(self.word(name)?).and_then(|n| u64::try_from(n).ok()) {
            Some(n) if range.contains(&n) => Ok(n),
            _ => {
                let (low, high) = range.into_inner();
                Err(Refusal::new(format!(
                    "ERR {name} must be an integer from {low} to {high}, in milliseconds"
                )))
            }
        }
    }

    /// A count `n` and then `n` words, called `name` in errors.
    pub fn counted<T>(
        &mut self,
        name: &'static str,
        most: usize,
        len: RangeInclusive<usize>,
        wrap: impl Fn(&'a [u8]) -> T,
    ) -> Result<Vec<T>, Refusal> {
        let n = self.number(name, 0..=most as i64)? as usize;
        let left = self.args.count() - self.at;
        if n > left {
            return Err(Refusal::new(format!(
                "ERR {name} says {n}, but only {left} arguments follow"
            )));
        }
        (0..n)
            .map(|_| self.bytes(name, len.clone()).map(&wrap))
            .collect()
    }

    /// Takes the next word as an option: its place in `names` (upper case). Refuses unknown words
    /// and a word given before.
    #[inline]
    pub fn option(&mut self, names: &[&'static str]) -> Result<usize, Refusal> {
        let option = self.option_of(names)?;
        self.once(names, option)?;
        Ok(option)
    }

    /// As `option`, but the word may have been given before.
    #[inline]
    pub fn option_of(&mut self, names: &[&'static str]) -> Result<usize, Refusal> {
        let word = self.word("option")?;
        // Most write them in upper case.
        let exact = names.iter().position(|n| n.as_bytes() == word);
        let found = exact.or_else(|| {
            let mut names = names.iter();
            names.position(|n| n.as_bytes().eq_ignore_ascii_case(word))
        });
        found.ok_or_else(|| unknown_option(word, self.at - 1, names))
    }

    /// The next word as one of some that `name` may be, in any case: which.
    pub fn one_of(&mut self, name: &'static str, words: &[&str]) -> Result<usize, Refusal> {
        let word = self.word(name)?;
        let found = words
            .iter()
            .position(|w| w.as_bytes().eq_ignore_ascii_case(word));
        found.ok_or_else(|| {
            let known = words.join(" or ");
            let named = named(word, self.at - 1);
            Refusal::new(format!("ERR {name} must be {known}, not {named}"))
        })
    }

    /// Refuses an option given before.
    #[inline]
    pub fn once(&mut self, names: &[&'static str], option: usize) -> Result<(), Refusal> {
        if self.seen & 1 << option != 0 {
            return Err(Refusal::new(format!(
                "ERR {} is given twice",
                names[option]
            )));
        }
        self.seen |= 1 << option;
        Ok(())
    }

    /// Refuses words that are left.
    pub fn end(&self) -> Result<(), Refusal> {
        if self.more() {
            let named = named(self.args.get(self.at), self.at);
            return Err(Refusal::new(format!("ERR unexpected word {named}")));
        }
        Ok(())
    }
}

// Refusals are rare: their making stays out of the way of what parses.

#[cold]
fn wrong_length(name: &str, range: RangeInclusive<usize>) -> Refusal {
    let (low, high) = range.into_inner();
    Refusal::new(format!("ERR {name} must be {low} to {high} bytes long"))
}

#[cold]
fn out_of_range(name: &str, range: RangeInclusive<i64>) -> Refusal {
    let (low, high) = range.into_inner();
    let unit = if IN_MS.contains(&name) { " (ms)" } else { "" };
    Refusal::new(format!(
        "ERR {name} must be an integer from {low} to {high}{unit}"
    ))
}

#[cold]
fn unknown_option(word: &[u8], at: usize, names: &[&str]) -> Refusal {
    let known = names.join(" ");
    let named = named(word, at);
    Refusal::new(format!("ERR unknown option {named}; known here: {known}"))
}

#[cfg(test)]
mod tests {
    use super::parse_i64;

    #[test]
    fn numbers_are_read_as_the_server_reads_them() {
        for (text, n) in [
            ("0", 0),
            ("-1", -1),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), Some(n));
        }
        for text in [
            "",
            "-",
            "+1",
            " 1",
            "1 ",
            "01",
            "-0",
            "-01",
            "1.0",
            "1e3",
            "0x1",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "\u{661}",
            "1\0",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
    }
}
