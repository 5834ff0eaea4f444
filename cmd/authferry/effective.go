package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.uber.org/zap"

	"authferry/tokens"
)

// effective is a configuration as it is in force, for the log: what was given
// and what was assumed, without the secrets.
func (c *config) effective() []zap.Field {
	var listen, providers []string
	for _, l := range c.listen {
		listen = append(listen, l.written+l.options.String())
	}
	for _, name := range slices.Sorted(maps.Keys(c.settings.Providers)) {
		providers = append(providers, describeProvider(c.settings.Providers[name]))
	}
	certificate := c.tls.cert
	switch {
	case c.tls.acme.on:
		certificate = "from " + c.tls.acme.directory + " for " + strings.Join(c.tls.acme.hosts, ", ")
	case certificate == "":
		certificate = "our own"
	}
	seal := c.seal
	if seal == "" {
		seal = "in the store"
	}
	return []zap.Field{
		zap.String("file", c.file),
		zap.Strings("listen", listen),
		zap.String("store", c.storePlace()),
		zap.String("seal", seal),
		zap.String("admin", c.admin),
		zap.String("monitor", c.monitor),
		zap.String("hostname", c.hostname),
		zap.String("console", c.console.written),
		zap.Duration("drain", c.drain),
		zap.String("certificate", certificate),
		zap.Strings("providers", providers),
		zap.Strings("domains", slices.Sorted(maps.Keys(c.settings.Domains))),
		zap.Int("aliases", len(c.settings.Aliases)),
		zap.String("gate", fmt.Sprintf("%+v", c.gate)),
		zap.String("limits", fmt.Sprintf("%+v", c.limits)),
		zap.Stringer("level", c.log.level),
		zap.String("alert", fmt.Sprint(c.alert)),
		zap.Int64("audit", c.audit),
	}
}

func describeProvider(p *tokens.Provider) string {
	parts := []string{p.Name + ": " + describeProof(p), p.Mechanism}
	for _, e := range []struct {
		protocol string
		tokens.Endpoint
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
func describeProof(p *tokens.Provider) string {
	switch p.Flow {
	case tokens.FlowServiceAccount:
		return "service account " + p.ServiceAccount.Email
	case tokens.FlowTokenCommand:
		return "command " + p.TokenCommand[0]
	case tokens.FlowClientCredentials:
		return "application " + p.ClientID
	}
	return "client " + p.ClientID
}
