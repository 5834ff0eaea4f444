package gate

import (
	"net/netip"

	"authferry/tokens"
)

// Trusted lets devices send as a mailbox over SMTP that have no user name and
// password, or no place to type one: many scanners, printers and sensors. Their
// address is all that stands for them.
//
// The mailbox becomes the sender in the envelope (RFC 5321 §3.3), which Google
// and Microsoft would not take from anybody else. The message itself, with
// From: in it, stays as it is: see config.example.toml.
type Trusted struct {
	Networks []netip.Prefix
	Trust    tokens.Trust
	// WithoutTLS lets them do it in the clear off loopback.
	WithoutTLS bool
}

// trusted finds whom an address may act for without a password: the narrowest
// network that it is in decides.
func (g *Gate) Trusted(from netip.Addr) *Trusted {
	g.mu.Lock()
	defer g.mu.Unlock()
	var found *Trusted
	narrowest := -1
	for i := range g.limits.Trusted {
		t := &g.limits.Trusted[i]
		for _, n := range t.Networks {
			if n.Contains(from.WithZone("")) && n.Bits() > narrowest {
				found, narrowest = t, n.Bits()
			}
		}
	}
	return found
}
