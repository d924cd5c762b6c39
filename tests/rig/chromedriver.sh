#!/bin/bash
# chromedriver.sh start|stop: ChromeDriver on loopback; each session starts a headless Chromium with a profile of its own.
. "$(dirname "$0")/lib.sh"
[ "${1:-start}" = stop ] && { unserve chromedriver; exit; }
serve chromedriver chromedriver --port="$CS_RIG_CHROMEDRIVER_PORT"
await "$CS_RIG_CHROMEDRIVER_PORT" "$CS_RIG_DIR/chromedriver/log"
