package proxy

import (
	"context"
	"net/netip"

	"authferry/tokens"
)

// Gate decides who may connect, how many, and how often they may fail.
type Gate struct{}

// Blocked returns errTooMany when an address, or an address for this mailbox,
// has failed too often.
func (g *Gate) Blocked(from netip.Addr, user string) error { panic("unwritten") }

// Failed counts a wrong login and waits as long as it has earned.
func (g *Gate) Failed(ctx context.Context, l tokens.Login) error { panic("unwritten") }
