//! Replies that commands give at once and blocked calls get later.

use crate::server::context::Context;
use modq_core::queue::ClaimView;

/// One claim, as CLAIM, MCLAIM and HELD answer it.
pub fn reply_claim(ctx: Context<'_>, claim: &ClaimView<'_>) {
    ctx.reply_array(8);
    ctx.reply_bytes(claim.item);
    ctx.reply_bytes(claim.payload);
    ctx.reply_integer(claim.token as i64);
    ctx.reply_integer(claim.deadline as i64);
    ctx.reply_integer(claim.priority.into());
    ctx.reply_integer(claim.submitted as i64);
    ctx.reply_integer(claim.deliveries.into());
    ctx.reply_integer(claim.rev.into());
}
