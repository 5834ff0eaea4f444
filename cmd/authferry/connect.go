package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"authferry/internal/address"
	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// connectFlags are how a person wants to get to the consent page.
type connectFlags struct {
	provider   string
	signInAs   string
	device     bool
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

On a machine without a browser the address is printed, to be opened on any
other. Then either paste the address that the browser ends up at, which shows an
error there, back into this terminal; or have ssh -L carry it here, by the command
that is printed too.

With --device the provider shows a code, to be typed on a page of its own on any
device; Microsoft has such codes, and Gmail has none for mail.

A shared mailbox has no owner to sign in: name with --sign-in-as somebody who
may open it.

Where the provider needs nobody to sign in (a service account, an application or
a command), the mailbox is tried and kept at once.`,
		Example: `  authferry connect you@gmail.com
  authferry connect you@example.com --provider microsoft --device
  authferry connect info@example.com --provider microsoft --sign-in-as you@example.com
  authferry connect you@gmail.com --no-browser --listen-port 8124`,
		Args: takes("MAILBOX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			cmd.SetContext(ctx)
			return withVault(cmd, func(ctx context.Context, c *config.Config, vault *tokens.Vault) error {
				v, err := prepareVisit(ctx, cmd, c, vault, args[0], f)
				if err != nil {
					return err
				}
				return v.connect(ctx, f)
			})
		},
	}
	cmd.Flags().StringVar(&f.provider, "provider", "", "where the mailbox is: the `NAME` of a [provider.NAME] (default that of its domain, the one it had, or gmail)")
	cmd.Flags().StringVar(&f.signInAs, "sign-in-as", "", "sign in as this `ADDRESS`, which may open the mailbox")
	cmd.Flags().BoolVar(&f.device, "device", false, "sign in by a code on any device")
	cmd.Flags().BoolVar(&f.noBrowser, "no-browser", false, "only print the consent page's address")
	cmd.Flags().IntVar(&f.listenPort, "listen-port", 0, "wait for the browser on this `PORT` of the loopback interface (default any)")
	cmd.RegisterFlagCompletionFunc("provider", completeProviders)
	return cmd
}

// visit is a way to a grant: for which mailbox, from whom.
type visit struct {
	cmd      *cobra.Command
	vault    *tokens.Vault
	provider *oauth.Provider
	flow     oauth.Flow
	mailbox  string
	signIn   string // whose grant it will be, if not the mailbox's own
}

// prepareVisit finds out what was asked for, before anybody is sent anywhere.
func prepareVisit(ctx context.Context, cmd *cobra.Command, c *config.Config, vault *tokens.Vault, user string, f connectFlags) (*visit, error) {
	mailbox, _ := vault.Canonical(user)
	if err := address.Check(mailbox); err != nil {
		return nil, hint.Usage(err, "connect takes the whole address, such as you@gmail.com")
	}
	account, err := vault.Account(ctx, mailbox)
	if err != nil && !errors.Is(err, store.ErrNoMailbox) {
		return nil, err
	}
	p, err := chooseProvider(c, account, mailbox, f.provider)
	if err != nil {
		return nil, err
	}
	v := &visit{cmd: cmd, vault: vault, provider: p, flow: config.FlowName(p.Flow), mailbox: mailbox}
	if f.device {
		v.flow = oauth.FlowDeviceCode
		if !p.Flow.NeedsPerson() {
			return nil, hint.Usage(fmt.Errorf("nobody signs in to %s, whose flow is %s", p.Name, p.Flow), "leave --device out")
		}
		if p.DeviceURL == "" {
			return nil, hint.Usage(fmt.Errorf("%s has no device codes", p.Name),
				"leave --device out: --no-browser needs no browser on this machine either; or set device_url in [provider.%s] (Gmail has no device codes for mail)", p.Name)
		}
	}
	return v, v.readSignIn(account, f.signInAs)
}

// readSignIn finds out who is to sign in. Whoever did before will again: a
// shared mailbox stays one.
func (v *visit) readSignIn(account *store.Account, named string) error {
	switch {
	case named == "" && account != nil && account.Provider == v.provider.Name && v.flow.NeedsPerson():
		v.signIn = account.SignIn
	case named == "":
	case !v.flow.NeedsPerson():
		return hint.Usage(fmt.Errorf("nobody signs in to %s, whose flow is %s", v.provider.Name, v.flow), "leave --sign-in-as out")
	default:
		owner, _ := v.vault.Canonical(named)
		if err := address.Check(owner); err != nil {
			return hint.Usage(err, "--sign-in-as takes the whole address of whoever signs in")
		}
		if owner != v.mailbox {
			v.signIn = owner
		}
	}
	return nil
}

// person is who signs in.
func (v *visit) person() string {
	if v.signIn != "" {
		return v.signIn
	}
	return v.mailbox
}

func (v *visit) connect(ctx context.Context, f connectFlags) error {
	switch {
	case !v.flow.NeedsPerson():
		return v.byItself(ctx)
	case v.flow == oauth.FlowDeviceCode:
		return v.byCode(ctx)
	}
	return v.byPage(ctx, f)
}

// keep proves a grant and keeps it.
func (v *visit) keep(ctx context.Context, t *oauth.Token) error {
	// First, since a box left unticked looks like a wrong account at the login.
	if err := v.provider.CheckGrant(t); err != nil {
		return hint.New(fmt.Errorf("connecting %s: %w", v.mailbox, err), "nothing was changed; run this again")
	}
	if err := v.prove(ctx, t); err != nil {
		return err
	}
	connection := tokens.Connection{Mailbox: v.mailbox, SignIn: v.signIn, Provider: v.provider.Name, Token: t}
	if err := v.vault.Connect(ctx, connection); err != nil {
		return err
	}
	farewell(v.cmd, v.mailbox, t)
	if v.signIn != "" {
		fmt.Fprintf(v.cmd.ErrOrStderr(), "It is opened by the grant of %s.\n", v.signIn)
	}
	return nil
}

// farewell says what there is now and what comes next.
func farewell(cmd *cobra.Command, mailbox string, t *oauth.Token) {
	errs := cmd.ErrOrStderr()
	fmt.Fprintf(errs, "Connected %s.\n", mailbox)
	if end := given(t.RefreshExpiry); end != nil {
		fmt.Fprintf(errs, "The grant ends on %s, because the provider says so (Google: while the consent screen is in Testing).\n", moment(end))
	}
	fmt.Fprintf(errs, "Next, a password for your mail program: authferry password add %s --name \"My program\"\n", mailbox)
}

// chooseProvider is where a mailbox is, as far as can be told without asking.
func chooseProvider(c *config.Config, account *store.Account, mailbox, named string) (*oauth.Provider, error) {
	providers := c.Settings.Providers
	_, domain, _ := address.Split(mailbox)
	switch {
	case named != "":
	case c.Settings.Domains[domain] != "":
		named = c.Settings.Domains[domain]
	case account != nil && account.Provider != "":
		named = account.Provider
	case providers["gmail"] != nil || len(providers) == 0:
		named = "gmail"
	case len(providers) == 1:
		named = slices.Collect(maps.Keys(providers))[0]
	default:
		return nil, hint.Usage(fmt.Errorf("%s could be at any of %s", mailbox, strings.Join(slices.Sorted(maps.Keys(providers)), ", ")),
			"say which by --provider")
	}
	if p := providers[named]; p != nil {
		return p, nil
	}
	return nil, unknownProvider(c, named)
}

func unknownProvider(c *config.Config, name string) error {
	err := fmt.Errorf("no provider %q in %s", name, c.File)
	known := slices.Sorted(maps.Keys(c.Settings.Providers))
	if oauth.Builtin()[name] != nil {
		return hint.Usage(err, "add [provider.%s] with your OAuth client to it; config.example.toml shows how", name)
	}
	if n := hint.Suggest(name, known); n != "" {
		return hint.Usage(err, "did you mean --provider %s?", n)
	}
	if len(known) == 0 {
		return hint.Usage(err, "add a [provider.NAME] with your OAuth client to it; config.example.toml shows how")
	}
	return hint.Usage(err, "it has %s", strings.Join(known, ", "))
}
