package check

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/emersion/go-smtp"

	"authferry/tokens/oauth"
)

// otherExtensions are worth promising where a server has them.
var otherExtensions = []string{
	"SIZE", "8BITMIME", "PIPELINING", "CHUNKING", "BINARYMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "DELIVERBY", "REQUIRETLS",
}

// extensions compares what mail programs are promised before a login with what
// the provider keeps. A program that relies on a promise has its mail refused.
func (p *place) extensions(ctx context.Context, e oauth.Endpoint) finding {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	conn, err := open(ctx, p.provider, "smtp", e)
	if err != nil {
		return tlsFailure(err, p.provider.Name, e.Host, fmt.Sprintf("%s port %d", e.Host, e.Port))
	}
	client := smtp.NewClient(conn)
	defer client.Close()
	client.CommandTimeout = loginTime
	if err := client.Hello(p.introduction()); err != nil {
		return failed("wait and try again; if it stays, see whether the address in the configuration is an SMTP server's",
			"EHLO at %s: %s", e.Host, secrets(nil).said(timely(ctx, err).Error()))
	}
	return compare(p.provider, client.Extension)
}

func (r *run) introduction() string {
	if r.Hostname == "" {
		return "localhost"
	}
	return r.Hostname
}

// compare holds a profile against what a server has.
func compare(p *oauth.Provider, has func(string) (bool, string)) finding {
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
		case keyword == "SIZE" && greater(value, theirs):
			broken = append(broken, fmt.Sprintf("SIZE %s is promised, and the server takes %s", value, secrets(nil).said(theirs)))
		}
	}
	for _, keyword := range otherExtensions {
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
	words := "all that is promised to programs is kept"
	if len(more) > 0 {
		words += "; the server also has " + strings.Join(more, ", ")
	}
	return fine("%s", words)
}

// greater compares two values of SIZE. None, or 0, means no fixed limit (RFC
// 1870 §3).
func greater(a, b string) bool {
	size := func(text string) uint64 {
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 63)
		if err != nil {
			n = 0
		}
		return n - 1 // no limit wraps to the greatest
	}
	return size(a) > size(b)
}
