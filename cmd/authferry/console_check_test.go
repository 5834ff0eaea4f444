package main

import (
	"testing"

	"authferry/check"
)

// TestConsoleChecksAMailbox: the test of a mailbox goes all the way, on the store
// that the service has open, and leaves it open.
func TestConsoleChecksAMailbox(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	done := map[string]check.Result{}
	s.service.backing().Check(t.Context(), demoMailbox, func(step check.Step) {
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
