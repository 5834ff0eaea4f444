package main

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"authferry/tokens"
)

// readProviders reads the [provider.NAME] tables. A provider known without
// configuration is only usable once it has a client of one's own, so without a
// table it is left out.
func readProviders(t *table) map[string]*tokens.Provider {
	builtin := tokens.Builtin()
	providers := map[string]*tokens.Provider{}
	for _, name := range t.keys() {
		table := t.table(name)
		p, known := builtin[name]
		if !known {
			p = &tokens.Provider{RedirectHost: "127.0.0.1", Mechanism: "XOAUTH2", RefreshAhead: tokens.DefaultRefreshAhead}
		}
		meant := nearest(name, slices.Sorted(maps.Keys(builtin)))
		if !known && meant != "" && !table.has("auth_url") && !table.has("token_url") {
			t.complain(name, "not a provider known here", fmt.Sprintf("did you mean %s?", meant))
			continue
		}
		p.Name = name
		readProvider(table, p)
		providers[name] = p
	}
	return providers
}

// readProvider lays a table over what is known of a provider.
func readProvider(t *table, p *tokens.Provider) {
	readClient(t, p)
	if t.text("auth_url", "") != "" {
		p.Issuer = "" // that of another consent page
	}
	p.Issuer = t.text("issuer", p.Issuer)
	p.AuthURL = readOAuthURL(t, "auth_url", p.AuthURL)
	if t.text("token_url", "") != "" {
		p.RevokeURL, p.UserInfoURL = "", "" // tokens of one service are not another's to see
	}
	p.TokenURL = readOAuthURL(t, "token_url", p.TokenURL)
	p.RevokeURL = readOAuthURL(t, "revoke_url", p.RevokeURL)
	if scopes := t.texts("scopes"); scopes != nil {
		p.Scopes = scopes
	}
	p.AuthParams = readAuthParams(t.table("auth_params"), p.AuthParams)
	p.RedirectHost = t.text("redirect_host", p.RedirectHost)
	if ip, _ := netip.ParseAddr(p.RedirectHost); p.RedirectHost != "localhost" && !ip.IsLoopback() {
		t.complain("redirect_host", "must be this machine", `"127.0.0.1", "::1" or "localhost"`)
	}
	p.Mechanism = strings.ToUpper(t.text("mechanism", p.Mechanism))
	if p.Mechanism != "XOAUTH2" && p.Mechanism != "OAUTHBEARER" {
		t.complain("mechanism", "unknown mechanism", "xoauth2 or oauthbearer")
	}
	p.IMAP = readEndpoint(t, "imap", p.IMAP)
	p.POP3 = readEndpoint(t, "pop3", p.POP3)
	p.SMTP = readEndpoint(t, "smtp", p.SMTP)
	p.IMAPInitialResponse = t.flag("imap_initial_response", p.IMAPInitialResponse)
	p.POP3TwoLine = t.flag("pop3_two_line", p.POP3TwoLine)
	if extensions := t.texts("smtp_extensions"); extensions != nil {
		p.SMTPExtensions = extensions
	}
	p.RefreshAhead = readShare(t, "refresh_ahead", p.RefreshAhead)
	p.RootCAs = readAuthorities(t, "ca_file")
	t.done()
	readEnough(t, p)
}

// readEnough complains about what a provider cannot do without.
func readEnough(t *table, p *tokens.Provider) {
	if p.ClientID == "" && t.text("client_file", "") == "" {
		t.complain("client_id", "missing", "make an OAuth client at the provider, and name it here or by client_file")
	}
	for key, value := range map[string]string{"auth_url": p.AuthURL, "token_url": p.TokenURL} {
		if value == "" && !t.has(key) {
			t.complain(key, "missing", "see the provider's page on OAuth for its address")
		}
	}
	if p.IMAP.Host+p.POP3.Host+p.SMTP.Host == "" && !t.has("imap") && !t.has("pop3") && !t.has("smtp") {
		t.complain("imap", "no mail server named", `at least one of imap, pop3 and smtp, such as "imaps://imap.example.org"`)
	}
}

