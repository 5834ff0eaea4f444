package proxy

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"authferry/proxy/relay"
)

// SessionInfo is a live session as an administrator sees it.
type SessionInfo struct {
	ID       int64 // of this process; never used twice
	Protocol string
	TLS      string // version with the mail program; empty: none
	Client   netip.AddrPort
	Name     string // how the program named itself
	Mailbox  string
	Password string // its name
	Provider string
	Since    time.Time // of the login
	Sent     int64     // bytes from the program to the provider
	Received int64
	Moved    time.Time // when bytes last moved
}

// errKicked ends a session that an administrator wants ended.
var errKicked = errors.New("ended by an administrator")

// sessionIDs numbers the sessions of all servers.
var sessionIDs atomic.Int64

// Sessions lists the sessions that are logged in, the oldest first.
func (s *Server) Sessions() []SessionInfo {
	s.prepare()
	var list []SessionInfo
	for _, x := range s.sessions() {
		if info, in := x.info(); in {
			list = append(list, info)
		}
	}
	slices.SortFunc(list, func(a, b SessionInfo) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// info describes a session, if it is logged in.
func (s *session) info() (SessionInfo, bool) {
	r := s.flowing()
	if r == nil {
		return SessionInfo{}, false
	}
	info := SessionInfo{
		ID: s.id, Protocol: s.Protocol, TLS: s.tlsVersion(), Client: s.from(), Name: s.login.Client,
		Mailbox: s.grant.Mailbox, Password: s.grant.PasswordName, Provider: s.grant.Provider.Name,
		Since: s.started, Sent: r.Sent(), Received: r.Received(),
		Moved: r.LastActive(),
	}
	return info, true
}

// Kick ends the sessions that match, and returns how many. A mail program that
// is in the middle of something is cut off, since whoever asks for this wants
// the session gone; one that is quiet on IMAP is told BYE.
func (s *Server) Kick(match func(SessionInfo) bool) int {
	s.prepare()
	n := 0
	for _, x := range s.sessions() {
		info, in := x.info()
		if !in || !match(info) {
			continue
		}
		n++
		s.Log.Info("ending a session", append(x.fields(), zap.Error(errKicked))...)
		if s.Protocol == "imap" {
			x.hangUp(errKicked, func(c *relay.Conn) error {
				return new(imapDialect).farewell(c, "the administrator of authferry has ended this session")
			})
		}
		x.hangUp(errKicked, nil)
	}
	return n
}

// Sweep ends the sessions whose password has been revoked or whose mailbox is
// gone, now; by itself a server looks every [Limits].Sweep.
func (s *Server) Sweep() {
	s.prepare()
	s.sweepOnce()
}
