package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // the command line or the configuration is wrong
)

// fault is an error with what to do about it, and the exit code it earns.
type fault struct {
	error
	hint string
	code int
}

func (f *fault) Unwrap() error { return f.error }
func (f *fault) exitCode() int { return f.code }

// failed is an error with a hint a person can act on.
func failed(err error, hint string, args ...any) error {
	return &fault{err, fmt.Sprintf(hint, args...), exitFailed}
}

// misused is an error in how the command was called.
func misused(err error, hint string, args ...any) error {
	return &fault{err, fmt.Sprintf(hint, args...), exitUsage}
}

// exitCode is the code that an error earns.
func exitCode(err error) int {
	var coded interface{ exitCode() int }
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &coded):
		return coded.exitCode()
	}
	return exitFailed
}

// report tells a person about an error: one sentence (for a configuration, one
// for each complaint), and a hint if there is one.
func report(w io.Writer, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(w, "authferry: %s\n", line)
	}
	var f *fault
	if errors.As(err, &f) && f.hint != "" {
		fmt.Fprintf(w, "hint: %s\n", f.hint)
	}
}
