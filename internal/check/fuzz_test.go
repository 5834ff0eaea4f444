package check

import (
	"errors"
	"io"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// mouth is a connection that says what it was given, whatever it hears.
type mouth struct {
	io.Reader
	heard strings.Builder
}

func (m *mouth) Write(b []byte) (int, error)      { return m.heard.Write(b) }
func (m *mouth) Close() error                     { return nil }
func (m *mouth) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (m *mouth) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (m *mouth) SetDeadline(time.Time) error      { return nil }
func (m *mouth) SetReadDeadline(time.Time) error  { return nil }
func (m *mouth) SetWriteDeadline(time.Time) error { return nil }

const canary = "ya29.canary-in-a-mine"

func fuzzVisit(protocol string) *visit {
	p := oauth.Builtin()["gmail"]
	g := &tokens.Grant{Mailbox: me, User: me, Provider: p, AccessToken: canary}
	return newVisit(g, protocol, "localhost", nil)
}

// healthyFinding is what every finding is, whatever a peer says.
func healthyFinding(t *testing.T, f finding) {
	t.Helper()
	if f.detail == "" || (f.result == Fail) != (f.fix != "") {
		t.Errorf("%+v", f)
	}
	if strings.Contains(f.detail, "canary-in") || strings.ContainsAny(f.detail, "\r\n\x1b") {
		t.Errorf("a peer's words as they came: %q", f.detail)
	}
}

func FuzzPOP3(f *testing.F) {
	f.Add("+OK\r\n+\r\n+OK\r\n+OK 3 221\r\n+OK\r\n")
	f.Add("+OK\r\n+\r\n+ e30=\r\n-ERR [AUTH] " + canary + "\r\n")
	f.Add("+OK\r\n+OK\r\n-ERR [SYS/PERM] POP access is disabled for your domain.\r\n")
	f.Add("+OK\r\n+ \x1b\r\n")
	f.Fuzz(func(t *testing.T, said string) {
		healthyFinding(t, fuzzVisit("pop3").pop3(&greeted{Conn: &mouth{Reader: strings.NewReader(said)}}))
	})
}

func FuzzSMTP(f *testing.F) {
	f.Add("220 hello\r\n250-hello\r\n250 SIZE 1\r\n235 2.7.0 ok\r\n221 bye\r\n")
	f.Add("220 hello\r\n250 hello\r\n334 e30=\r\n535-5.7.8 " + canary + "\r\n535 5.7.8 no\r\n")
	f.Add("220 hello\r\n250 hello\r\n454 4.7.0 \x1b later\r\n")
	f.Fuzz(func(t *testing.T, said string) {
		healthyFinding(t, fuzzVisit("smtp").smtp(&greeted{Conn: &mouth{Reader: strings.NewReader(said)}}))
	})
}

func FuzzStartTLS(f *testing.F) {
	f.Add("imap", "* OK\r\ns1 OK\r\n")
	f.Add("pop3", "+OK\r\n-ERR\r\n")
	f.Add("smtp", "220 x\r\n250-x\r\n250 STARTTLS\r\n220 x\r\n")
	f.Fuzz(func(t *testing.T, protocol, said string) {
		if startCommand[protocol] == "" {
			return
		}
		greeting, err := startTLS(&mouth{Reader: strings.NewReader(said)}, protocol)
		if err == nil && !strings.HasSuffix(greeting, "TLS has begun\r\n") {
			t.Errorf("after STARTTLS comes %q", greeting)
		}
		var plain *plainError
		var broken textproto.ProtocolError
		if err != nil && !errors.As(err, &plain) && !errors.As(err, &broken) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%T: %v", err, err)
		}
	})
}

func FuzzJudgeClient(f *testing.F) {
	f.Add(400, `{"error":"invalid_grant"}`)
	f.Add(401, `{"error":"invalid_client","error_description":"`+canary+`"}`)
	f.Add(200, `{"error":{}}`)
	p := &place{provider: oauth.Builtin()["gmail"]}
	f.Fuzz(func(t *testing.T, status int, body string) {
		healthyFinding(t, p.judgeClient(status, []byte(body), secrets(nil).with(canary)))
	})
}

func FuzzCompare(f *testing.F) {
	f.Add("SIZE 1000", "SIZE", "1000")
	f.Add("SIZE", "size", "99999999999999999999")
	f.Fuzz(func(t *testing.T, promised, keyword, value string) {
		p := &oauth.Provider{Name: "x", SMTPExtensions: []string{promised, "8BITMIME"}}
		found := compare(p, func(k string) (bool, string) { return strings.EqualFold(k, keyword), value })
		if found.detail == "" || (found.result == Fail) != (found.fix != "") {
			t.Errorf("%+v", found)
		}
	})
}

func FuzzScrub(f *testing.F) {
	f.Add(canary, "the token "+canary)
	f.Add("x", "")
	f.Fuzz(func(t *testing.T, word, text string) {
		s := secrets(nil).with(secret.String(word))
		got := s.scrub(text + word + text)
		if len(word) >= leastPiece && strings.Contains(got, word) && !strings.Contains("•••", word) {
			t.Errorf("%q is shown in %q", word, got)
		}
		if quoted := s.said(text + word); strings.ContainsAny(quoted, "\r\n") {
			t.Errorf("quoted %q", quoted)
		}
	})
}
