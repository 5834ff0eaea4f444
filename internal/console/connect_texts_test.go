package console

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"authferry/internal/check"
)

// TestConnectTexts: what the code puts together as the key of a text is one, and
// every language has the same keys with the same values in them.
func TestConnectTexts(t *testing.T) {
	english := texts()[english]
	var made []string
	for _, state := range []invitationState{invitationOpen, invitationUsed, invitationRevoked, invitationExpired} {
		made = append(made, "invite.state."+string(state))
		if state != invitationOpen {
			made = append(made, "invite.ended."+string(state))
		}
	}
	for _, result := range []check.Result{check.OK, check.Fail, check.Skip} {
		made = append(made, "trial.result."+string(result))
	}
	for _, protocols := range [][]string{nil, {"smtp"}, {"imap", "pop3"}} {
		made = append(made, "offer."+Offer{Protocols: protocols}.Kind())
	}
	for _, key := range append(made, keysInCode(t)...) {
		if english[key] == nil {
			t.Errorf("no text %s", key)
		}
	}
	placeholder := regexp.MustCompile(`\{\w+\}`)
	values := func(s string) []string { return slices.Sorted(slices.Values(placeholder.FindAllString(s, -1))) }
	for _, language := range languages {
		for key, text := range english {
			if !slices.Contains([]string{"connect", "errand", "invitation", "invitations", "invited", "invite", "offer", "trial"}, strings.SplitN(key, ".", 2)[0]) {
				continue
			}
			other := texts()[language.Code][key]
			if other == nil {
				t.Errorf("%s has no %s", language.Code, key)
				continue
			}
			for form, words := range other {
				if got, want := values(words), values(text["other"]); !slices.Equal(got, want) {
					t.Errorf("%s, %s, %s has %v, want %v", language.Code, key, form, got, want)
				}
			}
		}
	}
}

// keysInCode are the keys that these parts name in so many words.
func keysInCode(t *testing.T) (keys []string) {
	t.Helper()
	quoted := regexp.MustCompile("\"((?:connect|errand|invitation|invitations|invited|invite|offer|trial)\\.[a-z.0-9]*[a-z0-9])\"")
	for _, pattern := range []string{"pages/*.html", "conclude.go", "connect*.go", "errand.go", "invite.go", "trial.go"} {
		files, err := fs.Glob(os.DirFS("."), pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range quoted.FindAllStringSubmatch(string(content), -1) {
				if !strings.HasSuffix(m[1], ".go") && !strings.HasSuffix(m[1], ".css") {
					keys = append(keys, m[1])
				}
			}
		}
	}
	if len(keys) < 50 {
		t.Fatalf("%d keys", len(keys))
	}
	return keys
}
