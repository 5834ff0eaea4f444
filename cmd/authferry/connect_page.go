package main

import (
	"context"
	"fmt"
	"io"
	"net/url"

	"github.com/cli/browser"

	"authferry/tokens/oauth"
	"authferry/tokens/oauth/loopback"
)

// byPage is a visit to the consent page: prepare it, send a person there, wait
// for the answer.
func (v *visit) byPage(ctx context.Context, f connectFlags) error {
	loopback, err := loopback.Listen(v.provider.RedirectHost, f.listenPort)
	if err != nil {
		return err
	}
	defer loopback.Close()
	consent, err := v.provider.NewConsent(loopback.URL, v.person())
	if err != nil {
		return err
	}
	v.invite(consent.URL, loopback.URL, f.noBrowser)
	return finish(ctx, v.cmd, consent, loopback, func(t *oauth.Token) error { return v.keep(ctx, t) })
}

// invite sends a person to the consent page. The address is alone on its line
// of standard output, for scripts.
func (v *visit) invite(address, redirect string, noBrowser bool) {
	errs := v.cmd.ErrOrStderr()
	fmt.Fprintf(errs, "Open this page, sign in as %s, and allow the access:\n\n", v.person())
	fmt.Fprintln(v.cmd.OutOrStdout(), address)
	here := surroundings()
	if !here.headless() {
		fmt.Fprintf(errs, "\nThen wait here, or paste the address that the browser ends up at:\n")
		if !noBrowser {
			openBrowser(errs, address)
		}
		return
	}
	fmt.Fprintf(errs, noBrowserHere, here.tunnel(redirect), redirect)
}

const noBrowserHere = `
There is no browser here. Open the page on a machine that has one, in either way:

- Run this there first, and the answer comes here by itself:

    %s

- Or open it as it is. The browser ends up with an error at an address that
  begins with %s: paste the whole address here.

`

func openBrowser(errs io.Writer, address string) {
	// What a browser has to say belongs to nobody's standard output.
	browser.Stdout, browser.Stderr = io.Discard, io.Discard
	go func() { // some openers return when the browser is closed
		if err := browser.OpenURL(address); err != nil {
			fmt.Fprintln(errs, "(No browser could be opened from here.)")
		}
	}()
}

// tunnel is the ssh command that carries a redirect from a machine with a
// browser to this one.
func (s surrounding) tunnel(redirect string) string {
	u, err := url.Parse(redirect)
	if err != nil { // it is ours
		return ""
	}
	host := u.Hostname()
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if host == "::1" {
		host = "[::1]"
	}
	command := fmt.Sprintf("ssh -N -L %s:%s:%s", u.Port(), host, u.Port())
	if s.sshPort != "" && s.sshPort != "22" {
		command += " -p " + s.sshPort
	}
	if s.user != "" {
		return command + " " + s.user + "@" + s.host
	}
	return command + " " + s.host
}
