package proxy

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"authferry/internal/testtls"
	"authferry/proxy/dialoguetest"
	"authferry/proxy/gate"
	"authferry/proxy/relay"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// scripted is a peer that says all it has to say at once and then ends.
type scripted struct {
	says  *bytes.Reader
	heard bytes.Buffer
	read  bool // something has been read of it
	early bool // something was said to it before that
}

func (c *scripted) Read(p []byte) (int, error) {
	c.read = true
	return c.says.Read(p)
}
func (c *scripted) Write(p []byte) (int, error) {
	c.early = c.early || !c.read
	return c.heard.Write(p)
}
func (c *scripted) Close() error                     { return nil }
func (c *scripted) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (c *scripted) RemoteAddr() net.Addr             { return c.LocalAddr() }
func (c *scripted) SetDeadline(time.Time) error      { return nil }
func (c *scripted) SetReadDeadline(time.Time) error  { return nil }
func (c *scripted) SetWriteDeadline(time.Time) error { return nil }

func script(said []byte) (*relay.Conn, *scripted) {
	peer := &scripted{says: bytes.NewReader(said)}
	return relay.NewConn(relay.NewWire(peer)), peer
}

// left is what of a script has not been used, or has been given back.
func (c *scripted) left(l *relay.Conn) []byte {
	rest, _ := io.ReadAll(c.says)
	return append(l.Release(), rest...)
}

// seed adds what one side says in the dialogues of a protocol.
func seed(f *testing.F, protocol string, who byte, add func(said []byte)) {
	dialoguetest.Seed(f, "testdata/dialogues", protocol, who, add)
}

func fuzzSession(protocol string, startTLS bool, client *relay.Conn) *session {
	s := &session{
		Server:  &Server{Protocol: protocol, Hostname: "ferry.example.org", Log: zap.NewNop(), TLS: testtls.ServerTLS(), Gate: new(gate.Gate)},
		peer:    netip.MustParseAddrPort("127.0.0.1:50000"),
		client:  client,
		dialect: newDialect(protocol),
	}
	if startTLS {
		s.Security = StartTLS
	} else { // and mail needs no login
		s.Gate = gate.New(gate.Limits{Trusted: []gate.Trusted{{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}})
	}
	return s
}

// fuzzHear hears logins as session.run does, all of them wrong.
func fuzzHear(f *testing.F, protocol string) {
	seed(f, protocol, 'C', func(said []byte) { f.Add(said, false); f.Add(said, true) })
	f.Fuzz(func(t *testing.T, said []byte, startTLS bool) {
		client, peer := script(said)
		s := fuzzSession(protocol, startTLS, client)
		s.dialect.greet(s)
		var err error
		for range maxLogins {
			if _, err = s.dialect.hear(s); err != nil && !isAboutLogin(err) {
				break
			}
			s.dialect.refuse(client, refusalFor(tokens.ErrBadLogin))
		}
		if err != nil && !isAboutLogin(err) {
			onlyLines(t, peer.heard.Bytes())
			return
		}
		// What is behind the login has not been touched, and was not needed.
		rest := peer.left(client)
		used, ok := bytes.CutSuffix(said, rest)
		if !ok || !bytes.HasSuffix(used, []byte("\n")) && len(rest) > 0 {
			t.Fatalf("read %q, left %q", used, rest)
		}
		onlyLines(t, peer.heard.Bytes())
	})
}

func FuzzHearIMAP(f *testing.F) { fuzzHear(f, "imap") }
func FuzzHearPOP3(f *testing.F) { fuzzHear(f, "pop3") }
func FuzzHearSMTP(f *testing.F) { fuzzHear(f, "smtp") }

// onlyLines checks that a peer can put nothing of its own into what it is told:
// lines of printable ASCII. What a handshake says does not count.
func onlyLines(t *testing.T, said []byte) {
	if i := bytes.Index(said, []byte("begin TLS now\r\n")); i >= 0 {
		said = said[:i]
	}
	for line := range bytes.Lines(said) {
		text := bytes.TrimSuffix(line, []byte("\r\n"))
		if bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("said %q", line)
		}
	}
}

const fuzzToken = "ya29.a0AfB_secret"

// fuzzEnter logs in to a provider that says anything.
func fuzzEnter(f *testing.F, protocol string) {
	seed(f, protocol, 'P', func(said []byte) { f.Add(said, false, false); f.Add(said, true, true) })
	f.Fuzz(func(t *testing.T, said []byte, bearer, startTLS bool) {
		provider, peer := script(said)
		provider.Secure = !startTLS
		client, program := script(nil)
		program.read = true
		s := fuzzSession(protocol, false, client)
		e := oauth.Endpoint{Host: "127.0.0.1", Port: 1, StartTLS: startTLS}
		g := &tokens.Grant{User: dialogueUser, AccessToken: fuzzToken, Provider: &oauth.Provider{
			Name: "gmail", Mechanism: "XOAUTH2", IMAP: e, POP3: e, SMTP: e, IMAPInitialResponse: bearer,
		}}
		if bearer {
			g.Provider.Mechanism = "OAUTHBEARER"
		}
		err := s.dialect.enter(s, provider, g)
		if peer.early {
			t.Fatal("spoke before the greeting")
		}
		sent := peer.heard.String()
		if startTLS && strings.Contains(sent, encodeSASL(g.Credentials(e).Response())) {
			t.Fatal("a token went out in the clear")
		}
		if err != nil {
			if text := err.Error() + refusalFor(err).words; strings.Contains(text, fuzzToken) {
				t.Fatal(text)
			}
			s.dialect.refuse(client, refusalFor(err))
			onlyLines(t, program.heard.Bytes())
			return
		}
		s.dialect.welcome(client)
		used, ok := bytes.CutSuffix(said, peer.left(provider))
		if !ok || !bytes.HasSuffix(used, []byte("\n")) {
			t.Fatalf("read %q of %q", used, said)
		}
		if !strings.Contains(sent, encodeSASL(g.Credentials(e).Response())) {
			t.Fatal("let in without a token")
		}
	})
}

func FuzzEnterIMAP(f *testing.F) { fuzzEnter(f, "imap") }
func FuzzEnterPOP3(f *testing.F) { fuzzEnter(f, "pop3") }
func FuzzEnterSMTP(f *testing.F) { fuzzEnter(f, "smtp") }
