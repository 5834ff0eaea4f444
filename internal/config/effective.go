package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.uber.org/zap"

	"authferry/tokens/oauth"
)

// derived are the keys that Effective shows as they were resolved, and those that
// name mailboxes.
var derived = []string{"listen", "listener", "store", "seal", "admin", "monitor", "hostname", "provider", "domain", "alias"}

// Effective returns the configuration in force, for the log: the keys as the
// console shows them (see [Config.Keys]), a field for each table, and the values
// that were resolved from several keys or from the system. Secrets are masked.
func (c *Config) Effective() []zap.Field {
	var listen, providers []string
	for _, l := range c.Listen {
		listen = append(listen, l.Written+l.Options.String())
	}
	for _, name := range slices.Sorted(maps.Keys(c.Settings.Providers)) {
		providers = append(providers, describeProvider(c.Settings.Providers[name]))
	}
	fields := []zap.Field{
		zap.String("file", c.File),
		zap.Strings("listen", listen),
		zap.String("store", c.StorePlace()),
		zap.String("seal", cmp.Or(c.Seal, "in the store")),
		zap.String("admin", c.Admin),
		zap.String("monitor", c.Monitor),
		zap.String("hostname", c.Hostname),
		zap.Strings("providers", providers),
		zap.Strings("domains", slices.Sorted(maps.Keys(c.Settings.Domains))),
		zap.Int("aliases", len(c.Settings.Aliases)),
	}
	tables := map[string][]string{}
	for _, key := range c.Keys {
		table, name, within := strings.Cut(key.Key, ".")
		table, _, _ = strings.Cut(table, "[")
		switch {
		case slices.Contains(derived, table):
		case within:
			tables[table] = append(tables[table], name+" = "+key.Value)
		default:
			fields = append(fields, zap.String(table, strings.Trim(key.Value, `"`)))
		}
	}
	for _, table := range slices.Sorted(maps.Keys(tables)) {
		fields = append(fields, zap.String(table, strings.Join(tables[table], ", ")))
	}
	return fields
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
