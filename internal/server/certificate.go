package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"authferry/internal/certs"
	"authferry/internal/config"
	"authferry/proxy"
)

// certificateKeeper holds the certificate in force and renews it in time.
type certificateKeeper struct {
	source atomic.Pointer[certs.Source] // nil: no listener uses TLS
	end    func()                       // ends maintain, and waits for it
}

// load puts the certificate of a configuration in force, if a listener needs one.
func (k *certificateKeeper) load(c *config.Config, documents certs.Documents, log *zap.Logger) error {
	if !slices.ContainsFunc(c.Listen, func(l config.Listener) bool { return l.Security != proxy.Plain }) {
		return nil
	}
	source, err := certs.Open(c.TLS, certs.Options{
		Dir: c.StateDir, Documents: documents, Names: certificateNames(c),
		RSA: slices.ContainsFunc(c.Listen, func(l config.Listener) bool { return l.Options.OldCiphers }),
	}, log)
	if err != nil {
		return err
	}
	k.source.Store(source)
	return nil
}

// get is for [tls.Config.GetCertificate].
func (k *certificateKeeper) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return k.source.Load().Get(hello)
}

// maintain renews the certificate in force until the next call, or until stop.
func (k *certificateKeeper) maintain() {
	k.stop()
	source := k.source.Load()
	if source == nil {
		return
	}
	k.end = inBackground(func(ctx context.Context) {
		for {
			again := time.NewTimer(source.Tend(ctx))
			select {
			case <-again.C:
			case <-ctx.Done():
				again.Stop()
				return
			}
		}
	})
}

func (k *certificateKeeper) stop() {
	if k.end != nil {
		k.end()
		k.end = nil
	}
}

// certificateNames returns the names that mail programs may use for this machine.
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
