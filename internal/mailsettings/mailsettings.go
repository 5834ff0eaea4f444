// Package mailsettings says what to type into a mail program to use a mailbox
// through authferry: cards for people, ready configuration files, and the answers
// to programs that look their settings up themselves (Thunderbird's autoconfig,
// Microsoft's autodiscover, Apple's configuration profiles).
package mailsettings

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"authferry/internal/address"
	"authferry/internal/protocol"
	"authferry/proxy"
	"authferry/tokens"
)

// Service is a listener as mail programs see it.
type Service struct {
	Protocol protocol.Protocol
	Host     string
	Port     int
	Security proxy.Security
	// Reserved says that the listener is for some programs only: it accepts only
	// some networks, or TLS that is too old for others. Only programs that are set
	// up by hand are told of it, and last.
	Reserved bool
}

// onLoopback reports whether only programs on the same machine reach the service.
func (s Service) onLoopback() bool { return address.IsLoopbackHost(s.Host) }

// openStartTLS reports whether any program may use the service, with STARTTLS.
func (s Service) openStartTLS() bool { return s.Security == proxy.StartTLS && !s.Reserved }

// reach says where a program runs.
type reach int

const (
	elsewhere reach = iota // on another machine
	here                   // on this one, where loopback needs no certificate
	anywhere               // not known: elsewhere, if there is a choice
)

// preference orders the ways TLS starts, the best first: RFC 8314 §3. Within the
// machine no TLS is best: a certificate for localhost is one more thing that can be
// wrong.
var (
	preference           = map[proxy.Security]int{proxy.Implicit: 0, proxy.Either: 1, proxy.StartTLS: 2, proxy.Plain: 3}
	preferenceOnLoopback = map[proxy.Security]int{proxy.Plain: 0, proxy.Implicit: 1, proxy.Either: 2, proxy.StartTLS: 3}
)

// reachable returns the services of a protocol that a program can reach, the best
// first: those on loopback or the others, but not both, since a program that tries
// the wrong one fails.
func reachable(all []Service, p protocol.Protocol, r reach) []Service {
	var near, far []Service
	for _, s := range all {
		switch {
		case s.Protocol != p:
		case s.onLoopback():
			near = append(near, s)
		default:
			far = append(far, s)
		}
	}
	list, rank := far, preference
	if r == here && len(near) > 0 || r == anywhere && len(far) == 0 {
		list, rank = near, preferenceOnLoopback
	}
	slices.SortStableFunc(list, func(a, b Service) int {
		return cmp.Or(reservedLast(a, b), cmp.Compare(rank[a.Security], rank[b.Security]))
	})
	return list
}

func reservedLast(a, b Service) int {
	switch {
	case a.Reserved == b.Reserved:
		return 0
	case a.Reserved:
		return 1
	}
	return -1
}

// public returns the services of a protocol that any program may be told of. It
// leaves out services without TLS if there is one with it: programs that find two
// differ in the one they choose.
func public(all []Service, p protocol.Protocol, r reach) []Service {
	list := slices.DeleteFunc(reachable(all, p, r), func(s Service) bool { return s.Reserved })
	if len(list) > 0 && !list[0].onLoopback() && list[0].Security != proxy.Plain {
		list = slices.DeleteFunc(list, func(s Service) bool { return s.Security == proxy.Plain })
	}
	return list
}

// reachOf returns where a program runs: elsewhere, unless it may be on this
// machine.
func reachOf(local bool) reach {
	if local {
		return anywhere
	}
	return elsewhere
}

// domainOf returns the domain of a mail address in lower case, or "" if the text
// is not an address that settings can be made for.
func domainOf(text string) string {
	if address.Check(text) != nil || strings.ContainsFunc(text, unsafeInAddress) {
		return ""
	}
	return address.Domain(text)
}

// unsafeInAddress reports whether a character would need quoting in settings. Only
// quoted local parts contain such characters, and providers have none.
func unsafeInAddress(r rune) bool {
	return unicode.IsSpace(r) || !unicode.IsGraphic(r) || r == utf8.RuneError || strings.ContainsRune(`<>"\`, r)
}

// Server is a line of what mail programs ask for.
type Server struct {
	Protocol protocol.Protocol
	Host     string
	Port     int
	Security string // in the words of mail programs, such as "SSL/TLS"
}

// ServersFor returns the servers that a password can be used with.
func ServersFor(all []Server, spec *tokens.PasswordSpec) (list []Server) {
	for _, s := range all {
		if protocol.Allowed(spec.Protocols, s.Protocol) && !(spec.ReadOnly && s.Protocol == protocol.SMTP) {
			list = append(list, s)
		}
	}
	return list
}
