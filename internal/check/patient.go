package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// soon is how near the end of a grant is a failure: nobody should find out by
// mail that has stopped.
const soon = 48 * time.Hour

// patient is a mailbox under examination.
type patient struct {
	*run
	mailbox  string
	account  *store.Account  // nil: not held, or not to be read
	provider *oauth.Provider // nil: not configured
	err      error           // why there is no account
}

const notOpen = "the store is not open"

func (r *run) noMailbox() finding {
	if r.vault == nil && !r.unmade {
		return skipped(notOpen)
	}
	if len(r.Providers) == 0 {
		return skipped("next: write a [provider.NAME] with your OAuth client into %s, then authferry connect you@gmail.com", r.Config)
	}
	return skipped("no mailbox is connected yet; next: authferry connect you@gmail.com")
}

// check does the steps of a mailbox.
func (p *patient) check(ctx context.Context, l *list) {
	after := append(append([]string{"refresh", "scopes"}, p.logins()...), "grant")
	if !l.step(ctx, "mailbox", p.held) {
		l.skip(ctx, "there is no such mailbox to check", after...)
		return
	}
	l.secrets = told(p.provider).with(p.account.Token.Access, p.account.Token.Refresh)
	grant := p.refresh(ctx, l)
	l.step(ctx, "scopes", func() finding { return p.scopes(ctx) })
	for _, name := range p.logins() {
		protocol, _, _ := strings.Cut(name, " ")
		if at := p.brokenAt(p.provider.Name, protocol); at != "" {
			l.skip(ctx, "the step "+at+" failed", name)
			continue
		}
		if grant == nil {
			l.skip(ctx, "there is no access token", name)
			continue
		}
		l.step(ctx, name, func() finding { return p.visit(ctx, name, grant, l.secrets) })
	}
	l.step(ctx, "grant", func() finding { return p.grantLasts(ctx) })
}

// logins are the names of the steps that log in.
func (p *patient) logins() (names []string) {
	for _, protocol := range protocols {
		if p.provider == nil || endpointOf(p.provider, protocol).Host == "" {
			continue
		}
		names = append(names, protocol+" login")
		if protocol == "smtp" && p.SendTo != "" {
			names = append(names, "smtp send")
		}
	}
	return names
}

// held looks whether there is anything to check.
func (p *patient) held() finding {
	switch {
	case p.vault == nil && !p.unmade:
		return skipped(notOpen)
	case p.vault == nil, errors.Is(p.err, store.ErrNoMailbox):
		return failed(connectCommand(p.mailbox, nil), "%s is not connected; authferry mailbox list shows those that are", p.mailbox)
	case p.err != nil:
		return failed(fmt.Sprintf("put its file back from a backup, or authferry mailbox remove %s and connect it again", p.mailbox), "%v", p.err)
	case p.account.Provider == "":
		return failed(connectCommand(p.mailbox, nil), "%s was disconnected; its passwords are kept until it is connected again", p.mailbox)
	case p.provider == nil:
		return failed(fmt.Sprintf("add a table [provider.%s] to %s, or connect the mailbox to another provider", p.account.Provider, p.Config),
			"%s is connected to the provider %q, which is not configured", p.mailbox, p.account.Provider)
	}
	return fine("at %s, local passwords: %d, state: %s", p.provider.Name, len(p.account.Passwords), p.vault.State(p.account))
}

// refresh gets a new access token. If there is none to be had, a cached one
// with life left will do to check the rest, as it does for logins.
func (p *patient) refresh(ctx context.Context, l *list) (grant *tokens.Grant) {
	if t := p.account.Token; !t.Access.Empty() && (t.Expiry.IsZero() || time.Until(t.Expiry) > loginTime) {
		grant = &tokens.Grant{Mailbox: p.mailbox, User: p.mailbox, Provider: p.provider, AccessToken: t.Access, Expiry: t.Expiry}
	}
	if at := p.brokenAt(p.provider.Name, "token"); at != "" {
		l.skip(ctx, "the step "+at+" failed", "refresh")
		return grant
	}
	l.step(ctx, "refresh", func() finding {
		fresh, err := p.vault.Refresh(ctx, p.mailbox)
		if err != nil {
			return p.notRefreshed(err)
		}
		grant = fresh
		l.secrets = l.secrets.with(fresh.AccessToken)
		if fresh.Expiry.IsZero() {
			return fine("a new access token")
		}
		return fine("a new access token, good for %.0f minutes", time.Until(fresh.Expiry).Minutes())
	})
	return grant
}

