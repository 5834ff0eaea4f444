package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/cli/browser"
	"github.com/spf13/cobra"

	"authferry/proxy"
	"authferry/tokens"
)

// connectFlags are how a person wants to get to the consent page.
type connectFlags struct {
	provider   string
	noBrowser  bool
	listenPort int
}

func connectCommand() *cobra.Command {
	var f connectFlags
	cmd := &cobra.Command{
		Use:   "connect MAILBOX",
		Short: "Sign in to a mailbox and keep the grant",
		Long: `Open the provider's consent page for a mailbox, and keep the grant that its
owner gives there. Connect it again whenever its state is needs-consent; its
local passwords stay.

On a machine without a browser, add --no-browser and open the printed address
on any other. Then either paste the address that the browser ends up at, which
shows an error there, back into this terminal; or have ssh carry it here:

  ssh -L 8124:127.0.0.1:8124 server authferry connect you@gmail.com --no-browser --listen-port 8124`,
		Example: `  authferry connect you@gmail.com
  authferry connect you@example.com --provider microsoft --no-browser`,
		Args: takes("MAILBOX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			cmd.SetContext(ctx)
			return withVault(cmd, func(ctx context.Context, c *config, vault *tokens.Vault) error {
				return connect(ctx, cmd, c, vault, args[0], f)
			})
		},
	}
	cmd.Flags().StringVar(&f.provider, "provider", "gmail", "where the mailbox is: the `NAME` of a [provider.NAME]")
	cmd.Flags().BoolVar(&f.noBrowser, "no-browser", false, "only print the consent page's address")
	cmd.Flags().IntVar(&f.listenPort, "listen-port", 0, "wait for the browser on this `PORT` of the loopback interface (default any)")
	cmd.RegisterFlagCompletionFunc("provider", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		names := slices.Sorted(maps.Keys(tokens.Builtin()))
		if c, err := configFor(cmd); err == nil {
			names = slices.Sorted(maps.Keys(c.settings.Providers))
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

// connect is a visit to the consent page: prepare it, send a person there, wait
// for the answer, prove the grant, keep it.
func connect(ctx context.Context, cmd *cobra.Command, c *config, vault *tokens.Vault, user string, f connectFlags) error {
	mailbox, _ := vault.Canonical(user)
	if err := checkMailbox(mailbox); err != nil {
		return misused(err, "connect takes the whole address, such as you@gmail.com")
	}
	p := c.settings.Providers[f.provider]
	if p == nil {
		return unknownProvider(c, f.provider)
	}
	loopback, err := tokens.ListenLoopbackAt(p.RedirectHost, f.listenPort)
	if err != nil {
		return err
	}
	defer loopback.Close()
	consent, err := p.NewConsent(loopback.URL, mailbox)
	if err != nil {
		return err
	}
	invite(cmd, mailbox, consent.URL, f.noBrowser)
	return finish(ctx, cmd, consent, loopback, func(t *tokens.Token) error {
		if err := prove(ctx, cmd, p, mailbox, t); err != nil {
			return err
		}
		if err := vault.Connect(ctx, tokens.Connection{Mailbox: mailbox, Provider: p.Name, Token: t}); err != nil {
			return err
		}
		farewell(cmd, mailbox, t)
		return nil
	})
}

func unknownProvider(c *config, name string) error {
	err := fmt.Errorf("no provider %q in %s", name, c.file)
	known := slices.Sorted(maps.Keys(c.settings.Providers))
	if tokens.Builtin()[name] != nil {
		return misused(err, "add [provider.%s] with your OAuth client to it; config.example.toml shows how", name)
	}
	if n := nearest(name, known); n != "" {
		return misused(err, "did you mean --provider %s?", n)
	}
	if len(known) == 0 {
		return misused(err, "add a [provider.NAME] with your OAuth client to it; config.example.toml shows how")
	}
	return misused(err, "it has %s", strings.Join(known, ", "))
}

// invite sends a person to the consent page. The address is alone on its line
// of standard output, for scripts.
func invite(cmd *cobra.Command, mailbox, address string, noBrowser bool) {
	errs := cmd.ErrOrStderr()
	fmt.Fprintf(errs, "Open this page, sign in as %s, and allow the access:\n\n", mailbox)
	fmt.Fprintln(cmd.OutOrStdout(), address)
	fmt.Fprintf(errs, "\nThen wait here, or paste the address that the browser ends up at:\n")
	if noBrowser {
		return
	}
	// What a browser has to say belongs to nobody's standard output.
	browser.Stdout, browser.Stderr = io.Discard, io.Discard
	go func() { // some openers return when the browser is closed
		if err := browser.OpenURL(address); err != nil {
			fmt.Fprintln(errs, "(No browser could be opened from here.)")
		}
	}()
}

// prove logs in with the grant as the mailbox. A person may have signed in as
// somebody else; such a grant would be refused at every login to come.
func prove(ctx context.Context, cmd *cobra.Command, p *tokens.Provider, mailbox string, t *tokens.Token) error {
	protocol := "imap"
	for _, e := range []struct {
		protocol string
		endpoint tokens.Endpoint
	}{{"smtp", p.SMTP}, {"pop3", p.POP3}, {"imap", p.IMAP}} {
		if e.endpoint.Host != "" {
			protocol = e.protocol
		}
	}
	grant := &tokens.Grant{Mailbox: mailbox, User: mailbox, Provider: p, AccessToken: t.Access, Minted: true, Expiry: t.Expiry}
	err := proxy.TryLogin(ctx, grant, protocol)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return interrupted(ctx.Err())
	case errors.Is(err, proxy.ErrLoginRefused):
		return failed(fmt.Errorf("the grant is not good for %s, and is not kept: %w", mailbox, err),
			"did you sign in as another account, or leave a box unticked? Otherwise see whether the account may use %s", strings.ToUpper(protocol))
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "authferry: warning: the grant could not be tried out: %v\n", err)
	return nil
}

// farewell says what there is now and what comes next.
func farewell(cmd *cobra.Command, mailbox string, t *tokens.Token) {
	errs := cmd.ErrOrStderr()
	fmt.Fprintf(errs, "Connected %s.\n", mailbox)
	if end := given(t.RefreshExpiry); end != nil {
		fmt.Fprintf(errs, "The grant ends on %s, because the provider says so (Google: while the consent screen is in Testing).\n", moment(end))
	}
	fmt.Fprintf(errs, "Next, a password for your mail program: authferry password add %s --name \"My program\"\n", mailbox)
}
