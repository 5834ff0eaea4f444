package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"authferry/internal/hint"
)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // the command line or the configuration is wrong
)

// exitError is an error that ends the program with a code.
type exitError struct {
	error
	code int
}

func (e *exitError) Unwrap() error { return e.error }
func (e *exitError) exitCode() int { return e.code }

// failed is an error with a hint a person can act on.
func failed(err error, format string, args ...any) error {
	return &exitError{hint.New(err, format, args...), exitFailed}
}

// misused is an error in how the command was called.
func misused(err error, format string, args ...any) error {
	return &exitError{hint.New(err, format, args...), exitUsage}
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
	if what := hint.Of(err); what != "" {
		fmt.Fprintf(w, "hint: %s\n", what)
	}
}
