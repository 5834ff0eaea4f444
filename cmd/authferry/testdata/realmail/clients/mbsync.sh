#!/bin/bash
# mbsync.sh imap OUT [PATTERNS]: a one-way copy into a maildir per folder
set -eu
case $SECURITY in plain) type=None;; starttls) type=STARTTLS;; tls) type=IMAPS;; esac
cat >"$HOME/mbsyncrc" <<END
IMAPAccount a
Host $HOST
Port $PORT
User $MAILUSER
Pass "$MAILPASS"
SSLType $type
SystemCertificates no
CertificateFile $CA
AuthMechs ${AUTH:-*}
PipelineDepth ${DEPTH:-50}

IMAPStore far
Account a

MaildirStore near
Path $2/
Inbox $2/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns ${3:-INBOX}
Create Near
Sync Pull
SyncState $HOME/
END
mbsync -c "$HOME/mbsyncrc" -V c
