package upstream

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"authferry/internal/protocol"
	"authferry/proxy/dialoguetest"
	"authferry/proxy/relay"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

const fuzzToken = "ya29.a0AfB_secret"

// fuzzLogIn logs in to a provider that says anything.
func fuzzLogIn(f *testing.F, protocol protocol.Protocol) {
	dialoguetest.Seed(f, "../testdata/dialogues", string(protocol), 'P', func(said []byte) { f.Add(said, false, false); f.Add(said, true, true) })
	f.Fuzz(func(t *testing.T, said []byte, bearer, startTLS bool) {
		peer := dialoguetest.NewPeer(said)
		provider := relay.NewConn(relay.NewWire(peer))
		provider.Secure = !startTLS
		e := oauth.Endpoint{Host: "127.0.0.1", Port: 1, StartTLS: startTLS}
		g := &tokens.Grant{User: dialoguetest.User, AccessToken: fuzzToken, Provider: &oauth.Provider{
			Name: "gmail", Mechanism: "XOAUTH2", IMAP: e, POP3: e, SMTP: e, IMAPInitialResponse: bearer,
		}}
		if bearer {
			g.Provider.Mechanism = "OAUTHBEARER"
		}
		session, err := logIn(provider, g, e, &Options{Protocol: protocol, Hostname: "ferry.example.org", EHLO: "client"})
		if peer.SpokenToFirst {
			t.Fatal("spoke before the greeting")
		}
		sent := peer.Heard.String()
		if startTLS && strings.Contains(sent, base64.StdEncoding.EncodeToString(g.Credentials(e).Response())) {
			t.Fatal("a token went out in the clear")
		}
		if err != nil {
			var answer *Error
			if errors.As(err, &answer) && strings.ContainsFunc(answer.Words, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("the client would be told %q", answer.Words)
			}
			if text := fmt.Sprintf("%v %v", err, answer); strings.Contains(text, fuzzToken) {
				t.Fatal(text)
			}
			return
		}
		for _, said := range append(session.Untagged, session.Accepted, session.Capabilities) {
			if strings.Contains(said, "\n") {
				t.Fatalf("the client would be told %q", said)
			}
		}
		used, ok := bytes.CutSuffix(said, peer.Left(provider))
		if !ok || !bytes.HasSuffix(used, []byte("\n")) {
			t.Fatalf("read %q of %q", used, said)
		}
		if !strings.Contains(sent, base64.StdEncoding.EncodeToString(g.Credentials(e).Response())) {
			t.Fatal("accepted without a token")
		}
	})
}

func FuzzLogInIMAP(f *testing.F) { fuzzLogIn(f, "imap") }
func FuzzLogInPOP3(f *testing.F) { fuzzLogIn(f, "pop3") }
func FuzzLogInSMTP(f *testing.F) { fuzzLogIn(f, "smtp") }
