package importer

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"authferry/tokens/oauth"
)

// Entry is a provider on its way into the configuration.
type Entry struct {
	Name     string // of its table
	Like     string // the provider that is built in which it begins with, where it cannot have its name
	Provider Provider
	// SecretFile is where the client's secret has been put, KeyFile where a
	// service account's key has. Without them the secret is in the table
	// itself, and a key has nowhere to be.
	SecretFile, KeyFile string
}

// Name finds a name for a provider's table that is not taken.
func (p *Provider) Name(taken func(string) bool) (name, like string) {
	builtin := oauth.Builtin()
	if p.Family != "" {
		if !taken(p.Family) {
			return p.Family, ""
		}
		like = p.Family
	}
	base := like
	if base == "" {
		base = plainName(p.TokenURL)
	}
	for n, name := 1, base; ; n, name = n+1, fmt.Sprintf("%s-%d", base, n+1) {
		if !taken(name) && builtin[name] == nil {
			return name, like
		}
	}
}

// plainName makes a table's name of an address: "fastmail" of
// https://api.fastmail.com/oauth/refresh.
func plainName(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "imported"
	}
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err != nil {
		host, _, _ = strings.Cut(domainOf(host), ".")
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	if name = strings.Trim(name, "-"); name == "" {
		return "imported"
	}
	return name
}

// TOML is the table of a provider, as a person would write it: only what
// differs from what is built in.
func (e Entry) TOML() string {
	var b strings.Builder
	p := e.Provider
	text := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s = %s\n", key, quoteTOML(value))
		}
	}
	fmt.Fprintf(&b, "[provider.%s]\n", e.Name)
	text("like", e.Like)
	if p.Flow != oauth.FlowConsent {
		text("flow", string(p.Flow))
	}
	text("client_id", p.ClientID)
	if e.SecretFile != "" {
		text("client_secret_file", e.SecretFile)
	} else {
		text("client_secret", p.ClientSecret.Reveal())
	}
	switch {
	case e.KeyFile != "":
		text("service_account_file", e.KeyFile)
	case p.ServiceAccountFile != "":
		text("service_account_file", p.ServiceAccountFile)
	case !p.ServiceAccountKey.Empty():
		b.WriteString("#service_account_file = \"\"   # the key is in the old configuration: put it into a file and name that\n")
	}
	text("certificate_file", p.CertificateFile)
	text("certificate_key_file", p.CertificateKeyFile)
	text("auth_url", p.AuthURL)
	text("device_url", p.DeviceURL)
	text("token_url", p.TokenURL)
	p.writeRest(&b, text)
	return b.String()
}

func (p *Provider) writeRest(b *strings.Builder, text func(key, value string)) {
	builtin := oauth.Builtin()[p.Family]
	if len(p.Scopes) > 0 && (builtin == nil || !sameScopes(p.Scopes, builtin.Scopes)) {
		quoted := make([]string, len(p.Scopes))
		for i, s := range p.Scopes {
			quoted[i] = quoteTOML(s)
		}
		fmt.Fprintf(b, "scopes = [%s]\n", strings.Join(quoted, ", "))
	}
	if builtin != nil {
		return
	}
	text("redirect_host", p.RedirectHost)
	text("imap", p.IMAP)
	text("pop3", p.POP3)
	text("smtp", p.SMTP)
	if p.IMAP+p.POP3+p.SMTP == "" {
		b.WriteString("#imap = \"imaps://imap.example.org:993\"   # the old program did not say which server is this provider's\n")
	}
}

func sameScopes(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// TOML is the table of a domain whose provider opens every mailbox of it;
// empty where the owners sign in, since then there is nothing to say.
func (d Domain) TOML(provider string) string {
	if d.Provider.Flow.NeedsPerson() || d.Name == "" || d.Problem != "" {
		return ""
	}
	return fmt.Sprintf("[domain.%s]\nprovider = %s\n", quoteTOML(d.Name), quoteTOML(provider))
}

// ListenTOML is where the old program listened, as a suggestion.
func (e *EmailProxy) ListenTOML() string {
	if len(e.Listen) == 0 {
		return ""
	}
	unique := map[string]bool{}
	for _, l := range e.Listen {
		unique[quoteTOML(l)] = true
	}
	return fmt.Sprintf("# Mail programs find authferry where they found email-oauth2-proxy, if that is\n# stopped and this is what the configuration says:\n#listen = [%s]\n",
		strings.Join(slices.Sorted(maps.Keys(unique)), ", "))
}

// quoteTOML writes a basic string. JSON's are the same, but for DEL.
func quoteTOML(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // strings can always be encoded
	}
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\x7f", `\u007f`)
}
