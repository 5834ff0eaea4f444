package proxy

import (
	"bytes"
	"net/netip"
	"testing"

	"go.uber.org/zap"

	"authferry/internal/protocol"
	"authferry/internal/testtls"
	"authferry/proxy/dialoguetest"
	"authferry/proxy/gate"
	"authferry/proxy/relay"
	"authferry/tokens"
)

// seed adds what one side says in the dialogues of a protocol.
func seed(f *testing.F, protocol protocol.Protocol, who byte, add func(said []byte)) {
	dialoguetest.Seed(f, "testdata/dialogues", string(protocol), who, add)
}

func fuzzSession(protocol protocol.Protocol, startTLS bool, client *relay.Conn) *session {
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
func fuzzHear(f *testing.F, protocol protocol.Protocol) {
	seed(f, protocol, 'C', func(said []byte) { f.Add(said, false); f.Add(said, true) })
	f.Fuzz(func(t *testing.T, said []byte, startTLS bool) {
		peer := dialoguetest.NewPeer(said)
		client := relay.NewConn(relay.NewWire(peer))
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
			onlyLines(t, peer.Heard.Bytes())
			return
		}
		// What is behind the login has not been touched, and was not needed.
		rest := peer.Left(client)
		used, ok := bytes.CutSuffix(said, rest)
		if !ok || !bytes.HasSuffix(used, []byte("\n")) && len(rest) > 0 {
			t.Fatalf("read %q, left %q", used, rest)
		}
		onlyLines(t, peer.Heard.Bytes())
	})
}

func FuzzHearIMAP(f *testing.F) { fuzzHear(f, "imap") }
func FuzzHearPOP3(f *testing.F) { fuzzHear(f, "pop3") }
func FuzzHearSMTP(f *testing.F) { fuzzHear(f, "smtp") }

// onlyLines checks that a peer is told lines of printable ASCII, whatever it sent. A
// TLS handshake does not count.
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
