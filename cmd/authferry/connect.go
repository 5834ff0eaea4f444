package main

import (
	"bufio"
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
	"time"

	"github.com/spf13/cobra"

	"authferry/internal/address"
	"authferry/internal/config"
	"authferry/internal/desktop"
	"authferry/internal/hint"
	"authferry/internal/onboard"
	"authferry/internal/view"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/oauth/loopback"
	"authferry/tokens/store"
)

// connectFlags are the flags of connect.
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
		Long: `Open the provider's consent page, and keep the grant that the owner of the
mailbox gives there. Run it again when the state of the mailbox is
needs-consent; its local passwords stay.

Without a browser on this machine, the address of the page is printed. Open it
on any other machine. The sign-in ends at an address that shows an error there:
paste that address into this terminal. Or forward the redirect to this machine
with ssh -L; the command is printed, too.

With --device, the provider shows a code to type on one of its pages, on any
device. Microsoft supports this; Gmail does not for mail.

A shared mailbox has no account of its own: with --sign-in-as, name an account
that may open it.

Where the provider needs no sign-in (a service account, an application or a
command), the mailbox is tried and kept at once.`,
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
				flow, err := newConsentFlow(ctx, cmd, c, vault, args[0], f)
				if err != nil {
					return err
				}
				return flow.run(ctx, f)
			})
		},
	}
	cmd.Flags().StringVar(&f.provider, "provider", "", "the `NAME` of a [provider.NAME] (default: that of the mailbox's domain, the previous one, or gmail)")
	cmd.Flags().StringVar(&f.signInAs, "sign-in-as", "", "sign in as this `ADDRESS`, which may open the mailbox")
	cmd.Flags().BoolVar(&f.device, "device", false, "sign in with a code on any device")
	cmd.Flags().BoolVar(&f.noBrowser, "no-browser", false, "print the address of the consent page and open no browser")
	cmd.Flags().IntVar(&f.listenPort, "listen-port", 0, "wait for the browser on this `PORT` of the loopback interface (default any)")
	cmd.RegisterFlagCompletionFunc("provider", completeProviders)
	return cmd
}

// consentFlow gets a grant for a mailbox and keeps it.
type consentFlow struct {
	cmd      *cobra.Command
	vault    *tokens.Vault
	provider *oauth.Provider
	flow     oauth.Flow
	mailbox  string
	signIn   string // the account that signs in, if it is not the mailbox's own
}

// newConsentFlow checks the arguments before anyone is sent to a page.
func newConsentFlow(ctx context.Context, cmd *cobra.Command, c *config.Config, vault *tokens.Vault, user string, f connectFlags) (*consentFlow, error) {
	mailbox, _ := vault.Canonical(user)
	if err := address.Check(mailbox); err != nil {
		return nil, hint.Usage(err, "write the whole address, such as you@gmail.com")
	}
	account, err := vault.Account(ctx, mailbox)
	if err != nil && !errors.Is(err, store.ErrNoMailbox) {
		return nil, err
	}
	p, err := chooseProvider(c, account, mailbox, f.provider)
	if err != nil {
		return nil, err
	}
	v := &consentFlow{cmd: cmd, vault: vault, provider: p, flow: config.FlowName(p.Flow), mailbox: mailbox}
	if f.device {
		v.flow = oauth.FlowDeviceCode
		if !p.Flow.NeedsPerson() {
			return nil, errNoSignIn(p, "--device")
		}
		if p.DeviceURL == "" {
			return nil, hint.Usage(fmt.Errorf("the provider %s has no device codes", p.Name),
				"omit --device and use --no-browser, which needs no browser on this machine either; or set device_url in [provider.%s] (Gmail has no device codes for mail)", p.Name)
		}
	}
	return v, v.readSignIn(account, f.signInAs)
}

// errNoSignIn refuses a flag that is about signing in.
func errNoSignIn(p *oauth.Provider, flag string) error {
	return hint.Usage(fmt.Errorf("the provider %s needs no sign-in: its flow is %s", p.Name, p.Flow), "omit %s", flag)
}

// readSignIn finds out which account signs in. By default it is the account that
// signed in before, so that a shared mailbox stays shared.
func (v *consentFlow) readSignIn(account *store.Account, named string) error {
	switch {
	case named == "" && account != nil && account.Provider == v.provider.Name && v.flow.NeedsPerson():
		v.signIn = account.SignIn
	case named == "":
	case !v.flow.NeedsPerson():
		return errNoSignIn(v.provider, "--sign-in-as")
	default:
		owner, _ := v.vault.Canonical(named)
		if err := address.Check(owner); err != nil {
			return hint.Usage(err, "--sign-in-as takes the whole address of the account that signs in")
		}
		if owner != v.mailbox {
			v.signIn = owner
		}
	}
	return nil
}

// account returns the account that signs in.
func (v *consentFlow) account() string {
	if v.signIn != "" {
		return v.signIn
	}
	return v.mailbox
}

