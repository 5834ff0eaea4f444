#!/bin/bash
# mutt.sh imap|pop3 OUT, mutt.sh send FROM TO FILE...
set -eu
s=
case $SECURITY in tls) s=s ;; esac
cat >"$HOME/muttrc" <<END
set ssl_starttls = $([ "$SECURITY" = starttls ] && echo yes || echo no)
set ssl_force_tls = $([ "$SECURITY" = plain ] && echo no || echo yes)
set certificate_file = "$CA"
set imap_user = "$MAILUSER" imap_pass = "$MAILPASS"
set pop_user = "$MAILUSER" pop_pass = "$MAILPASS"
set smtp_url = "smtp$s://$MAILUSER@$HOST:$PORT" smtp_pass = "$MAILPASS"
set mbox_type = maildir header_cache = "" message_cachedir = ""
set confirmappend = no confirmcreate = no delete = no move = no quit = yes beep = no wait_key = no
set folder = "$HOME" copy = no sort = mailbox-order use_from = yes realname = "" charset = utf-8 send_charset = "us-ascii:utf-8"
set sleep_time = 0 pop_checkinterval = 0
END
case $1 in
imap | pop3)
	scheme=$1
	[ "$1" = pop3 ] && scheme=pop
	/usr/bin/python3 "$(dirname "$0")/terminal.py" mutt -F "$HOME/muttrc" -d 2 -f "$scheme$s://$HOST:$PORT/" \
		-e "push \"T~A<enter>;C$2/m<enter>q\""
	cat "$HOME"/.muttdebug0 >&2 || :
	;;
send)
	export EMAIL=$2
	to=$3
	shift 3
	for file; do
		mutt -F "$HOME/muttrc" -d 2 -s "$(basename "$file")" -a "$file" -- "$to" <"$BODY" || {
			cat "$HOME"/.muttdebug0 >&2
			exit 1
		}
	done
	;;
esac
