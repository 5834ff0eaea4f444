package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cli/browser"
	"github.com/spf13/cobra"

	"authferry/internal/address"
	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/proxy"
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

// byPage is a visit to the consent page: prepare it, send a person there, wait
// for the answer.
func (v *visit) byPage(ctx context.Context, f connectFlags) error {
	loopback, err := oauth.ListenLoopbackAt(v.provider.RedirectHost, f.listenPort)
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

// redirect is an address that a browser was sent to by the consent page, and
// where to say what became of it.
type redirect struct {
	address string
	answer  func(error)
}

// finish waits for the browser's redirect to come to this machine or to be
// pasted, and has the grant it leads to kept. One that leads to none is
// explained, and another waited for: the consent page can be opened again.
func finish(ctx context.Context, cmd *cobra.Command, consent *oauth.Consent, loopback *oauth.Loopback, keep func(*oauth.Token) error) error {
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
func browsers(ctx context.Context, loopback *oauth.Loopback, redirects chan<- redirect) {
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

// byCode has a person type a code on any device: RFC 8628.
func (v *visit) byCode(ctx context.Context) error {
	device, err := v.provider.StartDevice(ctx)
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	errs, out := v.cmd.ErrOrStderr(), v.cmd.OutOrStdout()
	fmt.Fprintf(errs, "Open this page on any device, sign in as %s, and type the code below it:\n\n", v.person())
	fmt.Fprintf(out, "%s\n%s\n", device.URL, device.UserCode)
	if device.CompleteURL != "" {
		fmt.Fprintf(errs, "\nThis page has the code in it already: %s\n", device.CompleteURL)
	}
	fmt.Fprintf(errs, "\nWaiting; the code is good until %s. Ctrl-C gives up.\n", device.Expires.Local().Format("15:04"))
	token, err := v.await(ctx, errs, device)
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	return v.keep(ctx, token)
}

// await waits for the code to be typed, and says now and then that it does.
func (v *visit) await(ctx context.Context, errs io.Writer, device *oauth.Device) (token *oauth.Token, err error) {
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

// byItself connects a mailbox that nobody has to sign in to.
func (v *visit) byItself(ctx context.Context) error {
	token, err := v.provider.Mint(ctx, v.mailbox)
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		advice := adviceHint(oauth.CauseOf(err), v.mailbox, v.provider)
		if errors.Is(err, oauth.ErrUnavailable) && v.flow != oauth.FlowTokenCommand {
			advice = "nothing was kept; try again later"
		}
		return hint.New(err, "%s", advice)
	}
	return v.keep(ctx, token)
}

// tellEnrolled tells of a mailbox that its first password enrolled, and tries
// whether its provider lets it in. A failure may well be somebody's to mend
// later: the password stays.
func tellEnrolled(ctx context.Context, cmd *cobra.Command, mailbox string, p *oauth.Provider) {
	errs := cmd.ErrOrStderr()
	fmt.Fprintf(errs, "\nEnrolled %s: [provider.%s] opens the mailboxes of its domain.\n", mailbox, p.Name)
	var advice string
	token, err := p.Mint(ctx, mailbox)
	if err != nil {
		advice = adviceHint(oauth.CauseOf(err), mailbox, p)
	} else if err = proxy.Prove(ctx, proxy.Claim{Mailbox: mailbox, Provider: p, Token: token}); errors.As(err, new(*proxy.NotGood)) {
		advice, err = openedByNobody(mailbox, p), errors.Unwrap(err)
	}
	if err == nil {
		fmt.Fprintf(errs, "A login to it over %s was let in.\n", strings.ToUpper(p.FirstProtocol()))
		return
	}
	fmt.Fprintf(errs, "authferry: warning: the password is kept, but the mailbox cannot be opened now: %v\n", err)
	if advice != "" {
		fmt.Fprintf(errs, "hint: %s\n", advice)
	}
}

// prove logs in with a grant as the mailbox.
func (v *visit) prove(ctx context.Context, t *oauth.Token) error {
	err := proxy.Prove(ctx, proxy.Claim{Mailbox: v.mailbox, SignIn: v.signIn, Provider: v.provider, Token: t})
	bad := (*proxy.NotGood)(nil)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return errInterrupted
	case errors.As(err, &bad):
		return v.explain(bad)
	}
	fmt.Fprintf(v.cmd.ErrOrStderr(), "authferry: warning: the grant could not be tried out: %v\n", err)
	return nil
}

// explain says what to do about a grant that is not good for the mailbox:
// first of all, whose it is.
func (v *visit) explain(bad *proxy.NotGood) error {
	upper := strings.ToUpper(bad.Protocol)
	switch {
	case !v.flow.NeedsPerson():
		return hint.New(bad, "%s", openedByNobody(v.mailbox, v.provider))
	case bad.WrongPerson():
		return hint.New(bad, "open the page again and choose the right account; nothing was kept of this one")
	case bad.Whose != "" && v.signIn != "":
		return hint.New(bad, "give %s full access to the mailbox at the provider, and see whether it may use %s", v.signIn, upper)
	case bad.Whose != "":
		return hint.New(bad, "see whether the account may use %s", upper)
	}
	return hint.New(bad, "did you sign in as another account than %s, or leave a box unticked? Otherwise see whether the account may use %s", v.person(), upper)
}

// openedByNobody is what to do where a token for a mailbox is not let in, and
// no person gave it.
func openedByNobody(mailbox string, p *oauth.Provider) string {
	if p.Flow == oauth.FlowTokenCommand {
		return "see whether the token that the command prints is one for this mailbox"
	}
	return adviceHint(oauth.CauseDelegation, mailbox, p)
}

// adviceHint puts what to do about a cause, and where, into one sentence; ""
// if nobody knows.
func adviceHint(c oauth.Cause, mailbox string, p *oauth.Provider) string {
	advice := c.Advice(mailbox, p)
	if advice.Page == "" {
		return advice.Fix
	}
	return advice.Fix + ": " + advice.Page
}
