// Package address parses mail addresses as people and programs write them, and
// the domains in them.
package address

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"authferry/internal/hint"
)

// maxLength is the length of the longest mail address: RFC 5321 §4.5.3.1.3 less
// the angle brackets.
const maxLength = 254

// Check reports why text cannot be the address of a mailbox. It takes what mail
// services take: letters of any language (RFC 6531) and quoted local parts.
func Check(text string) error {
	local, domain, ok := Split(text)
	quoted := len(local) > 1 && strings.HasPrefix(local, `"`) && strings.HasSuffix(local, `"`)
	switch {
	case !ok || local == "" || domain == "" || strings.Contains(local, "@") && !quoted:
		return hint.New(fmt.Errorf("%.160q is not a mail address", text), "write it as you@example.com")
	case len(text) > maxLength:
		return fmt.Errorf("the address %.160q is too long: %d bytes, at most %d", text, len(text), maxLength)
	case strings.ContainsFunc(text, never):
		return fmt.Errorf("%.160q is not a mail address: no address has white space or control characters", text)
	}
	return nil
}

// never reports whether a character occurs in no address and no domain.
func never(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError }

// Split splits an address at its last @: a quoted local part may contain others.
func Split(address string) (local, domain string, ok bool) {
	i := strings.LastIndexByte(address, '@')
	if i < 0 {
		return address, "", false
	}
	return address[:i], address[i+1:], true
}

// Domain returns the domain of an address in the form of [FoldDomain]; "" if the
// text has none.
func Domain(address string) string {
	_, domain, _ := Split(address)
	return FoldDomain(domain)
}

// FoldDomain returns the form that domains are compared in: lower case, without
// the dot of the root.
func FoldDomain(domain string) string {
	return strings.TrimSuffix(strings.ToLower(strings.TrimSpace(domain)), ".")
}

// IsDomain reports whether text can be the domain of mail addresses.
func IsDomain(text string) bool {
	return text != "" && !strings.ContainsAny(text, "@/:*") && !strings.ContainsFunc(text, never) &&
		!strings.HasPrefix(text, ".") && !strings.Contains(text, "..")
}

// DomainForms returns the ways one domain is written: as DNS has it (the A-label
// of RFC 5890 §2.3.2.1) and, if it differs, with the letters of its language.
// Mail programs send either. A label that cannot be converted stays as it is.
//
// It uses raw punycode: the domain is only compared with what programs send, so
// it need not be one that a registry would accept.
func DomainForms(domain string) []string {
	labels := strings.Split(domain, ".")
	unicode, ascii := make([]string, len(labels)), make([]string, len(labels))
	for i, label := range labels {
		unicode[i], ascii[i] = label, label
		if strings.HasPrefix(label, "xn--") {
			if decoded, err := idna.Punycode.ToUnicode(label); err == nil && decoded != "" {
				unicode[i] = decoded
			}
		} else if encoded, err := idna.Punycode.ToASCII(label); err == nil {
			ascii[i] = encoded
		}
	}
	u, a := strings.Join(unicode, "."), strings.Join(ascii, ".")
	if u == a {
		return []string{a}
	}
	return []string{a, u}
}

// IsLoopbackHost reports whether a host, with or without a port, is localhost or a
// loopback address.
func IsLoopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback() || strings.EqualFold(host, "localhost")
}
