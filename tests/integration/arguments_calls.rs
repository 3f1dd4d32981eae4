//! Calls of every command of the module, made from what COMMAND DOCS say of it and nothing else: the grammar is the
//! server's, only which values fit an argument of some name comes from whoever asks.

use modq_testkit::*;

/// One command or subcommand.
#[derive(Debug)]
pub(crate) struct Spec {
    /// The word or two words of its name.
    pub(crate) name: Vec<String>,
    pub(crate) summary: String,
    pub(crate) args: Vec<ArgSpec>,
}

/// One argument, as COMMAND DOCS show it.
#[derive(Debug, Clone)]
pub(crate) struct ArgSpec {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) token: Option<String>,
    pub(crate) summary: String,
    pub(crate) optional: bool,
    pub(crate) multiple: bool,
    multiple_token: bool,
    sub: Vec<ArgSpec>,
}

impl Spec {
    /// The name as clients write it.
    pub(crate) fn title(&self) -> String {
        self.name.join(" ")
    }

    /// Whether it is one that only a primary and an AOF speak.
    pub(crate) fn is_internal(&self) -> bool {
        self.name[0].contains("._")
    }

    /// The arguments as redis-cli hints at them.
    pub(crate) fn hint(&self) -> String {
        hint_of(&self.args, " ")
    }
}

/// A field of a map, if it is there.
fn find(map: &Value, field: &str) -> Option<Value> {
    let mut pairs = map.pairs().into_iter();
    let found = pairs.find(|(name, _)| name.bytes() == field.as_bytes());
    found.map(|(_, value)| value)
}

fn text(map: &Value, field: &str) -> String {
    find(map, field).map_or(String::new(), |value| value.text())
}

fn arguments(of: &Value) -> Vec<ArgSpec> {
    let list = find(of, "arguments").map_or(Vec::new(), |args| args.items().to_vec());
    let spec = |arg: &Value| {
        let flags = find(arg, "flags").map_or(Vec::new(), |flags| flags.items().to_vec());
        let has = |flag: &str| flags.iter().any(|f| f.text() == flag);
        ArgSpec {
            name: text(arg, "name"),
            kind: text(arg, "type"),
            token: find(arg, "token").map(|token| token.text()),
            summary: text(arg, "summary"),
            optional: has("optional"),
            multiple: has("multiple"),
            multiple_token: has("multiple_token"),
            sub: arguments(arg),
        }
    };
    list.iter().map(spec).collect()
}

/// What COMMAND DOCS say of every command of the module. In RESP3.
pub(crate) fn specs(c: &mut Client) -> Vec<Spec> {
    let names = c.line("COMMAND LIST FILTERBY MODULE modq");
    let mut names: Vec<String> = names.items().iter().map(Value::text).collect();
    names.retain(|name| !name.contains('|'));
    names.sort_unstable();
    let mut specs = Vec::new();
    for name in names {
        let doc = cmd!(c, "COMMAND", "DOCS", name).field(&name);
        let below = find(&doc, "subcommands").map_or(Vec::new(), |subs| subs.pairs());
        let own = below.is_empty().then(|| (bulk(name.as_str()), doc));
        specs.extend(own.into_iter().chain(below).map(|(name, doc)| Spec {
            name: name.text().split('|').map(str::to_uppercase).collect(),
            summary: text(&doc, "summary"),
            args: arguments(&doc),
        }));
    }
    specs
}

fn hint_of(args: &[ArgSpec], between: &str) -> String {
    args.iter().map(hint).collect::<Vec<_>>().join(between)
}

fn hint(arg: &ArgSpec) -> String {
    let value = match arg.kind.as_str() {
        "pure-token" => String::new(),
        "oneof" => hint_of(&arg.sub, "|"),
        "block" => hint_of(&arg.sub, " "),
        _ => arg.name.clone(),
    };
    let token = arg.token.clone().unwrap_or_default();
    let with_token = format!("{token} {value}").trim().to_owned();
    let repeated = match arg.multiple_token {
        true => &with_token,
        false => &value,
    };
    let whole = match arg.multiple {
        true => format!("{with_token} [{repeated} ...]"),
        false => with_token.clone(),
    };
    match arg.optional {
        true => format!("[{whole}]"),
        false => whole,
    }
}

