package main

import (
	"context"
	"fmt"
	"io"

	"authferry/internal/check"
)

// chart is a check as it is shown: to people a line per step as it comes, to
// scripts all steps as one array.
type chart struct {
	w       io.Writer
	json    bool
	colours bool
	steps   []check.Step
	about   string // what the lines so far are about
	err     error  // of writing
}

// add shows a step.
func (c *chart) add(s check.Step) {
	c.steps = append(c.steps, s)
	if c.json {
		return
	}
	about := "authferry"
	switch {
	case s.Mailbox != "":
		about = s.Mailbox
	case s.Provider != "":
		about = s.Provider
	}
	if about != c.about {
		c.about = about
		c.printf("%s\n", about)
	}
	c.printf("  %s  %-15s  %s\n", c.word(s.Result), s.Name, s.Detail)
	if s.Fix != "" {
		c.printf("        %-15s  fix: %s\n", "", s.Fix)
	}
	if s.Page != "" {
		c.printf("        %-15s  page: %s\n", "", s.Page)
	}
}

func (c *chart) printf(format string, args ...any) {
	if c.err == nil {
		_, c.err = fmt.Fprintf(c.w, format, args...)
	}
}

// word is a result, in colour on a terminal.
func (c *chart) word(r check.Result) string {
	word := fmt.Sprintf("%-4s", r)
	if !c.colours {
		return word
	}
	colour := map[check.Result]int{check.OK: 32, check.Fail: 31, check.Skip: 33}[r]
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", colour, word)
}

// end shows what is shown at the end, and makes failed steps an error.
func (c *chart) end(ctx context.Context) error {
	if c.json {
		c.err = printJSON(c.w, c.steps)
	}
	if c.err != nil {
		return c.err
	}
	bad := 0
	for _, s := range c.steps {
		if s.Result == check.Fail {
			bad++
		}
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted: %w", ctx.Err())
	case bad > 0:
		return fmt.Errorf("of %d steps, %d failed", len(c.steps), bad)
	}
	return nil
}
