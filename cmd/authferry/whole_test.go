package main

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/zap"

	"authferry/demo"
	"authferry/internal/config"
	"authferry/internal/logging"
	"authferry/internal/protocol"
	"authferry/internal/roundtrip"
	"authferry/internal/secret"
	"authferry/internal/server"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// newShow starts a simulated Gmail with authferry in front of it, a mailbox and a
// password. It also returns the log, at level debug.
func newShow(t *testing.T) (*show, *transcript) {
	t.Helper()
	s := &show{dir: t.TempDir(), console: true}
	var err error
	if s.gmail, err = demo.Start(demo.Options{Mailboxes: []string{demoMailbox, demoSecond}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.configure(false); err != nil {
		t.Fatal(err)
	}
	amend(t, s.configPath(), "[gate]\ndelay = \"1ms\"\nfailures = 1000\n[log]\nlevel = \"debug\"\n")
	c, err := config.Load(s.configPath())
	if err != nil {
		t.Fatal(err)
	}
	text := newTranscript()
	log, level := logging.New(c.Log, text)
	if s.service, err = server.Start(c, log, level); err != nil {
		t.Fatal(err)
	}
	if err := s.connect(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return s, text
}

// amend adds to a configuration file.
func amend(t *testing.T, path, more string) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(before, more...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// store opens the store again, as another process would.
func (s *show) store(t *testing.T) *store.Files {
	t.Helper()
	c := s.service.InForce()
	seal, err := store.LoadSeal(c.Seal, c.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	store, err := store.OpenFiles(c.StateDir, seal)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// expire lets time pass until the access token has ended.
func (s *show) expire(t *testing.T) {
	t.Helper()
	err := s.store(t).Update(t.Context(), demoMailbox, func(a *store.Account) error {
		a.Token.Minted = time.Now().Add(-2 * time.Hour)
		a.Token.Expiry = time.Now().Add(-time.Hour)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (s *show) account(t *testing.T) *store.Account {
	t.Helper()
	a, err := s.store(t).Get(t.Context(), demoMailbox)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (s *show) login(protocol, password string) (verdict, error) {
	return tryLogin(protocol, s.address(protocol), demoMailbox, password)
}

// TestStampede: a thousand programs log in at once to a mailbox whose access token has
// expired. There is one refresh, and every login succeeds.
func TestStampede(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		logins int
		end    func(*show)
	}{
		{"ended by the clock", 1000, func(s *show) { s.expire(t) }},
		{"ended by the provider", 300, func(s *show) { s.gmail.ExpireAccessTokens() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, _ := newShow(t)
			s.service.Level.SetLevel(zap.WarnLevel)
			s.gmail.Faults.TokenDelay(200 * time.Millisecond) // until every login waits
			test.end(s)
			start := make(chan struct{})
			var all sync.WaitGroup
			for i := range test.logins / slowdown {
				protocol := protocols[i%len(protocols)]
				all.Go(func() {
					<-start
					if v, err := s.login(protocol, s.password.Reveal()); v != welcomed {
						t.Errorf("%s: %s: %v", protocol, v, err)
					}
				})
			}
			close(start)
			all.Wait()
			if n := s.gmail.TokenCalls("refresh_token"); n != 1 {
				t.Errorf("%d refreshes", n)
			}
		})
	}
}

// TestTokenFaults: with no fault of the token endpoint is a right password refused as
// wrong, on any protocol; after the fault, logins succeed.
func TestTokenFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []demo.TokenAnswer{
		demo.TokenInvalidGrant, demo.TokenInvalidCli, demo.Token500, demo.Token429,
		demo.TokenHTML, demo.TokenStall, demo.TokenCut,
	} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			s, _ := newShow(t)
			s.expire(t)
			s.gmail.Faults.Token(fault)
			var all sync.WaitGroup
			for _, protocol := range protocols {
				all.Go(func() {
					v, err := s.login(protocol, s.password.Reveal())
					if v != temporary && v != needsHelp {
						t.Errorf("%s: %s: %v", protocol, v, err)
					}
					if v, err := s.login(protocol, "not the password"); v != wrong {
						t.Errorf("%s with a wrong password: %s: %v", protocol, v, err)
					}
				})
			}
			all.Wait()
			s.gmail.Faults.Token(demo.TokenNormal)
			if s.account(t).Token.Refresh.Empty() {
				t.Fatal("the grant is lost")
			}
			s.heal(t, fault)
			for _, protocol := range protocols {
				mustLogin(t, protocol, s.address(protocol), demoMailbox, s.password.Reveal())
			}
		})
	}
}

// heal does what a person does after a fault: connect again if the grant was refused,
// otherwise wait, which a reload shortens.
func (s *show) heal(t *testing.T, fault demo.TokenAnswer) {
	t.Helper()
	c, err := config.Load(s.configPath())
	if err != nil {
		t.Fatal(err)
	}
	if fault == demo.TokenInvalidGrant {
		if state := s.service.Vault.State(s.account(t)); state != store.StateNeedsConsent {
			t.Errorf("state %s", state)
		}
		before := s.password
		if err := s.connect(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if v, err := s.login("imap", before.Reveal()); v != wrong { // connect made a new one
			t.Errorf("a revoked password: %s: %v", v, err)
		}
		return
	}
	if err := s.service.Reload(c); err != nil {
		t.Fatal(err)
	}
}

// TestMailFaults: with no fault of the mail servers is a right password refused as
// wrong.
func TestMailFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []demo.MailFault{
		demo.MailRefuse, demo.MailDisabled, demo.MailTooMany, demo.MailTemporary, demo.MailWebLogin, demo.MailCut,
	} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			s, _ := newShow(t)
			for _, protocol := range protocols {
				s.gmail.Faults.Mail(protocol, fault)
				if v, err := s.login(protocol, s.password.Reveal()); v != temporary && v != needsHelp {
					t.Errorf("%s: %s: %v", protocol, v, err)
				}
				s.gmail.Faults.Mail(protocol, demo.MailNormal)
				mustLogin(t, protocol, s.address(protocol), demoMailbox, s.password.Reveal())
			}
		})
	}
}

// TestWrongPasswordChangesNothing: it reaches neither the store nor the provider.
func TestWrongPasswordChangesNothing(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	s.expire(t)
	before := s.account(t)
	calls := s.gmail.TokenCalls("refresh_token")
	for _, protocol := range protocols {
		for _, password := range []string{"wrong", s.password.Reveal() + "x", strings.Repeat("x", 200), " "} {
			if v, err := s.login(protocol, password); v != wrong {
				t.Errorf("%s: %s: %v", protocol, v, err)
			}
		}
	}
	if diff := cmp.Diff(before, s.account(t), cmp.Comparer(func(a, b secret.String) bool { return a == b }),
		cmp.Comparer(func(a, b store.Use) bool { return a == b }), cmpopts.IgnoreUnexported(oauth.Token{})); diff != "" {
		t.Error(diff)
	}
	if n := s.gmail.TokenCalls("refresh_token"); n != calls {
		t.Errorf("%d refreshes", n-calls)
	}
	for _, protocol := range protocols {
		mustLogin(t, protocol, s.address(protocol), demoMailbox, s.password.Reveal())
	}
}

// TestDemoCheck: `authferry demo --check` can fail.
func TestDemoCheck(t *testing.T) {
	s, err := startShow(t.Context(), t.TempDir(), newTranscript(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	s.gmail.Faults.Mail("pop3", demo.MailDisabled)
	out := newTranscript()
	err = roundtrip.Run(context.Background(), out, s.roundTrip())
	if err == nil || !strings.Contains(err.Error(), "pop3") || !strings.Contains(out.String(), "failed  pop3") {
		t.Errorf("%v\n%s", err, out)
	}
}

// address returns where the service listens for a protocol.
func (s *show) address(name string) string { return s.service.Address(protocol.Protocol(name)) }