// readClient reads the OAuth client, spelled out or in the file that Google's
// console offers for download.
func readClient(t *table, p *tokens.Provider) {
	if path := t.file("client_file"); path != "" {
		if t.text("client_id", "")+t.text("client_secret", "")+t.text("client_secret_file", "") != "" {
			t.complain("client_file", "names the client a second time", "keep client_file, or client_id and client_secret")
		}
		if err := readClientFile(path, p); err != nil {
			t.complain("client_file", err.Error(), "expected the JSON that Google's console offers as client_secret_....json")
		}
	}
	if id := t.text("client_id", ""); id != "" {
		p.ClientID = id
	}
	secret := tokens.Secret(t.text("client_secret", ""))
	if !secret.Empty() {
		p.ClientSecret = secret
	}
	if path := t.file("client_secret_file"); path != "" {
		if !secret.Empty() {
			t.complain("client_secret_file", "names the secret a second time", "keep one of client_secret and client_secret_file")
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.complain("client_secret_file", err.Error(), "")
		}
		p.ClientSecret = tokens.Secret(strings.TrimRight(string(content), "\r\n"))
	}
}

// readClientFile takes a client from Google's client_secret_*.json, as it is.
func readClientFile(path string, p *tokens.Provider) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	type client struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
		Auth   string `json:"auth_uri"`
		Token  string `json:"token_uri"`
	}
	var file struct{ Installed, Web *client }
	if err := json.Unmarshal(content, &file); err != nil {
		return fmt.Errorf("%s is not JSON", path) // the error may quote the content
	}
	c := file.Installed
	if c == nil {
		c = file.Web
	}
	if c == nil || c.ID == "" {
		return fmt.Errorf("%s has no OAuth client in it", path)
	}
	p.ClientID, p.ClientSecret = c.ID, tokens.Secret(c.Secret)
	if p.AuthURL == "" && p.TokenURL == "" { // what is known of gmail is newer than such files
		p.AuthURL, p.TokenURL = c.Auth, c.Token
	}
	return nil
}

// readOAuthURL reads an address of the provider's OAuth service. Without TLS
// it would hand the grant to anyone on the way, so http is for this machine only.
func readOAuthURL(t *table, key, otherwise string) string {
	text := t.text(key, otherwise)
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		t.complain(key, "must be an address", `such as "https://accounts.example.org/token"`)
		return otherwise
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || ip.IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && local) {
		t.complain(key, "must begin with https://", "http:// is accepted towards this machine only")
	}
	return text
}

func readAuthParams(t *table, otherwise map[string]string) map[string]string {
	if len(t.values) == 0 {
		return otherwise
	}
	params := maps.Clone(otherwise)
	if params == nil {
		params = map[string]string{}
	}
	for _, key := range t.keys() {
		params[key] = t.text(key, "")
	}
	return params
}

// readEndpoint reads a mail server's URL, whose scheme says how TLS starts:
// imaps from the first byte, imap by STARTTLS. There is no third way.
func readEndpoint(t *table, protocol string, otherwise tokens.Endpoint) tokens.Endpoint {
	if !t.has(protocol) {
		return otherwise
	}
	text := t.text(protocol, "")
	if text == "" {
		return tokens.Endpoint{}
	}
	e := tokens.Endpoint{}
	u, err := url.Parse(text)
	if err == nil {
		e = tokens.Endpoint{Host: u.Hostname(), Port: mailPorts[u.Scheme], StartTLS: u.Scheme == protocol}
	}
	if p := e.Port; p != 0 && u.Port() != "" {
		e.Port, err = strconv.Atoi(u.Port())
	}
	if err != nil || e.Host == "" || e.Port < 1 || e.Port > 65535 || strings.TrimSuffix(u.Scheme, "s") != protocol ||
		u.User != nil || strings.Trim(u.Path, "/") != "" {
		t.complain(protocol, "must be a mail server's address",
			fmt.Sprintf(`"%ss://HOST:%d" has TLS from the first byte, "%s://HOST:%d" has STARTTLS`, protocol, mailPorts[protocol+"s"], protocol, mailPorts[protocol]))
	}
	return e
}

// readShare reads a share of an access token's life.
func readShare(t *table, key string, otherwise float64) float64 {
	v, ok := t.get(key)
	if !ok {
		return otherwise
	}
	share := -1.0
	switch v := v.(type) {
	case float64:
		share = v
	case int64:
		share = float64(v)
	}
	if !(share >= 0.05 && share <= 0.95) {
		t.complain(key, "must be the share of an access token's life, from 0.05 to 0.95", "0.75 of an hour is 45 minutes")
		return otherwise
	}
	return share
}

// readAuthorities reads a private authority, which is trusted beside the
// system's: a private mail server may well have its tokens from a public one.
func readAuthorities(t *table, key string) *x509.CertPool {
	path := t.file(key)
	if path == "" {
		return nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		t.complain(key, err.Error(), "")
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		t.complain(key, path+" holds no certificate", "expected PEM, beginning with -----BEGIN CERTIFICATE-----")
	}
	return pool
}
