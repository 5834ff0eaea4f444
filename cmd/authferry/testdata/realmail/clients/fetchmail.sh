#!/bin/bash
# fetchmail.sh imap|pop3 OUT
set -eu
case $SECURITY in
plain) ssl="sslproto ''" ;;
starttls) ssl="sslproto TLS1.2+ sslcertck sslcertfile $CA" ;;
tls) ssl="ssl sslcertck sslcertfile $CA" ;;
esac
cat >"$HOME/fetchmailrc" <<END
set invisible
set no bouncemail
poll $HOST protocol $1 service $PORT auth password timeout 60
	user "$MAILUSER" password "$MAILPASS" keep fetchall no rewrite $ssl
	mda "cat >$2/\$\$"
END
chmod 600 "$HOME/fetchmailrc"
FETCHMAILHOME=$HOME fetchmail -f "$HOME/fetchmailrc" --nosyslog --nodetach --pidfile "$HOME/pid" -v
