package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"authferry/internal/address"
	"authferry/internal/certs"
	"authferry/internal/config"
	"authferry/internal/mailsettings"
	"authferry/internal/protocol"
	"authferry/proxy"
	"authferry/tokens"
)

// securityName is how TLS starts on a listener, in the words of mail programs.
func SecurityName(s proxy.Security) string {
	switch s {
	case proxy.Implicit:
		return "SSL/TLS"
	case proxy.StartTLS:
		return "STARTTLS"
	case proxy.Either:
		return "SSL/TLS or STARTTLS"
	}
	return "no encryption"
}

// mailServices are the listeners of a configuration as mail programs see them.
// bound says, by what is written in the configuration, where those are that are
// open; ports that nobody knows without are left out.
func MailServices(c *config.Config, bound map[string]string) (services []mailsettings.Service) {
	name := publicName(c)
	for _, l := range c.Listen {
		host, port := l.HostPort()
		if address, ok := bound[l.Written]; ok {
			host, port, _ = net.SplitHostPort(address)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			continue
		}
		services = append(services, mailsettings.Service{
			Protocol: protocol.Protocol(l.Protocol), Host: knownAs(l, host, name), Port: int(n), Security: l.Security,
			Reserved: l.Options.Allow != "" || l.OldTLS(),
		})
	}
	return services
}

// knownAs is what a program is to call a listener on a host.
func knownAs(l config.Listener, host, name string) string {
	ip, err := netip.ParseAddr(host)
	switch everywhere := err != nil || ip.IsUnspecified(); {
	case everywhere && l.Security == proxy.Plain && !l.Insecure:
		return "127.0.0.1" // a socket of systemd's, which has to be on loopback
	case everywhere:
		return name
	case ip.IsLoopback(), l.Security == proxy.Plain, !strings.Contains(name, "."):
		// Without TLS no name has to fit; one without a dot is known to few.
		return ip.WithZone("").String()
	}
	return name
}

// publicName is what programs on other machines are to call this one: the
// hostname, unless the certificate is for other names.
func publicName(c *config.Config) string {
	var names []string
	switch {
	case c.TLS.ACME.On:
		names = c.TLS.ACME.Hosts
	case c.TLS.Cert != "":
		pair, err := certs.LoadPair(c.TLS.Cert, c.TLS.Key)
		if err != nil || pair.Leaf.VerifyHostname(c.Hostname) == nil {
			return c.Hostname
		}
		names = slices.DeleteFunc(slices.Clone(pair.Leaf.DNSNames), func(name string) bool { return strings.HasPrefix(name, "*") })
	}
	if len(names) == 0 || slices.Contains(names, strings.ToLower(c.Hostname)) {
		return c.Hostname
	}
	return names[0]
}

// mailServices are where mail programs may come in, with the ports there are.
func (s *Server) mailServices() []mailsettings.Service {
	bound := map[string]string{}
	for _, l := range s.Status().Listeners {
		bound[l.URL] = l.Address
	}
	return MailServices(s.Config.Load(), bound)
}

// mailSettings answers programs that ask for their settings; whatever listens
// for HTTP mounts it.
func (s *Server) mailSettings() *mailsettings.Responder {
	return &mailsettings.Responder{
		Services: s.mailServices,
		Domains: func(ctx context.Context) (map[string]bool, error) {
			return mailDomains(ctx, s.Config.Load(), s.Vault)
		},
		Certificate: func() (*tls.Certificate, error) {
			source := s.certificate.Load()
			if source == nil {
				return nil, nil
			}
			return source.Get(modernHello)
		},
		Log: s.Log,
	}
}

// modernHello is what a program of today would ask a certificate for with.
var modernHello = &tls.ClientHelloInfo{
	SupportedVersions: []uint16{tls.VersionTLS13},
	SignatureSchemes:  []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256},
	SupportedCurves:   []tls.CurveID{tls.CurveP256, tls.X25519},
}

// mailDomains are the domains of the mailboxes and those of the configuration,
// in all their forms.
func mailDomains(ctx context.Context, c *config.Config, vault *tokens.Vault) (map[string]bool, error) {
	mailboxes, err := vault.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	domains := map[string]bool{}
	for domain := range c.Settings.Domains {
		domains[domain] = true
	}
	for _, mailbox := range mailboxes {
		for _, form := range address.DomainForms(address.Domain(mailbox)) {
			domains[form] = true
		}
	}
	return domains, nil
}

// cardMailbox is a mailbox as settings cards show it.
func CardMailbox(c *config.Config, mailbox string) mailsettings.CardMailbox {
	m := mailsettings.CardMailbox{Address: mailbox, OwnAuthority: c.TLS.Cert == "" && !c.TLS.ACME.On}
	for alias, of := range c.Settings.Aliases {
		if of == mailbox && (m.Alias == "" || len(alias) < len(m.Alias) || len(alias) == len(m.Alias) && alias < m.Alias) {
			m.Alias = alias
		}
	}
	return m
}
