//! MSUBMIT, MRESOLVE, MEXTEND: many requests in one step, which leaves one record.

use super::{Request, Turn};
use crate::queue::request::{Error, Many};

/// Runs one request after the other, each as if sent on its own. What is wrong with one of them is
/// its reply, and stops no other.
///
/// Errors: `Paused`, `Events`, `TryAgain`. They are the same for each request, so the first that
/// meets one comes before any change, and all are refused.
impl<I> Request for Many<I>
where
    I: IntoIterator,
    I::Item: Request,
{
    type Reply = Vec<Result<<I::Item as Request>::Reply, Error>>;

    fn run(self, turn: &mut Turn<'_>) -> Result<Self::Reply, Error> {
        let before = turn.out.record.bytes().len();
        let requests = self.0.into_iter();
        let mut replies = Vec::with_capacity(requests.size_hint().0);
        for request in requests {
            let reply = request.run(turn);
            if let Err(error @ (Error::Paused | Error::Events | Error::TryAgain)) = reply {
                debug_assert_eq!(turn.out.record.bytes().len(), before, "nothing has changed");
                return Err(error);
            }
            replies.push(reply);
        }
        Ok(replies)
    }
}
