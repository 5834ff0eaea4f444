package check

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"authferry/demo"
	"authferry/internal/testport"
	"authferry/tokens"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

var (
	installation = []string{"configuration", "seal key", "store"}
	provider1    = []string{
		"imap dns", "imap tcp", "imap tls", "pop3 dns", "pop3 tcp", "pop3 tls", "smtp dns", "smtp tcp", "smtp tls",
		"smtp extensions", "token dns", "token tcp", "token tls", "clock", "client",
	}
	mailbox1 = []string{"mailbox", "refresh", "scopes", "imap login", "pop3 login", "smtp login", "grant"}
)

// TestHealthy: all steps, in the order of the package's documentation.
func TestHealthy(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me, you)
	if err := c.gmail.Deliver(me, []byte("Subject: one\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	before := c.gmail.TokenCalls("refresh_token")
	r := c.check()
	r.onlyFailures()
	want := slices.Concat(installation, provider1, mailbox1, mailbox1)
	if got := names(r.steps); !slices.Equal(got, want) {
		t.Errorf("steps %q, want %q", got, want)
	}
	for i, s := range r.steps {
		switch n := len(installation) + len(provider1); {
		case i < len(installation) && s.Provider+s.Mailbox != "",
			i >= len(installation) && s.Provider != "gmail",
			i >= n && i < n+len(mailbox1) && s.Mailbox != me,
			i >= n+len(mailbox1) && s.Mailbox != you:
			t.Errorf("step %d, %s, is about %q %q", i, s.Name, s.Provider, s.Mailbox)
		}
	}
	r.want(me, "pop3 login", OK, "mails: 1")
	r.want(me, "imap login", OK, "folders: 9")
	r.want("", "imap tls", OK, `signed by "authferry demo: simulated Gmail authority"`, "no public authority")
	r.want("", "store", OK, "mailboxes: 2")
	// One for the client, one for each mailbox.
	if n := c.gmail.TokenCalls("refresh_token") - before; n != 3 {
		t.Errorf("%d refreshes", n)
	}
}

// TestOneMailbox: only the requested mailboxes, in any spelling, and each once.
func TestOneMailbox(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me, you)
	r := c.check("ME@gmail.com", "me%40gmail.com")
	r.onlyFailures()
	if got, want := names(r.steps), slices.Concat(installation, provider1, mailbox1); !slices.Equal(got, want) {
		t.Errorf("steps %q, want %q", got, want)
	}
	r = c.check(you, "nobody@gmail.com")
	r.onlyFailures("nobody@gmail.com mailbox")
	r.want("nobody@gmail.com", "mailbox", Fail, "is not connected", "authferry connect nobody@gmail.com")
	r.want("nobody@gmail.com", "refresh", Skip)
}

// TestNothingYet: a check without a store creates nothing, and says what to do next.
func TestNothingYet(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{})
	c.subject.Store += "/state"
	c.subject.Open = func() (*tokens.Vault, error) {
		t.Error("the store is opened, and so made")
		return nil, errors.New("not asked for")
	}
	r := c.check()
	r.onlyFailures()
	r.want("", "seal key", Skip, "none yet")
	r.want("", "store", Skip, "makes it")
	r.want("", "client", OK)
	r.want("", "mailbox", Skip, "authferry connect you@gmail.com")
	r = c.check(me)
	r.want(me, "mailbox", Fail, "authferry connect "+me)
}

func TestDNSFails(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me)
	c.provider.IMAP.Host, c.provider.POP3.Host = "imap.example.org", "pop.example.org"
	c.subject.lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: host == "imap.example.org"}
	}
	r := c.check()
	r.onlyFailures("imap dns", "pop3 dns")
	r.want("", "imap dns", Fail, "no address for imap.example.org", "check the host name")
	r.want("", "pop3 dns", Fail, "looking up pop.example.org", "make DNS work")
	for _, step := range []string{"imap tcp", "imap tls"} {
		r.want("", step, Skip, "the step imap dns failed")
	}
	r.want(me, "imap login", Skip, "the step imap dns failed")
	r.want(me, "pop3 login", Skip, "the step pop3 dns failed")
	r.want(me, "smtp login", OK)
}

