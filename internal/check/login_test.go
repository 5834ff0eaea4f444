package check

import (
	"slices"
	"strings"
	"testing"
	"time"

	"authferry/demo"
	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/tokens/store"
)

// TestMailFaults: each refusal fails only the login of its protocol, with the server's
// words and a fix.
func TestMailFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		protocol protocol.Protocol
		fault    demo.MailFault
		words    []string
	}{
		{"imap", demo.MailRefuse, []string{"[AUTHENTICATIONFAILED]", "challenge: status 400", "authferry connect " + me}},
		{"imap", demo.MailDisabled, []string{"not enabled for IMAP", "End User Access", gmailAdminPage}},
		{"imap", demo.MailTooMany, []string{"Too many simultaneous", "Gmail: 15"}},
		{"imap", demo.MailTemporary, []string{"wait"}},
		{"imap", demo.MailWebLogin, []string{"with a browser", webLoginPage}},
		{"imap", demo.MailCut, []string{"try again later"}},
		{"pop3", demo.MailRefuse, []string{"[AUTH]", "challenge: status 400", "authferry connect " + me}},
		{"pop3", demo.MailDisabled, []string{"not enabled for POP", "enable POP", gmailPOPPage}}, // in the response to STAT
		{"pop3", demo.MailTooMany, []string{"[IN-USE]", "Gmail: 15"}},
		{"pop3", demo.MailTemporary, []string{"wait"}},
		{"pop3", demo.MailWebLogin, []string{"with a browser", webLoginPage}},
		{"pop3", demo.MailCut, []string{"try again later"}},
		{"smtp", demo.MailRefuse, []string{"535 5.7.8", "challenge: status 400", "authferry connect " + me}},
		{"smtp", demo.MailDisabled, []string{"Set-CASMailbox -Identity " + me, smtpAuthPage}},
		{"smtp", demo.MailTooMany, []string{"454", "wait an hour"}},
		{"smtp", demo.MailTemporary, []string{"wait"}},
		{"smtp", demo.MailWebLogin, []string{"with a browser", webLoginPage}},
	} {
		for _, mechanism := range []string{"XOAUTH2", "OAUTHBEARER"} {
			t.Run(string(test.protocol)+"/"+string(test.fault)+"/"+mechanism, func(t *testing.T) {
				t.Parallel()
				c := newFixture(t, demo.Options{}, me)
				c.provider.Mechanism = mechanism
				c.gmail.Faults.Mail(string(test.protocol), test.fault)
				words := slices.Clone(test.words)
				if mechanism == "OAUTHBEARER" {
					for i, w := range words {
						words[i] = strings.Replace(w, "status 400", "status invalid_request", 1)
					}
				}
				r := c.check()
				r.onlyFailures(me + " " + string(test.protocol) + " login")
				r.want(me, string(test.protocol)+" login", Fail, words...)
			})
		}
	}
}

// TestOAUTHBEARER: logins by the other mechanism succeed.
func TestOAUTHBEARER(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me)
	c.provider.Mechanism = "OAUTHBEARER"
	c.check().onlyFailures()
}

// TestLines: no command line of SMTP is longer than a server must accept, and a refusal
// ends as each mechanism requires.
func TestLines(t *testing.T) {
	t.Parallel()
	for _, length := range []int{100, 250, 350, 5000} {
		v := fuzzLogin("smtp")
		v.grant.AccessToken = secret.String(strings.Repeat("x", length))
		script := "220 hello\r\n250 hello\r\n"
		if length > 250 {
			script += "334 \r\n"
		}
		m := &scriptedConn{Reader: strings.NewReader(script + "235 2.7.0 Accepted\r\n221 bye\r\n")}
		if f := v.smtp(&mailConn{Conn: m}); f.result != OK {
			t.Errorf("%d: %+v", length, f)
		}
		for line := range strings.SplitAfterSeq(m.received.String(), "\r\n") {
			if strings.HasPrefix(line, "AUTH") && (len(line) > 512 || (len(line) < 30) != (length > 250)) {
				t.Errorf("a token of %d is sent in a command line of %d", length, len(line))
			}
		}
	}
	for mechanism, end := range map[string]string{"XOAUTH2": "\r\n\r\n", "OAUTHBEARER": "\r\nAQ==\r\n"} {
		v := fuzzLogin("pop3")
		v.grant.Provider.Mechanism = mechanism
		m := &scriptedConn{Reader: strings.NewReader("+OK\r\n+ \r\n+ e30=\r\n-ERR no\r\n")}
		if f := v.pop3(&mailConn{Conn: m}); f.result != Fail || !strings.HasSuffix(m.received.String(), end) {
			t.Errorf("%s: %+v, the provider received %q", mechanism, f, m.received.String())
		}
	}
	m := &scriptedConn{}
	for _, line := range []string{"=\r\n", "dXNlcj0=\r\n", "a1 NOOP\r\n"} {
		if n, err := (emptyResponses{m}).Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("%q: %d, %v", line, n, err)
		}
	}
	if got := m.received.String(); got != "\r\ndXNlcj0=\r\na1 NOOP\r\n" {
		t.Errorf("an IMAP server hears %q", got)
	}
}

