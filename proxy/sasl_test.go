package proxy

import (
	"encoding/base64"
	"errors"
	"testing"

	"authferry/tokens"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestHearSASL(t *testing.T) {
	plain := b64("\x00me@example.org\x00hunter2 ")
	for _, tt := range []struct {
		name      string
		mechanism string
		initial   string   // "-": none
		answers   []string // to our challenges
		asked     []string // the challenges
		user      string
		password  string
		err       error
	}{
		{"PLAIN at once", "PLAIN", plain, nil, nil, "me@example.org", "hunter2 ", nil},
		{"PLAIN in two steps", "plain", "-", []string{plain}, []string{""}, "me@example.org", "hunter2 ", nil},
		{"PLAIN with authzid equal (Apple Mail, Symfony)", "PLAIN", b64("ME@example.org\x00me@example.org\x00p"), nil, nil, "me@example.org", "p", nil},
		{"PLAIN for another", "PLAIN", b64("boss@example.org\x00me@example.org\x00p"), nil, nil, "me@example.org", "p", tokens.ErrBadLogin},
		{"PLAIN without padding", "PLAIN", "AG1lAHA", nil, nil, "me", "p", nil},
		{"PLAIN with two parts", "PLAIN", b64("me\x00p"), nil, nil, "", "", errSASLEncoding},
		{"PLAIN empty", "PLAIN", "=", nil, nil, "", "", errSASLEncoding},
		{"PLAIN in the clear", "PLAIN", "me p", nil, nil, "", "", errSASLEncoding},
		{"LOGIN in two steps", "LOGIN", "-", []string{b64("me"), b64("p w")}, []string{loginUserName, loginPassword}, "me", "p w", nil},
		{"LOGIN with the user name (.NET)", "login", b64("me"), []string{b64("p")}, []string{loginPassword}, "me", "p", nil},
		{"LOGIN with nothing yet", "LOGIN", "=", []string{b64("me"), b64("p")}, []string{loginUserName, loginPassword}, "me", "p", nil},
		{"LOGIN cancelled", "LOGIN", "-", []string{"*"}, []string{loginUserName}, "", "", errSASLCancelled},
		{"LOGIN cancelled late", "LOGIN", "-", []string{b64("me"), "*"}, []string{loginUserName, loginPassword}, "me", "", errSASLCancelled},
		{"LOGIN not base64", "LOGIN", "-", []string{"me@example.org"}, []string{loginUserName}, "", "", errSASLEncoding},
		{"SPA", "NTLM", "-", nil, nil, "", "", errSASLMechanism},
		{"CRAM-MD5", "CRAM-MD5", "-", nil, nil, "", "", errSASLMechanism},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var initial *string
			if tt.initial != "-" {
				initial = &tt.initial
			}
			var asked []string
			user, password, err := hearSASL(tt.mechanism, initial, func(challenge string) (string, error) {
				asked = append(asked, challenge)
				return tt.answers[len(asked)-1], nil
			})
			if user != tt.user || password.Reveal() != tt.password || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %q, %v", user, password.Reveal(), err)
			}
			if len(asked) != len(tt.asked) {
				t.Fatalf("asked %q, want %q", asked, tt.asked)
			}
			for i := range asked {
				if asked[i] != tt.asked[i] {
					t.Errorf("asked %q, want %q", asked, tt.asked)
				}
			}
		})
	}
}
