#!/usr/bin/env bash
# Starts redis-server in the foreground with the module, on 127.0.0.1:$PORT; data stays in data/$PORT.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

port=${PORT:-6379}
[[ $port =~ ^[0-9]+$ ]] && ((port >= 1 && port <= 65535)) || die "PORT=$port is not a port"
server=$(find_redis) || die "no redis-server; run: make setup"
if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    die "port $port on 127.0.0.1 is taken; stop what listens there or choose another: make run PORT=7000"
fi
mkdir -p "data/$port"

# Once the server answers, say what to try. $$ is the server after exec below, so this ends with it.
(
    until redis-cli -p "$port" ping 2>/dev/null | grep -q PONG; do
        kill -0 $$ 2>/dev/null || exit 0
        sleep 0.1
    done
    cat <<TRY

modq is ready on 127.0.0.1:$port. In another terminal, try:

  redis-cli -p $port MODQ.SUBMIT review post:1 'Is this spam?'
  redis-cli -p $port MODQ.CLAIM review alice
  redis-cli -p $port RATELIMIT.CHECK user:42 10 60000

Ctrl-C stops the server; the data stays in data/$port.

TRY
) &

exec "$server" "$PWD/redis-test.conf" --port "$port" --dir "$PWD/data/$port" --loadmodule "$(module_path)"
