package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"authferry/internal/address"
	"authferry/internal/config/document"
	"authferry/proxy"
	"authferry/proxy/gate"
	"authferry/tokens"
)

// readGate reads who may connect, how many, and how often they may fail.
func readGate(t *document.Table) gate.Limits {
	g := gate.Limits{
		Allow:                 readNetworks(t, "allow").Prefixes(),
		Connections:           orNone(t.Count("connections", 10_000, 0, 1<<30)),
		ConnectionsPerAddress: orNone(t.Count("connections_per_address", 500, 0, 1<<30)),
		Failures:              orNone(t.Count("failures", 10, 0, 1<<30)),
		Window:                t.Duration("window", 10*time.Minute),
		Delay:                 t.Duration("delay", time.Second),
	}
	taken := map[netip.Prefix]string{}
	for _, t := range t.Tables("trusted") {
		g.Trusted = append(g.Trusted, readTrusted(t, taken))
	}
	t.Done()
	return g
}

// readTrusted reads one [[gate.trusted]] table. taken are the networks of those
// before it, by the mailbox they act for.
func readTrusted(t *document.Table, taken map[netip.Prefix]string) gate.Trusted {
	trusted := gate.Trusted{
		Networks: readNetworks(t, "networks").Prefixes(),
		Trust: tokens.Trust{
			Mailbox: strings.ToLower(t.Text("mailbox", "")),
			Name:    t.Text("password", ""),
			Rules: tokens.PasswordRules{
				MessagesPerHour: t.Count("messages_per_hour", 60, 0, 10_000),
				Recipients:      t.Count("recipients", 20, 0, 10_000),
			},
		},
		WithoutTLS: t.Flag("without_tls", false),
	}
	if err := checkSender(trusted.Trust.Mailbox); err != nil {
		t.Complain("mailbox", err.Error(), "it is the one that mail is sent as")
	}
	if name := trusted.Trust.Name; len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Complain("password", "must be a short name in plain letters", "it stands in the log where a password's name would")
	}
	if len(t.Texts("networks")) == 0 {
		t.Complain("networks", "names no network", `such as ["192.168.1.50"]`)
	}
	anywhere := t.Flag("anywhere", false)
	for _, n := range trusted.Networks {
		if other, ok := taken[n]; ok {
			t.Complain("networks", fmt.Sprintf("%s acts for %s already", n, other), "a narrower network within it may act for another mailbox")
		}
		taken[n] = trusted.Trust.Mailbox
		switch all := fmt.Sprintf("%s is much of the internet, and everybody there could send as %s", n, trusted.Trust.Mailbox); {
		case wide(n) && !anywhere:
			t.Complain("networks", all, "name the addresses of the devices, or write anywhere = true if that is what you want")
		case wide(n):
			t.Warn("[[gate.trusted]]: " + all)
		}
	}
	t.Done()
	return trusted
}

// checkSender returns an error if an address cannot be in MAIL FROM.
func checkSender(mailbox string) error {
	if err := address.Check(mailbox); err != nil {
		return err
	}
	if strings.ContainsAny(mailbox, `<>"\`) || strings.ContainsFunc(mailbox, func(r rune) bool { return r < '!' || r > '~' }) {
		return fmt.Errorf("%q cannot be a sender", mailbox)
	}
	return nil
}

// privateNetworks are the networks outside the Internet: RFC 1918, RFC 6598
// (behind the NAT of a provider, and Tailscale), RFC 4193, link-local and
// loopback.
var privateNetworks = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::1/128"),
}

// wide reports whether a network is on the Internet and larger than one office
// has there: 16 addresses, or a /64.
func wide(n netip.Prefix) bool {
	private := slices.ContainsFunc(privateNetworks, func(p netip.Prefix) bool { return p.Contains(n.Addr()) && p.Bits() <= n.Bits() })
	narrow := 28
	if n.Addr().Is6() {
		narrow = 64
	}
	return !private && n.Bits() < narrow
}

// orNone returns the value that proxy takes for "no limit", which is 0 in the
// file.
func orNone(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// readLimits reads how long each part of a connection may take.
func readLimits(t *document.Table) proxy.Limits {
	l := proxy.Limits{
		Login:         t.Duration("login", 3*time.Minute),
		Command:       t.Duration("command", time.Minute),
		ProviderLogin: t.Duration("provider_login", 30*time.Second),
		Stall:         t.Duration("stall", 10*time.Minute),
		Hello:         t.Duration("hello", 500*time.Millisecond),
		Sweep:         t.Duration("sweep", 5*time.Second),
	}
	t.Done()
	return l
}
