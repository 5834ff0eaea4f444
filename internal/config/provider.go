package config

import (
	"crypto/x509"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"authferry/internal/address"
	"authferry/internal/config/document"
	"authferry/internal/hint"
	"authferry/tokens/oauth"
)

// readProviders reads the [provider.NAME] tables. A provider known without
// configuration is only usable once it has a client of one's own, so without a
// table it is left out.
func readProviders(t *document.Table) map[string]*oauth.Provider {
	r := &profiles{tables: t, begun: map[string]bool{}, ended: map[string]bool{}, read: map[string]*profile{}}
	providers := map[string]*oauth.Provider{}
	for _, name := range t.Keys() {
		if p := r.profile(name); p != nil {
			providers[name] = p.Provider
		}
	}
	return providers
}

// profile is a provider, with what another table laid over it must know.
type profile struct {
	*oauth.Provider
	family string // the built-in provider it began as, if it did
	tenant string // as it stands in Microsoft's addresses
}

// profiles are the tables being read, each after the one it is like.
type profiles struct {
	tables *document.Table
	begun  map[string]bool
	ended  map[string]bool
	read   map[string]*profile
}

// profile returns the provider of a table, nil if it comes to none.
func (r *profiles) profile(name string) *profile {
	if r.begun[name] {
		return r.read[name]
	}
	r.begun[name] = true
	defer func() { r.ended[name] = true }()
	t := r.tables.Table(name)
	p := r.start(name, t)
	if p == nil {
		return nil
	}
	p.Name = name
	readProvider(t, p)
	r.read[name] = p
	return p
}

// start returns what a table is laid over: a copy of what it is like.
func (r *profiles) start(name string, t *document.Table) *profile {
	builtin := oauth.Builtin()
	like := t.Text("like", "")
	configured := r.tables.Written(like) != nil
	switch {
	case like == "":
		return r.startAlone(name, t)
	case builtin[name] != nil || like == name:
		t.Complain("like", name+" begins as itself", fmt.Sprintf("give the table another name, such as [provider.%s-2]", name))
	case configured && r.begun[like] && !r.ended[like]:
		t.Complain("like", "like leads back to this provider", "let one of them begin with gmail, microsoft or nothing")
	case configured:
		if base := r.profile(like); base != nil { // else complained about
			same := *base.Provider
			return &profile{&same, base.family, base.tenant}
		}
	case builtin[like] != nil:
		return &profile{builtin[like], like, commonTenant}
	default:
		names := slices.AppendSeq(r.tables.Keys(), maps.Keys(builtin))
		advice := "built in are " + strings.Join(slices.Sorted(maps.Keys(builtin)), " and ")
		if n := hint.Suggest(like, names); n != "" && n != name {
			advice = fmt.Sprintf("did you mean %s?", n)
		}
		t.Complain("like", fmt.Sprintf("there is no provider %q to begin with", like), advice)
	}
	return nil
}

// startAlone is the start of a table that is like no other.
func (r *profiles) startAlone(name string, t *document.Table) *profile {
	builtin := oauth.Builtin()
	if p := builtin[name]; p != nil {
		return &profile{p, name, commonTenant}
	}
	meant := hint.Suggest(name, slices.Sorted(maps.Keys(builtin)))
	if meant != "" && !t.Has("auth_url") && !t.Has("token_url") && !t.Has("token_command") {
		r.tables.Complain(name, "not a provider known here", fmt.Sprintf("did you mean %s?", meant))
		return nil
	}
	p := &oauth.Provider{RedirectHost: "127.0.0.1", Mechanism: "XOAUTH2", RefreshAhead: oauth.DefaultRefreshAhead}
	return &profile{p, "", commonTenant}
}

// readProvider lays a table over what is known of a provider.
func readProvider(t *document.Table, p *profile) {
	readFlow(t, p.Provider)
	readClient(t, p.Provider)
	readProof(t, p.Provider)
	readAddresses(t, p)
	readScopes(t, p)
	p.AuthParams = readAuthParams(t.TextsByName("auth_params"), p.AuthParams)
	p.RedirectHost = t.Text("redirect_host", p.RedirectHost)
	if ip, _ := netip.ParseAddr(p.RedirectHost); p.RedirectHost != "localhost" && !ip.IsLoopback() {
		t.Complain("redirect_host", "must be this machine", `"127.0.0.1", "::1" or "localhost"`)
	}
	p.Mechanism = strings.ToUpper(t.Text("mechanism", p.Mechanism))
	if p.Mechanism != "XOAUTH2" && p.Mechanism != "OAUTHBEARER" {
		t.Complain("mechanism", "unknown mechanism", "xoauth2 or oauthbearer")
	}
	p.IMAP = readEndpoint(t, "imap", p.IMAP)
	p.POP3 = readEndpoint(t, "pop3", p.POP3)
	p.SMTP = readEndpoint(t, "smtp", p.SMTP)
	p.IMAPInitialResponse = t.Flag("imap_initial_response", p.IMAPInitialResponse)
	p.POP3TwoLine = t.Flag("pop3_two_line", p.POP3TwoLine)
	if extensions := t.Texts("smtp_extensions"); extensions != nil {
		p.SMTPExtensions = extensions
	}
	p.RefreshAhead = readShare(t, "refresh_ahead", p.RefreshAhead)
	p.KeepAlive = t.Duration("keep_alive", p.KeepAlive)
	p.Timeout = t.Duration("timeout", p.Timeout)
	p.Proxy = readProxy(t, "proxy", p.Proxy)
	if pool := readAuthorities(t, "ca_file"); pool != nil {
		p.RootCAs = pool
	}
	t.Done()
	readEnough(t, p.Provider)
}

