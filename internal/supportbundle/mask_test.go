package supportbundle

import (
	"runtime"
	"testing"

	"authferry/internal/secret"
)

func TestMask(t *testing.T) {
	m := newMask(false)
	m.hide("abcdef", "abcdef-and-more", "short")
	m.number("a@x.org")
	m.number("aa@x.org")
	for text, want := range map[string]string{
		"a@x.org aa@x.org A@X.ORG a@x.org.":        "mailbox-1 mailbox-2 mailbox-1 mailbox-1.",
		"a%40x.org,a@x.org.age":                    "mailbox-1,mailbox-1.age",
		"abcdef-and-more abcdef short":             "••• ••• short",
		"hex 616263646566, base64 YWJjZGVm":        "hex •••, base64 •••",
		"mod/github.com/x/y@v1.25.0/z.go y@v0.1.0": "mod/github.com/x/y@v1.25.0/z.go y@v0.1.0",
	} {
		if got := m.apply(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if got := m.apply("<new@example.org> NEW@example.org"); got != "<address-3> address-3" {
		t.Errorf("an unknown address became %q", got)
	}
}

// TestHideManySecrets: the work for a secret does not grow with those before it. A
// store has some eight for each mailbox.
func TestHideManySecrets(t *testing.T) {
	const count, most = 2000, 8 << 20
	m := newMask(false)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range count {
		m.hide(secret.String(secret.RandomHex(32)))
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > most {
		t.Errorf("%d secrets took %d bytes, want at most %d", count, n, most)
	}
}
