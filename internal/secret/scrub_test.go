package secret

import (
	"fmt"
	"strings"
	"testing"
)

func TestScrub(t *testing.T) {
	s := NewScrubber(6, "abcdef", "abcdef-and-more", "short", "a b/c+d", "")
	for text, want := range map[string]string{
		"abcdef-and-more abcdef short":             "••• ••• short",
		"hex 616263646566, base64 YWJjZGVm":        "hex •••, base64 •••",
		"query a+b%2Fc%2Bd, path a%20b%2Fc+d, end": "query •••, path •••, end",
		"abcde": "abcde",
		"":      "",
	} {
		if got := s.Scrub(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{"the pin is x1": "the pin is •••", "hex 7831": "hex 7831"} {
		if got := Scrub(text, "x1"); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if got := fmt.Sprintf("%v %+v %#v %x", s, &s, s, s); strings.Contains(got, "abc") {
		t.Errorf("a Scrubber prints as %s", got)
	}
	if got := (Scrubber{}).ScrubPieces("text"); got != "text" {
		t.Errorf("nothing to remove: %q", got)
	}
}

// TestScrubberIsAValue: With does not change the Scrubber it extends.
func TestScrubberIsAValue(t *testing.T) {
	one := NewScrubber(1, "first")
	two, three := one.With("second"), one.With("third")
	const text = "first second third"
	if one.Scrub(text) != "••• second third" || two.Scrub(text) != "••• ••• third" || three.Scrub(text) != "••• second •••" {
		t.Errorf("%q, %q, %q", one.Scrub(text), two.Scrub(text), three.Scrub(text))
	}
}

func FuzzScrub(f *testing.F) {
	f.Add("ya29.canary-in-a-mine", "the token ya29.canary-in-a-mine")
	f.Add("x", "")
	f.Fuzz(func(t *testing.T, word, text string) {
		s := NewScrubber(minPiece, String(word))
		for _, got := range []string{s.Scrub(text + word + text), s.ScrubPieces(text + word + text)} {
			if len(word) >= minPiece && strings.Contains(got, word) && !strings.Contains(Redacted, word) {
				t.Errorf("%q is shown in %q", word, got)
			}
		}
		if half := word[:len(word)/2]; len(half) >= minPiece && !strings.Contains(Redacted, half) {
			if got := s.ScrubPieces(text + half); strings.HasSuffix(got, half) {
				t.Errorf("%q is shown in %q", half, got)
			}
		}
	})
}
