package check

import (
	"fmt"
	"strconv"
	"strings"

	"authferry/tokens/oauth"
)

// usefulExtensions are worth announcing if a server supports them.
var usefulExtensions = []string{
	"SIZE", "8BITMIME", "PIPELINING", "CHUNKING", "BINARYMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "DELIVERBY", "REQUIRETLS",
}

// compareExtensions compares a provider's smtp_extensions with what its server has.
func compareExtensions(p *oauth.Provider, has func(string) (bool, string)) finding {
	var broken, more, all []string
	promised := map[string]bool{"STARTTLS": true, "AUTH": true} // never passed on
	for _, line := range p.SMTPExtensions {
		keyword, value, _ := strings.Cut(strings.ToUpper(line), " ")
		if promised[keyword] {
			continue
		}
		promised[keyword] = true
		ok, theirs := has(keyword)
		switch {
		case !ok:
			broken = append(broken, keyword+" is promised, and the server does not have it")
		case keyword == "SIZE" && largerSize(value, theirs):
			broken = append(broken, fmt.Sprintf("SIZE %s is promised, and the server accepts %s", value, quoted(noSecrets, theirs)))
		}
	}
	for _, keyword := range usefulExtensions {
		ok, value := has(keyword)
		if !ok {
			continue
		}
		if !promised[keyword] {
			more = append(more, keyword)
		}
		if keyword == "SIZE" {
			if _, err := strconv.ParseUint(value, 10, 63); err == nil {
				keyword += " " + value
			}
		}
		all = append(all, strconv.Quote(keyword))
	}
	if len(broken) > 0 {
		return failed(fmt.Sprintf("write into [provider.%s]: smtp_extensions = [%s]", p.Name, strings.Join(all, ", ")), "%s", strings.Join(broken, "; "))
	}
	words := "the server has all extensions that mail programs are promised"
	if len(more) > 0 {
		words += "; it also has " + strings.Join(more, ", ")
	}
	return passed("%s", words)
}

// largerSize compares two values of SIZE. None, or 0, means no fixed limit (RFC 1870
// §3).
func largerSize(a, b string) bool {
	size := func(text string) uint64 {
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 63)
		if err != nil {
			n = 0
		}
		return n - 1 // no limit wraps to the maximum
	}
	return size(a) > size(b)
}
