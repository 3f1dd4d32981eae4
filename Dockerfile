# A server with the module in it:
#   docker build --target redis -t modq-redis .
#   docker build --target valkey -t modq-valkey .
#   docker run --rm -p 127.0.0.1:6379:6379 -v modq-data:/data modq-redis
# The module is built on Debian 12, so that it runs on every Debian from there on.

FROM rust:1.95.0-slim-bookworm AS build
# Versions are Debian's own; they are as old as the image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends binutils gcc libc6-dev libclang-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /modq
COPY . .
RUN cargo build --release --locked --lib \
    && strip --strip-unneeded -o /libmodq.so target/release/libmodq.so

FROM valkey/valkey:9.1.2 AS valkey
COPY --from=build /libmodq.so /usr/lib/redis/modules/libmodq.so
CMD ["valkey-server", "--loadmodule", "/usr/lib/redis/modules/libmodq.so"]

FROM redis:8.2.3-bookworm AS redis
COPY --from=build /libmodq.so /usr/lib/redis/modules/libmodq.so
CMD ["redis-server", "--loadmodule", "/usr/lib/redis/modules/libmodq.so"]
