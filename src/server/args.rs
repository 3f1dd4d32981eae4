//! The arguments of a command: the server's strings, read where they are, and a parser that walks
//! through them.

use super::api::api;
use super::context::Refusal;
use redis_module::raw;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::panic::resume_unwind;

/// A string of the server's: a key's name, a word of a command.
#[derive(Clone, Copy)]
pub struct ServerStr<'a> {
    raw: *mut raw::RedisModuleString,
    life: PhantomData<&'a ()>,
}

impl<'a> ServerStr<'a> {
    /// Wraps what the server handed in.
    ///
    /// # Safety
    /// `raw` is a string that lives, unchanged, for `'a`.
    pub unsafe fn new(raw: *mut raw::RedisModuleString) -> ServerStr<'a> {
        ServerStr {
            raw,
            life: PhantomData,
        }
    }

    /// The server's own pointer, for its functions.
    pub fn raw(self) -> *mut raw::RedisModuleString {
        self.raw
    }

    /// What is in it.
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
    /// Wraps what the server handed in.
    ///
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

    /// The server's own string at `i`, for functions that want it. If there is no such word, this
    /// unwinds to the entry of the command, which refuses it.
    pub fn string(&self, i: usize) -> ServerStr<'a> {
        if i >= self.len {
            no_such_word();
        }
        // SAFETY: within the array the server handed in; its strings live as long as the call.
        unsafe { ServerStr::new(*self.first.add(i)) }
    }

    /// The bytes of a word; without one as [`Args::string`].
    #[inline]
    pub fn get(&self, i: usize) -> &'a [u8] {
        self.string(i).bytes()
    }
}

/// What unwinds to the entry of a command that lacks a word.
///
/// The server refuses a command with too few words before it comes here, so handlers take those that
/// the arity promises. Redis 7.0 and 8.2 do not check that while they load an AOF. What such a file
/// lacks is no error of ours: this prints nothing, unlike a panic.
pub(super) struct NoSuchWord;

#[cold]
fn no_such_word() -> ! {
    resume_unwind(Box::new(NoSuchWord))
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
    let mut rest = digits;
    while let Some((eight, behind)) = rest.split_first_chunk() {
        n = n * 100_000_000 + eight_digits(u64::from_le_bytes(*eight))?;
        rest = behind;
    }
    for digit in rest {
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

/// The number that eight digits stand for, the first in the lowest byte; none if one is no digit. Tokens
/// and times have 13 digits and more. Source: Lemire, "Quickly parsing eight digits", 2018.
#[inline]
fn eight_digits(digits: u64) -> Option<u64> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let is_digit = digits & (0xf0 * EACH) == 0x30 * EACH
        && (digits + 0x06 * EACH) & (0xf0 * EACH) == 0x30 * EACH;
    if !is_digit {
        return None;
    }
    let ones = digits & (0x0f * EACH);
    let twos = (ones * 10 + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

/// A word as errors may show it: one that could be an option. Anything else may not be printable,
/// or may be data that must not get into logs.
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

/// The words that may stand in one place of a command, as an enum: see [`words!`].
pub trait Words: Copy + 'static {
    /// Each value with its word, in the order in which errors list them. In upper case.
    const ALL: &'static [(&'static str, Self)];

    /// The word for this value.
    fn word(self) -> &'static str;

    /// A bit that no other of these words has.
    fn bit(self) -> u32;

    /// The value that a word of a command stands for, in upper or lower case.
    #[inline]
    fn find(word: &[u8]) -> Option<Self> {
        // Most clients write them in upper case.
        let exact = Self::ALL.iter().find(|(known, _)| known.as_bytes() == word);
        let found = exact.or_else(|| {
            let mut all = Self::ALL.iter();
            all.find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(word))
        });
        found.map(|(_, value)| *value)
    }

    /// All words, with something between them.
    fn joined(between: &str) -> String {
        let words: Vec<&str> = Self::ALL.iter().map(|(word, _)| *word).collect();
        words.join(between)
    }
}

/// Declares an enum of the words that may stand in one place of a command (at most 32), or, with
/// `impl for`, says with which words an enum that is there already is written.
macro_rules! words {
    ($(#[$meta:meta])* enum $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum $name {
            $($variant),+
        }
        $crate::server::args::words!(impl for $name { $($variant = $word),+ });
    };
    (impl for $name:ty { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $crate::server::args::Words for $name {
            const ALL: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];

            #[inline]
            fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            #[inline]
            fn bit(self) -> u32 {
                1 << self as u32
            }
        }
    };
}
pub(crate) use words;

/// Walks through the words of a command from left to right.
pub struct Parser<'a> {
    args: Args<'a>,
    at: usize,
    /// The bits of the options that were given.
    given: u32,
}

