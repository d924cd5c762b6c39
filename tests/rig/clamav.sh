#!/bin/bash
# clamav.sh start|stop: clamd, unprivileged, on the Unix socket CS_RIG_CLAMD_SOCKET and, where CS_RIG_CLAMD_PORT is set, on
# loopback. It knows one signature, of our own, for the EICAR test string, and takes streams of 2 MiB at most. No freshclam,
# no network. A test that stops and starts a clamd gives both variables and a CS_RIG_DIR of its own.
. "$(dirname "$0")/lib.sh"
[ "${1:-start}" = stop ] && { unserve clamav; exit; }
D=$CS_RIG_DIR/clamav; U=$(rig_user)
mkdir -p "$D"/{db,tmp}
# The string in hexadecimal, so that no file of ours is taken for it; at any offset, in files of any type.
cat >"$D/db/rig.ndb" <<C
Rig.Eicar:0:*:58354f2150254041505b345c505a58353428505e2937434329377d2445494341522d5354414e444152442d414e544956495255532d544553542d46494c452124482b482a
C
cat >"$D/clamd.conf" <<C
Foreground yes
DatabaseDirectory $D/db
TemporaryDirectory $D/tmp
LocalSocket $CS_RIG_CLAMD_SOCKET
FixStaleSocket yes
StreamMaxLength 2M
MaxThreads 4
SelfCheck 0
Bytecode no
PhishingSignatures no
PhishingScanURLs no
C
if [ -n "${CS_RIG_CLAMD_PORT:-}" ]; then printf 'TCPSocket %s\nTCPAddr 127.0.0.1\n' "$CS_RIG_CLAMD_PORT" >>"$D/clamd.conf"; fi
AS=()
if [ "$(id -u)" = 0 ]; then
  chown -R "$U" "$D"; AS=(setpriv --reuid="$U" --regid="$(id -gn "$U")" --clear-groups --)
fi
rm -f "$CS_RIG_CLAMD_SOCKET"
serve clamav "${AS[@]}" /usr/sbin/clamd --config-file="$D/clamd.conf"
# It opens its sockets when the signatures are loaded, this one last.
for _ in $(seq 200); do [ -S "$CS_RIG_CLAMD_SOCKET" ] && exit 0; sleep .1; done
echo "no socket $CS_RIG_CLAMD_SOCKET; the end of $D/log:" >&2; tail -n 20 "$D/log" >&2; exit 1
