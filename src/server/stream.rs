//! What the server tells of a stream and of its consumer groups: XINFO STREAM and XINFO GROUPS.

use super::api::api;
use super::call::text_of;
use super::context::Context;
use redis_module::raw;
use std::ffi::CStr;

/// The ID of an entry of a stream: a time in ms, and a number within it.
pub type Id = (u64, u64);

/// The last ID that an entry of a stream can have.
const LAST_ID: Id = (u64::MAX, u64::MAX);

/// A stream, as far as it is asked after. What the server does not tell is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stream {
    /// Entries in it.
    pub length: u64,
    /// Entries that were ever added.
    pub added: u64,
    /// The first entry that is still there; 0-0 if there is none.
    pub first: Id,
    /// The last entry that was ever added.
    pub last: Id,
    /// The greatest of those that were deleted by XDEL.
    pub max_deleted: Id,
}

/// A consumer group of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Group {
    /// The last entry that was given to a consumer.
    pub delivered: Id,
    /// The place of that entry among all that were ever added, if the server knows it.
    pub read: Option<u64>,
}

impl Context<'_> {
    /// The stream of a name. None if there is none, or the server does not say.
    pub fn stream(self, name: &[u8]) -> Option<Stream> {
        let reply = Reply::of_xinfo(self, c"STREAM", name)?;
        let mut stream = Stream::default();
        reply.each_field(|name, value| match name {
            b"length" => stream.length = value.number().unwrap_or(0),
            b"entries-added" => stream.added = value.number().unwrap_or(0),
            b"recorded-first-entry-id" => stream.first = value.id(),
            b"last-generated-id" => stream.last = value.id(),
            b"max-deleted-entry-id" => stream.max_deleted = value.id(),
            _ => {}
        });
        Some(stream)
    }

    /// The consumer groups of a stream. None if there is no stream, or the server does not say.
    pub fn stream_groups(self, name: &[u8]) -> Option<Vec<Group>> {
        let reply = Reply::of_xinfo(self, c"GROUPS", name)?;
        let groups = (0..).map_while(|at| reply.at(at));
        let read = |row: Reply| {
            let mut group = Group::default();
            row.each_field(|name, value| match name {
                b"last-delivered-id" => group.delivered = value.id(),
                b"entries-read" => group.read = value.number(),
                _ => {}
            });
            group
        };
        Some(groups.map(read).collect())
    }

    /// Whether a stream has given its last possible ID, so that nothing can be added to it any more.
    pub fn is_exhausted(self, name: &[u8]) -> bool {
        self.stream(name)
            .is_some_and(|stream| stream.last == LAST_ID)
    }
}

/// A reply of the server, or a part of one, which goes with the whole.
struct Reply {
    raw: *mut raw::RedisModuleCallReply,
    is_part: bool,
}

impl Reply {
    /// What XINFO answers about a stream; none if that is an error.
    fn of_xinfo(ctx: Context<'_>, what: &'static CStr, stream: &[u8]) -> Option<Reply> {
        // SAFETY: the context is live; the arguments are what the format says (a C string and a
        // buffer), and the server copies them.
        let raw = unsafe {
            api!(RedisModule_Call(
                ctx.raw(),
                c"XINFO".as_ptr(),
                c"cb".as_ptr(),
                what.as_ptr(),
                stream.as_ptr(),
                stream.len()
            ))
        };
        let is_part = false;
        let reply = (!raw.is_null()).then_some(Reply { raw, is_part })?;
        (reply.kind() == raw::REDISMODULE_REPLY_ARRAY).then_some(reply)
    }

    fn kind(&self) -> isize {
        // SAFETY: the reply is live.
        unsafe { api!(RedisModule_CallReplyType(self.raw)) as isize }
    }

    /// An element of an array; none behind its end. Not to be kept for longer than the array.
    fn at(&self, at: usize) -> Option<Reply> {
        // SAFETY: the reply is live; the server answers null for what is no array or not in it.
        let raw = unsafe { api!(RedisModule_CallReplyArrayElement(self.raw, at)) };
        let is_part = true;
        (!raw.is_null()).then_some(Reply { raw, is_part })
    }

    /// Shows an array of names and values in turn.
    fn each_field(&self, mut show: impl FnMut(&[u8], &Reply)) {
        for at in (0..).step_by(2) {
            let (Some(name), Some(value)) = (self.at(at), self.at(at + 1)) else {
                return;
            };
            show(name.text().unwrap_or(b""), &value);
        }
    }

    fn text(&self) -> Option<&[u8]> {
        // SAFETY: the reply is live for as long as it is borrowed.
        unsafe { text_of(self.raw) }
    }

    fn number(&self) -> Option<u64> {
        if self.kind() != raw::REDISMODULE_REPLY_INTEGER {
            return None;
        }
        // SAFETY: the reply is live, and an integer.
        let number = unsafe { api!(RedisModule_CallReplyInteger(self.raw)) };
        u64::try_from(number).ok()
    }

    /// An ID; 0-0 if it is none.
    fn id(&self) -> Id {
        let text = self.text().and_then(|text| std::str::from_utf8(text).ok());
        let parts = text.and_then(|text| text.split_once('-'));
        let id = parts.and_then(|(ms, n)| Some((ms.parse().ok()?, n.parse().ok()?)));
        id.unwrap_or_default()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.is_part {
            // SAFETY: a reply that was given to us, and freed once.
            unsafe { api!(RedisModule_FreeCallReply(self.raw)) };
        }
    }
}
