//go:build browser

package console

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"authferry/internal/check"
	"authferry/internal/console/frame"
	"authferry/internal/console/people"
)

// screen is the screen of a person.
type screen struct {
	name   string
	width  int64
	scheme string
	lang   string
	keys   bool // walk each page by Tab, too
}

// TestBrowser takes every step of an administrator and of an owner in a real
// Chromium, against the simulated Gmail's own consent page. Each page on the way
// is checked: it must fit the screen, log nothing on the browser's console (which
// reports violations of the policy), have its inputs labelled, its
// headings in order and its text in contrast. Screenshots are kept in
// $AUTHFERRY_SCREENSHOTS, or where go test -artifacts has them.
func TestBrowser(t *testing.T) {
	for _, s := range []screen{
		{"desktop-light", 1280, "light", "en", true},
		{"desktop-dark", 1280, "dark", "de", false},
		{"phone-light", 390, "light", "pl", true},
		{"phone-dark", 390, "dark", "ro", false},
	} {
		t.Run(s.name, func(t *testing.T) { s.walk(t) })
	}
}

func (s screen) walk(t *testing.T) {
	f := newFerry(t)
	steps := make(chan check.Step)
	f.check = func(ctx context.Context, _ string, report func(check.Step)) {
		for step := range steps {
			report(step)
		}
	}
	link, _, err := people.NewLink(t.Context(), f.vault, people.LinkOptions{Name: "Ada", URL: f.server.URL})
	if err != nil {
		t.Fatal(err)
	}

	a := s.open(f)
	a.visit(link.Reveal())
	a.look("1-welcome")
	a.click("main form button")
	a.see("main.account")
	a.visit(f.server.URL + "/")
	a.look("2-empty")
	a.visit(f.server.URL + "/connect")
	a.look("3-connect")
	a.visit(f.server.URL + "/invitations")
	a.look("4-invitations")
	a.fill("#for", owner)
	a.fill("#name", "Livespace CRM")
	a.click("main form button.primary")
	a.see("main.invited")
	a.look("5-link")
	invitation := a.text("p.link code")

	o := s.open(f)
	o.visit(invitation)
	o.look("6-invitation")
	if at := o.location(); strings.Contains(at, invitation[strings.LastIndex(invitation, "/")+1:]) {
		t.Errorf("the token stays in the address: %s", at)
	}
	o.clicks = 0
	o.click("main form button.primary")
	o.see("input[name=mailbox]:checked") // the consent page, where login_hint has chosen the account
	o.click("button[value=allow]")
	o.see("dd.secret code")
	if o.clicks > 2 { // one here, one at the provider
		t.Errorf("%d clicks from the invitation to the password", o.clicks)
	}
	o.look("7-password")
	if err := f.letsIn(owner, o.text("dd.secret code"), "imap"); err != nil {
		t.Errorf("the password that is shown is not let in: %v", err)
	}
	o.click("main form button.primary")
	o.see("p.notice.good")
	o.look("8-kept")
	o.visit(invitation)
	o.see("main.error")
	o.look("9-used-up")

	a.visit(f.server.URL + "/invitations")
	a.look("10-invitations")
	a.visit(f.server.URL + "/")
	a.look("11-mailboxes")
	a.visit(f.server.URL + frame.MailboxPath(owner))
	a.look("12-mailbox")
	a.visit(f.server.URL + frame.MailboxPath(owner, "test"))
	a.click("main form button.primary")
	steps <- check.Step{Name: "imap login", Mailbox: owner, Result: check.OK, Detail: "let in, and 7 folders are listed"}
	a.see(".step-ok")
	a.look("13-testing")
	steps <- check.Step{Name: "pop3 login", Mailbox: owner, Result: check.Fail, Detail: "POP is not enabled for the account", Fix: "switch POP on in Gmail's settings", Page: "https://mail.google.com/mail/u/0/#settings/fwdandpop"}
	a.see(".step-fail") // without a click: the page follows
	close(steps)
	a.see("main.check .notice.bad")
	a.look("14-tested")

	a.visit(f.server.URL + "/connect")
	a.fill("#mailbox", owner)
	a.click("details summary")
	a.click("button[value=paste]")
	a.see("#address")
	a.look("15-paste")
	a.visit(f.server.URL + "/connect")
	a.fill("#mailbox", owner)
	a.click("details summary")
	a.click("button[value=code]")
	a.see("p.secret code")
	a.look("16-code")
	if err := f.gmail.ConfirmDevice(a.text("p.secret code"), stranger); err != nil {
		t.Fatal(err)
	}
	a.see("p.notice.bad")
	a.look("17-wrong-person")
	o.visit(f.server.URL + "/signin")
	o.look("18-sign-in")
	a.visit(f.server.URL + frame.MailboxPath(owner))
	a.click("#add > summary")
	a.fill("#add #name", "Livespace CRM")
	a.click("#add button.primary")
	a.see("#trouble")
	a.look("19-password-refused")
	if a, err := f.vault.Account(t.Context(), owner); err != nil || a.Provider != "gmail" || len(a.Passwords) != 1 {
		t.Errorf("%v, %v", a, err)
	}
}

