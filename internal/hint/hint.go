// Package hint tells people what to do about an error: it attaches a hint to the
// error, and suggests the correct word for a misspelt one.
package hint

import (
	"errors"
	"fmt"
	"strings"
)

// Error is an error with a hint: what a person can do about it. The text of the
// error does not repeat the hint.
type Error struct {
	Err   error
	Hint  string
	usage bool
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// New attaches a hint to err.
func New(err error, format string, args ...any) error {
	return &Error{Err: err, Hint: fmt.Sprintf(format, args...)}
}

// Usage attaches a hint to an error in how a command was called or configured.
func Usage(err error, format string, args ...any) error {
	return &Error{Err: err, Hint: fmt.Sprintf(format, args...), usage: true}
}

// IsUsage reports whether an error is in the command line or the configuration,
// which has an exit code of its own.
func IsUsage(err error) bool {
	u, ok := errors.AsType[interface {
		error
		IsUsage() bool
	}](err)
	return ok && u.IsUsage()
}

// IsUsage makes the error one of usage, or not: see the function [IsUsage].
func (e *Error) IsUsage() bool { return e.usage }

// Of returns the hint of an error, or "". Of several, the outermost counts: it
// knows best what the person was doing.
func Of(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Hint
	}
	return ""
}

// Suggest returns the candidate that a word was most likely meant to be, or ""
// if none is within a third of the word's length in typing errors.
func Suggest(word string, candidates []string) string {
	best, least := "", max(1, len(word)/3)+1
	for _, c := range candidates {
		if d := typos(strings.ToLower(word), c); d < least {
			best, least = c, d
		}
	}
	return best
}

// typos returns the number of letters to add, drop, replace or swap with their
// neighbour to get from one word to another (optimal string alignment).
func typos(a, b string) int {
	before, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
