package main

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"go.uber.org/zap"

	"authferry/internal/config"
	"authferry/internal/secret"
	"authferry/internal/server"
	"authferry/proxy/gate"
	"authferry/tokens"
)

// TestOwnersAreRecalled: where a password was used before a restart, guesses
// from other addresses lock no one out.
func TestOwnersAreRecalled(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	home, ctx := netip.MustParseAddr("198.51.100.7"), context.Background()
	c, err := config.Load(s.configPath())
	if err != nil {
		t.Fatal(err)
	}
	before, err := server.OpenVault(c, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.Authorize(ctx, tokens.Login{User: demoMailbox, Password: s.password, Protocol: "imap", From: home}); err != nil {
		t.Fatal(err)
	}
	if err := before.Close(ctx); err != nil { // which stores the use
		t.Fatal(err)
	}
	g := s.service.Gate
	g.Configure(gate.Limits{Failures: 1, Delay: -1})
	s.service.SeedGate(ctx)
	for n := range 5 {
		guess := tokens.Login{User: demoMailbox, Password: secret.String(fmt.Sprint(n)), From: netip.AddrFrom4([4]byte{203, 0, 113, byte(n)})}
		if err := g.Failed(ctx, guess, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Blocked(netip.MustParseAddr("192.0.2.1"), demoMailbox); err == nil {
		t.Error("a stranger may guess on")
	}
	if err := g.Blocked(home, demoMailbox); err != nil {
		t.Errorf("the owner, at home: %v", err)
	}
}
