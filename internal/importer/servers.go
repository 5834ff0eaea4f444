package importer

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"authferry/internal/protocol"
)

// server is a mail server that the program connected to.
type server struct {
	protocol   protocol.Protocol
	host, port string
	startTLS   bool
}

// serverSection splits a section name such as IMAP-1993.
func serverSection(name string) (proto protocol.Protocol, port string, ok bool) {
	kind, port, ok := strings.Cut(name, "-")
	proto = map[string]protocol.Protocol{"IMAP": protocol.IMAP, "POP": protocol.POP3, "SMTP": protocol.SMTP}[kind]
	n, err := strconv.ParseUint(port, 10, 16)
	return proto, port, ok && proto != "" && err == nil && n > 0
}

func readServers(f *ini) []server {
	var servers []server
	for _, name := range f.names {
		proto, _, ok := serverSection(name)
		host, port := f.get("server_address", name), f.get("server_port", name)
		if _, err := strconv.ParseUint(port, 10, 16); ok && err == nil && isHost(host) {
			servers = append(servers, server{proto, host, port, f.flag("server_starttls", name)})
		}
	}
	return servers
}

// isHost reports whether text can be the host in a URL.
func isHost(host string) bool {
	return host != "" && len(host) <= 255 && !strings.ContainsFunc(host, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`/\@?#%"<>[]`, r)
	})
}

// readListeners returns the addresses that mail programs connect to, as URLs.
func readListeners(f *ini) []string {
	var listen []string
	for _, name := range f.names {
		if proto, port, ok := serverSection(name); ok {
			scheme, host := listener(f, name)
			listen = append(listen, string(proto)+scheme+"://"+net.JoinHostPort(host, port))
		}
	}
	return listen
}

// listener returns the scheme and host that a server listened on, as authferry
// writes them. Its default is every address without TLS; the loopback address is
// suggested instead, so that a person has to write the dangerous form.
func listener(f *ini, name string) (scheme, host string) {
	host = f.get("local_address", name)
	ip, err := netip.ParseAddr(host)
	local := host == "localhost" || err == nil && ip.IsLoopback()
	everywhere := !local && (err != nil || ip.IsUnspecified())
	if everywhere {
		host = ""
	}
	switch tls := f.get("local_certificate_path", name) != ""; {
	case tls && f.flag("local_starttls", name):
		return "+starttls", host
	case tls:
		return "s", host
	case everywhere:
		return "", "127.0.0.1"
	case !local:
		return "+insecure", host
	}
	return "", host
}

// setServers finds the mail servers of a provider that is not built in. Accounts do
// not name them: it takes the server in the domain of the token endpoint, or the
// only server that belongs to no built-in provider.
func setServers(p *Provider, servers []server) {
	if familyOf(p.TokenURL) != "" {
		return
	}
	for _, e := range []struct {
		protocol protocol.Protocol
		url      *string
	}{{protocol.IMAP, &p.IMAP}, {protocol.POP3, &p.POP3}, {protocol.SMTP, &p.SMTP}} {
		var near, others []server
		for _, s := range servers {
			switch {
			case s.protocol != e.protocol || isBuiltinHost(s.host):
			case domainOf(s.host) == domainOfURL(p.TokenURL):
				near = append(near, s)
			default:
				others = append(others, s)
			}
		}
		if len(near) == 0 && len(others) == 1 {
			near = others
		}
		if len(near) > 0 {
			*e.url = near[0].url()
		}
	}
}

func (s server) url() string {
	scheme := string(s.protocol) + "s"
	if s.startTLS {
		scheme = string(s.protocol)
	}
	return scheme + "://" + net.JoinHostPort(s.host, s.port)
}
