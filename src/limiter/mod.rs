//! Rate and concurrency limits, pure.
