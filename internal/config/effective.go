package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.uber.org/zap"

	"authferry/tokens/oauth"
)

// effective is a configuration as it is in force, for the log: what was given
// and what was assumed, without the secrets.
func (c *Config) Effective() []zap.Field {
	var listen, providers []string
	for _, l := range c.Listen {
		listen = append(listen, l.Written+l.Options.String())
	}
	for _, name := range slices.Sorted(maps.Keys(c.Settings.Providers)) {
		providers = append(providers, describeProvider(c.Settings.Providers[name]))
	}
	certificate := c.TLS.Cert
	switch {
	case c.TLS.ACME.On:
		certificate = "from " + c.TLS.ACME.Directory + " for " + strings.Join(c.TLS.ACME.Hosts, ", ")
	case certificate == "":
		certificate = "our own"
	}
	seal := c.Seal
	if seal == "" {
		seal = "in the store"
	}
	return []zap.Field{
		zap.String("file", c.File),
		zap.Strings("listen", listen),
		zap.String("store", c.StorePlace()),
		zap.String("seal", seal),
		zap.String("admin", c.Admin),
		zap.String("monitor", c.Monitor),
		zap.String("hostname", c.Hostname),
		zap.String("console", c.Console.Written),
		zap.Duration("drain", c.Drain),
		zap.String("certificate", certificate),
		zap.Strings("providers", providers),
		zap.Strings("domains", slices.Sorted(maps.Keys(c.Settings.Domains))),
		zap.Int("aliases", len(c.Settings.Aliases)),
		zap.String("gate", fmt.Sprintf("%+v", c.Gate)),
		zap.String("limits", fmt.Sprintf("%+v", c.Limits)),
		zap.Stringer("level", c.Log.Level),
		zap.String("alert", fmt.Sprint(c.Alert)),
		zap.Int64("audit", c.Audit),
	}
}

func describeProvider(p *oauth.Provider) string {
	parts := []string{p.Name + ": " + describeProof(p), p.Mechanism}
	for _, e := range []struct {
		protocol string
		oauth.Endpoint
	}{{"imap", p.IMAP}, {"pop3", p.POP3}, {"smtp", p.SMTP}} {
		if e.Host == "" {
			continue
		}
		scheme := e.protocol + "s"
		if e.StartTLS {
			scheme = e.protocol
		}
		parts = append(parts, fmt.Sprintf("%s://%s:%d", scheme, e.Host, e.Port))
	}
	if p.RootCAs != nil {
		parts = append(parts, "private CA")
	}
	if p.Proxy != nil { // its user and password stay here
		parts = append(parts, "through "+p.Proxy.Scheme+"://"+p.Proxy.Host)
	}
	return strings.Join(parts, ", ")
}

// describeProof says what a provider is asked for tokens with, by name. The
// arguments of a command may hold a password.
func describeProof(p *oauth.Provider) string {
	switch p.Flow {
	case oauth.FlowServiceAccount:
		return "service account " + p.ServiceAccount.Email
	case oauth.FlowTokenCommand:
		return "command " + p.TokenCommand[0]
	case oauth.FlowClientCredentials:
		return "application " + p.ClientID
	}
	return "client " + p.ClientID
}
