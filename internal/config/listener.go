package config

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"authferry/internal/config/document"
	"authferry/internal/hint"
	"authferry/internal/network"
	"authferry/proxy"
)

// listenOptions are what a [[listener]] says beside its URL. Values are compared:
// listeners with the same ones share a server.
type listenOptions struct {
	minTLS     uint16 // 0: TLS 1.2
	OldCiphers bool
	Allow      networkList
	ProxyFrom  networkList
}

// networkList is a list of networks in a form that can be compared.
type networkList string

func (n networkList) Prefixes() (list []netip.Prefix) {
	for text := range strings.FieldsSeq(string(n)) {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// readNetworks reads a list of networks.
func readNetworks(t *document.Table, key string) networkList {
	var list []string
	for i, text := range t.Texts(key) {
		prefix, err := network.Parse(text)
		if err != nil {
			t.ComplainAt(key, i, err.Error(), hint.Of(err))
			continue
		}
		list = append(list, prefix.String())
	}
	slices.Sort(list)
	return networkList(strings.Join(slices.Compact(list), " "))
}

// defaultListen serves programs on this machine, which need no TLS.
var defaultListen = []string{"imap://127.0.0.1:1143", "pop3://127.0.0.1:1110", "smtp://127.0.0.1:1587"}

// readListeners reads listen and the [[listener]] tables.
func readListeners(t *document.Table) []Listener {
	tables := t.Tables("listener")
	texts := t.Texts("listen")
	if texts == nil && tables == nil { // absent, or complained about already
		texts = defaultListen
	}
	if len(texts) == 0 && len(tables) == 0 {
		t.Complain("listen", "nothing to listen on", listenExample)
	}
	var list []Listener
	for i, text := range texts {
		list = addListener(list, text, listenOptions{}, func(what, hint string) { t.ComplainAt("listen", i, what, hint) })
	}
	for _, t := range tables {
		list = addListener(list, t.Text("url", ""), readListenOptions(t), func(what, hint string) { t.Complain("url", what, hint) })
		if l := list[len(list)-1]; l.OldTLS() {
			t.Warn(l.Written + ": TLS as old as this can be broken by whoever is on the way, " +
				"and the passwords read: keep it for devices that know nothing newer, on a network of their own")
		}
		t.Done()
	}
	return list
}

// addListener adds a listener to those before it, once complain has heard what
// is wrong with it.
func addListener(list []Listener, text string, options listenOptions, complain func(what, hint string)) []Listener {
	l, hint, err := ParseListener(text)
	if err == nil {
		l.Options = options
		hint, err = l.contradiction()
	}
	if err != nil {
		complain(err.Error(), hint)
		return append(list, Listener{})
	}
	same := func(other Listener) bool {
		return other.Address == l.Address && (other.Key() == l.Key() || !strings.HasSuffix(l.Address, ":0"))
	}
	if slices.ContainsFunc(list, same) {
		complain(l.Address+" is listened on twice", "")
	}
	return append(list, l)
}

// tlsVersions are the values of min_tls.
var tlsVersions = map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": 0, "1.3": tls.VersionTLS13}

func readListenOptions(t *document.Table) listenOptions {
	version, known := tlsVersions[t.Text("min_tls", "1.2")]
	if !known {
		t.Complain("min_tls", "unknown version of TLS", `"1.0", "1.1", "1.2" or "1.3"`)
	}
	old := version == tls.VersionTLS10 || version == tls.VersionTLS11
	return listenOptions{
		minTLS:     version,
		OldCiphers: t.Flag("old_ciphers", old),
		Allow:      readNetworks(t, "allow"),
		ProxyFrom:  readNetworks(t, "proxy_protocol"),
	}
}

// oldTLS tells whether a listener takes TLS that is no longer safe.
func (l Listener) OldTLS() bool {
	return l.Options.minTLS == tls.VersionTLS10 || l.Options.minTLS == tls.VersionTLS11 || l.Options.OldCiphers
}

// contradiction is what a URL and its options say against each other.
func (l Listener) contradiction() (hint string, err error) {
	scheme, _, _ := strings.Cut(l.Written, "://")
	switch tlsAsked := l.Options.minTLS != 0 || l.Options.OldCiphers; {
	case l.Security == proxy.Plain && tlsAsked:
		return fmt.Sprintf("use %ss://, %s+starttls:// or %s+either://", l.Protocol, l.Protocol, l.Protocol),
			fmt.Errorf("min_tls and old_ciphers are for TLS, which %s:// has none of", scheme)
	case l.Options.minTLS == tls.VersionTLS13 && l.Options.OldCiphers:
		return "", fmt.Errorf("old_ciphers are of TLS 1.2 and before, which min_tls keeps out")
	case strings.HasPrefix(l.Address, SystemdAddress):
		return "", nil // what remains depends on the address: see listenHanded
	case l.OldTLS() && !l.Insecure && !l.onLoopback():
		return fmt.Sprintf("write %s+insecure:// if that is what you want", scheme),
			fmt.Errorf("TLS as old as this would let passwords be read on the network at %s", l.Address)
	case l.Security != proxy.Plain && l.Insecure && !l.OldTLS():
		return "leave +insecure out, or give a [[listener]] old_ciphers or a min_tls below 1.2",
			fmt.Errorf("%s:// has TLS, which +insecure contradicts", strings.TrimSuffix(scheme, "+insecure"))
	}
	return "", nil
}

// apply makes a server take the TLS that a listener asks for.
func (o listenOptions) Apply(c *tls.Config) {
	c.MinVersion = cmp.Or(o.minTLS, tls.VersionTLS12)
	if !o.OldCiphers {
		return
	}
	// Only these, and by name: Go leaves key exchange by RSA and 3DES out unless
	// they are listed, and its GODEBUG switches for them end with Go 1.27. RC4
	// stays out. The order is Go's own, so newer programs lose nothing.
	for _, suite := range tls.CipherSuites() {
		c.CipherSuites = append(c.CipherSuites, suite.ID)
	}
	c.CipherSuites = append(c.CipherSuites,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA256, tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
		tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA)
}

// String describes options for the log, beginning with a space; "" if there are none.
func (o listenOptions) String() string {
	var s string
	for name, version := range tlsVersions {
		if version == o.minTLS && version != 0 {
			s += " min_tls " + name
		}
	}
	if o.OldCiphers {
		s += " old_ciphers"
	}
	if o.Allow != "" {
		s += " allow " + string(o.Allow)
	}
	if o.ProxyFrom != "" {
		s += " proxy_protocol " + string(o.ProxyFrom)
	}
	return s
}
