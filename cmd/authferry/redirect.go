package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"authferry/tokens/oauth"
	"authferry/tokens/oauth/loopback"
)

// redirect is an address that a browser was sent to by the consent page, and
// where to say what became of it.
type redirect struct {
	address string
	answer  func(error)
}

// finish waits for the browser's redirect to come to this machine or to be
// pasted, and has the grant it leads to kept. One that leads to none is
// explained, and another waited for: the consent page can be opened again.
func finish(ctx context.Context, cmd *cobra.Command, consent *oauth.Consent, loopback *loopback.Receiver, keep func(*oauth.Token) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	redirects := make(chan redirect)
	go browsers(ctx, loopback, redirects)
	go pastes(ctx, cmd.InOrStdin(), redirects)
	for {
		select {
		case <-ctx.Done():
			return errInterrupted
		case r := <-redirects:
			token, err := consent.Finish(ctx, r.address)
			if err == nil {
				err = keep(token)
				r.answer(err)
				return err
			}
			r.answer(err)
			switch {
			case ctx.Err() != nil:
				return errInterrupted
			case errors.Is(err, oauth.ErrRefused):
				return err
			}
			report(cmd.ErrOrStderr(), err)
			fmt.Fprintln(cmd.ErrOrStderr(), "Still waiting; Ctrl-C gives up.")
		}
	}
}

// browsers passes on the redirects that come to this machine.
func browsers(ctx context.Context, loopback *loopback.Receiver, redirects chan<- redirect) {
	for {
		address, answer, err := loopback.Wait(ctx)
		if err != nil {
			return
		}
		select {
		case redirects <- redirect{address, answer}:
		case <-ctx.Done():
			answer(ctx.Err())
			return
		}
	}
}

// pastes passes on the lines of standard input. Its end is no answer: a program
// without a terminal has none to give.
func pastes(ctx context.Context, in io.Reader, redirects chan<- redirect) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		select {
		case redirects <- redirect{line, func(error) {}}:
		case <-ctx.Done():
			return
		}
	}
}

// errInterrupted is what Ctrl-C comes to. There is no more to tell of it.
var errInterrupted = errors.New("interrupted, nothing was changed")
