//! Whose command runs, and what keys a user may change.
//!
//! A handler of a command could ask the server for the user of its client. But a notification (RESTORE
//! brought a key) has no client. So the server's list of clients is asked: the client whose command runs
//! is one that has arguments in memory (`argv-mem`) and does not wait (flag `b`). A client that is in the
//! midst of sending a command has arguments too, so these are all who *may* be meant. They never are
//! fewer: if nobody is found, nobody knows.

use super::api::api;
use super::call::text_of;
use super::context::Context;
use super::key::Name;
use redis_module::raw;
use std::ffi::CStr;

/// As the list of clients names who may do everything: the link from the primary, other modules.
const ALL_RIGHTS: &[u8] = b"(superuser)";

impl Context<'_> {
    /// Whether who runs the present command may read and change `key`, by the rights of users. False
    /// if that cannot be told. O(users), and O(clients) if there is a user who may not.
    pub fn runs_with_rights_on(self, key: &[u8]) -> bool {
        let (mut all, mut every_user_may) = (0, true);
        let users = self.each_text(c"ACL", c"USERS", |user| {
            all += 1;
            every_user_may &= may_change(user, key);
        });
        if users && all > 0 && every_user_may {
            return true;
        }
        let (mut found, mut all_may) = (0, true);
        let clients = self.each_text(c"CLIENT", c"LIST", |list| {
            for user in list.split(|byte| *byte == b'\n').filter_map(may_run) {
                found += 1;
                all_may &= user == ALL_RIGHTS || may_change(user, key);
            }
        });
        clients && found > 0 && all_may
    }

    /// Calls a command of the server's that answers a text, or an array of texts, and hands each on.
    /// Answers false if the command answers anything else.
    fn each_text(self, command: &CStr, argument: &CStr, mut then: impl FnMut(&[u8])) -> bool {
        // SAFETY: the context is live; the argument is what the format says (a C string). The reply is
        // read before it is freed, once; the server answers null for an index behind the last.
        unsafe {
            let reply = api!(RedisModule_Call(
                self.raw(),
                command.as_ptr(),
                c"c".as_ptr(),
                argument.as_ptr()
            ));
            if reply.is_null() {
                return false;
            }
            let mut known = true;
            if api!(RedisModule_CallReplyType(reply)) as isize == raw::REDISMODULE_REPLY_ARRAY {
                for at in 0.. {
                    let element = api!(RedisModule_CallReplyArrayElement(reply, at));
                    if element.is_null() {
                        break;
                    }
                    text_of(element).map_or_else(|| known = false, &mut then);
                }
            } else if api!(RedisModule_CallReplyType(reply)) as isize
                == raw::REDISMODULE_REPLY_STRING
            {
                text_of(reply).map_or_else(|| known = false, &mut then);
            } else {
                known = false;
            }
            api!(RedisModule_FreeCallReply(reply));
            known
        }
    }
}

/// The user of a client, by its line in the list of clients, if the present command may be its own.
fn may_run(line: &[u8]) -> Option<&[u8]> {
    let field = |name: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        fields.find_map(|field| field.strip_prefix(name))
    };
    let waits = field(b"flags=").is_some_and(|flags| flags.contains(&b'b'));
    let has_arguments = field(b"argv-mem=").is_some_and(|bytes| bytes != b"0");
    (has_arguments && !waits).then(|| field(b"user=").unwrap_or_default())
}

/// Whether a user may read and change a key, as CONFIGURE asks it for a stream.
fn may_change(user: &[u8], key: &[u8]) -> bool {
    let flags = raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_UPDATE;
    let (user, key) = (Name::new(user), Name::new(key));
    // SAFETY: the names are live strings. The user is freed once, and not used after that; the server
    // answers null for one that it does not know.
    unsafe {
        let user = api!(RedisModule_GetModuleUserFromUserName(user.get().raw()));
        if user.is_null() {
            return false;
        }
        let status = api!(RedisModule_ACLCheckKeyPermissions(
            user,
            key.get().raw(),
            flags as i32
        ));
        api!(RedisModule_FreeModuleUser(user));
        status == raw::REDISMODULE_OK as i32
    }
}

#[cfg(test)]
mod tests {
    use super::may_run;

    /// A line as a server of the matrix writes it.
    fn line(fields: &str) -> Vec<u8> {
        let head = "id=7 addr=127.0.0.1:40000 laddr=127.0.0.1:6379 fd=8 name= age=1 idle=0";
        format!("{head} {fields} events=r cmd=restore user=bob redir=-1 resp=2").into_bytes()
    }

    #[test]
    fn who_has_arguments_and_does_not_wait_may_run() {
        assert_eq!(
            may_run(&line("flags=N db=0 argv-mem=10")),
            Some(&b"bob"[..])
        );
        assert_eq!(may_run(&line("flags=N db=0 argv-mem=0")), None);
        assert_eq!(may_run(&line("flags=xb db=0 argv-mem=10")), None);
        assert_eq!(may_run(b""), None);
    }
}
