#!/bin/bash
# snail.sh send FROM TO FILE...: Heirloom mailx, the mail command of many cron jobs
set -eu
s= starttls=
case $SECURITY in
starttls) starttls="-Ssmtp-use-starttls" ;;
tls) s=s ;;
esac
from=$2 to=$3
shift 3
for file; do
	s-nail -n -v -Sv15-compat=yes -Sttycharset=utf-8 -Ssendcharsets=utf-8 -Smime-encoding=quoted-printable \
		-Stls-ca-file="$CA" -Stls-ca-no-defaults -Stls-verify=strict $starttls -Ssmtp-auth="${AUTH:-plain}" \
		-Suser="$MAILUSER" -Spassword="$MAILPASS" -Smta="smtp$s://$HOST:$PORT" -Sfrom="$from" -Ssendwait \
		-s "$(basename "$file")" -a "$file" "$to" <"$BODY"
done
