//! The ACL rules of `docs/operations.md`: each role can do its work, and nothing of the others'.

use modq_testkit::place::workspace;
use modq_testkit::queue::*;
use modq_testkit::*;

/// The lines of the block of rules.
fn recipes() -> Vec<String> {
    let text = std::fs::read_to_string(workspace().join("docs/operations.md")).unwrap();
    let block = text.split("```acl\n").nth(1).expect("a block of rules");
    let block = block.split("```").next().unwrap();
    block.lines().map(str::to_owned).collect()
}

/// A role, what it can do one after the other (`$t` is the token of the last claim), and what not.
type Role = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const ROLES: &[Role] = &[
    (
        "submitter",
        &[
            "MODQ.SUBMIT review:a i p",
            "MODQ.UPDATE review:a i PRIORITY 3",
            "MODQ.POSITION review:a i",
            "MODQ.MSUBMIT review:a 1 gone p",
            "MODQ.CANCEL review:a gone",
            "MODQ.DECIDED review:a gone",
            "MODQ.GET review:a i",
        ],
        &[
            "MODQ.SUBMIT other i p",
            "MODQ.FORGET review:a i",
            "MODQ.CLAIM review:a m",
            "MODQ.CONFIGURE review:a LOCK 5",
            "XADD audit * a b",
            "RATELIMIT.CHECK limit:a 1 1000",
        ],
    ),
    (
        "moderator",
        &[
            "MODQ.JOIN review:a m",
            "MODQ.HELD review:a m",
            "MODQ.CLAIM review:a m",
            "MODQ.EXTEND review:a i $t 60000",
            "MODQ.MEXTEND review:a 60000 1 i $t",
            "MODQ.RELEASE review:a i $t",
            "MODQ.MCLAIM 2 review:a review:b m",
            "MODQ.CLAIM review:a m",
            "MODQ.GROUP review:a g",
            "MODQ.RESOLVE review:a i $t DECISION ok ALSO 9",
            "MODQ.MRESOLVE review:a 1 i $t",
            "MODQ.LEAVE review:a m",
            "SUBSCRIBE modq:{review:a}:m",
        ],
        &[
            "MODQ.SUBMIT review:a j p",
            "MODQ.ASSIGN review:a i n",
            "MODQ.CANCELGROUP review:a g",
            "MODQ.PAUSE review:a",
            "MODQ.CLAIM other m",
            "XRANGE audit - +",
            "SUBSCRIBE news",
        ],
    ),
    (
        "supervisor",
        &[
            "MODQ.CONFIGURE review:a EVENTS audit",
            "MODQ.PAUSE review:a",
            "MODQ.UNPAUSE review:a",
            "MODQ.REVIVE review:a ALL",
            "MODQ.DECIDED review:a gone",
            "MODQ.FORGET review:a gone BY supervisor",
            "MODQ.LIST review:a READY",
            "MODQ.GROUP review:a g",
            "MODQ.CANCELGROUP review:a g REASON closed BY admin",
            "MODQ.WAITERS review:a",
            "MODQ.STATS review:a",
            "XRANGE audit - +",
        ],
        &[
            "MODQ.CONFIGURE review:a EVENTS elsewhere",
            "MODQ.SUBMIT review:a j p",
            "MODQ.RESOLVE review:a i 1",
            "XADD audit * a b",
            "DEL review:a",
        ],
    ),
    (
        "monitor",
        &[
            "INFO modq",
            "SCAN 0 TYPE modqqueue",
            "MODQ.STATS review:a",
            "MODQ.CONFIG review:a",
            "MODQ.LEN review:a",
            "XLEN audit",
        ],
        &[
            "MODQ.CONFIGURE review:a",
            "MODQ.GET review:a i",
            "MODQ.UPDATE review:a i PRIORITY 3",
            "XRANGE audit - +",
        ],
    ),
    (
        "limiter",
        &[
            "RATELIMIT.CHECK limit:a 5 60000",
            "RATELIMIT.MCHECK 2 limit:a limit:b LIMIT 5 60000 LIMIT 5 60000",
            "RATELIMIT.REFUND limit:a COST 1",
            "RATELIMIT.ACQUIRE limit:c 1 me TTL 1000",
            "RATELIMIT.RELEASE limit:c me",
        ],
        &[
            "RATELIMIT.POLICY SET p 1 1000",
            "RATELIMIT.RESET limit:a",
            "RATELIMIT.CHECK review:a 1 1000",
        ],
    ),
    (
        "scorer",
        &[
            "RANK.ADD board:a ann 5",
            "RANK.TOP board:a 5",
            "RANK.PERCENTILE board:a ann",
        ],
        &[
            "RANK.REM board:a ann",
            "RANK.CLOSE board:a board:b",
            "RANK.ADD other ann 5",
        ],
    ),
];

fn each_role_can_do_its_work_and_no_other(kind: Kind) {
    let (server, mut admin) = desk(kind);
    let recipes = recipes();
    assert_eq!(recipes.len(), ROLES.len());
    for recipe in &recipes {
        admin.expect_ok(recipe);
    }
    for (role, work, refused) in ROLES {
        let sign_in = |client: &mut Client| client.expect_ok(&format!("AUTH {role} secret"));
        let mut user = server.client();
        sign_in(&mut user);
        let mut token = String::new();
        for line in *work {
            let reply = user.line(&line.replace("$t", &token));
            assert_eq!(reply.err_code(), "", "{role}: {line}: {reply:?}");
            if line.starts_with("MODQ.CLAIM") {
                token = claims(&reply)[0].token.to_string();
            }
        }
        // Another connection: who has subscribed can do nothing else.
        let mut user = server.client();
        sign_in(&mut user);
        for line in *refused {
            assert_err!(user.line(line), "NOPERM");
        }
    }
}

matrix!(each_role_can_do_its_work_and_no_other);
