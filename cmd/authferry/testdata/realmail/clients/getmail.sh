#!/bin/bash
# getmail.sh imap|pop3 OUT
set -eu
case $1 in imap) kind=IMAP;; pop3) kind=POP3;; esac
extra=
case $SECURITY in
starttls) echo "getmail has no STARTTLS" >&2; exit 2 ;;
tls) kind+=SSL extra="ca_certs = $CA" ;;
esac
cat >"$HOME/getmailrc" <<END
[retriever]
type = Simple${kind}Retriever
server = $HOST
port = $PORT
username = $MAILUSER
password = $MAILPASS
timeout = 60
$extra
[destination]
type = MDA_external
path = /bin/sh
arguments = ("-c", "cat >$2/\$\$")
allow_root_commands = true
[options]
read_all = true
delete = false
delivered_to = false
received = false
verbose = 2
END
getmail --getmaildir "$HOME" --rcfile "$HOME/getmailrc"