// readOAuthURL reads an address of the provider's OAuth service. Without TLS
// it would hand the grant to anyone on the way, so http is for this machine only.
func readOAuthURL(t *document.Table, key, otherwise string) string {
	text := t.Text(key, otherwise)
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		t.Complain(key, "must be an address", `such as "https://accounts.example.org/token"`)
		return otherwise
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || ip.IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && local) {
		t.Complain(key, "must begin with https://", "http:// is accepted towards this machine only")
	}
	return text
}

func readAuthParams(t *document.Table, otherwise map[string]string) map[string]string {
	if t.Empty() {
		return otherwise
	}
	params := maps.Clone(otherwise)
	if params == nil {
		params = map[string]string{}
	}
	for _, key := range t.Keys() {
		params[key] = t.Text(key, "")
	}
	return params
}

// readEndpoint reads a mail server's URL, whose scheme says how TLS starts:
// imaps from the first byte, imap by STARTTLS. There is no third way.
func readEndpoint(t *document.Table, protocol string, otherwise oauth.Endpoint) oauth.Endpoint {
	if !t.Has(protocol) {
		return otherwise
	}
	text := t.Text(protocol, "")
	if text == "" {
		return oauth.Endpoint{}
	}
	e := oauth.Endpoint{}
	u, err := url.Parse(text)
	if err == nil {
		e = oauth.Endpoint{Host: u.Hostname(), Port: mailPorts[u.Scheme], StartTLS: u.Scheme == protocol}
	}
	if p := e.Port; p != 0 && u.Port() != "" {
		e.Port, err = strconv.Atoi(u.Port())
	}
	if err != nil || e.Host == "" || e.Port < 1 || e.Port > 65535 || strings.TrimSuffix(u.Scheme, "s") != protocol ||
		u.User != nil || strings.Trim(u.Path, "/") != "" {
		t.Complain(protocol, "must be a mail server's address",
			fmt.Sprintf(`"%ss://HOST:%d" has TLS from the first byte, "%s://HOST:%d" has STARTTLS`, protocol, mailPorts[protocol+"s"], protocol, mailPorts[protocol]))
	}
	return e
}

// readShare reads a share of an access token's life.
func readShare(t *document.Table, key string, otherwise float64) float64 {
	v, ok := t.Get(key)
	if !ok {
		return otherwise
	}
	share := -1.0
	if g, ok := v.(document.EnvText); ok {
		v, _ = g.AsTOML()
	}
	switch v := v.(type) {
	case float64:
		share = v
	case int64:
		share = float64(v)
	}
	if !(share >= 0.05 && share <= 0.95) {
		t.Complain(key, "must be the share of an access token's life, from 0.05 to 0.95", "0.75 of an hour is 45 minutes")
		return otherwise
	}
	return share
}

// readAuthorities reads a private authority, which is trusted beside the
// system's: a private mail server may well have its tokens from a public one.
func readAuthorities(t *document.Table, key string) *x509.CertPool {
	path := t.File(key)
	if path == "" {
		return nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		t.Complain(key, err.Error(), "")
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		t.Complain(key, path+" holds no certificate", "expected PEM, beginning with -----BEGIN CERTIFICATE-----")
	}
	return pool
}

// readProxy reads what calls to the provider go through. The address may hold
// a password, so no complaint repeats it.
func readProxy(t *document.Table, key string, otherwise *url.URL) *url.URL {
	if !t.Has(key) {
		return otherwise
	}
	text := t.Text(key, "")
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme) ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		t.Complain(key, "must be the address of an HTTP or SOCKS proxy", `such as "http://proxy.example.org:3128" or "socks5://127.0.0.1:1080"`)
		return otherwise
	}
	return u
}

// readDomains reads the [domain.NAME] tables: whose mailboxes a provider opens
// without their owners.
func readDomains(t *document.Table, providers map[string]*oauth.Provider, tables *document.Table) map[string]string {
	domains := map[string]string{}
	for _, name := range t.Keys() {
		table := t.Table(name)
		provider := table.Text("provider", "")
		table.Done()
		domain := address.FoldDomain(name)
		switch p := providers[provider]; {
		case !address.IsDomain(domain):
			t.Complain(name, "must be a mail domain", `such as [domain."example.com"], in quotes for its dots`)
		case domains[domain] != "":
			t.Complain(name, "is given twice, in upper and lower case", "keep one of them")
		case provider == "":
			if !table.Has("provider") {
				table.Complain("provider", "missing", "name the [provider.NAME] that opens the mailboxes of the domain")
			} else {
				table.Complain("provider", "names no provider", "")
			}
		case p == nil && tables.Written(provider) != nil: // and complained about
		case p == nil:
			table.Complain("provider", fmt.Sprintf("no provider %q", provider), knownProviders(provider, providers))
		case p.Flow.NeedsPerson():
			table.Complain("provider", fmt.Sprintf("the flow of %s is %s, where each owner signs in, so a domain cannot be enrolled by it", provider, FlowName(p.Flow)),
				"name one with the flow service_account, client_credentials or token_command, or connect the mailboxes one by one")
		default:
			for _, form := range address.DomainForms(domain) {
				domains[form] = provider
			}
		}
	}
	return domains
}

func knownProviders(name string, providers map[string]*oauth.Provider) string {
	known := slices.Sorted(maps.Keys(providers))
	if n := hint.Suggest(name, known); n != "" {
		return fmt.Sprintf("did you mean %s?", n)
	}
	if len(known) == 0 {
		return fmt.Sprintf("add a table [provider.%s]", name)
	}
	return "there are " + strings.Join(known, ", ")
}
