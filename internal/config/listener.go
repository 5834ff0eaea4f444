package config

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"authferry/internal/config/document"
	"authferry/internal/hint"
	"authferry/internal/network"
	"authferry/internal/protocol"
	"authferry/proxy"
)

// listenOptions are the keys of a [[listener]] other than its URL. Listeners
// with equal options share a server.
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
			t.Warn(l.Written + ": TLS as old as this can be broken by anyone on the network path, " +
				"and the passwords read: keep it for devices that know nothing newer, on a network of their own")
		}
		t.Done()
	}
	return list
}

// addListener adds a listener to those before it, and reports what is wrong
// with it to complain.
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

// OldTLS reports whether a listener accepts TLS that is no longer safe.
func (l Listener) OldTLS() bool {
	return l.Options.minTLS == tls.VersionTLS10 || l.Options.minTLS == tls.VersionTLS11 || l.Options.OldCiphers
}

// contradiction returns how a URL and its options contradict each other.
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

// Apply sets a server's TLS to the options of a listener.
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

// listenURL is where and how mail programs may come in, written as a URL:
//
//	imap://127.0.0.1:1143            no TLS, on loopback only
//	imap+starttls://192.0.2.1:143    STARTTLS offered, and required before a login
//	imap+insecure://192.0.2.1:143    no TLS off loopback, on purpose
//	imaps://:993                     TLS from the first byte, on every address
//	imap+either://192.0.2.1:143      TLS from the first byte or STARTTLS, as the client likes
//	imaps+systemd:NAME               a socket that systemd hands over; see sockets.go
//
// and the same for pop3 and smtp. +insecure is also what admits TLS so old that
// it can be broken, off loopback; see listenOptions.
type Listener struct {
	Written  string // as in the configuration: what a listener is known by
	Protocol protocol.Protocol
	Security proxy.Security
	Address  string // host:port for net.Listen
	Insecure bool   // spelled +insecure
	Options  listenOptions
}

// mailPorts are the ports of each scheme where a URL names none: RFC 8314 §7.3
// for TLS from the first byte, and submission (RFC 6409) for smtp.
var mailPorts = map[string]int{
	"imap": 143, "pop3": 110, "smtp": 587,
	"imaps": 993, "pop3s": 995, "smtps": 465,
}

const listenExample = `such as "imap://127.0.0.1:1143" or "imaps://:993"`

// parseListen reads a listen URL. The error is a sentence; the hint, if any,
// says what to write instead.
func ParseListener(text string) (l Listener, hint string, err error) {
	if scheme, socket, found := strings.Cut(text, "+"+SystemdAddress); found {
		return parseHanded(text, scheme, socket)
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		return l, listenExample, fmt.Errorf("not a listen URL")
	}
	l.Written = text
	if l.Protocol, l.Security, l.Insecure, err = listenScheme(scheme); err != nil {
		return l, listenExample, err
	}
	u, err := url.Parse("listen://" + rest)
	if err != nil || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return l, listenExample, fmt.Errorf("a listen URL has an address and a port, and nothing else")
	}
	name, _, _ := strings.Cut(scheme, "+")
	host, port, err := listenAddress(u, mailPorts[name])
	if err != nil {
		return l, `an IP address such as 127.0.0.1 or [::1], "localhost", or nothing for every address`, err
	}
	l.Address = net.JoinHostPort(host, strconv.Itoa(port))
	if l.Security == proxy.Plain && !l.Insecure && !l.onLoopback() {
		hint = fmt.Sprintf("use %ss:// or %s+starttls://, or %s+insecure:// if that is what you want", l.Protocol, l.Protocol, l.Protocol)
		return l, hint, fmt.Errorf("passwords would cross the network in the clear at %s", l.Address)
	}
	return l, "", nil
}

