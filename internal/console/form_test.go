package console

import (
	"cmp"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"authferry/internal/console/form"
	"authferry/internal/console/frame"
	"authferry/internal/console/pages"
	"authferry/internal/protocol"
	"authferry/tokens"
)

// TestPasswordRuleTexts: the console has a text for every rule that a form can
// break.
func TestPasswordRuleTexts(t *testing.T) {
	now := time.Now()
	printer := pages.Printer{Language: pages.English}
	for want, spec := range map[string]tokens.PasswordSpec{
		"The password needs a name":               {},
		"The password's name is too long":         {Name: strings.Repeat("x", 65)},
		"characters that cannot be printed":       {Name: "a\x1bb"},
		"from 12 to 128":                          {Name: "x", Length: 129},
		"at least one protocol":                   {Name: "x", Protocols: []protocol.Protocol{"ftp"}},
		"is not a network":                        {Name: "x", Networks: []netip.Prefix{{}}},
		"a day that is not over yet":              {Name: "x", Expires: now},
		"from 1 to 10000":                         {Name: "x", MessagesPerHour: 10_001},
		"read-only password sends nothing":        {Name: "x", ReadOnly: true, Protocols: []protocol.Protocol{"smtp"}},
		"read-only password sends nothing: leave": {Name: "x", ReadOnly: true, Recipients: 1},
		"must be valid for SMTP: choose SMTP":     {Name: "x", Protocols: []protocol.Protocol{"imap"}, Recipients: 1},
		"needs a name, such as that of the program it is for. Write a whole number from 1 to 10000": {Recipients: 10_001},
	} {
		var r form.Reader
		r.Check(&spec, now)
		if got := r.Wrong.Text(printer); !strings.Contains(got, want) || strings.ContainsAny(got, "{}") {
			t.Errorf("%+v: %q, want %q", spec, got, want)
		}
	}
}

// TestPasswordFormsAgree: the form for a password and the form for an invitation
// refuse the same in the same words.
func TestPasswordFormsAgree(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	password := s.Entered("", mine)
	invitation := newFerry(t).administrator()
	for want, form := range map[string]url.Values{
		"needs a name":          {"name": {""}},
		"is too long":           {"name": {strings.Repeat("x", 65)}},
		"here is not a network": {"networks": {"192.0.2.0/24 here"}},
		"an address within the network 192.0.2.0": {"networks": {"192.0.2.5/24"}},
		"number from 1 to 10000":                  {"messages": {"0"}},
		"leave it empty":                          {"recipients": {"many"}},
		"sends nothing":                           {"read-only": {"1"}, "messages": {"1"}},
	} {
		whole := url.Values{"name": {"CRM"}, "protocol": {"imap", "smtp"}, "for": {owner}, "provider": {"gmail"}, "hours": {"72"}, "password": {"yes"}}
		for key, value := range form {
			whole[key] = value
		}
		password.Do(frame.MailboxPath(mine, "passwords"), whole).Wants(t, http.StatusUnprocessableEntity, want)
		var pairs []string
		for key, values := range whole {
			key = cmp.Or(map[string]string{"protocol": "protocols", "read-only": "read_only"}[key], key)
			for _, value := range values {
				pairs = append(pairs, key, value)
			}
		}
		invitation.post("/invitations", pairs...)
		invitation.want(http.StatusUnprocessableEntity, want)
	}
}
