#!/bin/bash
# swaks.sh send FROM TO FILE...
set -eu
tls=(--tls-verify --tls-ca-path "$CA")
case $SECURITY in
plain) tls=() ;;
starttls) tls+=(--tls) ;;
tls) tls+=(--tls-on-connect) ;;
esac
from=$2 to=$3
shift 3
for file; do
	swaks --server "$HOST" --port "$PORT" --helo client.example.org "${tls[@]}" \
		--auth "${AUTH:-PLAIN}" --auth-user "$MAILUSER" --auth-password "$MAILPASS" \
		--from "$from" --to "$to" --data "@$file" --suppress-data --timeout 120
done
