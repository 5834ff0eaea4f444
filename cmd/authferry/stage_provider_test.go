package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"authferry/demo"
)

// demoShared is a shared mailbox that demoMailbox may open.
const demoShared = "info@gmail.com"

// writeProofs writes the keys and certificates that the simulation accepts from
// applications.
func (s *stage) writeProofs(ts *testscript.TestScript) error {
	for name, content := range map[string][]byte{
		"account.json": s.gmail.ServiceAccountJSON(), "client.pem": s.gmail.ClientCertificatePEM(), "client.key": s.gmail.ClientKeyPEM(),
	} {
		if err := os.WriteFile(ts.MkAbs(name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// fault makes a part of the simulation fail, or work again.
func (s *stage) fault(where, what string) {
	switch where {
	case "token":
		s.gmail.Faults.Token(demo.TokenAnswer(what))
	case "scopes":
		s.gmail.Faults.GrantScopes(what)
	case "delegation":
		s.gmail.Faults.NoDelegation(what != "")
	case "rotate":
		s.gmail.Faults.Rotate(what != "")
	default:
		s.gmail.Faults.Mail(where, demo.MailFault(what))
	}
}

func (s *stage) cmdTokenCalls(ts *testscript.TestScript, args []string) error {
	calls := 0
	for _, grantType := range []string{args[0], "urn:ietf:params:oauth:grant-type:" + args[0]} {
		calls += s.gmail.TokenCalls(grantType)
	}
	if fmt.Sprint(calls) != args[1] {
		return fmt.Errorf("%d calls for %s", calls, args[0])
	}
	return nil
}

func (s *stage) cmdMinted(ts *testscript.TestScript, args []string) error {
	response, err := http.PostForm(s.gmail.TokenURL, url.Values{
		"grant_type": {"client_credentials"}, "scope": {s.gmail.Scope},
		"client_id": {s.gmail.ClientID}, "client_secret": {s.gmail.ClientSecret},
	})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(ts.MkAbs(args[0]), answer, 0o600)
}

func (s *stage) cmdType(ts *testscript.TestScript, args []string) error {
	p, err := s.process(args[0])
	if err != nil {
		return err
	}
	code, err := p.stdout.find(`^[A-Z]{4}-[A-Z]{4}\n`)
	if err != nil {
		return err
	}
	if code = strings.TrimSpace(code); args[1] == "deny" {
		return s.gmail.DenyDevice(code)
	}
	return s.gmail.ConfirmDevice(code, args[1])
}
