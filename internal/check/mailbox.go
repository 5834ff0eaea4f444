package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// expiryWarning is how near the end of a grant or certificate is a failure: its owner
// must know before the mail stops.
const expiryWarning = 48 * time.Hour

// mailboxCheck checks a mailbox.
type mailboxCheck struct {
	run      *checkRun
	mailbox  string
	account  *store.Account  // nil: not in the store, or not readable
	provider *oauth.Provider // nil: not configured
	err      error           // why there is no account
}

const storeNotOpen = "the store is not open"

// check does the steps of the mailbox.
func (m *mailboxCheck) check(ctx context.Context, out *reporter) {
	after := append(append([]string{"refresh", "scopes"}, m.logins()...), "grant")
	if !out.step(ctx, "mailbox", m.exists) {
		out.skip(ctx, "there is no such mailbox to check", after...)
		return
	}
	out.secrets = providerSecrets(m.provider).With(m.account.Token.Access, m.account.Token.Refresh)
	grant := m.refresh(ctx, out)
	out.step(ctx, "scopes", func() finding { return m.scopes(ctx) })
	for _, name := range m.logins() {
		proto, _, _ := strings.Cut(name, " ")
		if at := m.run.failedAt(server{m.provider.Name, proto}); at != "" {
			out.skip(ctx, "the step "+at+" failed", name)
			continue
		}
		if grant == nil {
			out.skip(ctx, "there is no access token", name)
			continue
		}
		out.step(ctx, name, func() finding { return m.login(ctx, name, grant, out.secrets) })
	}
	out.step(ctx, "grant", func() finding { return m.grantEnd(ctx) })
}

// logins returns the names of the steps that log in.
func (m *mailboxCheck) logins() (names []string) {
	for _, proto := range protocol.All {
		if m.provider == nil || m.provider.Endpoint(proto).Host == "" {
			continue
		}
		names = append(names, string(proto)+" login")
		if proto == protocol.SMTP && m.run.subject.SendTo != "" {
			names = append(names, "smtp send")
		}
	}
	return names
}

// exists checks that there is an account and a provider to check.
func (m *mailboxCheck) exists() finding {
	switch {
	case m.run.vault == nil && !m.run.storeMissing:
		return skipped(storeNotOpen)
	case m.run.vault == nil, errors.Is(m.err, store.ErrNoMailbox):
		return failed(connectCommand(m.mailbox, nil), "%s is not connected; authferry mailbox list shows those that are", m.mailbox)
	case m.err != nil:
		return failed(restoreFix(m.mailbox), "%v", m.err)
	case m.account.Provider == "":
		return failed(connectCommand(m.mailbox, nil), "%s was disconnected; its passwords are kept until it is connected again", m.mailbox)
	case m.provider == nil:
		return failed(fmt.Sprintf("add a table [provider.%s] to %s, or connect the mailbox to another provider", m.account.Provider, m.run.subject.Config),
			"%s is connected to the provider %q, which is not configured", m.mailbox, m.account.Provider)
	}
	return passed("at %s, local passwords: %d, state: %s", m.provider.Name, len(m.account.Passwords), m.run.vault.State(m.account))
}

// refresh gets a new access token. If that fails, a stored one that is still valid serves
// for the other steps, as it does for logins.
func (m *mailboxCheck) refresh(ctx context.Context, out *reporter) (grant *tokens.Grant) {
	if t := m.account.Token; !t.Access.Empty() && (t.Expiry.IsZero() || time.Until(t.Expiry) > loginTime) {
		grant = &tokens.Grant{Mailbox: m.mailbox, User: m.mailbox, Provider: m.provider, AccessToken: t.Access, Expiry: t.Expiry}
	}
	if at := m.run.failedAt(server{m.provider.Name, "token"}); at != "" {
		out.skip(ctx, "the step "+at+" failed", "refresh")
		return grant
	}
	out.step(ctx, "refresh", func() finding {
		fresh, err := m.run.vault.Refresh(ctx, m.mailbox)
		if err != nil {
			return m.notRefreshed(err)
		}
		grant = fresh
		out.secrets = out.secrets.With(fresh.AccessToken)
		if fresh.Expiry.IsZero() {
			return passed("a new access token")
		}
		return passed("a new access token, good for %.0f minutes", time.Until(fresh.Expiry).Minutes())
	})
	return grant
}

func (m *mailboxCheck) notRefreshed(err error) finding {
	advice, ok := oauth.AdviceOf(err)
	if !ok {
		switch {
		case errors.Is(err, oauth.ErrNeedsConsent):
			advice.Fix = connectCommand(m.mailbox, m.provider)
		case errors.Is(err, oauth.ErrRefused):
			advice.Fix = fmt.Sprintf("change [provider.%s] in %s as the detail says", m.provider.Name, m.run.subject.Config)
		default:
			advice.Fix = "wait and check again: authferry keeps trying"
		}
	}
	// Errors of the vault contain the fix, which is a separate field here.
	words := strings.TrimSuffix(err.Error(), "; "+advice.Fix)
	if advice.Words != "" {
		words = advice.Words + ": " + words
	}
	return failed(advice.Fix, "%s", words).at(advice.Page)
}

// current returns the account as it is after the refresh.
func (m *mailboxCheck) current(ctx context.Context) *store.Account {
	if a, err := m.run.vault.Account(ctx, m.mailbox); err == nil {
		return a
	}
	return m.account
}

func (m *mailboxCheck) scopes(ctx context.Context) finding {
	granted := m.current(ctx).Token.Scopes
	if len(granted) == 0 {
		return skipped("the provider does not say what it granted, so it is what was requested (RFC 6749 §5.1)")
	}
	if missing := m.provider.MissingScopes(granted); len(missing) > 0 {
		return failed("open the consent page again and tick every box: "+connectCommand(m.mailbox, m.provider),
			"the owner did not grant %s", strings.Join(missing, ", "))
	}
	return passed("all that were requested")
}

// login does the step of a login, by its name.
func (m *mailboxCheck) login(ctx context.Context, name string, grant *tokens.Grant, secrets secret.Scrubber) finding {
	proto, what, _ := strings.Cut(name, " ")
	l := newLoginCheck(grant, protocol.Protocol(proto), helloName(m.run.subject), secrets)
	if what == "send" {
		l.sendTo = m.run.subject.SendTo
	}
	return l.run(ctx)
}

// grantEnd checks when a person must sign in next.
func (m *mailboxCheck) grantEnd(ctx context.Context) finding {
	a := m.current(ctx)
	at, certain := m.run.vault.NeedsPerson(a)
	left := time.Until(at)
	again := connectCommand(m.mailbox, m.provider)
	switch {
	case !at.IsZero() && left <= 0 && certain:
		return failed(again, "a person is needed now: the grant has ended")
	case !at.IsZero() && left <= 0: // it may pass, and the refresh has said why
		return skipped("a person may be needed: see the step refresh")
	case !m.provider.Flow.NeedsPerson():
		return passed("no one has to sign in")
	case at.IsZero():
		return passed("no known end")
	}
	words := fmt.Sprintf("ends in %s, on %s", days(left), at.Local().Format("2006-01-02 15:04"))
	if left < expiryWarning {
		return failed(again+"; if this happens every week, publish the app: a consent screen in Testing ends grants after 7 days", "the grant %s", words).
			at(audiencePage(m.provider))
	}
	return passed("the grant %s", words)
}

// audiencePage returns the page where Google's consent screen leaves Testing.
func audiencePage(p *oauth.Provider) string {
	if strings.HasSuffix(p.TokenURL, ".googleapis.com/token") {
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
