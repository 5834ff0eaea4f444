package supportbundle

import "testing"

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
