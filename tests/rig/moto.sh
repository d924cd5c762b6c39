#!/bin/bash
# moto.sh start|stop: moto, S3 and Secrets Manager over HTTP in one process; its state is in memory and lost at stop.
. "$(dirname "$0")/lib.sh"
[ "${1:-start}" = stop ] && { unserve moto; exit; }
MOTO=$("$HERE/install" --moto-dir)
PYTHONPATH=$MOTO serve moto "$MOTO/bin/moto_server" -H 127.0.0.1 -p "$CS_RIG_MOTO_PORT"
await "$CS_RIG_MOTO_PORT" "$CS_RIG_DIR/moto/log"
