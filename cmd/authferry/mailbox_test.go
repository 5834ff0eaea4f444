package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"authferry/demo"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// TestMailboxesSayWhatToDo: whatever is wrong with a mailbox, the list and the
// page of it say what that means and what to do, and tell no secret.
func TestMailboxesSayWhatToDo(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	for _, test := range []struct {
		answer    demo.TokenAnswer
		state     store.State
		cause     oauth.Cause
		says, fix string
	}{
		{demo.TokenDeletedClient, store.StateUnreachable, oauth.CauseClientDeleted, "was deleted or disabled", "[provider.gmail]"},
		{demo.Token503HTML, store.StateUnreachable, oauth.CauseOutage, "the token service of gmail", "authferry tries again"},
		{demo.TokenInvalidRAPT, store.StateNeedsConsent, oauth.CauseSessionControl, "session control", "authferry connect " + demoMailbox},
	} {
		s.gmail.Faults.Token(test.answer)
		if _, err := s.service.Vault.Refresh(t.Context(), demoMailbox); err == nil {
			t.Fatalf("%s: no fault", test.answer)
		}
		view := viewOf(s.account(t), s.service.Vault)
		if view.State != test.state || view.Cause != test.cause || view.Since == nil || view.Reason == "" {
			t.Errorf("%s: %+v", test.answer, view)
		}
		var list, shown, listed bytes.Buffer
		cmd := &cobra.Command{}
		cmd.SetOut(&list)
		if err := listMailboxes(t.Context(), cmd, s.service.Vault, false); err != nil {
			t.Fatal(err)
		}
		if err := showMailbox(&shown, view); err != nil {
			t.Fatal(err)
		}
		cmd.SetOut(&listed)
		if err := listMailboxes(t.Context(), cmd, s.service.Vault, true); err != nil {
			t.Fatal(err)
		}
		var views []mailboxView
		if err := json.Unmarshal(listed.Bytes(), &views); err != nil || len(views) != 1 || views[0].Fix != view.Fix || views[0].Page != view.Page {
			t.Errorf("%s: %v: %s", test.answer, err, &listed)
		}
		a := s.account(t)
		for what, text := range map[string]string{"the list": list.String(), "the page": shown.String(), "the JSON": listed.String()} {
			if !strings.Contains(text, test.says) || !strings.Contains(text, test.fix) {
				t.Errorf("%s: %s says\n%s", test.answer, what, text)
			}
			for _, secret := range []string{a.Token.Access.Reveal(), a.Token.Refresh.Reveal(), s.gmail.ClientSecret, a.Passwords[0].Hash.Reveal()} {
				if strings.Contains(text, secret) {
					t.Errorf("%s: %s tells a secret", test.answer, what)
				}
			}
		}
	}
	s.gmail.Faults.Token(demo.TokenNormal)
	if _, err := s.service.Vault.Refresh(t.Context(), demoMailbox); err != nil {
		t.Fatal(err)
	}
	if view := viewOf(s.account(t), s.service.Vault); view.Meaning+view.Fix+view.Reason != "" || view.NeedsPerson != nil {
		t.Errorf("what is over is still said: %+v", view)
	}
}