func (v *consentFlow) run(ctx context.Context, f connectFlags) error {
	switch {
	case !v.flow.NeedsPerson():
		return v.keep(ctx, nil)
	case v.flow == oauth.FlowDeviceCode:
		return v.useDeviceCode(ctx)
	}
	return v.useConsentPage(ctx, f)
}

// errInterrupted is how a command ends after Ctrl-C.
var errInterrupted = errors.New("interrupted, nothing was changed")

// keep connects the mailbox with a grant; nil where no person signs in.
func (v *consentFlow) keep(ctx context.Context, t *oauth.Token) error {
	g := onboard.Grant{Mailbox: v.mailbox, SignIn: v.signIn, Provider: v.provider, Token: t}
	done, err := onboard.Connect(ctx, v.vault, g, onboard.Options{KeepUnproven: true})
	if e, ok := errors.AsType[*onboard.Error](err); ok {
		if ctx.Err() != nil {
			return errInterrupted
		}
		return explainConnect(e)
	}
	if err != nil {
		return err
	}
	printConnected(v.cmd, done)
	return nil
}

// explainConnect adds what to do about a grant that was not accepted.
func explainConnect(e *onboard.Error) error {
	proto := e.Protocol.Upper()
	switch e.Cause {
	case onboard.NoToken, onboard.NotOpened:
		return hint.New(e, "%s", adviceText(e.Advice()))
	case onboard.WrongAccount:
		return hint.New(e, "nothing was changed: open the page again and choose the right account")
	case onboard.NotDelegated:
		return hint.New(e, "nothing was changed: give %s full access to the mailbox at the provider, and check that it may use %s", e.SignIn, proto)
	case onboard.ProtocolOff:
		return hint.New(e, "nothing was changed: check that the account may use %s", proto)
	case onboard.Refused:
		return hint.New(e, "nothing was changed: did you sign in with another account than %s, or leave a box unticked? Otherwise check that the account may use %s", e.Expected(), proto)
	}
	return hint.New(e, "nothing was changed; run this again")
}

// adviceText joins what to do and the page to do it on.
func adviceText(fix, page string) string {
	if page == "" {
		return fix
	}
	return fix + ": " + page
}

// printConnected says what was connected, and what to do next.
func printConnected(cmd *cobra.Command, done *onboard.Result) {
	errs := cmd.ErrOrStderr()
	if done.Unproven != nil {
		fmt.Fprintf(errs, "authferry: warning: the grant could not be tried: %v\n", done.Unproven)
	}
	fmt.Fprintf(errs, "Connected %s.\n", done.Mailbox)
	if end := view.Time(done.Token.RefreshExpiry); end != nil {
		fmt.Fprintf(errs, "The grant ends on %s: the provider limits it (Google: while the consent screen is in Testing).\n", moment(end))
	}
	fmt.Fprintf(errs, "Next, create a password for your mail program: authferry password add %s --name \"My program\"\n", done.Mailbox)
	if done.SignIn != "" {
		fmt.Fprintf(errs, "The mailbox is opened with the grant of %s.\n", done.SignIn)
	}
}

// chooseProvider finds the provider of a mailbox without asking a server.
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
		return nil, hint.Usage(fmt.Errorf("the provider of %s could be any of %s", mailbox, strings.Join(slices.Sorted(maps.Keys(providers)), ", ")),
			"name it with --provider")
	}
	return findProvider(c, named)
}

// findProvider returns a configured provider.
func findProvider(c *config.Config, name string) (*oauth.Provider, error) {
	if p := c.Settings.Providers[name]; p != nil {
		return p, nil
	}
	err := fmt.Errorf("no provider %q in %s", name, c.File)
	known := slices.Sorted(maps.Keys(c.Settings.Providers))
	if oauth.Builtin()[name] != nil {
		return nil, hint.Usage(err, "add [provider.%s] with your OAuth client to it; config.example.toml shows how", name)
	}
	if n := hint.Suggest(name, known); n != "" {
		return nil, hint.Usage(err, "did you mean --provider %s?", n)
	}
	if len(known) == 0 {
		return nil, hint.Usage(err, "add a [provider.NAME] with your OAuth client to it; config.example.toml shows how")
	}
	return nil, hint.Usage(err, "it has %s", strings.Join(known, ", "))
}

// printEnrolled says that the first password enrolled a mailbox, and tries to log
// in to it. The password stays after a failure: its cause may go away.
func printEnrolled(ctx context.Context, cmd *cobra.Command, mailbox string, p *oauth.Provider) {
	errs := cmd.ErrOrStderr()
	fmt.Fprintf(errs, "\nEnrolled %s: [provider.%s] opens the mailboxes of its domain.\n", mailbox, p.Name)
	var advice string
	token, err := p.Mint(ctx, mailbox)
	if err != nil {
		a := oauth.CauseOf(err).Advice(mailbox, p)
		advice = adviceText(a.Fix, a.Page)
	} else if e, ok := errors.AsType[*onboard.Error](onboard.Prove(ctx, onboard.Grant{Mailbox: mailbox, Provider: p, Token: token})); ok {
		err = e.Err
		if e.Cause == onboard.NotOpened {
			advice = adviceText(e.Advice())
		}
	}
	if err == nil {
		fmt.Fprintf(errs, "A login to it over %s succeeded.\n", p.FirstProtocol().Upper())
		return
	}
	fmt.Fprintf(errs, "authferry: warning: the password is kept, but the mailbox cannot be opened now: %v\n", err)
	if advice != "" {
		fmt.Fprintf(errs, "hint: %s\n", advice)
	}
}

