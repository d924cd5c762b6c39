#!/bin/bash
# postgres.sh start|stop: a PostgreSQL cluster of the rig's own with TLS, the newest version installed, fsync on. Stopped as
# by a crash; started again it goes on with what it has.
. "$(dirname "$0")/lib.sh"
D=$CS_RIG_DIR/pg
BIN=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
if [ "${1:-start}" = stop ]; then
  [ -f "$D/data/postmaster.pid" ] && as postgres "$BIN/pg_ctl" -D "$D/data" -m immediate -w stop >/dev/null
  exit 0
fi
make() {
  mkdir -p "$D"; echo secret >"$D/pw"
  if [ "$(id -u)" = 0 ]; then chown -R postgres "$D"; fi
  as postgres "$BIN/initdb" -D "$D/data" -U postgres --pwfile="$D/pw" -A scram-sha-256 -E UTF8 --no-locale --no-sync >"$D/initdb" 2>&1 \
    || { cat "$D/initdb" >&2; exit 1; }
  cp "$CS_RIG_DIR"/certs/server.{pem,key} "$D/data/"; chmod 600 "$D/data/server.key"
  if [ "$(id -u)" = 0 ]; then chown postgres "$D"/data/server.*; fi
  cat >>"$D/data/postgresql.conf" <<C
port = $CS_RIG_PG_PORT
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
ssl = on
ssl_cert_file = 'server.pem'
ssl_key_file = 'server.key'
max_connections = 200
fsync = ${CS_RIG_FSYNC:-on}
log_min_messages = warning
C
}
[ -f "$D/data/PG_VERSION" ] || make
as postgres "$BIN/pg_ctl" -D "$D/data" -w -l "$D/log" start >"$D/start" 2>&1 </dev/null || { cat "$D/start" "$D/log" >&2; exit 1; }
