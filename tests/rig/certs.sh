#!/bin/bash
# certs.sh: a certificate authority of the rig's own and a server certificate for localhost and 127.0.0.1.
. "$(dirname "$0")/lib.sh"
mkdir -p "$CS_RIG_DIR/certs"; cd "$CS_RIG_DIR/certs"
[ -f server.pem ] && exit 0
EC="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
openssl req -x509 $EC -days 30 -keyout ca.key -out ca.pem -subj "/CN=countersign rig CA" \
  -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
openssl req $EC -keyout server.key -out server.csr -subj "/CN=localhost" 2>/dev/null
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out server.pem \
  -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n') 2>/dev/null
# Dovecot reads the key without privileges; it guards nothing but this rig.
chmod 644 ./*.pem server.key