// HostPort returns the host and the port for people. For a socket from systemd
// its unit decides; the URL may repeat the port.
func (l Listener) HostPort() (host, port string) {
	if socket, handed := strings.CutPrefix(l.Address, SystemdAddress); handed {
		_, port, _ = strings.Cut(socket, ":")
		return "", cmp.Or(port, "of the socket unit")
	}
	host, port, _ = net.SplitHostPort(l.Address)
	return host, port
}

func (l Listener) onLoopback() bool {
	a, err := netip.ParseAddrPort(l.Address)
	return err == nil && a.Addr().IsLoopback()
}

// listenScheme splits a scheme into the protocol and the way TLS starts.
func listenScheme(scheme string) (p protocol.Protocol, security proxy.Security, insecure bool, err error) {
	name, _, _ := strings.Cut(scheme, "+")
	p = protocol.Protocol(strings.TrimSuffix(name, "s"))
	if mailPorts[name] == 0 {
		var known []string
		for name := range mailPorts {
			known = append(known, name)
		}
		slices.Sort(known)
		if n := hint.Suggest(name, known); n != "" {
			return "", 0, false, fmt.Errorf("unknown scheme %q, did you mean %s?", scheme, n)
		}
		return "", 0, false, fmt.Errorf("unknown scheme %q", scheme)
	}
	implicit := name != string(p)
	start, insecure := strings.CutSuffix(strings.TrimPrefix(scheme, name), "+insecure")
	switch {
	case start == "" && implicit:
		return p, proxy.Implicit, insecure, nil
	case start == "":
		return p, proxy.Plain, insecure, nil
	case start == "+starttls" && !implicit:
		return p, proxy.StartTLS, insecure, nil
	case start == "+either" && !implicit:
		return p, proxy.Either, insecure, nil
	case start == "+starttls", start == "+either":
		return "", 0, false, fmt.Errorf("%s:// has TLS from the first byte, which %s contradicts; %s%s:// is written without the s", name, start, p, start)
	}
	return "", 0, false, fmt.Errorf("unknown scheme %q: after %s+ comes starttls, either or insecure", scheme, name)
}

// listenAddress returns the host and port of a listen URL. Names other than
// localhost are refused: the address of a name can change after authferry has
// decided that plain text is safe there.
func listenAddress(u *url.URL, port int) (string, int, error) {
	host := u.Hostname()
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil {
		return "", 0, fmt.Errorf("%q is not an IP address", host)
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return "", 0, fmt.Errorf("port %s is not from 0 to 65535", p)
		}
		return host, int(n), nil
	}
	return host, port, nil
}

// ServerKind is what the listeners of one proxy have in common.
type ServerKind struct {
	Protocol protocol.Protocol
	Security proxy.Security
	Options  listenOptions
}

// ListenKey identifies a listener: a new configuration keeps those whose key is
// unchanged.
type ListenKey struct {
	ServerKind
	Address string
}

func (l Listener) Key() ListenKey {
	return ListenKey{ServerKind{l.Protocol, l.Security, l.Options}, l.Address}
}

// SystemdAddress begins the address of a listen URL that names a socket from
// systemd: imaps+systemd:NAME, or imaps+systemd:NAME:PORT if several sockets
// have one name. The name is the FileDescriptorName= of the unit.
const SystemdAddress = "systemd:"

// parseHanded reads a listen URL that names a socket of systemd's.
func parseHanded(text, scheme, socket string) (l Listener, hint string, err error) {
	l.Written, l.Address = text, SystemdAddress+socket
	if l.Protocol, l.Security, l.Insecure, err = listenScheme(scheme); err != nil {
		return l, listenExample, err
	}
	name, port, hasPort := strings.Cut(socket, ":")
	if _, err := strconv.ParseUint(port, 10, 16); name == "" || strings.ContainsAny(name, "/ ") || hasPort && err != nil {
		return l, fmt.Sprintf("such as %q or %q", "imaps+systemd:authferry", "imaps+systemd:authferry:993"),
			errors.New("a socket of systemd has a name, and a port where several share the name")
	}
	return l, "", nil
}
