#!/bin/bash
# curl.sh imap|pop3 OUT, curl.sh send FROM TO FILE..., curl.sh append FOLDER FILE...
set -eu
[ -z "$MAILUSER" ] || user=(--user "$MAILUSER:$MAILPASS")
tls=(--cacert "$CA"); s=
case $SECURITY in starttls) tls+=(--ssl-reqd);; tls) s=s;; esac
[ -z "${AUTH:-}" ] || tls+=(--login-options "AUTH=$AUTH")
[ -z "${RATE:-}" ] || tls+=(--limit-rate "$RATE")
run() { curl -sS --verbose --max-time 120 "${tls[@]}" ${user:+"${user[@]}"} "$@"; }
case $1 in
imap)
	count=$(run -X 'STATUS INBOX (MESSAGES)' "imap$s://$HOST:$PORT/" | sed -n 's/.*MESSAGES \([0-9]*\).*/\1/p')
	run -o "$2/#1" "imap$s://$HOST:$PORT/INBOX;MAILINDEX=[1-$count]"
	;;
pop3)
	count=$(run "pop3$s://$HOST:$PORT/" | wc -l)
	run -o "$2/#1" "pop3$s://$HOST:$PORT/[1-$count]"
	;;
append)
	folder=$2
	shift 2
	run -X "CREATE $folder" "imap$s://$HOST:$PORT/"
	for file; do run -T "$file" "imap$s://$HOST:$PORT/$folder"; done
	;;
send)
	from=$2 to=$3
	shift 3
	for file; do run --mail-from "$from" --mail-rcpt "$to" -T "$file" "smtp$s://$HOST:$PORT/client.example.org"; done
	;;
esac
