#!/bin/sh
# Proves the promise of the README: from a clone, with an empty HOME, `make run` ends in a node that answers, and the second
# `make run` does so within three seconds. Clones the committed state; prints both times.
set -eu

source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
pid=""
port=$((20000 + $$ % 20000))

stop() {
    if [ -n "$pid" ]; then
        # make and the node share a process group of their own; the node gets the signal and make its status.
        kill -TERM "-$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
        pid=""
    fi
}
finish() {
    stop
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

now_ms() { python3 -c 'import time; print(time.time_ns() // 1000000)'; }

healthy() {
    python3 - "$port" <<'PY'
import sys, urllib.request
try:
    with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/health", timeout=2) as answer:
        sys.exit(answer.status != 200)
except OSError:
    sys.exit(1)
PY
}

# start LABEL LIMIT_MS: runs `make run` and waits for /health; sets took_ms.
start() {
    began=$(now_ms)
    setsid env HOME="$work/home" STARTALK_HTTP_PORT="$port" STARTALK_HTTPS_PORT="$((port + 1))" \
        STARTALK_MDNS=false STARTALK_DHT=false STARTALK_PORTMAP=false \
        make --no-print-directory -C "$work/clone" run <"/dev/null" >"$work/$1.log" 2>&1 &
    pid=$!
    until healthy; do
        if ! kill -0 "$pid" 2>/dev/null || [ $(($(now_ms) - began)) -gt "$2" ]; then
            echo "startalk: $1 did not answer on /health within $(($2 / 1000)) s" >&2
            tail -n 40 "$work/$1.log" >&2
            exit 1
        fi
    done
    took_ms=$(($(now_ms) - began))
    echo "startalk: $1 answered after $took_ms ms"
}

git clone --quiet "$source" "$work/clone"
mkdir "$work/home"
start "first make run" 900000
stop
start "second make run" 60000
if [ "$took_ms" -ge 3000 ]; then
    echo "startalk: the second start must take less than 3 s" >&2
    exit 1
fi
stop
