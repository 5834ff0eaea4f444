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

// IsUsage reports whether the command line or the configuration is to blame for
// an error, which programs end with another exit code than other failures.
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
