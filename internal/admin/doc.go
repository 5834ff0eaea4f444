// Package admin connects an administrator's commands with the running server: HTTP
// over a unix socket in the store's directory, which only root and the user that
// the server runs as can open. There is no login, because a user who can open the
// socket can also read the store.
//
//	GET  /status      version, uptime, listeners and counters
//	GET  /sessions    the sessions in progress
//	POST /kick        ends sessions
//	POST /reload      reloads the configuration file, or says what is wrong with it
//	POST /sweep       ends the sessions of revoked passwords at once
//	GET  /healthz     and /readyz and /metrics, for monitors
//	GET  /debug/pprof profiles, served only here
package admin

import (
	"time"

	"authferry/proxy"
)

// SocketName is the socket's name in the store's directory.
const SocketName = "admin.sock"

// Status is the state of a server.
type Status struct {
	Version   string         `json:"version"`
	PID       int            `json:"pid"`
	Started   time.Time      `json:"started"`
	Config    string         `json:"config"`
	Listeners []Listener     `json:"listeners"`
	Metrics   proxy.Snapshot `json:"metrics"`
}

// Listener is an address that the server listens on.
type Listener struct {
	URL     string `json:"url"` // as configured
	Address string `json:"address"`
}

// Session is a live session.
type Session struct {
	ID       int64     `json:"id"`
	Protocol string    `json:"protocol"`
	TLS      string    `json:"tls,omitempty"`
	Client   string    `json:"client"`
	Name     string    `json:"client_name,omitempty"`
	Mailbox  string    `json:"mailbox"`
	Password string    `json:"password"`
	Provider string    `json:"provider"`
	Since    time.Time `json:"since"`
	Sent     int64     `json:"sent"`
	Received int64     `json:"received"`
	Moved    time.Time `json:"moved"`
}

// Which selects the sessions that match all of its fields. The zero value selects
// none, so that a mistake ends nothing.
type Which struct {
	ID       int64  `json:"id,omitempty"`
	Mailbox  string `json:"mailbox,omitempty"`
	Password string `json:"password,omitempty"`
	Address  string `json:"address,omitempty"` // an address or a network
	All      bool   `json:"all,omitempty"`
}