/// What makes calls. `values` gives a value for an argument that is neither a token nor a count.
pub(crate) struct Maker<'a> {
    pub(crate) random: &'a mut Random,
    pub(crate) values: &'a mut dyn FnMut(&mut Random, &ArgSpec) -> Vec<u8>,
    /// What the last count said.
    counted: usize,
}

impl<'a> Maker<'a> {
    pub(crate) fn new(
        random: &'a mut Random,
        values: &'a mut dyn FnMut(&mut Random, &ArgSpec) -> Vec<u8>,
    ) -> Maker<'a> {
        Maker {
            random,
            values,
            counted: 0,
        }
    }

    /// A call that follows the docs of the command.
    pub(crate) fn call(&mut self, spec: &Spec) -> Vec<Vec<u8>> {
        let mut call: Vec<Vec<u8>> = spec.name.iter().map(|word| word.to_arg()).collect();
        let args = self.shuffled(&spec.args);
        self.sequence(&args, &mut call);
        call
    }

    /// The arguments with options that stand side by side in any order. What may be repeated stays: what follows it
    /// may belong to it.
    fn shuffled(&mut self, args: &[ArgSpec]) -> Vec<ArgSpec> {
        let is_option = |arg: &ArgSpec| arg.optional && arg.token.is_some() && !arg.multiple;
        let mut args = args.to_vec();
        for run in args.chunk_by_mut(|a, b| is_option(a) && is_option(b)) {
            for i in (1..run.len()).rev() {
                run.swap(i, self.random.below(i + 1));
            }
        }
        args
    }

    fn sequence(&mut self, args: &[ArgSpec], call: &mut Vec<Vec<u8>>) {
        let mut args = args.iter().peekable();
        while let Some(arg) = args.next() {
            if arg.optional && self.random.once_in(2) {
                continue;
            }
            let counts = |next: &&ArgSpec| {
                let name = format!("num{}s", next.name);
                next.multiple && arg.kind == "integer" && arg.name == name
            };
            match args.next_if(counts) {
                Some(next) => {
                    let least = usize::from(!next.optional);
                    self.counted = least + self.random.below(3_usize);
                    call.extend(arg.token.iter().map(Arg::to_arg));
                    call.push(self.counted.to_arg());
                    self.times(next, self.counted, call);
                }
                None if arg.summary.starts_with("once for each") => {
                    self.times(arg, self.counted, call);
                }
                None if arg.multiple => {
                    let times = 1 + self.random.below(3_usize);
                    self.times(arg, times, call);
                }
                None => self.times(arg, 1, call),
            }
        }
    }

    /// The argument so many times, with its token once or each time as the docs say.
    fn times(&mut self, arg: &ArgSpec, times: usize, call: &mut Vec<Vec<u8>>) {
        for i in 0..times {
            if i == 0 || arg.multiple_token {
                call.extend(arg.token.iter().map(Arg::to_arg));
            }
            match arg.kind.as_str() {
                "pure-token" => {}
                "block" => self.sequence(&arg.sub, call),
                "oneof" => {
                    let choice = self.random.pick(&arg.sub).clone();
                    self.sequence(&[choice], call);
                }
                _ => {
                    let value = (self.values)(self.random, arg);
                    call.push(value);
                }
            }
        }
    }
}

/// Every token of the docs.
pub(crate) fn tokens(specs: &[Spec]) -> Vec<String> {
    fn add(args: &[ArgSpec], tokens: &mut Vec<String>) {
        for arg in args {
            tokens.extend(arg.token.clone());
            add(&arg.sub, tokens);
        }
    }
    let mut tokens = Vec::new();
    specs.iter().for_each(|spec| add(&spec.args, &mut tokens));
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}