// useDeviceCode has a person type a code on any device (RFC 8628).
func (v *consentFlow) useDeviceCode(ctx context.Context) error {
	device, err := v.provider.StartDevice(ctx)
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	errs, out := v.cmd.ErrOrStderr(), v.cmd.OutOrStdout()
	fmt.Fprintf(errs, "Open this page on any device, sign in as %s, and type the code below it:\n\n", v.account())
	fmt.Fprintf(out, "%s\n%s\n", device.URL, device.UserCode)
	if device.CompleteURL != "" {
		fmt.Fprintf(errs, "\nThis page has the code in it already: %s\n", device.CompleteURL)
	}
	fmt.Fprintf(errs, "\nWaiting; the code is good until %s. Press Ctrl-C to cancel.\n", device.Expires.Local().Format("15:04"))
	token, err := awaitDevice(ctx, errs, device)
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	return v.keep(ctx, token)
}

// awaitDevice waits until the code has been typed, and prints every minute that it waits.
func awaitDevice(ctx context.Context, errs io.Writer, device *oauth.Device) (token *oauth.Token, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		token, err = device.Wait(ctx)
	}()
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case <-done:
			return token, err
		case now := <-minute.C:
			if left := device.Expires.Sub(now).Round(time.Minute); left > 0 {
				fmt.Fprintf(errs, "Still waiting; the code %s is good for another %d min.\n", device.UserCode, int(left.Minutes()))
			}
		}
	}
}

// useConsentPage sends a person to the consent page and waits for the answer.
func (v *consentFlow) useConsentPage(ctx context.Context, f connectFlags) error {
	receiver, err := loopback.Listen(v.provider.RedirectHost, f.listenPort)
	if err != nil {
		return err
	}
	defer receiver.Close()
	consent, err := v.provider.NewConsent(receiver.URL, v.account())
	if err != nil {
		return err
	}
	v.printPage(consent.URL, receiver.URL, f.noBrowser)
	return v.awaitRedirect(ctx, consent, receiver)
}

// printPage sends a person to the consent page. The address is alone on its line
// of standard output, for scripts.
func (v *consentFlow) printPage(address, redirect string, noBrowser bool) {
	errs := v.cmd.ErrOrStderr()
	fmt.Fprintf(errs, "Open this page, sign in as %s, and allow the access:\n\n", v.account())
	fmt.Fprintln(v.cmd.OutOrStdout(), address)
	here := desktop.Detect()
	if here.Headless() {
		fmt.Fprintf(errs, noBrowserHere, here.Tunnel(redirect), redirect)
		return
	}
	fmt.Fprintf(errs, "\nThen wait here, or paste the address that the browser ends up at:\n")
	if !noBrowser {
		desktop.OpenBrowser(address, func(error) { fmt.Fprintln(errs, "(No browser could be opened from here.)") })
	}
}

const noBrowserHere = `
There is no browser here. Open the page on a machine that has one, in one of two
ways:

- Run this command there first; the browser then answers here by itself:

    %s

- Or open the page directly. The browser ends with an error at an address that
  begins with %s: paste the whole address here.

`

// redirect is an address that the consent page sent a browser to.
type redirect struct {
	address string
	answer  func(error) // shows the result in that browser
}

// awaitRedirect waits for the browser's redirect, or for its address on standard
// input, and keeps the grant. After an answer without a grant it waits for
// another one: the consent page can be opened again.
func (v *consentFlow) awaitRedirect(ctx context.Context, consent *oauth.Consent, receiver *loopback.Receiver) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	redirects := make(chan redirect)
	go receiveRedirects(ctx, receiver, redirects)
	go readRedirects(ctx, v.cmd.InOrStdin(), redirects)
	for {
		select {
		case <-ctx.Done():
			return errInterrupted
		case r := <-redirects:
			token, err := consent.Finish(ctx, r.address)
			if err == nil {
				err = v.keep(ctx, token)
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
			printError(v.cmd.ErrOrStderr(), err)
			fmt.Fprintln(v.cmd.ErrOrStderr(), "Still waiting; press Ctrl-C to cancel.")
		}
	}
}

// receiveRedirects passes on the redirects that browsers bring to this machine.
func receiveRedirects(ctx context.Context, receiver *loopback.Receiver, redirects chan<- redirect) {
	for {
		address, answer, err := receiver.Wait(ctx)
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

// readRedirects passes on the lines of standard input. Its end is no answer: a
// program without a terminal has none to give.
func readRedirects(ctx context.Context, in io.Reader, redirects chan<- redirect) {
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