impl<'a> Parser<'a> {
    /// Begins at word `at`; the command's name is word 0.
    pub fn new(args: Args<'a>, at: usize) -> Parser<'a> {
        Parser { args, at, given: 0 }
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

    /// The next word.
    ///
    /// # Errors
    /// That `name` is missing, if there is none.
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
    ///
    /// # Errors
    /// What `name` must be, if it is missing or of another length.
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
    ///
    /// # Errors
    /// What `name` must be, if it is missing, no number or outside.
    #[inline(always)]
    pub fn number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<i64>,
    ) -> Result<i64, Refusal> {
        self.number_of(name, range, "")
    }

    /// As [`Parser::number`], of something whose unit errors say: `unit` is put behind the range.
    ///
    /// # Errors
    /// What `name` must be, if it is missing, no number or outside.
    #[inline(always)]
    pub fn number_of(
        &mut self,
        name: &'static str,
        range: RangeInclusive<i64>,
        unit: &'static str,
    ) -> Result<i64, Refusal> {
        match parse_i64(self.word(name)?) {
            Some(n) if range.contains(&n) => Ok(n),
            _ => Err(out_of_range(name, range, unit)),
        }
    }

    /// The next word as a non-negative number within `range`, which ends at 2^63 − 1 at the most.
    ///
    /// # Errors
    /// As [`Parser::number`].
    #[inline(always)]
    pub fn unsigned(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<u64, Refusal> {
        self.unsigned_of(name, range, "")
    }

    /// As [`Parser::unsigned`], with a unit as [`Parser::number_of`] has it.
    ///
    /// # Errors
    /// As [`Parser::number_of`].
    #[inline(always)]
    pub fn unsigned_of(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        unit: &'static str,
    ) -> Result<u64, Refusal> {
        let (low, high) = range.into_inner();
        self.number_of(name, low as i64..=high as i64, unit)
            .map(|n| n as u64)
    }

    /// A count `n` and then `n` words, each of a length in bytes within `len`.
    ///
    /// # Errors
    /// What `name` must be, if the count or a word is not as it must be, or fewer words are left.
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

    /// The next word as an option.
    ///
    /// # Errors
    /// That it is unknown, or was given before.
    #[inline]
    pub fn option<W: Words>(&mut self) -> Result<W, Refusal> {
        let option = self.repeatable_option()?;
        self.once(option)?;
        Ok(option)
    }

    /// The next word as an option that may have been given before.
    ///
    /// # Errors
    /// That it is unknown.
    #[inline]
    pub fn repeatable_option<W: Words>(&mut self) -> Result<W, Refusal> {
        let word = self.word("option")?;
        W::find(word).ok_or_else(|| unknown_option::<W>(word, self.at - 1))
    }

    /// Which option the next word is, if it is one. The word is not taken.
    #[inline]
    pub fn peek_option<W: Words>(&self) -> Option<W> {
        // Most words that are no options are numbers: no need to look those up.
        self.peek()
            .filter(|word| word.first().is_some_and(u8::is_ascii_alphabetic))
            .and_then(W::find)
    }

    /// Notes that an option was given.
    ///
    /// # Errors
    /// That it was given before.
    #[inline]
    pub fn once<W: Words>(&mut self, option: W) -> Result<(), Refusal> {
        if self.given & option.bit() != 0 {
            return Err(given_twice(option.word()));
        }
        self.given |= option.bit();
        Ok(())
    }

    /// The next word as one of those that `name` may be.
    ///
    /// # Errors
    /// What `name` must be, if it is missing or another word.
    pub fn one_of<W: Words>(&mut self, name: &'static str) -> Result<W, Refusal> {
        let word = self.word(name)?;
        W::find(word).ok_or_else(|| {
            let (known, named) = (W::joined(" or "), named(word, self.at - 1));
            Refusal::new(format!("ERR {name} must be {known}, not {named}"))
        })
    }

    /// Ends the command.
    ///
    /// # Errors
    /// That there is a word more.
    pub fn end(&self) -> Result<(), Refusal> {
        if self.more() {
            let named = named(self.args.get(self.at), self.at);
            return Err(Refusal::new(format!("ERR unexpected word {named}")));
        }
        Ok(())
    }
}

// Refusals are rare. They are made in functions of their own, so that parsing stays small.

#[cold]
fn wrong_length(name: &str, range: RangeInclusive<usize>) -> Refusal {
    let (low, high) = range.into_inner();
    Refusal::new(format!("ERR {name} must be {low} to {high} bytes long"))
}

#[cold]
fn out_of_range(name: &str, range: RangeInclusive<i64>, unit: &str) -> Refusal {
    let (low, high) = range.into_inner();
    Refusal::new(format!(
        "ERR {name} must be an integer from {low} to {high}{unit}"
    ))
}

#[cold]
fn unknown_option<W: Words>(word: &[u8], at: usize) -> Refusal {
    let (named, known) = (named(word, at), W::joined(" "));
    Refusal::new(format!("ERR unknown option {named}; known here: {known}"))
}

#[cold]
fn given_twice(option: &str) -> Refusal {
    Refusal::new(format!("ERR {option} is given twice"))
}

#[cfg(test)]
mod tests {
    use super::{Words, parse_i64};

    words! {
        enum Fruit {
            Apple = "APPLE",
            Pear = "PEAR",
        }
    }

    #[test]
    fn words_are_found_in_any_case_and_only_as_a_whole() {
        for text in ["PEAR", "pear", "Pear"] {
            assert_eq!(Fruit::find(text.as_bytes()), Some(Fruit::Pear));
        }
        for text in ["", "PEA", "PEARS", "PEAR\0", " PEAR"] {
            assert_eq!(Fruit::find(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Fruit::joined(" or "), "APPLE or PEAR");
        assert_eq!(Fruit::Apple.bit() & Fruit::Pear.bit(), 0);
        assert_eq!(Fruit::Apple.word(), "APPLE");
    }

    #[test]
    fn numbers_are_read_as_the_server_reads_them() {
        for (text, n) in [
            ("0", 0),
            ("-1", -1),
            ("12345678", 12_345_678),
            ("-987654321", -987_654_321),
            ("1763690000000123", 1_763_690_000_000_123),
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
        // Each byte in each place of a number of eight digits and more.
        for (at, byte) in (0..17).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
            let mut text = *b"12345678901234567";
            text[at] = byte;
            let read = std::str::from_utf8(&text).ok();
            let first = if at == 0 {
                b"123456789-".as_slice()
            } else {
                b"0123456789"
            };
            let expected = read.filter(|_| first.contains(&byte));
            let expected = expected.and_then(|read| read.parse().ok());
            assert_eq!(parse_i64(&text), expected, "{text:?}");
        }
    }
}
