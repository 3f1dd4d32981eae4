//! A review room with something of everything in it, for tests that look at many pages, and for screenshots.

use modq_testkit::{Client, cmd};

/// A post of a public site, and what it is about.
const POSTS: [(&str, &str); 8] = [
    (
        "comment:88213",
        "Buy followers now!! Only today, 90% off. Write to me on the other app, first ten get a bonus.",
    ),
    (
        "comment:88219",
        "I think you are wrong about the bridge. It was closed in 2019, not 2021; see the council's minutes.",
    ),
    (
        "photo:5521",
        "{\"kind\":\"photo\",\"author\":\"user:771\",\"caption\":\"My new bike\",\"reports\":[{\"by\":\"user:12\",\"why\":\"not theirs\"},{\"by\":\"user:980\",\"why\":\"stolen\"}],\"width\":1600,\"height\":1200}",
    ),
    (
        "comment:88240",
        "You people should all be ashamed. I know where the meeting is tonight and I will be there.",
    ),
    (
        "profile:4410",
        "{\"kind\":\"profile\",\"name\":\"totally_real_support\",\"bio\":\"Official support. Send your code to get your account back.\",\"created\":\"2026-11-20\"}",
    ),
    (
        "comment:88266",
        "Merci beaucoup pour cette recette, je l'ai essayée hier soir et toute la famille a adoré !",
    ),
    (
        "comment:88271",
        "does anybody have a link to the full match? the one above is dead",
    ),
    (
        "listing:309",
        "Selling two tickets for Saturday, face value, can meet at the station. No tricks.",
    ),
];

/// Fills a server: queues of several kinds, people who wait and work, dead letters, limits, a board.
pub fn fill(c: &mut Client) {
    c.expect_ok("MODQ.CONFIGURE review EVENTS review:events LOCK 300000");
    c.expect_ok("MODQ.CONFIGURE appeals LOCK 900000 CAPACITY 3");
    c.expect_ok("MODQ.CONFIGURE images MAXEXPIRIES 1");
    for n in 0..40_usize {
        let (id, text) = POSTS[n % POSTS.len()];
        let id = if n < POSTS.len() {
            id.to_owned()
        } else {
            format!("{}:{n}", id.split(':').next().unwrap_or("post"))
        };
        let priority = [0, 0, 0, 5, 0, 0, 9, 0][n % 8];
        let boost = (n as i64 % 11) * 97_000;
        let tags: &[&str] = [
            &["english"][..],
            &["english", "threats"],
            &["english"],
            &["french"],
        ][n % 4];
        let mut words: Vec<Vec<u8>> = [
            "MODQ.SUBMIT",
            "review",
            &id,
            text,
            "PRIORITY",
            &priority.to_string(),
            "BOOST",
            &boost.to_string(),
            "TAGS",
            &tags.len().to_string(),
        ]
        .map(Into::into)
        .into();
        words.extend(tags.iter().map(|t| t.as_bytes().to_vec()));
        c.cmd(&words);
    }
    people(c);
    for n in 0..7 {
        cmd!(
            c,
            "MODQ.SUBMIT",
            "appeals",
            format!("appeal:{n}"),
            "Please look again: this was satire."
        );
    }
    for n in 0..5 {
        cmd!(
            c,
            "MODQ.SUBMIT",
            "spam:fast-lane",
            format!("sms:{n}"),
            "WIN A PRIZE",
            "DELAY",
            3_600_000
        );
    }
    c.line("MODQ.PAUSE spam:fast-lane OUT");
    dead(c);
    c.expect_ok("RATELIMIT.POLICY SET free 10 60000 LIMIT 100 3600000 ALGO GCRA BURST 20");
    c.expect_ok("RATELIMIT.POLICY SET partner 1000 60000 ALGO COUNTER");
    for _ in 0..7 {
        c.line("RATELIMIT.CHECK user:42 POLICY free");
    }
    c.line("RATELIMIT.ACQUIRE exports 4 job-17 TTL 600000 COST 2");
    for (n, who) in ["ada", "bo", "chen", "dee", "eve", "farid"]
        .iter()
        .enumerate()
    {
        c.line(&format!("RANK.ADD cup {who} {}", 700 - 90 * n));
    }
}

/// Some hold items, some wait.
fn people(c: &mut Client) {
    for who in ["mia", "noah", "olga"] {
        c.line(&format!("MODQ.CLAIM review {who} TAGS 2 english threats"));
    }
    for n in 0..6 {
        let who = ["mia", "noah"][n % 2];
        let claim = c.line(&format!(
            "MODQ.CLAIM review {who} NEW TAGS 2 english threats"
        ));
        if !claim.items().is_empty() {
            let (item, token) = (claim[0][0].clone(), claim[0][2].clone());
            cmd!(c, "MODQ.RESOLVE", "review", item, token, "DECISION", "keep");
        }
    }
    c.line("MODQ.JOIN review paul TTL 3600000 TAGS 1 spanish");
    c.line("MODQ.JOIN appeals quinn TTL 3600000 TAGS 1 legal");
}

fn dead(c: &mut Client) {
    for n in 0..4 {
        cmd!(
            c,
            "MODQ.SUBMIT",
            "images",
            format!("image:{n}"),
            format!("{{\"url\":\"https://img.example/{n}\"}}")
        );
    }
    c.line("MODQ.CLAIM images rex COUNT 3 LOCK 1");
    modq_testkit::wait_until("they are dead", modq_testkit::PATIENCE, || {
        c.line("MODQ.LEN images DEAD").int() == 3
    });
}