// TestSendTo: a mail is sent only if it is requested.
func TestSendTo(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me)
	c.check().onlyFailures()
	if mails, err := c.gmail.Messages(you, "INBOX"); err != nil || len(mails) != 0 {
		t.Fatalf("%d mails were sent unasked, %v", len(mails), err)
	}
	c.subject.SendTo = you
	r := c.check()
	r.onlyFailures()
	r.want(me, "smtp send", OK, "sent a mail to "+you)
	mails, err := c.gmail.Messages(you, "INBOX")
	if err != nil || len(mails) != 1 || !strings.Contains(string(mails[0]), "From: <"+me+">\r\n") {
		t.Errorf("mails %q, %v", mails, err)
	}
	c.gmail.Faults.Mail("smtp", demo.MailTemporary)
	c.check().onlyFailures(me+" smtp login", me+" smtp send")
}

// TestExtensions: announced extensions that the provider does not have.
func TestExtensions(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me)
	c.provider.SMTPExtensions = []string{"SIZE 50000000", "8bitmime", "DSN", "STARTTLS", "AUTH LOGIN"}
	r := c.check()
	r.onlyFailures("smtp extensions")
	r.want("", "smtp extensions", Fail, "DSN is promised", "SIZE 50000000 is promised", `accepts "35882577"`,
		`into [provider.gmail]: smtp_extensions = ["SIZE 35882577", "8BITMIME", "PIPELINING", "CHUNKING", "SMTPUTF8", "ENHANCEDSTATUSCODES"]`)
	r.want(me, "smtp login", OK)
	c.provider.SMTPExtensions = []string{"SIZE 1000"}
	r = c.check()
	r.onlyFailures()
	r.want("", "smtp extensions", OK, "also has 8BITMIME, PIPELINING")
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		promised, kept string
		greater        bool
	}{
		{"1000", "1000", false}, {"1001", "1000", true}, {"1000", "0", false}, {"1000", "", false},
		{"", "1000", true}, {"0", "1000", true}, {"", "", false}, {"99999999999999999999999", "1000", true},
	} {
		if got := largerSize(test.promised, test.kept); got != test.greater {
			t.Errorf("%q > %q: %t", test.promised, test.kept, got)
		}
	}
}

// TestGrant: when a person must sign in next.
func TestGrant(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{GrantLife: 7 * 24 * time.Hour}, me)
	r := c.check()
	r.onlyFailures()
	r.want(me, "grant", OK, "6 days")

	c = newFixture(t, demo.Options{GrantLife: 47 * time.Hour}, me)
	r = c.check()
	r.onlyFailures(me + " grant")
	r.want(me, "grant", Fail, "1 day,", "Testing", "authferry connect "+me)
}

func TestScopes(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me)
	c.provider.Scopes = []string{"https://mail.google.com/", "openid", "https://www.googleapis.com/auth/drive"}
	r := c.check()
	r.onlyFailures(me + " scopes")
	r.want(me, "scopes", Fail, "auth/drive", "tick every box")
}

// TestAccounts: mailboxes that cannot be used, and why.
func TestAccounts(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me, you)
	c.edit(me, func(a *store.Account) { a.Provider = "" })
	c.edit(you, func(a *store.Account) { a.Provider = "elsewhere" })
	r := c.check()
	r.onlyFailures(me+" mailbox", you+" mailbox")
	r.want(me, "mailbox", Fail, "disconnected", "authferry connect "+me)
	r.want(you, "mailbox", Fail, `"elsewhere", which is not configured`, "[provider.elsewhere] to config.toml")
	r.want(you, "grant", Skip)
}
