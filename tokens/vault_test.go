package tokens

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"authferry/internal/protocol"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

func TestAuthorizeRefreshesOnceForAThousandLogins(t *testing.T) {
	r := newRig(t)
	const logins = 1000
	start := make(chan struct{})
	errs := make(chan error, logins)
	for range logins {
		go func() {
			<-start
			g, err := r.authorize()
			if err == nil && !r.endpoint.Use(g.AccessToken) {
				err = errors.New("the token is not good")
			}
			errs <- err
		}()
	}
	close(start)
	for range logins {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if n := r.endpoint.Asked(); n != 1 {
		t.Errorf("the token endpoint was asked %d times, not once", n)
	}
}

func TestRenewRefreshesOnceForAThousandSessions(t *testing.T) {
	r := newRig(t)
	old := r.mustAuthorize()
	before := r.endpoint.Asked()
	var all sync.WaitGroup
	got := make([]string, 1000)
	for i := range got {
		all.Go(func() {
			g, err := r.Renew(context.Background(), old)
			if err != nil {
				got[i] = err.Error()
				return
			}
			got[i] = fmt.Sprintf("%v %v", g.Minted, r.endpoint.Use(g.AccessToken) && g.AccessToken != old.AccessToken)
		})
	}
	all.Wait()
	for _, s := range got {
		if s != "true true" {
			t.Fatal(s)
		}
	}
	if n := r.endpoint.Asked() - before; n != 1 {
		t.Errorf("the token endpoint was asked %d times, not once", n)
	}
}

// TestAuthorizeNames: every user name of a mailbox leads to it, and POP3's prefix
// reaches the provider over POP3 only.
func TestAuthorizeNames(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		user     string
		protocol protocol.Protocol
		provider string
	}{
		{"ME@Gmail.com", "imap", me},
		{"me%40gmail.com", "smtp", me},
		{"scanner", "smtp", me},
		{"recent:me@gmail.com", "pop3", "recent:" + me},
		{"recent:me@gmail.com", "smtp", me},
	} {
		l := r.login()
		l.User, l.Protocol = c.user, c.protocol
		g, err := r.Authorize(context.Background(), l)
		if err != nil || g.Mailbox != me || g.User != c.provider {
			t.Errorf("%+v: %+v, %v", c, g, err)
		}
	}
	for _, user := range []string{"", "me", "you@gmail.com", "../me@gmail.com", strings.Repeat("x", 10000), "\x00", "me@gmail.com\x00"} {
		l := r.login()
		l.User = user
		if _, err := r.Authorize(context.Background(), l); !errors.Is(err, ErrBadLogin) || len(err.Error()) > 300 {
			t.Errorf("%.20q: %v, not ErrBadLogin", user, err)
		}
	}
}

func TestRevoked(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	g := r.mustAuthorize()
	short, err := r.AddPassword(ctx, me, PasswordSpec{Name: "short", Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Authorize(ctx, Login{User: me, Password: short, Protocol: "imap", From: here})
	if err != nil {
		t.Fatal(err)
	}
	if r.Revoked(ctx, g) || r.Revoked(ctx, s) {
		t.Error("revoked too soon")
	}
	r.clock.Advance(2 * time.Hour)
	if r.Revoked(ctx, g) || !r.Revoked(ctx, s) {
		t.Error("an expired password keeps its session")
	}
	cli := NewVault(openStore(t, r.dir), Settings{}, nil)
	defer cli.Close(ctx)
	if err := cli.RevokePassword(ctx, me, "Livespace"); err != nil {
		t.Fatal(err)
	}
	if !r.Revoked(ctx, g) {
		t.Error("a revoked password keeps its session")
	}
	if _, err := cli.Remove(ctx, me, Removal{}); err != nil {
		t.Fatal(err)
	}
	if !r.Revoked(ctx, s) {
		t.Error("a removed mailbox keeps its session")
	}
	if _, err := cli.Account(ctx, me); !errors.Is(err, store.ErrNoMailbox) || !strings.Contains(err.Error(), "authferry connect") {
		t.Errorf("Account: %v", err)
	}
	if _, err := cli.Remove(ctx, me, Removal{}); !errors.Is(err, store.ErrNoMailbox) {
		t.Errorf("Remove: %v", err)
	}
}

// TestStoreOutOfPlace: while the directory of the store is missing, no password is
// called wrong and no session ends.
func TestStoreOutOfPlace(t *testing.T) {
	r := newRig(t)
	g := r.mustAuthorize()
	if err := os.Rename(r.mailboxes(), r.mailboxes()+".away"); err != nil {
		t.Fatal(err)
	}
	r.want(oauth.ErrUnavailable, "")
	if r.Revoked(t.Context(), g) {
		t.Error("the session is revoked")
	}
	if _, err := r.files.Get(t.Context(), me); errors.Is(err, store.ErrNoMailbox) || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("Get: %v", err)
	}
	if _, err := r.files.Get(t.Context(), strings.Repeat("x", 241)); !errors.Is(err, store.ErrNoMailbox) {
		t.Errorf("Get of a name that no file can have: %v", err)
	}
	if err := os.Rename(r.mailboxes()+".away", r.mailboxes()); err != nil {
		t.Fatal(err)
	}
	r.mustAuthorize()
}

// TestConfigureKeepsLoginsGoing: settings may change during logins.
func TestConfigureKeepsLoginsGoing(t *testing.T) {
	r := newRig(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if _, err := r.authorize(); err != nil {
					t.Error(err)
				}
				r.Configure(*r.settings.Load())
			}
		})
	}
	all.Wait()
}

func TestBuiltin(t *testing.T) {
	one, two := oauth.Builtin(), oauth.Builtin()
	one["gmail"].Scopes[0] = "changed"
	if two["gmail"].Scopes[0] != "https://mail.google.com/" {
		t.Error("the built-in providers are shared")
	}
	for name, p := range two {
		if p.Name != name || p.ClientID != "" || !p.ClientSecret.Empty() || p.Mechanism != "XOAUTH2" || p.RefreshAhead != oauth.DefaultRefreshAhead {
			t.Errorf("%s: %+v", name, p)
		}
		for _, e := range []oauth.Endpoint{p.IMAP, p.POP3, p.SMTP} {
			if e.Host == "" || e.Port == 0 {
				t.Errorf("%s: %+v", name, e)
			}
		}
		for _, x := range p.SMTPExtensions {
			if strings.HasPrefix(x, "AUTH") || strings.HasPrefix(x, "STARTTLS") {
				t.Errorf("%s offers %s, which is the listener's to offer", name, x)
			}
		}
	}
}

func BenchmarkAuthorizeCached(b *testing.B) {
	r := newRig(b)
	r.mustAuthorize()
	path := r.file(me)
	past := time.Now().Add(-4 * time.Second)
	if err := os.Chtimes(path, past, past); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.mustAuthorize()
	}
}
