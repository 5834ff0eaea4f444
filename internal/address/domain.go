package address

import (
	"strings"

	"golang.org/x/net/idna"
)

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
