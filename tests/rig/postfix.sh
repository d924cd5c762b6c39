#!/bin/bash
# postfix.sh start|stop: Postfix 3.7 as the border MTA mx.rig.test, with its own configuration and queue. Needs root.
# Every recipient is delivered into the Dovecot beside it; bounce@rig.test is refused with 550.
# The plain port trusts the sender and vouches for nothing. Submission (STARTTLS) and SMTPS ask for a login, hold the
# envelope sender to it (address extensions aside), and say so in a header of their own:
#   Authentication-Results: mx.rig.test; auth=pass smtp.auth=LOGIN; dmarc=pass header.from=DOMAIN OF THE LOGIN
# The header From is not held to the login: Postfix cannot, so that a test can lie in it.
# An Authentication-Results header that names mx.rig.test and came from outside is removed on every port.
. "$(dirname "$0")/lib.sh"
D=$CS_RIG_DIR/postfix
if [ "${1:-start}" = stop ]; then
  [ -f "$D/queue/pid/master.pid" ] && postfix -c "$D/etc" stop >/dev/null 2>&1
  exit 0
fi
mkdir -p "$D"/{etc,queue,data}; chown postfix "$D/data"
# smtpd prepends a header that only this rig knows by name, and cleanup turns it into the real one: what smtpd prepends
# passes through the same header_checks as what the client sent.
MARK=X-Rig-$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
cat >"$D/etc/headers" <<C
/^Authentication-Results:.*mx\.rig\.test/ IGNORE
/^$MARK: (.*)\$/ REPLACE Authentication-Results: mx.rig.test; \$1
C
cat >"$D/etc/vouch" <<C
/^(.+)@([^@]+)\$/ PREPEND $MARK: auth=pass smtp.auth=\$1@\$2; dmarc=pass header.from=\$2
/^(.+)\$/ PREPEND $MARK: auth=pass smtp.auth=\$1
C
echo '/^([^+@]+)(\+[^@]*)?@(.+)$/ ${1}@${3}' >"$D/etc/owners"
echo '/^bounce@rig\.test$/ 550 5.1.1 no such mailbox' >"$D/etc/refused"
cat >"$D/etc/main.cf" <<C
compatibility_level = 3.6
queue_directory = $D/queue
data_directory = $D/data
maillog_file = $D/log
maillog_file_prefixes = $CS_RIG_DIR
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.rig.test
myorigin = rig.test
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
local_transport = error:no local mail
recipient_delimiter = +
virtual_transport = lmtp:inet:127.0.0.1:$CS_RIG_LMTP_PORT
virtual_mailbox_domains = static:all
smtpd_recipient_restrictions = check_recipient_access,regexp:$D/etc/refused,permit_mynetworks,permit_sasl_authenticated,reject
smtpd_relay_restrictions = permit_mynetworks,permit_sasl_authenticated,reject
smtpd_sender_login_maps = regexp:$D/etc/owners
smtpd_tls_cert_file = $CS_RIG_DIR/certs/server.pem
smtpd_tls_key_file = $CS_RIG_DIR/certs/server.key
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:$CS_RIG_SASL_PORT
header_checks = regexp:$D/etc/headers
mime_header_checks =
nested_header_checks =
message_size_limit = 41943040
minimal_backoff_time = 5s
queue_run_delay = 5s
in_flow_delay = 0
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
lmtp_dns_support_level = disabled
C
# The login ports trust no network. Vouching waits for DATA: earlier it would be said once for each recipient.
LOGIN="-o smtpd_sasl_auth_enable=yes -o mynetworks=127.9.9.9/32 -o smtpd_sender_restrictions=reject_sender_login_mismatch
  -o smtpd_data_restrictions=check_sasl_access,regexp:$D/etc/vouch"
cat >"$D/etc/master.cf" <<C
127.0.0.1:$CS_RIG_SMTP_PORT inet n - n - - smtpd
127.0.0.1:$CS_RIG_SUBMISSION_PORT inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt $LOGIN
127.0.0.1:$CS_RIG_SMTPS_PORT inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes $LOGIN
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
lmtp      unix - - n - - lmtp
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
C
postfix -c "$D/etc" start >"$D/start" 2>&1 </dev/null || { cat "$D/start" >&2; exit 1; }
await "$CS_RIG_SMTPS_PORT" "$D/log"
