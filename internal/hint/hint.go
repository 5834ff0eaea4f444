// Package hint tells people what to do about an error: it attaches a hint to
// the error, and suggests the word that a misspelt one was meant to be.
package hint

import (
	"errors"
	"fmt"
)

// Error is an error with a hint: what a person can do about it. The text of the
// error does not repeat the hint.
type Error struct {
	Err  error
	Hint string
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// New attaches a hint to err.
func New(err error, format string, args ...any) error {
	return &Error{err, fmt.Sprintf(format, args...)}
}

// Of returns the hint of an error, or "". Of several, the outermost counts: it
// knows best what the person was doing.
func Of(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Hint
	}
	return ""
}
