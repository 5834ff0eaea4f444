package server

import (
	"errors"
	"fmt"

	"authferry/internal/config"
)

// reload puts a new configuration in force, or returns why not and changes
// nothing. Live sessions go on as they began.
func (s *Server) Reload(c *config.Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return errors.New("authferry is shutting down")
	}
	old := s.Config.Load()
	if err := errors.Join(needRestart(old, c), unclaimed(c.Listen, handedSockets())); err != nil {
		return err
	}
	certificate := s.certificate.Load()
	if err := s.takeCertificate(c); err != nil {
		return err
	}
	if err := s.moveListeners(c.Listen); err != nil {
		s.certificate.Store(certificate)
		return err
	}
	s.Config.Store(c)
	s.tendCertificate()
	s.Vault.Configure(c.Settings)
	s.Gate.Configure(c.Gate)
	s.Watcher.Configure(c.Alert)
	s.audit.Resize(c.Audit)
	s.Level.SetLevel(c.Log.Level)
	for _, w := range c.Warnings {
		s.Log.Warn(w)
	}
	return nil
}

// needRestart complains about what cannot change while sessions live.
func needRestart(old, now *config.Config) error {
	var errs []error
	for _, key := range []struct {
		name    string
		changed bool
	}{
		{"store", old.Store != now.Store || old.Postgres != now.Postgres || old.Outage != now.Outage},
		{"seal", old.Seal != now.Seal},
		{"admin", old.Admin != now.Admin},
		{"console", old.Console.Written != now.Console.Written},
		{"monitor", old.Monitor != now.Monitor},
		{"hostname", old.Hostname != now.Hostname},
		{"limits", old.Limits != now.Limits},
		{"log.format", old.Log.Format != now.Log.Format},
	} {
		if key.changed {
			errs = append(errs, fmt.Errorf("%s: %s: cannot change while serving; restart authferry instead", now.File, key.name))
		}
	}
	return errors.Join(errs...)
}

// moveListeners opens what is new and closes what is gone. An address that
// changes hands (imap:// to imap+starttls://) has to be closed first; should
// another one fail then, it is opened again as it was.
func (s *Server) moveListeners(urls []config.Listener) error {
	wanted := map[config.ListenKey]bool{}
	addresses := map[string]bool{}
	var added []config.Listener
	for _, l := range urls {
		wanted[l.Key()] = true
		if s.listeners[l.Key()] == nil {
			added = append(added, l)
			addresses[l.Address] = true
		}
	}
	var handed []config.Listener
	for key, ln := range s.listeners {
		if !wanted[key] && addresses[key.Address] {
			ln.Close()
			delete(s.listeners, key)
			handed = append(handed, config.Listener{Protocol: key.Protocol, Security: key.Security, Address: key.Address, Options: key.Options})
		}
	}
	opened, err := bind(added)
	if err != nil {
		back, again := bind(handed)
		s.accept(back)
		return errors.Join(err, again)
	}
	s.accept(opened)
	for key, ln := range s.listeners {
		if !wanted[key] {
			ln.Close()
			delete(s.listeners, key)
		}
	}
	return nil
}
