package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"authferry/internal/config/document"
)

// consoleConfig is the address of the web console, and how people reach it.
type consoleConfig struct {
	Written string // as in the configuration; empty: there is none
	Address string // host:port for net.Listen
	TLS     bool
	Access  consoleAccess
}

// consoleAccess is the part that can change while serving.
type consoleAccess struct {
	publicURL      string // without a slash at its end; empty: as it listens
	Names          []string
	Header         string
	Trusted        []netip.Prefix
	Administrators []string
}

// consolePort is the default port of the console.
const consolePort = 8025

const consoleExample = `such as "http://127.0.0.1:8025" or "https://:8443"; "" is none`

// readConsole reads console and the table [web].
func readConsole(t *document.Table, hostname string) consoleConfig {
	c := consoleConfig{Written: t.Text("console", "")}
	c.Access = readWeb(t.Table("web"))
	c.Access.Names = []string{hostname}
	if c.Written == "" {
		return c
	}
	hint, err := c.parse()
	if err != nil {
		t.Complain("console", err.Error(), hint)
	}
	return c
}

// parse reads where the console listens. The hint says what to write instead.
func (c *consoleConfig) parse() (hint string, err error) {
	scheme, rest, found := strings.Cut(c.Written, "://")
	plain := scheme == "http" || scheme == "http+insecure"
	c.TLS = scheme == "https"
	if !found || !plain && !c.TLS {
		return consoleExample, errors.New("a console is reached over http:// or https://")
	}
	u, err := url.Parse("console://" + rest)
	if err != nil || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "what people see of it otherwise is public_url under [web]", errors.New("the URL of the console has an address and a port, and nothing else")
	}
	host, port, err := listenAddress(u, consolePort)
	if err != nil {
		return consoleExample, err
	}
	c.Address = net.JoinHostPort(host, strconv.Itoa(port))
	if a, err := netip.ParseAddr(host); scheme == "http" && (err != nil || !a.IsLoopback()) {
		return "use https://, or http+insecure:// behind a reverse proxy that has TLS", fmt.Errorf("passwords would cross the network in the clear at %s", c.Address)
	}
	return "", nil
}

// readWeb reads [web].
func readWeb(t *document.Table) (a consoleAccess) {
	defer t.Done()
	a.publicURL = strings.TrimRight(t.Text("public_url", ""), "/")
	if u, err := url.Parse(a.publicURL); a.publicURL != "" {
		switch {
		case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
			t.Complain("public_url", "must be an https:// address", `such as "https://mail.example.org"`)
		case u.Path != "":
			t.Complain("public_url", "the console cannot be below a path", `give it a name of its own, such as "https://mail.example.org"`)
		}
	}
	a.Header = t.Text("trusted_header", "")
	a.Trusted = readNetworks(t, "trusted_networks").Prefixes()
	a.Administrators = append(a.Administrators, t.Texts("administrators")...)
	switch {
	case a.Header != "" && strings.ContainsAny(a.Header, " :\t\r\n"):
		t.Complain("trusted_header", "is not the name of a header", `such as "X-Forwarded-User"`)
	case a.Header != "" && len(a.Trusted) == 0:
		t.Complain("trusted_header", "any client could send it", "name the addresses of your reverse proxy in trusted_networks")
	case a.Header == "" && len(a.Administrators) > 0:
		t.Complain("administrators", "are named by a reverse proxy, and there is no trusted_header", "give the header it names people in; without one, `authferry console link` lets administrators in")
	}
	return a
}

// URL returns the URL of the console; address is where it listens, with the
// port it got.
func (c consoleConfig) URL(address, hostname string) string {
	if c.Access.publicURL != "" {
		return c.Access.publicURL
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = hostname
	}
	scheme := "http"
	if c.TLS {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
