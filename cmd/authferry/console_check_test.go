package main

import (
	"testing"

	"authferry/internal/check"
	"authferry/internal/config"
	"authferry/tokens/oauth"
)

// TestConsoleChecksAMailbox: the test of a mailbox runs every step on the open store of
// the server, and leaves it open.
func TestConsoleChecksAMailbox(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	done := map[string]check.Result{}
	s.service.ConsoleDeps().Check(t.Context(), demoMailbox, func(step check.Step) {
		if step.Result == check.Fail {
			t.Errorf("%s: %s; %s", step.Name, step.Detail, step.Fix)
		}
		done[step.Name] = step.Result
	})
	for _, name := range []string{"store", "refresh", "imap login", "pop3 login", "smtp login"} {
		if done[name] != check.OK {
			t.Errorf("%s: %q", name, done[name])
		}
	}
	if v, err := s.login("imap", s.password.Reveal()); v != welcomed {
		t.Errorf("afterwards: %s, %v", v, err)
	}
}

// TestClientOfADesktop: Google's file says whether its client takes redirects to
// loopback addresses only, which decides how the console receives the redirect.
func TestClientOfADesktop(t *testing.T) {
	for content, want := range map[string]bool{
		`{"installed":{"client_id":"id","client_secret":"s"}}`: true,
		`{"web":{"client_id":"id","client_secret":"s"}}`:       false,
	} {
		p := &oauth.Provider{LoopbackOnly: !want}
		if err := config.ParseClientFile([]byte(content), p); err != nil || p.LoopbackOnly != want {
			t.Errorf("%s: %v, %v", content, p.LoopbackOnly, err)
		}
	}
}
