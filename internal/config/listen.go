package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"authferry/internal/hint"
	"authferry/proxy"
)

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
	Protocol string
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

// hostPort are the host and the port to give to people. Those of a socket that
// systemd holds are in its unit, which may be told by the port in the URL.
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

// listenScheme tells apart the protocols and the ways TLS starts.
func listenScheme(scheme string) (protocol string, security proxy.Security, insecure bool, err error) {
	name, _, _ := strings.Cut(scheme, "+")
	protocol = strings.TrimSuffix(name, "s")
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
	implicit := name != protocol
	start, insecure := strings.CutSuffix(strings.TrimPrefix(scheme, name), "+insecure")
	switch {
	case start == "" && implicit:
		return protocol, proxy.Implicit, insecure, nil
	case start == "":
		return protocol, proxy.Plain, insecure, nil
	case start == "+starttls" && !implicit:
		return protocol, proxy.StartTLS, insecure, nil
	case start == "+either" && !implicit:
		return protocol, proxy.Either, insecure, nil
	case start == "+starttls", start == "+either":
		return "", 0, false, fmt.Errorf("%s:// has TLS from the first byte, which %s contradicts; %s%s:// is written without the s", name, start, protocol, start)
	}
	return "", 0, false, fmt.Errorf("unknown scheme %q: after %s+ comes starttls, either or insecure", scheme, name)
}

// listenAddress is the host and port of a listen URL. Names other than
// localhost are refused: what they stand for can change after the decision
// that plain text is harmless there.
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

// serverKind is what the listeners of one server have in common.
type ServerKind struct {
	Protocol string
	Security proxy.Security
	Options  listenOptions
}

// listenKey tells a listener that a new configuration keeps from a new one.
type ListenKey struct {
	ServerKind
	Address string
}

func (l Listener) Key() ListenKey {
	return ListenKey{ServerKind{l.Protocol, l.Security, l.Options}, l.Address}
}

// systemdAddress begins the address of a listen URL that names a socket of
// systemd's: imaps+systemd:NAME, or imaps+systemd:NAME:PORT where several
// sockets have one name. The name is the FileDescriptorName= of the unit.
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
