package protocol

import (
	"encoding/json"
	"slices"
	"testing"

	"authferry/internal/hint"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Protocol{"imap": IMAP, " POP3\n": POP3, "Smtp": SMTP} {
		if got, err := Parse(text); got != want || err != nil {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, words := range map[string]string{
		"HTTP": `the protocol "http" is unknown`, "": `the protocol "" is unknown`, "imaps": `the protocol "imaps" is unknown`,
		"im\x1bap": `the protocol "im\x1bap" is unknown`,
	} {
		p, err := Parse(text)
		if err == nil || err.Error() != words || hint.Of(err) != "choose from imap, pop3, smtp" || p.Valid() {
			t.Errorf("%q: %q, %v, hint %q", text, p, err, hint.Of(err))
		}
	}
}

func TestValid(t *testing.T) {
	for _, p := range All {
		if !p.Valid() || p.Check() != nil {
			t.Errorf("%q is not valid: %v", p, p.Check())
		}
	}
	for _, p := range []Protocol{"", "IMAP", "ftp"} {
		if p.Valid() || p.Check() == nil {
			t.Errorf("%q is valid", p)
		}
	}
}

func TestLists(t *testing.T) {
	if got := List([]string{" IMAP", "ftp"}); !slices.Equal(got, []Protocol{IMAP, "ftp"}) {
		t.Errorf("List: %q", got)
	}
	if got := List(nil); got != nil {
		t.Errorf("the list of no names is %#v", got)
	}
	if got := Join(All[:], ","); got != "imap,pop3,smtp" {
		t.Errorf("Join: %q", got)
	}
	if !Allowed(nil, SMTP) || !Allowed(All[:2], POP3) || Allowed(All[:2], SMTP) {
		t.Error("Allowed: nil and a list with the protocol allow it, others do not")
	}
}

// TestForms: stored records have the name in lower case, people see capitals.
func TestForms(t *testing.T) {
	b, err := json.Marshal(All)
	if err != nil || string(b) != `["imap","pop3","smtp"]` {
		t.Errorf("JSON: %s, %v", b, err)
	}
	for i, want := range []string{"IMAP", "POP3", "SMTP"} {
		if got := All[i].Upper(); got != want {
			t.Errorf("Upper: %q", got)
		}
	}
}
