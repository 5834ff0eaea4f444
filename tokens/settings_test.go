package tokens

import "testing"

func TestCanonical(t *testing.T) {
	s := Settings{Aliases: map[string]string{"Scanner": "Office@Gmail.com", " mfp2 ": "office@gmail.com"}}.withFoldedAliases()
	for user, want := range map[string][2]string{
		"me@gmail.com":          {"me@gmail.com", "me@gmail.com"},
		" me@Gmail.COM\r\n":     {"me@gmail.com", "me@gmail.com"},
		"me%40gmail.com":        {"me@gmail.com", "me@gmail.com"},
		"me%40gmail.com@host":   {"me%40gmail.com@host", "me%40gmail.com@host"},
		"recent:me@gmail.com":   {"me@gmail.com", "recent:me@gmail.com"},
		"Recent:me%40gmail.com": {"me@gmail.com", "recent:me@gmail.com"},
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
