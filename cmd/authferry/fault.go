package main

import (
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

// exitCode returns the code that the program ends with after an error.
func exitCode(err error) int {
	switch {
	case err == nil:
		return exitDone
	case hint.IsUsage(err):
		return exitUsage
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
