package gate

import (
	"errors"
	"net/netip"

	"authferry/internal/network"
	"authferry/tokens"
)

// errNotAllowed reports that the address is in none of the networks that may connect.
var errNotAllowed = errors.New("the address is not in [gate] allow")

// allowed reports whether an address may connect.
func allowed(networks []netip.Prefix, from netip.Addr) bool {
	return len(networks) == 0 || from.IsLoopback() || network.Contains(networks, from)
}

// Trusted lets devices send mail over SMTP as a mailbox without logging in: many
// scanners, printers and sensors have no user name and password, or no place to
// type one. The device is identified by its address alone.
//
// The mailbox becomes the sender in the envelope (RFC 5321 §3.3), because Google
// and Microsoft accept no other. The message itself, with From: in it, stays as
// it is: see config.example.toml.
type Trusted struct {
	Networks []netip.Prefix
	Trust    tokens.Trust
	// WithoutTLS also accepts mail in the clear from other machines than this one.
	WithoutTLS bool
}

// narrowest returns the setting with the narrowest network that contains an address.
func narrowest(list []Trusted, from netip.Addr) (found *Trusted) {
	bits := -1
	for i := range list {
		for _, n := range list[i].Networks {
			if n.Contains(from.WithZone("")) && n.Bits() > bits {
				found, bits = &list[i], n.Bits()
			}
		}
	}
	return found
}
