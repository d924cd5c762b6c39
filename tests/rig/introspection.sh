#!/bin/bash
# introspection.sh start|stop: tells Dovecot whom a token is for (RFC 7662); see introspection.py. Tests issue the tokens.
. "$(dirname "$0")/lib.sh"
[ "${1:-start}" = stop ] && { unserve introspection; exit; }
serve introspection python3 "$HERE/introspection.py" "$CS_RIG_INTROSPECTION_PORT"
await "$CS_RIG_INTROSPECTION_PORT" "$CS_RIG_DIR/introspection/log"
