package printable

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestQuote(t *testing.T) {
	half := Limit / 2
	for text, want := range map[string]string{
		"":                                  `""`,
		"a\r\nb\x1b":                        `"a\r\nb\x1b"`,
		"\u202etxt.exe\u200b\u00a0":         `"\u202etxt.exe\u200b\u00a0"`, // right-to-left override, invisible spaces
		`" refused by authferry "`:          `"\" refused by authferry \""`,
		"not UTF-8: \xff":                   `"not UTF-8: \xff"`,
		strings.Repeat("é", half):           `"` + strings.Repeat("é", half) + `"`,
		strings.Repeat("é", half+1):         `"` + strings.Repeat("é", half) + `"...`,
		"x" + strings.Repeat("é", half):     `"x` + strings.Repeat("é", half-1) + `"...`,
		strings.Repeat("x", Limit) + "\r\n": `"` + strings.Repeat("x", Limit) + `"...`,
	} {
		if got := Quote(text); got != want {
			t.Errorf("Quote(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		"Thunderbird 140":          "Thunderbird 140",
		"a\r\nb\tc\x1b[2Jd\u202ee": "a  b c [2Jd e",
		"żółw":                     "żółw",
	} {
		if got := Line(text); got != want {
			t.Errorf("Line(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestASCII(t *testing.T) {
	for text, want := range map[string]string{
		"  Invalid credentials\r\na2 OK injected": "Invalid credentialsa2 OK injected",
		"tab\there, é and \xff\x00":               "tab here, ? and ?",
		strings.Repeat("x", 40):                   strings.Repeat("x", 40),
		strings.Repeat("x", 40) + "\r\n":          strings.Repeat("x", 40),
		strings.Repeat("x", 41):                   strings.Repeat("x", 37) + "...",
	} {
		if got := ASCII(text, 40); got != want {
			t.Errorf("ASCII(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for text, want := range map[string]string{
		"12345678":  "12345678",
		"123456789": "12345...",
		"1234éééé":  "1234...", // the fifth byte is half of a character
		"éééé":      "éééé",
	} {
		if got := Cut(text, 8); got != want {
			t.Errorf("Cut(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestPrefix(t *testing.T) {
	for text, want := range map[string]string{"123": "123", "12345": "1234", "123é": "123", "éééé": "éé", "\x80\x80\x80\x80\x80": ""} {
		if got := Prefix(text, 4); got != want {
			t.Errorf("Prefix(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestIs(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "Anna Müller": true,
		"a\nb": false, "\xff": false, "a\u00a0b": false, "a\u202eb": false, "a\u2028b": false,
	} {
		if Is(text) != want {
			t.Errorf("Is(%q) is %t", text, !want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"", "a\r\nb", "\x1b[2J", "żółw\xff", "\u202e", strings.Repeat("é", 200)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := Quote(text); !Is(got) || len(Prefix(text, Limit)) < len(text) != strings.HasSuffix(got, `"...`) {
			t.Errorf("Quote(%q) = %s", text, got)
		}
		if got := Line(text); !Is(got) {
			t.Errorf("Line(%q) = %q", text, got)
		}
		if got := ASCII(text, 60); len(got) > 60 || strings.Trim(got, printableASCII) != "" {
			t.Errorf("ASCII(%q) = %q", text, got)
		}
		if got := Cut(text, 60); len(got) > 60 || utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Errorf("Cut(%q) = %q", text, got)
		}
	})
}

var printableASCII = func() string {
	var b strings.Builder
	for c := byte(' '); c < 0x7f; c++ {
		b.WriteByte(c)
	}
	return b.String()
}()
