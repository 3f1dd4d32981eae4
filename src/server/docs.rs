//! What COMMAND DOCS says: the argument tree of a command, read from its syntax line, so that the
//! line in the documentation and what the server tells are one and the same.

use redis_module::raw;
use std::ffi::{CString, c_char, c_int};
use std::ptr::null_mut;

/// One argument, as the server's command docs know it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arg {
    pub name: String,
    pub kind: Kind,
    pub token: Option<String>,
    pub optional: bool,
    pub multiple: bool,
    pub sub: Vec<Arg>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    #[default]
    Text,
    Integer,
    Key,
    Token,
    OneOf,
    Block,
}

/// The words of a syntax line that stand for integers, and for keys.
const INTEGERS: [&str; 14] = [
    "n", "ms", "priority", "count", "numkeys", "token", "rev", "quota", "window", "burst", "cost",
    "max", "ttl", "cursor",
];
const KEYS: [&str; 4] = ["key", "source", "destination", "stream"];

/// Reads a syntax line: `word` an argument, `WORD` a token, `[…]` optional, `<a | b>` one of,
/// `x [x …]` repeated. Such lines are ours, so a malformed one is a bug and panics at load.
pub fn parse(syntax: &str) -> Vec<Arg> {
    let spaced = syntax
        .replace('[', " [ ")
        .replace(']', " ] ")
        .replace('<', " < ")
        .replace('>', " > ");
    let mut words = spaced.split_whitespace().peekable();
    let args = sequence(&mut words);
    assert!(words.next().is_none(), "unbalanced syntax: {syntax}");
    args
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn is_token(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_uppercase())
}

fn sequence(words: &mut Words<'_>) -> Vec<Arg> {
    let mut args: Vec<Arg> = Vec::new();
    while let Some(word) = words.next_if(|w| !matches!(*w, "]" | ">" | "|")) {
        match word {
            "[" => {
                let inner = sequence(words);
                assert_eq!(words.next(), Some("]"));
                let repeats = words.next_if_eq(&"…").is_some();
                let again = inner.last().is_some_and(|last| last.name == "…");
                match args.last_mut() {
                    // `x [x …]`: the argument before, repeated.
                    Some(last) if again => last.multiple = true,
                    _ => {
                        let mut arg = group(inner);
                        arg.optional = true;
                        arg.multiple |= repeats;
                        args.push(arg);
                    }
                }
            }
            "<" => {
                let mut choices = Vec::new();
                loop {
                    choices.push(group(sequence(words)));
                    match words.next() {
                        Some("|") => {}
                        end => {
                            assert_eq!(end, Some(">"));
                            break;
                        }
                    }
                }
                args.push(Arg {
                    name: "choice".into(),
                    kind: Kind::OneOf,
                    sub: choices,
                    ..Arg::default()
                });
            }
            token if is_token(token) => args.push(Arg {
                name: token.to_ascii_lowercase(),
                kind: Kind::Token,
                token: Some(token.into()),
                ..Arg::default()
            }),
            name => args.push(Arg {
                name: name.into(),
                kind: if INTEGERS.contains(&name) {
                    Kind::Integer
                } else if KEYS.contains(&name) {
                    Kind::Key
                } else {
                    Kind::Text
                },
                ..Arg::default()
            }),
        }
    }
    args
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

fn leak(text: &str) -> *const c_char {
    CString::new(text)
        .expect("our texts have no NUL")
        .into_raw()
}

/// The tree in the server's structures, ended by an empty entry. Lives as long as the server.
pub fn to_raw(args: &[Arg]) -> *mut raw::RedisModuleCommandArg {
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
                Kind::Key => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY,
                Kind::Token => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN,
                Kind::OneOf => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF,
                Kind::Block => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK,
            };
            entry.key_spec_index = if arg.kind == Kind::Key { 0 } else { -1 };
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
        let args = parse("key item [PRIORITY priority] [TAGS n tag [tag …]] [ONDUP <KEEP | BUMP>]");
        let names: Vec<&str> = args.iter().map(|a| &*a.name).collect();
        assert_eq!(names, ["key", "item", "priority", "tags", "ondup"]);
        assert_eq!(args[0].kind, Kind::Key);
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
    fn every_registered_command_has_a_syntax_that_parses() {
        for command in crate::commands::all() {
            assert!(!parse(command.syntax).is_empty() || command.syntax.is_empty());
        }
    }
}
