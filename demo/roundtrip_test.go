package demo

import "testing"

// One mailbox, three protocols, one token.
func TestRoundTrip(t *testing.T) {
	p := start(t, Options{})
	tok := connect(t, p, alice)
	p.Deliver(alice, []byte("Subject: x\r\n\r\n.hello\r\n"))
	c := dial(t, p, p.IMAP)
	c.talk(`
	S: * OK Gimap ready for requests from <ip> <id>
	C: a ID NIL
	S: * ID ("name" "GImap" "vendor" "Google, Inc." "support-url" "https://support.google.com/mail" "remote-host" "<ip>" "connection-token" "<id>")
	S: a OK Success <id>
	C: b AUTHENTICATE XOAUTH2 %s
	S: * CAPABILITY `+imapCapsServed+`
	S: b OK alice@gmail.com authenticated (Success)
	C: c ID NIL
	S: * ID ("name" "GImap" <*>)
	S: c OK Success
	C: d SELECT INBOX
	S: * 1 EXISTS
	S: * 0 RECENT
	S: * OK [UNSEEN 1] First unseen message
	S: * OK [UIDVALIDITY 1] UIDs valid
	S: * OK [UIDNEXT 2] Predicted next UID
	S: * FLAGS (<*>)
	S: * OK [PERMANENTFLAGS (<*>)] Permanent flags
	S: d OK [READ-WRITE] SELECT completed
	C: e IDLE
	S: + idling`, xoauth2(alice, tok.AccessToken))

	s := dial(t, p, p.SMTP)
	s.talk(`
	S: 220 smtp.gmail.com ESMTP <id> - gsmtp
	C: EHLO me
	S: 250-smtp.gmail.com at your service, [<ip>]
	S: 250-SIZE 35882577
	S: 250-8BITMIME
	S: 250-AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH
	S: 250-ENHANCEDSTATUSCODES
	S: 250-PIPELINING
	S: 250-CHUNKING
	S: 250 SMTPUTF8
	C: AUTH XOAUTH2 %s
	S: 235 2.7.0 Accepted
	C: MAIL FROM:<alice@gmail.com>
	S: 250 2.1.0 OK <id> - gsmtp
	C: RCPT TO:<alice@gmail.com>
	S: 250 2.1.5 OK <id> - gsmtp
	C: DATA
	S: 354  Go ahead <id> - gsmtp
	C: Subject: y
	C: 
	C: ..hi
	C: .
	S: 250 2.0.0 OK  <id> <id> - gsmtp
	C: QUIT
	S: 221 2.0.0 closing connection <id> - gsmtp`, xoauth2(alice, tok.AccessToken))
	s.expectEnd()
	c.talk(`
	S: * 2 EXISTS
	C: DONE
	S: e OK IDLE completed
	C: f FETCH 2 BODY[]
	S: * 2 FETCH (UID 2 BODY[] {19}
	S: Subject: y
	S: 
	S: .hi
	S: )
	S: * 2 FETCH (UID 2 FLAGS (\Seen))
	S: f OK FETCH completed
	C: g LOGOUT
	S: * BYE LOGOUT Requested
	S: g OK 73 good day (Success)`)
	c.expectEnd()
	o := dial(t, p, p.POP3)
	o.talk(`
	S: +OK Gpop ready for requests from <ip> <id>
	C: AUTH XOAUTH2 %s
	S: +OK Welcome.
	C: STAT
	S: +OK 2 41
	C: RETR 1
	S: +OK message follows
	S: Subject: x
	S: 
	S: ..hello
	S: .
	C: DELE 1
	S: +OK
	C: QUIT
	S: +OK Farewell.`, xoauth2(alice, tok.AccessToken))
	o.expectEnd()
}
