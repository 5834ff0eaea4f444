package tokens

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"authferry/internal/secret"
	"authferry/tokens/oauth"
	"authferry/tokens/store"
)

// TestRefusalsCostTheSame: a wrong password takes as many verifications and gets the
// same answer for every mailbox, also for one that does not exist.
func TestRefusalsCostTheSame(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	elsewhere := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	add := func(mailbox string, specs ...PasswordSpec) {
		t.Helper()
		if mailbox != me {
			if err := r.Connect(ctx, Connection{Mailbox: mailbox, Provider: "fake", Token: &oauth.Token{Access: "a", Refresh: "r", Minted: time.Now(), Expiry: time.Now().Add(time.Hour), Scopes: r.provider.Scopes}}); err != nil {
				t.Fatal(err)
			}
		}
		for i, s := range specs {
			s.Name = fmt.Sprint("password ", i)
			if _, err := r.AddPassword(ctx, mailbox, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	const preset = "a chosen password"
	add("chosen@gmail.com", PasswordSpec{Preset: preset}, PasswordSpec{Preset: preset + " too"})
	add("mixed@gmail.com", PasswordSpec{}, PasswordSpec{Preset: preset})
	add("elsewhere@gmail.com", PasswordSpec{Preset: preset, Networks: elsewhere})
	add("none@gmail.com")
	add("disconnected@gmail.com", PasswordSpec{Preset: preset})
	if _, err := r.Remove(ctx, "disconnected@gmail.com", Removal{KeepGrant: true, KeepPasswords: true}); err != nil {
		t.Fatal(err)
	}
	v := NewVault(r.store, Settings{}, nil) // after a restart
	defer v.Close(ctx)
	if err := v.LastUses(ctx, func(string, store.Use) {}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user  string
		given secret.String
	}{
		{me, "wrong"}, {"chosen@gmail.com", "wrong"}, {"mixed@gmail.com", "wrong"}, {"none@gmail.com", "wrong"}, {"nobody@gmail.com", "wrong"},
		{"disconnected@gmail.com", "wrong"}, {"elsewhere@gmail.com", "wrong"}, {"elsewhere@gmail.com", preset}, {"elsewhere@gmail.com", preset},
		{"", "wrong"}, {"nobody", ""},
	} {
		before := v.verifier.verified.Load()
		_, err := v.Authorize(ctx, Login{User: c.user, Password: c.given, Protocol: "imap", From: here})
		if !errors.Is(err, ErrBadLogin) {
			t.Errorf("%s: %v", c.user, err)
		}
		if n := v.verifier.verified.Load() - before; n != 2 {
			t.Errorf("%s: %d verifications, not the 2 that the most costly mailbox takes", c.user, n)
		}
	}
}

func TestLastUses(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	r.mustAuthorize()
	if err := r.lastUsed.flush(ctx); err != nil {
		t.Fatal(err)
	}
	var told []string
	err := r.LastUses(ctx, func(mailbox string, u store.Use) { told = append(told, mailbox+" "+u.From.String()) })
	if want := me + " " + here.String(); err != nil || len(told) != 1 || told[0] != want {
		t.Errorf("%q, %v, want %q", told, err, want)
	}
}