// shut returns an endpoint that refuses connections.
func shut(t *testing.T) oauth.Endpoint {
	t.Helper()
	return endpointAt(testport.Refused(t))
}

func TestTCPRefused(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me)
	c.provider.SMTP = shut(t)
	c.provider.TokenURL = "https://" + testport.Refused(t) + "/token"
	r := c.check()
	r.onlyFailures("smtp tcp", "token tcp")
	r.want("", "smtp dns", OK)
	r.want("", "smtp tcp", Fail, "connection refused", "firewall")
	r.want("", "smtp tls", Skip, "the step smtp tcp failed")
	r.want("", "smtp extensions", Skip, "the step smtp tcp failed")
	r.want("", "clock", Skip, "the step token tcp failed")
	r.want("", "client", Skip, "the step token tcp failed")
	r.want(me, "refresh", Skip, "the step token tcp failed")
	// The token of the consent is young: what does not depend on the token
	// endpoint is checked with it.
	r.want(me, "imap login", OK)
	r.want(me, "smtp login", Skip, "the step smtp tcp failed")

	c.edit(me, func(a *store.Account) { a.Token.Expiry = time.Now().Add(-time.Hour) })
	c.check().want(me, "imap login", Skip, "no access token")
}

// TestFewerProtocols: a provider may serve some protocols only.
func TestFewerProtocols(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ only, others []string }{
		{[]string{"imap"}, []string{"pop3", "smtp"}},
		{[]string{"smtp"}, []string{"imap", "pop3"}},
	} {
		c := newFixture(t, demo.Options{}, me)
		c.without(test.others...)
		r := c.check()
		r.onlyFailures()
		r.want(me, test.only[0]+" login", OK)
		for _, name := range names(r.steps) {
			if slices.ContainsFunc(test.others, func(p string) bool { return len(name) > 4 && name[:4] == p }) {
				t.Errorf("a step %q of a protocol that is not served", name)
			}
		}
	}
}

// TestInterrupted: an interruption during a login at a silent server. The remaining
// steps say so, and nothing waits.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me)
	corp := newAuthority(t, "Example Corp IT")
	config := corp.sign(t, "127.0.0.1", time.Now().Add(time.Hour))
	corp.pool.AppendCertsFromPEM(c.gmail.CAPEM)
	c.provider.RootCAs = corp.pool
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	handshakes := 0
	c.provider.IMAP.Host, c.provider.IMAP.Port = serve(t, func(conn net.Conn) {
		if tls.Server(conn, config).Handshake() != nil {
			return
		}
		if handshakes++; handshakes == 2 { // the first is that of the step "imap tls"
			cancel()
		}
		io.Copy(io.Discard, conn)
	})
	r := &report{t: t}
	if Run(ctx, c.subject, func(s Step) { r.steps = append(r.steps, s) }) {
		t.Error("an interrupted check calls it healthy")
	}
	r.want("", "imap tls", OK)
	r.want(me, "scopes", OK)
	r.want(me, "imap login", Skip, "interrupted")
	r.want(me, "pop3 login", Skip, "interrupted")
	r.want(me, "smtp login", Skip, "interrupted")
	if len(r.steps) != len(installation)+len(provider1)+len(mailbox1) {
		t.Errorf("steps: %q", names(r.steps))
	}
}

// TestInOrder: mailboxes are checked concurrently and reported in order.
func TestInOrder(t *testing.T) {
	t.Parallel()
	const tasks = 20
	var all []func(func(Step))
	release := make([]chan struct{}, tasks)
	for i := range tasks {
		release[i] = make(chan struct{})
		all = append(all, func(report func(Step)) {
			if i > 0 {
				report(Step{Name: "first", Took: float64(i)})
				close(release[i-1]) // the one before can only end after this one has begun
			}
			if i < tasks-1 {
				<-release[i]
			}
			report(Step{Name: "last", Took: float64(i)})
		})
	}
	var got []float64
	inOrder(func(s Step) { got = append(got, s.Took) }, tasks, all...)
	if len(got) != 2*tasks-1 || !slices.IsSorted(got) {
		t.Errorf("reported %v", got)
	}
}
