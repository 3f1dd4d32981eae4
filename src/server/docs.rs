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
    /// Whether it may be repeated, its token with it.
    pub multiple: bool,
    /// What is to be said of it.
    pub summary: Option<&'static str>,
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
    /// The name of a key, and which of the command's key specs finds it.
    Key(c_int),
    /// A word that is written as it is.
    Token,
    /// One of several.
    OneOf,
    /// Several, one after the other.
    Block,
}

/// Reads a syntax line: `word` an argument, `WORD` a token, `[…]` optional, `<a | b>` one of,
/// `x [x …]` once or more (`x y [x y …]` as well, which is a block called `x`), `[x …]` any number of times, `[WORD …]…` and `<WORD …>…` an option and an
/// argument that may be repeated with their words. What is called `numtags` counts the `tag` behind it.
/// `integers` are the words that stand for integers; other words stand for texts. Such lines are
/// ours, so a malformed one is a bug and panics at load.
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
    with_tokens(args)
}

/// Gives a token that must be there to the value that follows it.
fn with_tokens(args: Vec<Arg>) -> Vec<Arg> {
    let mut with: Vec<Arg> = Vec::new();
    for arg in args {
        let is_value = arg.token.is_none() && !arg.optional;
        match with.last_mut() {
            Some(last) if is_value && last.kind == Kind::Token && !last.optional => {
                let token = std::mem::take(last);
                *last = group(vec![token, arg]);
            }
            _ => with.push(arg),
        }
    }
    with
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
        let mut inner = self.sequence();
        assert_eq!(self.words.next(), Some("]"));
        let any_number = inner.last().is_some_and(|last| last.name == "…");
        if any_number {
            inner.pop();
        }
        let again = self.words.next_if_eq(&"…").is_some();
        let before = args.len().checked_sub(inner.len());
        let names = |args: &[Arg]| args.iter().map(|arg| arg.name.clone()).collect::<Vec<_>>();
        match before {
            // `x [x …]`, `x y [x y …]`
            Some(at) if any_number && names(&args[at..]) == names(&inner) => {
                let mut arg = group(args.split_off(at));
                arg.multiple = true;
                args.push(arg);
            }
            _ => {
                let mut arg = group(inner);
                arg.optional = true;
                arg.multiple |= any_number || again;
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
        let mut arg = match choices.len() {
            1 => choices.remove(0),
            _ => Arg {
                name: "choice".into(),
                kind: Kind::OneOf,
                sub: choices,
                ..Arg::default()
            },
        };
        arg.multiple |= self.words.next_if_eq(&"…").is_some();
        arg
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
    let is_value = |arg: &Arg| arg.token.is_none() && !arg.optional && !arg.multiple;
    if args.len() == 1 && is_value(&args[0]) {
        // The value keeps its name, which tells its unit: `[LOCK ms]`.
        let mut arg = args.remove(0);
        arg.token = token.token;
        if arg.kind == Kind::OneOf {
            arg.name = token.name;
        }
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
                Kind::Key(_) => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY,
                Kind::Token => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN,
                Kind::OneOf => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF,
                Kind::Block => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK,
            };
            entry.key_spec_index = match arg.kind {
                Kind::Key(spec) => spec,
                _ => -1,
            };
            if let Some(summary) = arg.summary {
                entry.summary = leak(summary);
            }
            if let Some(token) = &arg.token {
                entry.token = leak(token);
            }
            if arg.optional {
                entry.flags |= raw::REDISMODULE_CMD_ARG_OPTIONAL as c_int;
            }
            if arg.multiple {
                entry.flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE as c_int;
                if arg.token.is_some() {
                    entry.flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE_TOKEN as c_int;
                }
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
        let line =
            "key item TTL ms [PRIORITY priority] [TAGS numtags [tag …]] [ONDUP <KEEP | BUMP>]";
        let args = parse(line, &["ms", "priority", "numtags"]);
        let names: Vec<&str> = args.iter().map(|a| &*a.name).collect();
        assert_eq!(names, ["key", "item", "ms", "priority", "tags", "ondup"]);
        assert_eq!(args[1].kind, Kind::Text);
        assert_eq!(args[2].token.as_deref(), Some("TTL"));
        assert_eq!(args[3].kind, Kind::Integer);
        assert_eq!(args[3].token.as_deref(), Some("PRIORITY"));
        assert!(!args[2].optional && args[3].optional);
        assert_eq!(args[4].kind, Kind::Block);
        let [count, tag] = &args[4].sub[..] else {
            panic!("{:?}", args[4].sub);
        };
        assert_eq!((&*count.name, count.kind), ("numtags", Kind::Integer));
        assert!(!count.multiple && !count.optional);
        assert_eq!(tag.name, "tag");
        assert!(tag.multiple && tag.optional);
        assert_eq!(args[5].kind, Kind::OneOf);
        assert_eq!(args[5].token.as_deref(), Some("ONDUP"));
        assert_eq!(args[5].sub[1].token.as_deref(), Some("BUMP"));
    }

    #[test]
    fn what_may_be_repeated_is_marked() {
        let args = parse(
            "key [key …] <LIMIT quota [ALGO <LOG | GCRA [BURST n]>]>… [ID id]…",
            &[],
        );
        assert_eq!(args.len(), 3);
        assert!(args[0].multiple && !args[0].optional);
        assert_eq!(args[1].token.as_deref(), Some("LIMIT"));
        assert!(args[1].multiple && !args[1].optional);
        assert!(args[2].multiple && args[2].optional);
        let pairs = parse(
            "key numitems item token [item token …] [REVS rev [rev …]]",
            &[],
        );
        assert_eq!(pairs.len(), 4);
        let names = pairs[2].sub.iter().map(|arg| &*arg.name);
        assert_eq!(names.collect::<Vec<_>>(), ["item", "token"]);
        assert!(pairs[2].kind == Kind::Block && pairs[2].name == "item");
        assert!(pairs[2].multiple && !pairs[2].optional && pairs[2].token.is_none());
        let revs = &pairs[3];
        assert!(revs.optional && !revs.multiple && revs.sub[0].multiple);
        let gcra = &args[1].sub[1].sub[1];
        assert_eq!((gcra.kind, &*gcra.name), (Kind::Block, "gcra"));
        assert_eq!(gcra.sub[0].token.as_deref(), Some("BURST"));
        assert!(gcra.sub[0].optional);
    }

    #[test]
    #[should_panic(expected = "unbalanced")]
    fn a_bracket_too_many_is_found() {
        parse("key item]", &[]);
    }
}
