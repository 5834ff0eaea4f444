package connect

import (
	"strings"
	"testing"
	"time"

	"authferry/tokens/oauth"
)

// TestDeviceSignInLasts: a sign-in with a device code lasts as long as the code.
func TestDeviceSignInLasts(t *testing.T) {
	now := time.Now()
	for _, life := range []time.Duration{signInLife / 2, 2 * signInLife} {
		e := &signIn{began: now, Device: &oauth.Device{Expires: now.Add(life)}}
		if e.expired(now.Add(life + finishTime)) {
			t.Errorf("a code good for %s: over while it is asked after", life)
		}
		if !e.expired(now.Add(life + finishTime + 1)) {
			t.Errorf("a code good for %s: never over", life)
		}
	}
}

func TestRedirectTo(t *testing.T) {
	google, microsoft := oauth.Builtin()["gmail"], oauth.Builtin()["microsoft"]
	desktop := *google
	desktop.LoopbackOnly = true
	for _, test := range []struct {
		console string
		p       *oauth.Provider
		way     way
		want    string
		paste   bool
	}{
		{"http://127.0.0.1:8025", google, byPage, "http://127.0.0.1:8025", false},
		{"http://127.0.0.1:8025", &desktop, byPage, "http://127.0.0.1:8025", false},
		{"http://127.0.0.1:8025", microsoft, byPage, "http://localhost:8025", false},
		{"http://127.0.0.1:8025", google, byPaste, "http://127.0.0.1:47653", true},
		{"http://[::1]:8025", google, byPage, "http://[::1]:8025", false},
		{"http://[::1]:8025", microsoft, byPage, "http://localhost:8025", false},
		{"http://localhost:8025", google, byPage, "http://127.0.0.1:8025", false},
		{"http://localhost", google, byPage, "http://127.0.0.1", false},
		{"https://mail.example.org", google, byPage, "https://mail.example.org/connect/callback", false},
		{"https://mail.example.org", microsoft, byPage, "https://mail.example.org/connect/callback", false},
		{"https://mail.example.org", &desktop, byPage, "http://127.0.0.1:47653", true},
		{"https://127.0.0.1:8443", google, byPage, "https://127.0.0.1:8443/connect/callback", false},
	} {
		got, paste := redirectTo(test.console, test.p, test.way)
		if got != test.want || paste != test.paste {
			t.Errorf("%s, %s, %s: %s %v, want %s %v", test.console, test.p.Name, test.way, got, paste, test.want, test.paste)
		}
	}
}

// TestFreeName: a taken name gets a number, and stays within the bytes of a name.
func TestFreeName(t *testing.T) {
	long := strings.Repeat("ż", 32)
	taken := map[string]bool{"CRM": true, "CRM (2)": true, long: true}
	for name, want := range map[string]string{"Mail": "Mail", "CRM": "CRM (3)", long: strings.Repeat("ż", 30) + " (2)"} {
		if got := freeName(name, func(n string) bool { return taken[n] }); got != want || len(got) > mostPasswordName {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
