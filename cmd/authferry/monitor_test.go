package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestParseMonitor(t *testing.T) {
	for text, want := range map[string]string{
		"http://127.0.0.1:8026":  "127.0.0.1:8026",
		"http://localhost":       "127.0.0.1:8026",
		"http://[::1]:9/":        "[::1]:9",
		"http://:8026":           ":8026",
		"127.0.0.1:8026":         "",
		"http://example.org":     "",
		"http://127.0.0.1/x":     "",
		"http://u:p@127.0.0.1":   "",
		"http://127.0.0.1:99999": "",
	} {
		got, err := parseMonitor(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
	for address, want := range map[string]string{
		"127.0.0.1:1": "http://127.0.0.1:1", "[::1]:1": "http://[::1]:1",
		":1": "http://127.0.0.1:1", "0.0.0.0:1": "http://127.0.0.1:1", "[::]:1": "http://127.0.0.1:1",
	} {
		if got := monitorURL(address); got != want {
			t.Errorf("%s is asked at %s, want %s", address, got, want)
		}
	}
}

// TestMonitorOffLoopback: that strangers may read it is said.
func TestMonitorOffLoopback(t *testing.T) {
	for url, warned := range map[string]bool{
		"http://127.0.0.1": false, "http://[::1]:1": false, "http://localhost": false,
		"http://192.0.2.1": true, "http://:8026": true, "http://0.0.0.0": true,
	} {
		c := load(t, "monitor = '"+url+"'\n")
		if got := strings.Contains(strings.Join(c.warnings, " "), "monitor_mailboxes"); got != warned {
			t.Errorf("%s: warnings %q", url, c.warnings)
		}
	}
}

// TestMonitor: what a scrape sees of logins that succeed and fail, and what it
// must not see.
func TestMonitor(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	ways := *s.service.config.Load()
	ways.monitor = "127.0.0.1:0"
	if err := s.service.openMonitor(&ways); err != nil {
		t.Fatal(err)
	}
	if err := s.service.reload(&ways); err == nil || !strings.Contains(err.Error(), "monitor: cannot change while serving") {
		t.Errorf("a reload that moves the monitor: %v", err)
	}
	s.expire(t)
	for _, protocol := range protocols {
		mustLogin(t, protocol, s.service.address(protocol), demoMailbox, s.password.Reveal())
		s.login(protocol, "canary-of-a-guess")
	}
	url := "http://" + s.service.monitored.Addr().String()
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
