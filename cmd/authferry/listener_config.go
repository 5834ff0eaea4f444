package main

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"authferry/internal/hint"
	"authferry/internal/network"
	"authferry/proxy"
)

// listenOptions are what a [[listener]] says beside its URL. Values are compared:
// listeners with the same ones share a server.
type listenOptions struct {
	minTLS     uint16 // 0: TLS 1.2
	oldCiphers bool
	allow      networkList
	proxyFrom  networkList
}

// networkList is a list of networks in a form that can be compared.
type networkList string

func (n networkList) prefixes() (list []netip.Prefix) {
	for text := range strings.FieldsSeq(string(n)) {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// readNetworks reads a list of networks.
func readNetworks(t *table, key string) networkList {
	var list []string
	for i, text := range t.texts(key) {
		prefix, err := network.Parse(text)
		if err != nil {
			t.complainAt(key, i, err.Error(), hint.Of(err))
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
func readListeners(t *table) []listenURL {
	tables := t.tables("listener")
	texts := t.texts("listen")
	if texts == nil && tables == nil { // absent, or complained about already
		texts = defaultListen
	}
	if len(texts) == 0 && len(tables) == 0 {
		t.complain("listen", "nothing to listen on", listenExample)
	}
	var list []listenURL
	for i, text := range texts {
		list = addListener(list, text, listenOptions{}, func(what, hint string) { t.complainAt("listen", i, what, hint) })
	}
	for _, t := range tables {
		list = addListener(list, t.text("url", ""), readListenOptions(t), func(what, hint string) { t.complain("url", what, hint) })
		if l := list[len(list)-1]; l.oldTLS() {
			t.warn(l.written + ": TLS as old as this can be broken by whoever is on the way, " +
				"and the passwords read: keep it for devices that know nothing newer, on a network of their own")
		}
		t.done()
	}
	return list
}

// addListener adds a listener to those before it, once complain has heard what
// is wrong with it.
func addListener(list []listenURL, text string, options listenOptions, complain func(what, hint string)) []listenURL {
	l, hint, err := parseListen(text)
	if err == nil {
		l.options = options
		hint, err = l.contradiction()
	}
	if err != nil {
		complain(err.Error(), hint)
		return append(list, listenURL{})
	}
	same := func(other listenURL) bool {
		return other.address == l.address && (other.key() == l.key() || !strings.HasSuffix(l.address, ":0"))
	}
	if slices.ContainsFunc(list, same) {
		complain(l.address+" is listened on twice", "")
	}
	return append(list, l)
}

// tlsVersions are the values of min_tls.
var tlsVersions = map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": 0, "1.3": tls.VersionTLS13}

func readListenOptions(t *table) listenOptions {
	version, known := tlsVersions[t.text("min_tls", "1.2")]
	if !known {
		t.complain("min_tls", "unknown version of TLS", `"1.0", "1.1", "1.2" or "1.3"`)
	}
	old := version == tls.VersionTLS10 || version == tls.VersionTLS11
	return listenOptions{
		minTLS:     version,
		oldCiphers: t.flag("old_ciphers", old),
		allow:      readNetworks(t, "allow"),
		proxyFrom:  readNetworks(t, "proxy_protocol"),
	}
}

// oldTLS tells whether a listener takes TLS that is no longer safe.
func (l listenURL) oldTLS() bool {
	return l.options.minTLS == tls.VersionTLS10 || l.options.minTLS == tls.VersionTLS11 || l.options.oldCiphers
}

// contradiction is what a URL and its options say against each other.
func (l listenURL) contradiction() (hint string, err error) {
	scheme, _, _ := strings.Cut(l.written, "://")
	switch tlsAsked := l.options.minTLS != 0 || l.options.oldCiphers; {
	case l.security == proxy.Plain && tlsAsked:
		return fmt.Sprintf("use %ss://, %s+starttls:// or %s+either://", l.protocol, l.protocol, l.protocol),
			fmt.Errorf("min_tls and old_ciphers are for TLS, which %s:// has none of", scheme)
	case l.options.minTLS == tls.VersionTLS13 && l.options.oldCiphers:
		return "", fmt.Errorf("old_ciphers are of TLS 1.2 and before, which min_tls keeps out")
	case strings.HasPrefix(l.address, systemdAddress):
		return "", nil // what remains depends on the address: see listenHanded
	case l.oldTLS() && !l.insecure && !l.onLoopback():
		return fmt.Sprintf("write %s+insecure:// if that is what you want", scheme),
			fmt.Errorf("TLS as old as this would let passwords be read on the network at %s", l.address)
	case l.security != proxy.Plain && l.insecure && !l.oldTLS():
		return "leave +insecure out, or give a [[listener]] old_ciphers or a min_tls below 1.2",
			fmt.Errorf("%s:// has TLS, which +insecure contradicts", strings.TrimSuffix(scheme, "+insecure"))
	}
	return "", nil
}

// apply makes a server take the TLS that a listener asks for.
func (o listenOptions) apply(c *tls.Config) {
	c.MinVersion = cmp.Or(o.minTLS, tls.VersionTLS12)
	if !o.oldCiphers {
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
	if o.oldCiphers {
		s += " old_ciphers"
	}
	if o.allow != "" {
		s += " allow " + string(o.allow)
	}
	if o.proxyFrom != "" {
		s += " proxy_protocol " + string(o.proxyFrom)
	}
	return s
}
