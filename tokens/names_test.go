package tokens

import (
	"strings"
	"testing"

	"authferry/internal/printable"
)

func TestCanonical(t *testing.T) {
	s := Settings{Aliases: map[string]string{"Scanner": "Office@Gmail.com", " mfp2 ": "office@gmail.com"}}.withFoldedAliases()
	for user, want := range map[string][2]string{
		"me@gmail.com":          {"me@gmail.com", "me@gmail.com"},
		" Me@Gmail.COM\r\n":     {"me@gmail.com", "me@gmail.com"},
		"me%40gmail.com":        {"me@gmail.com", "me@gmail.com"},
		"me%40gmail.com@host":   {"me%40gmail.com@host", "me%40gmail.com@host"},
		"recent:me@gmail.com":   {"me@gmail.com", "recent:me@gmail.com"},
		"Recent:Me%40gmail.com": {"me@gmail.com", "recent:me@gmail.com"},
		"scanner":               {"office@gmail.com", "office@gmail.com"},
		"SCANNER":               {"office@gmail.com", "office@gmail.com"},
		"mfp2":                  {"office@gmail.com", "office@gmail.com"},
		"recent:scanner":        {"office@gmail.com", "recent:office@gmail.com"},
		`DOMAIN\user`:           {`domain\user`, `domain\user`},
		"<me@gmail.com>":        {"<me@gmail.com>", "<me@gmail.com>"},
		"":                      {"", ""},
	} {
		mailbox, provider := s.canonical(user)
		if got := [2]string{mailbox, provider}; got != want {
			t.Errorf("%q: %q, want %q", user, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"a\r\nb\x1b":                  `"a\r\nb\x1b"`,
		strings.Repeat("é", 80):       `"` + strings.Repeat("é", 80) + `"`,
		strings.Repeat("é", 81):       `"` + strings.Repeat("é", 80) + `"...`,
		"x" + strings.Repeat("é", 80): `"x` + strings.Repeat("é", 79) + `"...`,
	} {
		if got := printable.Quote(text); got != want {
			t.Errorf("printable.Quote(%q) = %s, want %s", text, got, want)
		}
	}
}
