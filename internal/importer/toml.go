package importer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"authferry/tokens/oauth"
)

// entry is a provider to add to the configuration.
type entry struct {
	Name     string // of its table
	Like     string // the built-in provider that it extends, if it cannot have that name
	Provider Provider
	// SecretFile holds the client's secret, KeyFile a service account's key.
	// Without a SecretFile the secret is in the table; a key cannot be.
	SecretFile, KeyFile string
}

// toml returns the table of a provider, as a person would write it: only what
// differs from the built-in provider.
func (e entry) toml() string {
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
		b.WriteString("#service_account_file = \"\"   # the key is in the old configuration: put it into a file, and name the file here\n")
	}
	text("certificate_file", p.CertificateFile)
	text("certificate_key_file", p.CertificateKeyFile)
	text("auth_url", p.AuthURL)
	text("device_url", p.DeviceURL)
	text("token_url", p.TokenURL)
	writeServers(&b, &p, text)
	return b.String()
}

// writeServers writes the scopes and, of a provider that is not built in, the servers.
func writeServers(b *strings.Builder, p *Provider, text func(key, value string)) {
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
		b.WriteString("#imap = \"imaps://imap.example.org:993\"   # the old program does not say which server belongs to this provider\n")
	}
}

func sameScopes(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// toml returns the table of a domain whose provider opens every mailbox of it;
// empty where the owners sign in, because the domain needs no table then.
func (d Domain) toml(provider string) string {
	if d.Provider.Flow.NeedsPerson() || d.Name == "" || d.Problem != "" {
		return ""
	}
	return fmt.Sprintf("[domain.%s]\nprovider = %s\n", quoteTOML(d.Name), quoteTOML(provider))
}

// listenTOML returns the listeners of the old program, as a commented key.
func (e *emailProxyFile) listenTOML() string {
	if len(e.Listen) == 0 {
		return ""
	}
	unique := map[string]bool{}
	for _, l := range e.Listen {
		unique[quoteTOML(l)] = true
	}
	return fmt.Sprintf("# To keep the addresses that mail programs use, stop email-oauth2-proxy and\n# replace the key listen with:\n#listen = [%s]\n",
		strings.Join(slices.Sorted(maps.Keys(unique)), ", "))
}

// quoteTOML writes a basic string. JSON strings are the same, except for DEL.
func quoteTOML(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // strings can always be encoded
	}
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\x7f", `\u007f`)
}
