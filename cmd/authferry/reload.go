package main

import (
	"errors"
	"fmt"
)

// reload puts a new configuration in force, or returns why not and changes
// nothing. Live sessions go on as they began.
func (s *service) reload(c *config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return errors.New("authferry is shutting down")
	}
	old := s.config.Load()
	if err := errors.Join(needRestart(old, c), unclaimed(c.listen, handedSockets())); err != nil {
		return err
	}
	certificate := s.certificate.Load()
	if err := s.takeCertificate(c); err != nil {
		return err
	}
	if err := s.moveListeners(c.listen); err != nil {
		s.certificate.Store(certificate)
		return err
	}
	s.config.Store(c)
	s.tendCertificate()
	s.vault.Configure(c.settings)
	s.gate.Configure(c.gate)
	s.watcher.Configure(c.alert)
	s.audit.Resize(c.audit)
	s.level.SetLevel(c.log.level)
	for _, w := range c.warnings {
		s.log.Warn(w)
	}
	return nil
}

// needRestart complains about what cannot change while sessions live.
func needRestart(old, now *config) error {
	var errs []error
	for _, key := range []struct {
		name    string
		changed bool
	}{
		{"store", old.store != now.store || old.postgres != now.postgres || old.outage != now.outage},
		{"seal", old.seal != now.seal},
		{"admin", old.admin != now.admin},
		{"console", old.console.written != now.console.written},
		{"monitor", old.monitor != now.monitor},
		{"hostname", old.hostname != now.hostname},
		{"limits", old.limits != now.limits},
		{"log.format", old.log.format != now.log.format},
	} {
		if key.changed {
			errs = append(errs, fmt.Errorf("%s: %s: cannot change while serving; restart authferry instead", now.file, key.name))
		}
	}
	return errors.Join(errs...)
}

// moveListeners opens what is new and closes what is gone. An address that
// changes hands (imap:// to imap+starttls://) has to be closed first; should
// another one fail then, it is opened again as it was.
func (s *service) moveListeners(urls []listenURL) error {
	wanted := map[listenKey]bool{}
	addresses := map[string]bool{}
	var added []listenURL
	for _, l := range urls {
		wanted[l.key()] = true
		if s.listeners[l.key()] == nil {
			added = append(added, l)
			addresses[l.address] = true
		}
	}
	var handed []listenURL
	for key, ln := range s.listeners {
		if !wanted[key] && addresses[key.address] {
			ln.Close()
			delete(s.listeners, key)
			handed = append(handed, listenURL{protocol: key.protocol, security: key.security, address: key.address, options: key.options})
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