// refusals matches the browser's log lines about answers with an error status.
var refusals = regexp.MustCompile(`the server responded with a status of (410|422)`)

// tab is one person's browser.
type tab struct {
	screen
	t      *testing.T
	ctx    context.Context
	dir    string
	clicks int
}

// patience bounds a step: Chromium may have to start on a busy machine.
const patience = time.Minute

func (s screen) open(f *ferry) *tab {
	t := f.t
	dir := os.Getenv("AUTHFERRY_SCREENSHOTS")
	if dir == "" {
		dir = t.ArtifactDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("lang", s.lang), chromedp.Flag("accept-lang", s.lang), chromedp.Env("LANGUAGE="+s.lang))
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	b := &tab{screen: s, t: t, ctx: ctx, dir: dir}
	viewport := []chromedp.EmulateViewportOption{}
	if s.width < 600 {
		viewport = append(viewport, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait)
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(s.width, 800, viewport...), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: s.scheme}},
		})
		return err
	})); err != nil {
		t.Fatal(err)
	}
	messages := chromedp.Console(ctx)
	listened := make(chan struct{})
	go func() {
		defer close(listened)
		for m, err := range messages {
			if err != nil {
				return
			}
			// A page that answers with a refusal is not at fault.
			if (m.Type == "error" || m.Type == "warning" || m.IsException()) && !refusals.MatchString(m.Text) {
				t.Errorf("the console says %s: %s (%s)", m.Type, m.Text, m.URL)
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-listened })
	return b
}

func (b *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		shot, _ := chromedp.Run(b.ctx, chromedp.FullScreenshot(90))
		os.WriteFile(filepath.Join(b.dir, b.name+"-failed.png"), shot, 0o644)
		b.t.Fatalf("%s, at %s: %v", what, b.location(), err)
	}
}

func (b *tab) visit(address string) {
	b.t.Helper()
	b.do("opening a page", chromedp.Navigate(address))
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.clicks++
	b.do("clicking "+selector, chromedp.Click(chromedp.CSS(selector)))
}

func (b *tab) see(selector string) {
	b.t.Helper()
	b.do("waiting for "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
}

func (b *tab) fill(selector, text string) {
	b.t.Helper()
	b.do("filling in "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

func (b *tab) text(selector string) string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.TextContent(chromedp.CSS(selector)))
	if err != nil {
		b.t.Fatalf("%s: %v", selector, err)
	}
	return strings.TrimSpace(text)
}

func (b *tab) location() string {
	address, err := chromedp.Run(b.ctx, chromedp.Location())
	if err != nil {
		return err.Error()
	}
	return address
}

// look keeps a screenshot of a page, and reports its faults.
func (b *tab) look(name string) {
	b.t.Helper()
	b.see("main h1")
	shot, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, fmt.Sprintf("%s-%s.png", b.name, name)), shot, 0o644); err != nil {
		b.t.Fatal(err)
	}
	faults, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](faultsOfPage))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, fault := range faults {
		b.t.Errorf("%s %s: %s", b.name, name, fault)
	}
	if lang, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.documentElement.lang`)); err != nil || lang != b.lang {
		b.t.Errorf("%s %s is in %q, want %q; %v", b.name, name, lang, b.lang, err)
	}
	if b.keys {
		b.walkByTab(name)
	}
}
