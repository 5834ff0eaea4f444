package hint

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestOf(t *testing.T) {
	inner := New(io.ErrUnexpectedEOF, "send %d bytes", 4)
	if inner.Error() != io.ErrUnexpectedEOF.Error() || !errors.Is(inner, io.ErrUnexpectedEOF) {
		t.Errorf("the error is %v", inner)
	}
	for want, err := range map[string]error{
		"send 4 bytes": fmt.Errorf("reading: %w", inner),
		"look again":   New(fmt.Errorf("reading: %w", inner), "look again"),
		"":             io.EOF,
	} {
		if got := Of(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	if got := Of(nil); got != "" {
		t.Errorf("the hint of no error is %q", got)
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"gmail", "outlook", "yahoo"}
	for word, want := range map[string]string{
		"gmail": "gmail", "Gmial": "gmail", "gmai": "gmail", "outlok": "outlook", "otulook": "outlook", // a swap is one error
		"hotmail": "", "g": "", "": "",
	} {
		if got := Suggest(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
