//! What COMMAND DOCS says: the argument tree of a command, read from its syntax line, so that the
//! line in the documentation and what the server tells are one and the same.

use redis_module::raw;
use std::ffi::{CString, c_char, c_int};
use std::iter::Peekable;
use std::ptr::null_mut;
use std::str::SplitWhitespace;

/// One argument, as the server's command docs know it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arg {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The word that must stand before it, or that it is.
    pub token: Option<String>,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be repeated.
    pub multiple: bool,
    /// The arguments it consists of, or may be one of.
    pub sub: Vec<Arg>,
}

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Any string.
    #[default]
    Text,
    /// A number.
    Integer,
    /// The name of a key.
    Key,
    /// The name of a key that has a key spec of its own, the second.
    SecondKey,
    /// A word that is written as it is.
    Token,
    /// One of several.
    OneOf,
    /// Several, one after the other.
    Block,
}

/// Reads a syntax line: `word` an argument, `WORD` a token, `[…]` optional, `<a | b>` one of,
/// `x [x …]` repeated. `integers` are the words that stand for integers; other words stand for
/// texts. Such lines are ours, so a malformed one is a bug and panics at load.
pub fn parse(syntax: &str, integers: &[&str]) -> Vec<Arg> {
    let spaced = syntax
        .replace('[', " [ ")
        .replace(']', " ] ")
        .replace('<', " < ")
        .replace('>', " > ");
    let mut reader = Reader {
        words: spaced.split_whitespace().peekable(),
        integers,
    };
    let args = reader.sequence();
    assert!(reader.words.next().is_none(), "unbalanced: {syntax}");
    args
}

/// Reads a syntax line word by word. Brackets are words of their own.
struct Reader<'a> {
    words: Peekable<SplitWhitespace<'a>>,
    integers: &'a [&'a str],
}

impl Reader<'_> {
    /// Arguments up to what ends them: a closing bracket, a bar, or the end of the line.
    fn sequence(&mut self) -> Vec<Arg> {
        let mut args = Vec::new();
        while let Some(word) = self.words.next_if(|w| !matches!(*w, "]" | ">" | "|")) {
            match word {
                "[" => self.optional(&mut args),
                "<" => args.push(self.one_of()),
                word => args.push(self.plain(word)),
            }
        }
        args
    }

    /// What stands in `[…]`: an optional argument, or a sign that the one before may be repeated.
    fn optional(&mut self, args: &mut Vec<Arg>) {
        let inner = self.sequence();
        assert_eq!(self.words.next(), Some("]"));
        let repeats = self.words.next_if_eq(&"…").is_some();
        let again = inner.last().is_some_and(|last| last.name == "…");
        match args.last_mut() {
            // `x [x …]`
            Some(last) if again => last.multiple = true,
            _ => {
                let mut arg = group(inner);
                arg.optional = true;
                arg.multiple |= repeats;
                args.push(arg);
            }
        }
    }

    /// What stands in `<…>`.
    fn one_of(&mut self) -> Arg {
        let mut choices = Vec::new();
        loop {
            choices.push(group(self.sequence()));
            match self.words.next() {
                Some("|") => {}
                end => {
                    assert_eq!(end, Some(">"));
                    break;
                }
            }
        }
        Arg {
            name: "choice".into(),
            kind: Kind::OneOf,
            sub: choices,
            ..Arg::default()
        }
    }

    /// One word: a token, or an argument's name.
    fn plain(&self, word: &str) -> Arg {
        if word.chars().all(|c| c.is_ascii_uppercase()) {
            return Arg {
                name: word.to_ascii_lowercase(),
                kind: Kind::Token,
                token: Some(word.into()),
                ..Arg::default()
            };
        }
        let kind = match self.integers.contains(&word) {
            true => Kind::Integer,
            false => Kind::Text,
        };
        Arg {
            name: word.into(),
            kind,
            ..Arg::default()
        }
    }
}

/// Makes one argument of several: a token takes what follows it as its value.
fn group(mut args: Vec<Arg>) -> Arg {
    if args.len() == 1 {
        return args.remove(0);
    }
    if args[0].kind != Kind::Token {
        let name = args[0].name.clone();
        return Arg {
            name,
            kind: Kind::Block,
            sub: args,
            ..Arg::default()
        };
    }
    let token = args.remove(0);
    if args.len() == 1 && args[0].token.is_none() {
        let mut arg = args.remove(0);
        arg.token = token.token;
        arg.name = token.name;
        return arg;
    }
    Arg {
        kind: Kind::Block,
        sub: args,
        ..token
    }
}

/// A text for the server that is never freed. There are some hundred, made once at load.
///
/// # Panics
/// If there is a NUL in it: the texts are ours, and have none.
pub(super) fn leak(text: &str) -> *const c_char {
    CString::new(text)
        .expect("our texts have no NUL")
        .into_raw()
}

/// The tree in the server's structures, ended by an empty entry. Never freed, as texts are.
pub(super) fn to_raw(args: &[Arg]) -> *mut raw::RedisModuleCommandArg {
    if args.is_empty() {
        return null_mut();
    }
    // SAFETY: an all-zero entry is valid; it is the end mark.
    let end: raw::RedisModuleCommandArg = unsafe { std::mem::zeroed() };
    let mut entries: Vec<raw::RedisModuleCommandArg> = args
        .iter()
        .map(|arg| {
            let mut entry = end;
            entry.name = leak(&arg.name);
            entry.type_ = match arg.kind {
                Kind::Text => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
                Kind::Integer => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER,
                Kind::Key | Kind::SecondKey => {
                    raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY
                }
                Kind::Token => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN,
                Kind::OneOf => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF,
                Kind::Block => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK,
            };
            entry.key_spec_index = match arg.kind {
                Kind::Key => 0,
                Kind::SecondKey => 1,
                _ => -1,
            };
            if let Some(token) = &arg.token {
                entry.token = leak(token);
            }
            if arg.optional {
                entry.flags |= raw::REDISMODULE_CMD_ARG_OPTIONAL as c_int;
            }
            if arg.multiple {
                entry.flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE as c_int;
            }
            entry.subargs = to_raw(&arg.sub);
            entry
        })
        .collect();
    entries.push(end);
    Box::leak(entries.into_boxed_slice()).as_mut_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syntax_line_becomes_a_tree() {
        let line = "key item [PRIORITY priority] [TAGS n tag [tag …]] [ONDUP <KEEP | BUMP>]";
        let args = parse(line, &["priority", "n"]);
        let names: Vec<&str> = args.iter().map(|a| &*a.name).collect();
        assert_eq!(names, ["key", "item", "priority", "tags", "ondup"]);
        assert_eq!(args[1].kind, Kind::Text);
        assert_eq!(args[2].kind, Kind::Integer);
        assert_eq!(args[2].token.as_deref(), Some("PRIORITY"));
        assert!(args[2].optional);
        assert_eq!(args[3].kind, Kind::Block);
        assert_eq!(args[3].sub.len(), 2);
        assert!(args[3].sub[1].multiple);
        assert_eq!(args[4].kind, Kind::OneOf);
        assert_eq!(args[4].token.as_deref(), Some("ONDUP"));
        assert_eq!(args[4].sub[1].token.as_deref(), Some("BUMP"));
    }

    #[test]
    #[should_panic(expected = "unbalanced")]
    fn a_bracket_too_many_is_found() {
        parse("key item]", &[]);
    }
}
