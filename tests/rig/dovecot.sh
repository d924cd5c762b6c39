#!/bin/bash
# dovecot.sh start|stop: Dovecot 2.3 with IMAP (plain, STARTTLS, TLS), LMTP, and SASL for Postfix; wholly unprivileged.
# Any user logs in with the password `secret` and has an empty INBOX at first. The mailbox is the user name as given:
# mail for x@rig.test is read by the user x@rig.test, the user x has a mailbox of its own. Folders are made by CREATE.
# With XOAUTH2 and OAUTHBEARER the token says who it is for: see introspection.sh.
. "$(dirname "$0")/lib.sh"
D=$CS_RIG_DIR/dovecot; U=$(rig_user); G=$(id -gn "$U")
if [ "${1:-start}" = stop ]; then
  [ -f "$D/run/master.pid" ] && doveadm -c "$D/dovecot.conf" stop
  exit 0
fi
mkdir -p "$D"/{run,state,mail}
cat >"$D/oauth2.conf" <<C
introspection_mode = post
introspection_url = http://127.0.0.1:$CS_RIG_INTROSPECTION_PORT/introspect
username_attribute = username
active_attribute = active
active_value = true
C
cat >"$D/dovecot.conf" <<C
protocols = imap lmtp
listen = 127.0.0.1
base_dir = $D/run
state_dir = $D/state
log_path = $D/log
default_internal_user = $U
default_login_user = $U
default_internal_group = $G
mail_uid = $U
mail_gid = $G
first_valid_uid = 1
mail_location = maildir:$D/mail/%u
mail_max_userip_connections = 500
recipient_delimiter = +
lmtp_save_to_detail_mailbox = no
ssl = yes
ssl_cert = <$CS_RIG_DIR/certs/server.pem
ssl_key = <$CS_RIG_DIR/certs/server.key
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2 oauthbearer
# A wrong password is answered at once: tests try them on purpose.
auth_failure_delay = 0
passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = $D/oauth2.conf
}
passdb {
  driver = static
  mechanisms = plain login
  args = password=secret
}
userdb {
  driver = static
  args = uid=$U gid=$G home=$D/mail/%u allow_all_users=yes
}
namespace inbox {
  inbox = yes
}
service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap-login {
  chroot =
  inet_listener imap {
    port = $CS_RIG_IMAP_PORT
  }
  inet_listener imaps {
    port = $CS_RIG_IMAPS_PORT
    ssl = yes
  }
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = $CS_RIG_LMTP_PORT
  }
}
service auth {
  inet_listener sasl {
    address = 127.0.0.1
    port = $CS_RIG_SASL_PORT
  }
}
service stats {
  chroot =
}
C
if [ "$(id -u)" = 0 ]; then chown -R "$U:$G" "$D"; fi
as "$U" dovecot -c "$D/dovecot.conf" >"$D/start" 2>&1 </dev/null || { cat "$D/start" >&2; exit 1; }
await "$CS_RIG_IMAPS_PORT" "$D/log"
