package main

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"authferry/proxy"
) // takeCertificate puts the certificate of a configuration in force, if it has a
// listener to show it.
func (s *service) takeCertificate(c *config) error {
	if !slices.ContainsFunc(c.listen, func(l listenURL) bool { return l.security != proxy.Plain }) {
		return nil
	}
	source, err := certificateFor(c.tls, certificateOptions{
		Dir: c.store, Names: certificateNames(c),
		RSA: slices.ContainsFunc(c.listen, func(l listenURL) bool { return l.options.oldCiphers }),
	}, s.log)
	if err != nil {
		return err
	}
	s.certificate.Store(source)
	return nil
}

// tendCertificate looks after the certificate in force until the next call, or
// until stopTending.
func (s *service) tendCertificate() {
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
			again := time.NewTimer(source.tend(ctx))
			select {
			case <-again.C:
			case <-ctx.Done():
				again.Stop()
				return
			}
		}
	}()
}

func (s *service) stopTending() {
	if s.tending != nil {
		s.tending()
		s.tending = nil
	}
}

// certificateNames are the names that mail programs may know this machine by.
func certificateNames(c *config) []string {
	names := []string{c.hostname, "localhost", "127.0.0.1", "::1"}
	for _, l := range c.listen {
		host, _, _ := net.SplitHostPort(l.address)
		if ip, err := netip.ParseAddr(host); err == nil && !ip.IsUnspecified() {
			names = append(names, ip.WithZone("").String())
		}
	}
	return names
}
