package check

import (
	"errors"
	"io"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// scriptedConn is a connection that sends a script, whatever it receives.
type scriptedConn struct {
	io.Reader
	received strings.Builder
}

func (m *scriptedConn) Write(b []byte) (int, error)      { return m.received.Write(b) }
func (m *scriptedConn) Close() error                     { return nil }
func (m *scriptedConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (m *scriptedConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (m *scriptedConn) SetDeadline(time.Time) error      { return nil }
func (m *scriptedConn) SetReadDeadline(time.Time) error  { return nil }
func (m *scriptedConn) SetWriteDeadline(time.Time) error { return nil }

const canary = "ya29.canary-in-a-mine"

func fuzzLogin(protocol protocol.Protocol) *loginCheck {
	p := oauth.Builtin()["gmail"]
	g := &tokens.Grant{Mailbox: me, User: me, Provider: p, AccessToken: canary}
	return newLoginCheck(g, protocol, "localhost", noSecrets)
}

// wellFormed checks a finding, whatever a peer sent.
func wellFormed(t *testing.T, f finding) {
	t.Helper()
	if f.detail == "" || (f.result == Fail) != (f.fix != "") {
		t.Errorf("%+v", f)
	}
	if strings.Contains(f.detail, "canary-in") || strings.ContainsAny(f.detail, "\r\n\x1b") {
		t.Errorf("a peer's text unquoted: %q", f.detail)
	}
}

func FuzzPOP3(f *testing.F) {
	f.Add("+OK\r\n+\r\n+OK\r\n+OK 3 221\r\n+OK\r\n")
	f.Add("+OK\r\n+\r\n+ e30=\r\n-ERR [AUTH] " + canary + "\r\n")
	f.Add("+OK\r\n+OK\r\n-ERR [SYS/PERM] POP access is disabled for your domain.\r\n")
	f.Add("+OK\r\n+ \x1b\r\n")
	f.Fuzz(func(t *testing.T, said string) {
		wellFormed(t, fuzzLogin("pop3").pop3(&mailConn{Conn: &scriptedConn{Reader: strings.NewReader(said)}}))
	})
}

func FuzzSMTP(f *testing.F) {
	f.Add("220 hello\r\n250-hello\r\n250 SIZE 1\r\n235 2.7.0 ok\r\n221 bye\r\n")
	f.Add("220 hello\r\n250 hello\r\n334 e30=\r\n535-5.7.8 " + canary + "\r\n535 5.7.8 no\r\n")
	f.Add("220 hello\r\n250 hello\r\n454 4.7.0 \x1b later\r\n")
	f.Fuzz(func(t *testing.T, said string) {
		wellFormed(t, fuzzLogin("smtp").smtp(&mailConn{Conn: &scriptedConn{Reader: strings.NewReader(said)}}))
	})
}

func FuzzStartTLS(f *testing.F) {
	f.Add("imap", "* OK\r\ns1 OK\r\n")
	f.Add("pop3", "+OK\r\n-ERR\r\n")
	f.Add("smtp", "220 x\r\n250-x\r\n250 STARTTLS\r\n220 x\r\n")
	f.Fuzz(func(t *testing.T, name, said string) {
		proto := protocol.Protocol(name)
		if startTLSCommand[proto] == "" {
			return
		}
		greeting, err := startTLS(&scriptedConn{Reader: strings.NewReader(said)}, proto)
		if err == nil && !strings.HasSuffix(greeting, "TLS has begun\r\n") {
			t.Errorf("after STARTTLS comes %q", greeting)
		}
		var plain *startTLSError
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
	p := oauth.Builtin()["gmail"]
	f.Fuzz(func(t *testing.T, status int, body string) {
		wellFormed(t, judgeClient(p, status, []byte(body), noSecrets.With(canary)))
	})
}

func FuzzCompare(f *testing.F) {
	f.Add("SIZE 1000", "SIZE", "1000")
	f.Add("SIZE", "size", "99999999999999999999")
	f.Fuzz(func(t *testing.T, promised, keyword, value string) {
		p := &oauth.Provider{Name: "x", SMTPExtensions: []string{promised, "8BITMIME"}}
		found := compareExtensions(p, func(k string) (bool, string) { return strings.EqualFold(k, keyword), value })
		if found.detail == "" || (found.result == Fail) != (found.fix != "") {
			t.Errorf("%+v", found)
		}
	})
}

func FuzzQuoted(f *testing.F) {
	f.Add(canary, "the token "+canary)
	f.Add("x", "")
	f.Fuzz(func(t *testing.T, word, text string) {
		s := secret.NewScrubber(minSecret, secret.String(word))
		got := quoted(s, text+word)
		if strings.ContainsAny(got, "\r\n") {
			t.Errorf("quoted %q", got)
		}
	})
}
