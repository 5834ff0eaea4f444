package main

import (
	"errors"
	"strings"
	"testing"

	"authferry/internal/check"
)

// TestCheckPrinter: a check as people see it, in colour on a terminal.
func TestCheckPrinter(t *testing.T) {
	t.Parallel()
	steps := []check.Step{
		{Name: "store", Result: check.OK, Detail: "there"},
		{Name: "clock", Result: check.Skip, Detail: "no answer", Provider: "gmail"},
		{Name: "refresh", Result: check.Fail, Detail: "refused", Fix: "do this", Page: "https://example.org", Provider: "gmail", Mailbox: "a@gmail.com"},
		{Name: "grant", Result: check.OK, Detail: "lasts", Provider: "gmail", Mailbox: "a@gmail.com"},
	}
	const plain = "authferry\n" +
		"  ok    store            there\n" +
		"gmail\n" +
		"  skip  clock            no answer\n" +
		"a@gmail.com\n" +
		"  fail  refresh          refused\n" +
		"                         fix: do this\n" +
		"                         page: https://example.org\n" +
		"  ok    grant            lasts\n"
	coloured := strings.NewReplacer("ok  ", "\x1b[32mok  \x1b[0m", "skip", "\x1b[33mskip\x1b[0m", "fail", "\x1b[31mfail\x1b[0m").Replace(plain)
	for _, want := range []string{plain, coloured} {
		var b strings.Builder
		c := &checkPrinter{w: &b, colours: want == coloured}
		for _, s := range steps {
			c.add(s)
		}
		if err := c.end(t.Context()); err == nil || exitCode(err) != exitFailed || err.Error() != "1 of 4 steps failed" {
			t.Errorf("the end is %v", err)
		}
		if b.String() != want {
			t.Errorf("shown\n%s\ninstead of\n%s", b.String(), want)
		}
	}
	c := &checkPrinter{w: brokenPipe{}}
	c.add(steps[0])
	if err := c.end(t.Context()); !errors.Is(err, errPipe) {
		t.Errorf("to a broken pipe: %v", err)
	}
}

var errPipe = errors.New("broken pipe")

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errPipe }
