package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"authferry/internal/address"
	"authferry/proxy"
	"authferry/tokens"
	"authferry/web"
)

// mailServices are the listeners of a configuration as mail programs see them.
// bound says, by what is written in the configuration, where those are that are
// open; ports that nobody knows without are left out.
func mailServices(c *config, bound map[string]string) (services []web.MailService) {
	name := publicName(c)
	for _, l := range c.listen {
		host, port := l.hostPort()
		if address, ok := bound[l.written]; ok {
			host, port, _ = net.SplitHostPort(address)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			continue
		}
		services = append(services, web.MailService{
			Protocol: l.protocol, Host: l.knownAs(host, name), Port: int(n), Security: l.security,
			Reserved: l.options.allow != "" || l.oldTLS(),
		})
	}
	return services
}

// knownAs is what a program is to call a listener on a host.
func (l listenURL) knownAs(host, name string) string {
	ip, err := netip.ParseAddr(host)
	switch everywhere := err != nil || ip.IsUnspecified(); {
	case everywhere && l.security == proxy.Plain && !l.insecure:
		return "127.0.0.1" // a socket of systemd's, which has to be on loopback
	case everywhere:
		return name
	case ip.IsLoopback(), l.security == proxy.Plain, !strings.Contains(name, "."):
		// Without TLS no name has to fit; one without a dot is known to few.
		return ip.WithZone("").String()
	}
	return name
}

// publicName is what programs on other machines are to call this one: the
// hostname, unless the certificate is for other names.
func publicName(c *config) string {
	var names []string
	switch {
	case c.tls.acme.on:
		names = c.tls.acme.hosts
	case c.tls.cert != "":
		pair, err := loadPair(c.tls.cert, c.tls.key)
		if err != nil || pair.Leaf.VerifyHostname(c.hostname) == nil {
			return c.hostname
		}
		names = slices.DeleteFunc(slices.Clone(pair.Leaf.DNSNames), func(name string) bool { return strings.HasPrefix(name, "*") })
	}
	if len(names) == 0 || slices.Contains(names, strings.ToLower(c.hostname)) {
		return c.hostname
	}
	return names[0]
}

// mailServices are where mail programs may come in, with the ports there are.
func (s *service) mailServices() []web.MailService {
	bound := map[string]string{}
	for _, l := range s.status().Listeners {
		bound[l.URL] = l.Address
	}
	return mailServices(s.config.Load(), bound)
}

// mailSettings answers programs that ask for their settings; whatever listens
// for HTTP mounts it.
func (s *service) mailSettings() *web.MailSettings {
	return &web.MailSettings{
		Services: s.mailServices,
		Domains: func(ctx context.Context) (map[string]bool, error) {
			return mailDomains(ctx, s.config.Load(), s.vault)
		},
		Certificate: func() (*tls.Certificate, error) {
			source := s.certificate.Load()
			if source == nil {
				return nil, nil
			}
			return source.get(modernHello)
		},
		Log: s.log,
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
func mailDomains(ctx context.Context, c *config, vault *tokens.Vault) (map[string]bool, error) {
	mailboxes, err := vault.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	domains := map[string]bool{}
	for domain := range c.settings.Domains {
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
func cardMailbox(c *config, mailbox string) web.CardMailbox {
	m := web.CardMailbox{Address: mailbox, OwnAuthority: c.tls.cert == "" && !c.tls.acme.on}
	for alias, of := range c.settings.Aliases {
		if of == mailbox && (m.Alias == "" || len(alias) < len(m.Alias) || len(alias) == len(m.Alias) && alias < m.Alias) {
			m.Alias = alias
		}
	}
	return m
}
