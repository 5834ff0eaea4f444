package importer

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"authferry/internal/address"
	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/tokens/oauth"
)

// emailProxyFile is what email-oauth2-proxy knew: its accounts, the domains whose every
// mailbox it opened, and its listeners.
type emailProxyFile struct {
	Accounts []Account
	Domains  []Domain
	Listen   []string // as URLs of the configuration
}

// Domain is a catch-all account: every mailbox of a domain.
type Domain struct {
	Name     string // empty: any
	Provider Provider
	Problem  string // as an account's
}

// proxySection holds the settings of the whole program.
const proxySection = "emailproxy"

// parseEmailProxy reads the configuration of email-oauth2-proxy, with its cache
// store (nil: the tokens are in the configuration). The grant of an
// account is encrypted with the password that its mail program sends; with another
// password, or none, the account has a Problem. If mailboxes are named, only those
// are read.
func parseEmailProxy(configuration, cache []byte, password secret.String, only ...string) (*emailProxyFile, error) {
	f, err := readINI(configuration)
	if err != nil {
		return nil, err
	}
	if cache != nil {
		c, err := readINI(cache)
		if err != nil {
			return nil, fmt.Errorf("its cache store: %w", err)
		}
		overlay(f, c)
	}
	r := &proxyReader{ini: f, password: password, catchAll: f.flag("allow_catch_all_accounts", proxySection), servers: readServers(f)}
	found := &emailProxyFile{Listen: readListeners(f)}
	for _, name := range f.names {
		local, domain, isAccount := address.Split(name)
		wanted := len(only) == 0 || slices.ContainsFunc(only, func(s string) bool { return strings.EqualFold(s, name) })
		switch {
		case !isAccount || !wanted:
		case local != "":
			if a := r.account(name); a.Problem != exampleLeft { // the file ships with a dozen examples
				found.Accounts = append(found.Accounts, a)
			}
		case r.catchAll:
			if p, problem := r.provider(name); problem != exampleLeft {
				found.Domains = append(found.Domains, Domain{strings.ToLower(domain), p, problem})
			}
		}
	}
	switch {
	case len(found.Accounts)+len(found.Domains) > 0:
	case len(only) > 0:
		return nil, fmt.Errorf("the file has no account in use for %s", strings.Join(only, " or "))
	default:
		return nil, errors.New("the file has no accounts in use (sections named after a mail address): is it the configuration of email-oauth2-proxy (emailproxy.config)?")
	}
	return found, nil
}

// cached are the keys that a cache store holds.
var cached = []string{"refresh_token", "token_salt", "token_iterations", "client_secret_encrypted"}

// overlay replaces values of a configuration with those of a cache store.
func overlay(f, c *ini) {
	for _, name := range c.names {
		if !strings.Contains(name, "@") {
			continue
		}
		if f.sections[name] == nil {
			f.sections[name] = map[string]string{}
			f.names = append(f.names, name)
		}
		for _, key := range cached {
			if v, ok := c.sections[name][key]; ok {
				f.sections[name][key] = v
			}
		}
	}
}

type proxyReader struct {
	*ini
	password secret.String
	catchAll bool
	servers  []server
}

// chain returns the sections that hold the values of an account, first match first.
func (r *proxyReader) chain(name string) []string {
	if !r.catchAll {
		return []string{name}
	}
	return []string{name, name[strings.LastIndexByte(name, '@'):], "@"}
}

func (r *proxyReader) account(name string) Account {
	p, problem := r.provider(name)
	a := Account{Mailbox: name, Provider: p, Problem: problem}
	if problem != "" || !p.Flow.NeedsPerson() {
		return a
	}
	locked := r.sections[name]["refresh_token"]
	switch {
	case locked == "":
		a.Problem = "no one has signed in with the old program: authferry connect " + name
	case r.password.Empty():
		a.Problem = "its grant is encrypted with the password that its mail program sends: pipe that password in, with --password-stdin"
	default:
		refresh, err := r.open(name, name, locked)
		if err == nil {
			err = checkToken(refresh)
		}
		if err != nil {
			a.Problem = problemOf(err, name)
		} else {
			a.Refresh = refresh
		}
	}
	return a
}

