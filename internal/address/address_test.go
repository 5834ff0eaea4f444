package address

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheck(t *testing.T) {
	for _, good := range []string{"a@b", "me+tag@gmail.com", "żółw@przykład.pl", `"a@b"@c`} {
		if err := Check(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "me", "@", "@b", "a@", "a b@c", "a\x00@c", "a\n@c", "a\u00a0@c", "a@c\x7f", "\xff@c", "a@b@c", `"@b@c`,
		strings.Repeat("a", 260) + "@c",
	} {
		if err := Check(bad); err == nil {
			t.Errorf("%q passes for an address", bad)
		} else if text := err.Error(); strings.ContainsAny(text, "\x00\n\u00a0") || !utf8.ValidString(text) || len(text) > 300 {
			t.Errorf("%q: the error repeats it: %q", bad, text)
		}
	}
}

func TestSplit(t *testing.T) {
	for address, want := range map[string][3]string{
		"me@Example.COM.": {"me", "Example.COM.", "example.com"},
		`"a@b"@c`:         {`"a@b"`, "c", "c"},
		"@example.com":    {"", "example.com", "example.com"},
		"me@":             {"me", "", ""},
		"example.com":     {"example.com", "", ""},
		"":                {"", "", ""},
	} {
		local, domain, ok := Split(address)
		if got := [3]string{local, domain, Domain(address)}; got != want || ok != strings.Contains(address, "@") {
			t.Errorf("%q: %q, %v, want %q", address, got, ok, want)
		}
	}
}

func TestIsDomain(t *testing.T) {
	for _, good := range []string{"example.com", "localhost", "bücher.example", "under_score.example"} {
		if !IsDomain(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{"", ".example.com", "a..b", "me@example.com", "*.example.com", "a b", "a\x00", "\xff", "host:25", "a/b"} {
		if IsDomain(bad) {
			t.Errorf("%q passes for a domain", bad)
		}
	}
}

// TestDomainForms has names that are registered, and samples of RFC 3492 §7.1.
func TestDomainForms(t *testing.T) {
	for unicode, ascii := range map[string]string{
		"bücher":            "xn--bcher-kva",
		"münchen":           "xn--mnchen-3ya",
		"日本語":               "xn--wgv71a119e",
		"ليهمابتكلموشعربي؟": "xn--egbpdaj6bu4bxfgehfvwxn",
		"他们为什么不说中文":         "xn--ihqwcrb4cv8a8dqg056pqjye",
		"porquénopuedensimplementehablarenespañol": "xn--porqunopuedensimplementehablarenespaol-fmd56a",
		"bücher.日本語":                               "xn--bcher-kva.xn--wgv71a119e",
	} {
		for _, domain := range []string{unicode, ascii} {
			if got := DomainForms(domain); !slices.Equal(got, []string{ascii, unicode}) {
				t.Errorf("%s: %q", domain, got)
			}
		}
	}
	for _, domain := range []string{"example.com", "under_score.example", "xn--99999999", "xn--", "a..b", ""} {
		if got := DomainForms(domain); !slices.Equal(got, []string{domain}) {
			t.Errorf("%s: %q", domain, got)
		}
	}
}

func FuzzDomainForms(f *testing.F) {
	for _, seed := range []string{"example.com", "bücher.example", "xn--bcher-kva.de", "xn--99999999", "xn--", "日本語.jp"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, domain string) {
		forms := DomainForms(domain)
		for _, label := range strings.Split(forms[0], ".") {
			if !strings.HasPrefix(label, "xn--") && strings.ContainsFunc(label, func(r rune) bool { return r > 0x7f }) {
				t.Errorf("%q is not ASCII", forms[0])
			}
		}
		if len(forms) == 2 && !strings.HasPrefix(domain, "xn--") && !strings.Contains(domain, ".xn--") && strings.ToValidUTF8(domain, "") == domain {
			if again := DomainForms(forms[0]); len(again) != 2 || again[1] != domain {
				t.Errorf("%q there is %q, and back %q", domain, forms[0], again)
			}
		}
	})
}
