#!/bin/bash
# mpop.sh pop3 OUT
set -eu
case $SECURITY in
plain) tls="tls off" AUTH=${AUTH:-plain} ;; # by itself it sends no password without TLS
starttls) tls=$'tls on\ntls_starttls on' ;;
tls) tls=$'tls on\ntls_starttls off' ;;
esac
mkdir -p "$2/new" "$2/cur" "$2/tmp"
cat >"$HOME/mpoprc" <<END
account default
host $HOST
port $PORT
auth ${AUTH:-on}
user $MAILUSER
password "$MAILPASS"
$tls
tls_trust_file $CA
delivery maildir $2
received_header off
keep on
uidls_file $HOME/uidls
END
chmod 600 "$HOME/mpoprc"
mpop -C "$HOME/mpoprc" --debug
