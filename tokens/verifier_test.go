package tokens

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// TestVerifierRefusesAtOneCost: once a mailbox with a chosen password was seen, every
// refusal costs one verification, also for a mailbox that does not exist.
func TestVerifierRefusesAtOneCost(t *testing.T) {
	generated, shown, err := newPassword(PasswordSpec{Name: "g", Protocols: []protocol.Protocol{"imap"}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	chosen, _, err := newPassword(PasswordSpec{Name: "c", Preset: "a chosen password"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := newVerifier()
	// With every slot taken, a verification fails and says why.
	c.timeout = time.Millisecond
	for range cap(c.slots) {
		c.slots <- struct{}{}
	}
	try := func(a *store.Account, given secret.String, protocol protocol.Protocol) error {
		_, err := c.verify(context.Background(), a, Login{Password: given, Protocol: protocol}, time.Now())
		return err
	}
	unknown := &store.Account{Mailbox: "nobody@gmail.com"}
	cheap := &store.Account{Mailbox: me, Provider: "p", Passwords: []store.Password{generated}}
	costly := &store.Account{Mailbox: me, Provider: "p", Passwords: []store.Password{chosen}}
	if err := try(unknown, "x", "imap"); !errors.Is(err, ErrBadLogin) {
		t.Errorf("before: %v", err)
	}
	if err := try(costly, "a chosen password", "imap"); !errors.Is(err, oauth.ErrUnavailable) || errors.Is(err, ErrBadLogin) {
		t.Errorf("a right password that waits too long: %v, not ErrUnavailable", err)
	}
	for name, err := range map[string]error{
		"unknown mailbox": try(unknown, "x", "imap"), "wrong password": try(cheap, "x", "imap"),
		"wrong protocol": try(cheap, shown, "smtp"), "wrong chosen password": try(costly, "x", "imap"),
	} {
		if !errors.Is(err, oauth.ErrUnavailable) {
			t.Errorf("%s: %v: it cost nothing", name, err)
		}
	}
	if err := try(cheap, shown, "imap"); err != nil {
		t.Errorf("a right generated password waits for others: %v", err)
	}
	<-c.slots
	c.timeout = argonTimeout
	for name, want := range map[*store.Account]string{unknown: "there is no mailbox", cheap: "wrong password", costly: "wrong password"} {
		if err := try(name, "x", "imap"); !errors.Is(err, ErrBadLogin) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	if err := try(costly, "a chosen password", "imap"); err != nil {
		t.Error(err)
	}
	c.slots <- struct{}{}
	c.timeout = time.Millisecond
	if err := try(costly, "a chosen password", "imap"); err != nil {
		t.Errorf("a password that was right is verified again: %v", err)
	}
}

func TestVerifierRemembersBoundedly(t *testing.T) {
	c := newVerifier()
	p := &store.Password{ID: "1", Argon2: dummyArgon2}
	for i := range maxRemembered + 100 {
		c.remember(p, secret.String(fmt.Sprint(i)))
	}
	if n := len(c.remembered); n != maxRemembered {
		t.Errorf("%d remembered", n)
	}
	if !c.remembers(p, secret.String(fmt.Sprint(maxRemembered+99))) {
		t.Error("the last one is not remembered")
	}
}

func TestMatchChosen(t *testing.T) {
	// From the tests of the reference implementation,
	// https://github.com/P-H-C/phc-winner-argon2/blob/master/src/test.c
	const known = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if right, err := MatchChosen(known, "password"); err != nil || !right {
		t.Errorf("a known hash: %v, %v", right, err)
	}
	for _, damaged := range []secret.String{
		"", "x", "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=16$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=65536,t=0,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=65536,t=2,p=0$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=65536,t=2,p=1$!$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$!",
	} {
		if right, err := MatchChosen(damaged, "password"); right || !errors.Is(err, oauth.ErrUnavailable) {
			t.Errorf("%s: %v, %v", damaged.Reveal(), right, err)
		}
	}
}
