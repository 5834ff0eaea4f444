package main

import (
	"encoding/base64"
	"strings"
	"testing"

	"authferry/demo"
	"authferry/internal/config"
)

// TestNoSecretInTheLog: at level debug, with successful and failed logins and faults,
// no password or token is logged, in any encoding that the mail protocols use.
func TestNoSecretInTheLog(t *testing.T) {
	t.Parallel()
	s, log := newShow(t)
	secrets := map[string]string{
		"the password":        s.password.Reveal(),
		"the password, bare":  strings.ReplaceAll(s.password.Reveal(), " ", ""),
		"a wrong password":    "canary-of-a-guess",
		"the client's secret": s.gmail.ClientSecret,
		"an access token":     "ya29.",
	}
	note := func(when string) {
		a := s.account(t)
		secrets["the access token "+when] = a.Token.Access.Reveal()
		secrets["the refresh token "+when] = a.Token.Refresh.Reveal()
		secrets["the password's hash "+when] = a.Passwords[0].Hash.Reveal()
	}
	loginAll := func() {
		for _, protocol := range protocols {
			s.login(protocol, s.password.Reveal())
			s.login(protocol, "canary-of-a-guess")
			tryLogin(protocol, s.address(protocol), "canary-of-a-guess", demoMailbox) // the wrong way round
		}
	}
	note("at first")
	loginAll()
	s.gmail.Faults.Rotate(true)
	s.gmail.ExpireAccessTokens()
	loginAll()
	note("rotated")
	for _, fault := range []demo.MailFault{demo.MailRefuse, demo.MailTemporary, demo.MailCut, demo.MailNormal} {
		for _, protocol := range protocols {
			s.gmail.Faults.Mail(protocol, fault)
		}
		loginAll()
	}
	for _, fault := range []demo.TokenAnswer{demo.Token500, demo.TokenHTML, demo.TokenCut, demo.TokenInvalidGrant} {
		s.expire(t)
		s.gmail.Faults.Token(fault)
		c, err := config.Load(s.configPath())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.service.Reload(c); err != nil {
			t.Fatal(err)
		}
		loginAll()
		note(string(fault))
	}
	if log := log.String(); !strings.Contains(log, `"level":"debug"`) || !strings.Contains(log, "login refused") {
		t.Fatal("nothing to be seen in the log")
	}
	for what, secret := range secrets {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), plain(secret)} {
			if form != "" && strings.Contains(log.String(), form) {
				t.Errorf("%s is in the log", what)
			}
		}
	}
}

// plain returns the end of an AUTH PLAIN line with a password, as far as it does not
// depend on the text before it.
func plain(password string) string {
	response := "\x00" + demoMailbox + "\x00" + password
	cut := (len(response) - len(password) + 2) / 3 * 3
	if cut >= len(response) {
		return ""
	}
	return base64.StdEncoding.EncodeToString([]byte(response[cut:]))
}
