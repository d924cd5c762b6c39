# Sourced by the scripts beside it: what they share. Each server keeps its files in its own directory under CS_RIG_DIR.
set -euo pipefail
: "${CS_RIG_DIR:?started by tests/rig/up, not by hand}"
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# The account that runs the unprivileged servers: nobody when started by root, else the caller.
rig_user() { if [ "$(id -u)" = 0 ]; then echo nobody; else id -un; fi; }

# as USER COMMAND...: the command as USER when started by root, else as the caller.
as() {
  local user=$1; shift
  if [ "$(id -u)" = 0 ]; then setpriv --reuid="$user" --regid="$(id -gn "$user")" --clear-groups -- "$@"; else "$@"; fi
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# await PORT LOG: until the port answers; after 20 s the end of the log and failure.
await() {
  for _ in $(seq 200); do answers "$1" && return 0; sleep .1; done
  echo "no answer on port $1; the end of $2:" >&2; tail -n 20 "$2" >&2; return 1
}

# serve NAME COMMAND...: in a process group of its own, log and pid in the directory NAME.
serve() {
  local name=$1; shift; mkdir -p "$CS_RIG_DIR/$name"
  setsid "$@" >"$CS_RIG_DIR/$name/log" 2>&1 </dev/null &
  echo $! >"$CS_RIG_DIR/$name/pid"
}

# unserve NAME: ends what `serve` started, with its children, and waits for the leader.
unserve() {
  local pid; pid=$(cat "$CS_RIG_DIR/$1/pid" 2>/dev/null) || return 0
  kill -TERM -- "-$pid" 2>/dev/null || return 0
  for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || return 0; sleep .1; done
  kill -KILL -- "-$pid" 2>/dev/null || true
}
