#!/bin/bash
# offlineimap.sh imap OUT
set -eu
case $SECURITY in
plain) tls=$'ssl = no\nstarttls = no' ;;
starttls) tls=$'ssl = no\nstarttls = yes' ;;
tls) tls=$'ssl = yes' ;;
esac
cat >"$HOME/offlineimaprc" <<END
[general]
accounts = a
metadata = $HOME/meta
ui = basic
maxsyncaccounts = 1
[Account a]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = $2
[Repository far]
type = IMAP
remotehost = $HOST
remoteport = $PORT
remoteuser = $MAILUSER
remotepass = $MAILPASS
sslcacertfile = $CA
$tls
readonly = True
folderfilter = lambda name: name == 'INBOX'
END
offlineimap -c "$HOME/offlineimaprc" -o 2>&1 | tee "$HOME/log" >&2
# It exits with 0 even if an account failed.
! grep -q ERROR "$HOME/log"
