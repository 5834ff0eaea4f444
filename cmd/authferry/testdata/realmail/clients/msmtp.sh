#!/bin/bash
# msmtp.sh send FROM TO FILE...
set -eu
case $SECURITY in
plain) tls="tls off" AUTH=${AUTH:-plain} ;; # by itself it sends no password without TLS
starttls) tls=$'tls on\ntls_starttls on' ;;
tls) tls=$'tls on\ntls_starttls off' ;;
esac
cat >"$HOME/msmtprc" <<END
account default
host $HOST
port $PORT
auth ${AUTH:-on}
user $MAILUSER
password "$MAILPASS"
$tls
tls_trust_file $CA
add_missing_from_header off
add_missing_date_header off
set_from_header off
set_date_header off
remove_bcc_headers off
END
chmod 600 "$HOME/msmtprc"
from=$2 to=$3
shift 3
for file; do msmtp -C "$HOME/msmtprc" --debug -f "$from" "$to" <"$file"; done
