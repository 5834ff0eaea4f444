package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"authferry/demo"
	"authferry/internal/view"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// TestMailboxesSayWhatToDo: for every fault, mailbox list and mailbox show say what it
// means and what to do, and print no secret.
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
		m := view.Of(s.account(t), s.service.Vault)
		if m.State != test.state || m.Cause != test.cause || m.Since == nil || m.Reason == "" {
			t.Errorf("%s: %+v", test.answer, m)
		}
		var list, shown, listed bytes.Buffer
		cmd := &cobra.Command{}
		cmd.SetOut(&list)
		if err := listMailboxes(t.Context(), cmd, s.service.Vault, false); err != nil {
			t.Fatal(err)
		}
		if err := showMailbox(&shown, m); err != nil {
			t.Fatal(err)
		}
		cmd.SetOut(&listed)
		if err := listMailboxes(t.Context(), cmd, s.service.Vault, true); err != nil {
			t.Fatal(err)
		}
		var views []view.Mailbox
		if err := json.Unmarshal(listed.Bytes(), &views); err != nil || len(views) != 1 || views[0].Fix != m.Fix || views[0].Page != m.Page {
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
	if m := view.Of(s.account(t), s.service.Vault); m.Meaning+m.Fix+m.Reason != "" || m.NeedsPerson != nil {
		t.Errorf("what is over is still said: %+v", m)
	}
}