func problemOf(err error, name string) string {
	if errors.Is(err, errFernet) {
		return fmt.Sprintf("its grant cannot be decrypted with this password: pipe in the one that its mail program sends, with --password-stdin --mailbox %s; or authferry connect %s", name, name)
	}
	return fmt.Sprintf("its grant cannot be decrypted: %v; authferry connect %s instead", err, name)
}

// open decrypts a value of a section for an account, whose salt may be its own
// or come from a catch-all section.
func (r *proxyReader) open(name, section, value string) (secret.String, error) {
	err := errFernet
	var tried []lock
	for _, chain := range [][]string{r.chain(name), {section}} {
		l := lock{salt: r.get("token_salt", chain...), iterations: oldIterations}
		if text := r.get("token_iterations", chain...); text != "" {
			l.iterations, _ = strconv.Atoi(text)
		}
		if slices.Contains(tried, l) {
			continue
		}
		tried = append(tried, l)
		var opened secret.String
		if opened, err = l.open(r.password, value); err == nil {
			return opened, nil
		}
	}
	return "", err
}

// provider reads the provider of an account, or the reason why it cannot be used.
func (r *proxyReader) provider(name string) (p Provider, problem string) {
	get := func(key string) string { return r.get(key, r.chain(name)...) }
	p = Provider{
		AuthURL: get("permission_url"), TokenURL: get("token_url"),
		Scopes:   strings.Fields(get("oauth2_scope")),
		ClientID: get("client_id"), ClientSecret: secret.String(get("client_secret")),
	}
	if isExample(p.ClientID) || isExample(p.ClientSecret.Reveal()) {
		return p, exampleLeft
	}
	if p.TokenURL == "" || p.ClientID == "" {
		return p, "it lacks token_url or client_id: add its provider to the configuration, then run authferry connect " + name
	}
	if u := get("redirect_uri"); strings.HasPrefix(u, "http://localhost") {
		p.RedirectHost = "localhost"
	}
	switch flow := get("oauth2_flow"); flow {
	case "", "authorization_code":
	case "device":
		p.Flow, p.DeviceURL, p.AuthURL = oauth.FlowDeviceCode, p.AuthURL, ""
	case "client_credentials":
		p.Flow, p.AuthURL = oauth.FlowClientCredentials, ""
	case "service_account":
		p.Flow, p.AuthURL = oauth.FlowServiceAccount, ""
		readServiceAccount(&p)
	case "password":
		return p, "it signs in with the mailbox's own password (oauth2_flow = password), which providers are abolishing: authferry connect " + name + " uses the consent page instead"
	default:
		return p, fmt.Sprintf("its oauth2_flow %s is unknown: authferry connect %s", printable.Quote(flow), name)
	}
	if p.ClientSecret.Empty() {
		p.CertificateFile, p.CertificateKeyFile = get("jwt_certificate_path"), get("jwt_key_path")
	}
	if locked := get("client_secret_encrypted"); p.ClientSecret.Empty() && locked != "" {
		if problem = r.openClientSecret(name, locked, &p); problem != "" {
			return p, problem
		}
	}
	setServers(&p, r.servers)
	p.settle()
	return p, ""
}

func (r *proxyReader) openClientSecret(name, locked string, p *Provider) (problem string) {
	if r.password.Empty() {
		return "its client_secret is encrypted with the password that its mail program sends: pipe that password in, with --password-stdin"
	}
	for _, section := range r.chain(name) {
		if r.sections[section]["client_secret_encrypted"] != locked {
			continue
		}
		secret, err := r.open(name, section, locked)
		if err != nil {
			return problemOf(err, name)
		}
		p.ClientSecret = secret
	}
	return ""
}

// readServiceAccount moves the key, or the path of its file, out of the client's
// secret, where the flow service_account has it.
func readServiceAccount(p *Provider) {
	if p.ClientID == "file" {
		p.ServiceAccountFile = p.ClientSecret.Reveal()
	} else {
		p.ServiceAccountKey = p.ClientSecret
	}
	p.ClientID, p.ClientSecret = "", ""
}

const exampleLeft = "it still has the client of the example, so it was never in use"

func isExample(value string) bool { return strings.Contains(value, "*** your") }
