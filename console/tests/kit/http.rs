//! An HTTP client that shows what comes off the wire: one request for each connection, cookies kept.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        let found = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// Fails unless the page has these words.
    #[track_caller]
    pub fn says(self, words: &str) -> Answer {
        assert!(self.body.contains(words), "no “{words}” in:\n{}", self.body);
        self
    }

    #[track_caller]
    pub fn lacks(self, words: &str) -> Answer {
        assert!(!self.body.contains(words), "“{words}” in:\n{}", self.body);
        self
    }

    /// The value of the first hidden field of this name.
    #[track_caller]
    pub fn field(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let (_, rest) = self
            .body
            .split_once(&start)
            .unwrap_or_else(|| panic!("no field {name} in:\n{}", self.body));
        rest.split('"').next().unwrap_or_default().to_owned()
    }
}

/// Somebody who asks for pages.
pub struct Visitor {
    port: u16,
    pub cookie: String,
    /// Sent with each request, besides the usual.
    pub headers: Vec<(String, String)>,
}

impl Visitor {
    pub fn new(port: u16) -> Visitor {
        Visitor {
            port,
            cookie: String::new(),
            headers: Vec::new(),
        }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Visitor {
        self.headers.push((name.into(), value.into()));
        self
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, None)
    }

    /// Sends a form.
    #[track_caller]
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body: Vec<String> = fields
            .iter()
            .map(|(k, v)| format!("{}={}", escape(k), escape(v)))
            .collect();
        self.send("POST", path, Some(&body.join("&")))
    }

    #[track_caller]
    pub fn sign_in(&mut self, name: &str, password: &str) {
        self.post("/login", &[("name", name), ("password", password)])
            .expect(303);
        assert!(!self.cookie.is_empty(), "no cookie");
    }

    /// Opens the form of an action, sends it with these fields, and answers the page it leads to.
    #[track_caller]
    pub fn act(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let form = self.get(path).expect(200);
        self.confirm(&form, path.split('?').next().unwrap_or(path), fields)
    }

    /// Sends the form of an action that was asked for.
    #[track_caller]
    pub fn confirm(&mut self, form: &Answer, to: &str, fields: &[(&str, &str)]) -> Answer {
        let mut all = vec![("csrf".to_owned(), form.field("csrf"))];
        for (name, value) in hidden(&form.body) {
            if name != "csrf" {
                all.push((name, value));
            }
        }
        all.retain(|(name, _)| !fields.iter().any(|(given, _)| given == name) || name == "csrf");
        all.extend(
            fields
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        );
        let all: Vec<(&str, &str)> = all.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let done = self.post(to, &all).expect(303);
        let next = done.header("location").to_owned();
        self.get(&next)
    }

    /// The secret of the session, from any page with a form.
    #[track_caller]
    pub fn csrf(&mut self) -> String {
        self.get("/").expect(200).field("csrf")
    }

    #[track_caller]
    pub fn send(&mut self, method: &str, path: &str, form: Option<&str>) -> Answer {
        let mut stream = self.open(method, path, form);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer");
        let answer = parse(&bytes);
        if let Some(cookie) = Some(answer.header("set-cookie")).filter(|c| !c.is_empty()) {
            self.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        }
        answer
    }

    /// Opens the stream of a page.
    #[track_caller]
    pub fn stream(&mut self, path: &str) -> TcpStream {
        self.headers
            .push(("Accept".into(), "text/event-stream".into()));
        let stream = self.open("GET", path, None);
        self.headers.pop();
        stream
    }

    fn open(&self, method: &str, path: &str, form: Option<&str>) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the console listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !self.headers.iter().any(|(name, _)| name == "Host") {
            head += &format!("Host: 127.0.0.1:{}\r\n", self.port);
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !self.cookie.is_empty() {
            head += &format!("Cookie: {}\r\n", self.cookie);
        }
        if let Some(form) = form {
            head += &format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                form.len()
            );
        }
        let body = form.unwrap_or_default();
        stream
            .write_all(format!("{head}\r\n{body}").as_bytes())
            .expect("sent");
        stream
    }
}

/// Reads a stream until these words come.
#[track_caller]
pub fn read_until(stream: &mut TcpStream, words: &str) -> String {
    let mut all = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if text.contains(words) {
            return text;
        }
        match stream.read(&mut part) {
            Ok(n) if n > 0 => all.extend(&part[..n]),
            other => panic!("{other:?} before “{words}” in:\n{text}"),
        }
    }
}

fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|l| l.split(' ').nth(1))
        .and_then(|s| s.parse().ok())
        .unwrap_or(0);
    let header = |line: &str| {
        line.split_once(": ")
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
    };
    Answer {
        status,
        headers: lines.filter_map(header).collect(),
        body: body.to_owned(),
    }
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

/// The hidden fields of the form on the page.
fn hidden(page: &str) -> Vec<(String, String)> {
    let form = page
        .split("<form class=\"card confirm\"")
        .nth(1)
        .unwrap_or_default();
    let form = form.split("</form>").next().unwrap_or_default();
    let inputs = form
        .split("<input ")
        .skip(1)
        .filter(|i| i.starts_with("type=\"hidden\""));
    let attribute = |input: &str, name: &str| {
        let (_, rest) = input.split_once(&format!("{name}=\""))?;
        Some(
            rest.split('"')
                .next()?
                .replace("&amp;", "&")
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&quot;", "\""),
        )
    };
    inputs
        .filter_map(|i| Some((attribute(i, "name")?, attribute(i, "value")?)))
        .collect()
}
