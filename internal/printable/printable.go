// Package printable makes text from a peer safe to show in a log, an error, a
// table or a mail protocol's reply: it cannot end the line, move a terminal's
// cursor, hide characters, look like authferry's own text or fill the log.
//
//   - [Quote] is for prose (logs, errors, pages): escapes show the characters.
//   - [Line] is for a column of a table, where quotes would be noise.
//   - [ASCII] is for what goes to another peer over IMAP, POP3 or SMTP.
//
// It does not look for secrets: a caller that sent one to the peer removes it from
// the text first.
package printable

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limit is how many bytes of a peer's text [Quote] shows: a refusal of Gmail's or
// Microsoft's with its link, and the challenge that came before it.
const Limit = 230

// mark ends a text that was cut.
const mark = "..."

// Quote quotes and escapes text as Go does, cut to [Limit] bytes. The mark of
// a cut stands outside the quotes, where a peer cannot put one.
func Quote(text string) string {
	if kept := Prefix(text, Limit); kept != text {
		return strconv.Quote(kept) + mark
	}
	return strconv.Quote(text)
}

// Line replaces every character that is not printable with a space.
func Line(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

// ASCII returns text as one line of printable ASCII of at most limit bytes.
// A reply's text has no other characters (RFC 3501 §9, RFC 5321 §4.2), and Go's
// escapes would be read by people who do not know Go: control characters
// disappear, other characters become a question mark.
func ASCII(text string, limit int) string {
	return Cut(strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ' || r == 0x7f:
			return -1
		case r > 0x7f:
			return '?'
		}
		return r
	}, text)), limit)
}

// Cut returns at most limit bytes of text. A text that is longer ends between
// two characters, followed by "...", which counts. It escapes nothing.
func Cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return Prefix(text, limit-len(mark)) + mark
}

// Prefix returns the whole characters among the first limit bytes of text, for
// what is stored. It escapes nothing.
func Prefix(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// Is reports whether text can be shown as it is: valid UTF-8 without control
// or invisible characters, and with no space but U+0020.
func Is(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Panic describes a panic. Its value may hold a secret or text from a peer, so only
// that of a runtime error is shown: it has indices and types alone.
func Panic(v any) error {
	what := fmt.Sprintf("%T", v)
	if e, ok := v.(runtime.Error); ok {
		what = e.Error()
	}
	return fmt.Errorf("a bug in authferry, please report it: panic: %s\n%s", what, debug.Stack())
}