func (p *patient) notRefreshed(err error) finding {
	advice, ok := oauth.AdviceOf(err)
	if !ok {
		switch {
		case errors.Is(err, oauth.ErrNeedsConsent):
			advice.Fix = connectCommand(p.mailbox, p.provider)
		case errors.Is(err, oauth.ErrRefused):
			advice.Fix = fmt.Sprintf("mend [provider.%s] in %s as the sentence says", p.provider.Name, p.Config)
		default:
			advice.Fix = "wait and check again: authferry goes on trying by itself"
		}
	}
	// Errors of the vault name the fix themselves, and here it has its own place.
	words := strings.TrimSuffix(err.Error(), "; "+advice.Fix)
	if advice.Words != "" {
		words = advice.Words + ": " + words
	}
	return failed(advice.Fix, "%s", words).at(advice.Page)
}

// now is the account as it is after the refresh.
func (p *patient) now(ctx context.Context) *store.Account {
	if a, err := p.vault.Account(ctx, p.mailbox); err == nil {
		return a
	}
	return p.account
}

func (p *patient) scopes(ctx context.Context) finding {
	granted := p.now(ctx).Token.Scopes
	if len(granted) == 0 {
		return skipped("the provider does not say what it granted, so it is what was asked (RFC 6749 §5.1)")
	}
	if missing := p.provider.MissingScopes(granted); len(missing) > 0 {
		return failed("open the consent page again and tick every box: "+connectCommand(p.mailbox, p.provider),
			"the owner did not grant %s", strings.Join(missing, ", "))
	}
	return fine("all that were asked")
}

func (p *patient) visit(ctx context.Context, name string, grant *tokens.Grant, known secrets) finding {
	protocol, what, _ := strings.Cut(name, " ")
	v := newVisit(grant, protocol, p.introduction(), known)
	switch protocol {
	case "imap":
		return v.make(ctx, v.imap)
	case "pop3":
		return v.make(ctx, v.pop3)
	}
	if what == "send" {
		v.sendTo = p.SendTo
	}
	return v.make(ctx, v.smtp)
}

// grantLasts tells when a person is needed next.
func (p *patient) grantLasts(ctx context.Context) finding {
	a := p.now(ctx)
	at, certain := p.vault.NeedsPerson(a)
	left := time.Until(at)
	again := connectCommand(p.mailbox, p.provider)
	switch {
	case !at.IsZero() && left <= 0 && certain:
		return failed(again, "a person is needed now: the grant has ended")
	case !at.IsZero() && left <= 0: // it may mend by itself, and the refresh has told how
		return skipped("a person may be needed: see the step refresh")
	case !p.provider.Flow.NeedsPerson():
		return fine("nobody has to sign in")
	case at.IsZero():
		return fine("no end in sight")
	}
	words := fmt.Sprintf("ends in %s, on %s", days(left), at.Local().Format("2006-01-02 15:04"))
	if left < soon {
		return failed(again+"; if this comes back every week, publish the app: a consent screen in Testing ends grants after 7 days", "the grant %s", words).
			at(p.audiencePage())
	}
	return fine("the grant %s", words)
}

// audiencePage is where Google's consent screen leaves Testing.
func (p *patient) audiencePage() string {
	if strings.HasSuffix(p.provider.TokenURL, ".googleapis.com/token") {
		return "https://console.cloud.google.com/auth/audience"
	}
	return ""
}

func days(d time.Duration) string {
	switch n := int(d / (24 * time.Hour)); {
	case n < 1:
		return "less than a day"
	case n == 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}
