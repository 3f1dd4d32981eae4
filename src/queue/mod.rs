//! The moderation queue, pure.
