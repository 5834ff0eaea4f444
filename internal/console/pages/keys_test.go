package pages

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"authferry/internal/check"
	"authferry/internal/console/people"
	"authferry/internal/protocol"
)

// TestKeys: the keys that the code names or puts together are those of texts, and
// every form of a text has the same placeholders.
func TestKeys(t *testing.T) {
	english := texts()[English]
	var made []string
	for _, state := range []people.InvitationState{people.InvitationOpen, people.InvitationUsed, people.InvitationRevoked, people.InvitationExpired} {
		made = append(made, "invite.state."+string(state))
		if state != people.InvitationOpen {
			made = append(made, "invite.ended."+string(state))
		}
	}
	for _, result := range []check.Result{check.OK, check.Fail, check.Skip} {
		made = append(made, "check.result."+string(result))
	}
	for _, protocols := range [][]protocol.Protocol{nil, {protocol.SMTP}, {protocol.IMAP, protocol.POP3}} {
		made = append(made, "offer."+people.Offer{Protocols: protocols}.Kind())
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
			if !slices.Contains([]string{"connect", "consent", "invitation", "invitations", "invited", "invite", "offer", "check"}, strings.SplitN(key, ".", 2)[0]) {
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

// keysInCode returns the keys that pages and code name.
func keysInCode(t *testing.T) (keys []string) {
	t.Helper()
	quoted := regexp.MustCompile("\"((?:connect|consent|invitation|invitations|invited|invite|offer|check)\\.[a-z.0-9]*[a-z0-9])\"")
	for _, pattern := range []string{"pages/*.html", "connect/*.go", "check.go"} {
		files, err := fs.Glob(os.DirFS(".."), pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			content, err := os.ReadFile(filepath.Join("..", file))
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
