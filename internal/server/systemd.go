package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/proxy"
)

// handedSocket is a socket from systemd. It stays open while the process runs:
// listeners get a duplicate, so that a reload can close it and open it again.
type handedSocket struct {
	name string
	*net.TCPListener
}

// handedSockets returns the sockets from systemd. They arrive in the
// environment, once.
var handedSockets = sync.OnceValue(func() (list []*handedSocket) {
	byName, err := activation.ListenersWithNames()
	if err != nil {
		return nil
	}
	for name, listeners := range byName {
		for _, ln := range listeners {
			if tcp, ok := ln.(*net.TCPListener); ok {
				list = append(list, &handedSocket{name: name, TCPListener: tcp})
			}
		}
	}
	return list
})

// listenHanded opens the socket that an address names. Without TLS it must be
// on loopback; the socket unit decides that, not the URL.
func listenHanded(l config.Listener, sockets []*handedSocket) (net.Listener, error) {
	spec := strings.TrimPrefix(l.Address, config.SystemdAddress)
	var fitting []*handedSocket
	for _, s := range sockets {
		if s.fits(l) {
			fitting = append(fitting, s)
		}
	}
	switch {
	case len(sockets) == 0:
		return nil, hint.New(errors.New("systemd has handed over no socket"), "start authferry.socket, and let systemd start the service; without systemd name an address instead")
	case len(fitting) == 0:
		return nil, hint.New(fmt.Errorf("systemd has handed over no socket %q, but %s", spec, strings.Join(socketNames(sockets), ", ")), "FileDescriptorName= in the socket unit is its name")
	case len(fitting) > 1:
		return nil, hint.New(fmt.Errorf("systemd has handed over %d sockets named %q: %s", len(fitting), spec, strings.Join(socketNames(fitting), ", ")), "add the port: %s:PORT", l.Written)
	}
	s := fitting[0]
	if !s.addr().Addr().IsLoopback() && (l.Security == proxy.Plain || l.OldTLS()) && !l.Insecure {
		return nil, hint.New(fmt.Errorf("passwords could be read on the network at %s", s.addr()), "write +insecure before +systemd: if that is what you want")
	}
	return s.duplicate()
}

// fits reports whether a listen URL names the socket.
func (s *handedSocket) fits(l config.Listener) bool {
	spec, ours := strings.CutPrefix(l.Address, config.SystemdAddress)
	name, port, _ := strings.Cut(spec, ":")
	return ours && s.name == name && (port == "" || port == strconv.Itoa(int(s.addr().Port())))
}

func (s *handedSocket) addr() netip.AddrPort {
	at := s.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

func (s *handedSocket) duplicate() (net.Listener, error) {
	file, err := s.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return net.FileListener(file)
}

func socketNames(sockets []*handedSocket) (names []string) {
	for _, s := range sockets {
		names = append(names, fmt.Sprintf("%s:%d", s.name, s.addr().Port()))
	}
	slices.Sort(names)
	return names
}

// unclaimed returns an error for each socket without a listener: systemd queues
// connections there that no program would answer.
func unclaimed(urls []config.Listener, sockets []*handedSocket) error {
	var errs []error
	for _, s := range sockets {
		if !slices.ContainsFunc(urls, s.fits) {
			errs = append(errs, fmt.Errorf("systemd hands over the socket %s:%d, and nothing in listen takes it", s.name, s.addr().Port()))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return hint.New(err, "add it, such as imaps+%s%s:%d or imap+%s%s, or take it out of the socket unit", config.SystemdAddress, sockets[0].name, sockets[0].addr().Port(), config.SystemdAddress, sockets[0].name)
	}
	return nil
}

// tellSystemd notifies the service manager, if there is one.
func tellSystemd(state string) { daemon.SdNotify(false, state) }

// reloadingState is what a service of type notify-reload sends first: sd_notify(3).
func reloadingState() string {
	return daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec()
}

// watchdog notifies systemd at half of the interval it allows, and does not while
// alive returns an error: then systemd restarts the process (WatchdogSec= in the
// unit). It returns when ctx is done, or at once without a watchdog.
func watchdog(ctx context.Context, alive func() error, log *zap.Logger) {
	allowed, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the settings of the systemd watchdog are invalid; it is not notified", zap.Error(err))
	}
	if err != nil || allowed == 0 {
		return
	}
	log.Info("watched by systemd", zap.Duration("every", allowed))
	tick := time.NewTicker(allowed / 2)
	defer tick.Stop()
	for {
		if err := alive(); err != nil {
			log.Error("not alive: systemd will restart authferry", zap.Error(err))
		} else {
			tellSystemd(daemon.SdNotifyWatchdog)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
