package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestMonitor: a scrape shows successful and failed logins, and no secret.
func TestMonitor(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	ways := *s.service.InForce()
	ways.Monitor = "127.0.0.1:0"
	if err := s.service.OpenMonitor(&ways); err != nil {
		t.Fatal(err)
	}
	if err := s.service.Reload(&ways); err == nil || !strings.Contains(err.Error(), "monitor: cannot change while serving") {
		t.Errorf("a reload that moves the monitor: %v", err)
	}
	s.expire(t)
	for _, protocol := range protocols {
		mustLogin(t, protocol, s.address(protocol), demoMailbox, s.password.Reveal())
		s.login(protocol, "canary-of-a-guess")
	}
	url := "http://" + s.service.Monitored.Addr().String()
	status, page, err := fetch(t.Context(), url+"/metrics")
	if err != nil || status != http.StatusOK {
		t.Fatal(status, err)
	}
	for _, want := range []string{
		`authferry_logins_total\{protocol="imap",result="ok"\} 1`,
		`authferry_logins_total\{protocol="smtp",result="bad_login"\} 1`,
		`authferry_login_duration_seconds_count\{protocol="pop3"\} 1`,
		`authferry_login_duration_seconds_bucket\{protocol="pop3",le="30"\} 1`,
		`authferry_refreshes_total\{provider="gmail",result="ok"\} 1`,
		`authferry_grants\{state="fresh"\} 1`,
		`authferry_ready 1`,
	} {
		if !regexp.MustCompile("(?m)^" + want + "$").Match(page) {
			t.Errorf("no %s in\n%s", want, regexp.MustCompile("(?m)^(#|go_|process_).*\n").ReplaceAll(page, nil))
		}
	}
	for _, secret := range []string{"canary", s.password.Reveal(), s.gmail.ClientSecret, s.account(t).Token.Access.Reveal()} {
		if strings.Contains(string(page), secret) {
			t.Error("the metrics hold a secret")
		}
	}
	if status, page, err := fetch(t.Context(), url+"/readyz"); err != nil || status != http.StatusOK || string(page) != "ok\n" {
		t.Errorf("readyz: %d %q, %v", status, page, err)
	}
}
