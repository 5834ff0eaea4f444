package server

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"authferry/internal/certs"
	"authferry/internal/config"
	"authferry/proxy"
) // takeCertificate puts the certificate of a configuration in force, if it has a
// listener to show it.
func (s *Server) takeCertificate(c *config.Config) error {
	if !slices.ContainsFunc(c.Listen, func(l config.Listener) bool { return l.Security != proxy.Plain }) {
		return nil
	}
	source, err := certs.Open(c.TLS, certs.Options{
		Dir: c.Store, Names: certificateNames(c),
		RSA: slices.ContainsFunc(c.Listen, func(l config.Listener) bool { return l.Options.OldCiphers }),
	}, s.Log)
	if err != nil {
		return err
	}
	s.certificate.Store(source)
	return nil
}

// tendCertificate looks after the certificate in force until the next call, or
// until stopTending.
func (s *Server) tendCertificate() {
	s.stopTending()
	source := s.certificate.Load()
	if source == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.tending = func() { cancel(); <-done }
	go func() {
		defer close(done)
		for {
			again := time.NewTimer(source.Tend(ctx))
			select {
			case <-again.C:
			case <-ctx.Done():
				again.Stop()
				return
			}
		}
	}()
}

func (s *Server) stopTending() {
	if s.tending != nil {
		s.tending()
		s.tending = nil
	}
}

// certificateNames are the names that mail programs may know this machine by.
func certificateNames(c *config.Config) []string {
	names := []string{c.Hostname, "localhost", "127.0.0.1", "::1"}
	for _, l := range c.Listen {
		host, _, _ := net.SplitHostPort(l.Address)
		if ip, err := netip.ParseAddr(host); err == nil && !ip.IsUnspecified() {
			names = append(names, ip.WithZone("").String())
		}
	}
	return names
}
