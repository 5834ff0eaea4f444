// Package admin is how the commands of an administrator reach the server that
// is running: HTTP over a unix socket in the store's directory, which only the
// user that the server runs as, and root, can open. Whoever can open it can read
// the store besides, so there is nothing to log in to.
//
//	GET  /status      how long it runs, where it listens, what it has done
//	GET  /sessions    who is logged in
//	POST /kick        ends sessions
//	POST /reload      puts the configuration file in force, or says why not
//	POST /sweep       ends the sessions of passwords that are gone, at once
//	GET  /healthz     and /readyz and /metrics: what monitors ask
//	GET  /debug/pprof profiles: here and nowhere else
package admin

import (
	"time"

	"authferry/proxy"
)

// SocketName is the socket's name in the store's directory.
const SocketName = "admin.sock"

// Status is what a server says of itself.
type Status struct {
	Version   string         `json:"version"`
	PID       int            `json:"pid"`
	Started   time.Time      `json:"started"`
	Config    string         `json:"config"`
	Listeners []Listener     `json:"listeners"`
	Metrics   proxy.Snapshot `json:"metrics"`
}

// Listener is where mail programs come in.
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

// Which picks sessions: those that all of its fields fit. The zero value picks
// none, so that a mistake ends nothing.
type Which struct {
	ID       int64  `json:"id,omitempty"`
	Mailbox  string `json:"mailbox,omitempty"`
	Password string `json:"password,omitempty"`
	Address  string `json:"address,omitempty"` // an address or a network
	All      bool   `json:"all,omitempty"`
}
