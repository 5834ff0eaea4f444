package proxy

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"authferry/internal/testtls"
	"authferry/proxy/gate"
	"authferry/tokens"
)

// attempts collects the attempts that a server reports.
type attempts struct {
	mu  sync.Mutex
	all []Attempt
}

func (a *attempts) note(one Attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, one)
}

func (a *attempts) list() []Attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.all)
}

// attempted checks, in every dialogue, that the attempts reported are those in the
// log, and that they contain no secret.
func (d *dialogue) attempted() {
	var logged []string
	for line := range strings.Lines(d.log.String()) {
		var l struct{ Event, Outcome, Client, While, Error string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			d.Fatal(err)
		}
		switch l.Event {
		case "session established":
			logged = append(logged, AttemptOK+" "+l.Client)
		case "login refused":
			logged = append(logged, l.Outcome+" "+l.Client)
		case "connection refused":
			logged = append(logged, AttemptTurnedAway+" "+l.Client)
		case "session ended": // of a connection that a load balancer brought
			if l.While == "reading the PROXY header" && (l.Error == errNotHere.Error() || l.Error == gate.ErrTooMany.Error()) {
				logged = append(logged, AttemptTurnedAway+" "+l.Client)
			}
		}
	}
	var told []string
	for _, a := range d.attempts.list() {
		told = append(told, a.Result+" "+a.Client.String())
		if (a.Cause == "") != (a.Result == AttemptOK) || string(a.Protocol) != d.head["protocol"] || a.At.IsZero() {
			d.Errorf("told of %+v", a)
		}
		if text, _ := json.Marshal(a); strings.Contains(string(text), d.filler().Fill("$PASS")) || strings.Contains(string(text), d.filler().Fill("$TOKEN1")) {
			d.Errorf("told a secret: %s", text)
		}
	}
	if !slices.Equal(logged, told) {
		d.Errorf("logged %q, told of %q", logged, told)
	}
}

// TestAttempts: what is reported of each kind of attempt.
func TestAttempts(t *testing.T) {
	p := startProvider(t, &fakeProvider{protocol: "smtp", after: echo})
	var told attempts
	w := startWhole(t, p, StartTLS, func(s *Server) { s.Attempts = told.note })
	w.login("")
	until(t, func() bool { return len(told.list()) == 1 }) // after the welcome
	for _, refused := range []struct{ user, password string }{{wholeUser, "wrong"}, {"hunter2hunter2", "x"}, {"Scanner@example.org", "x"}} {
		m, err := dialSMTP(w.addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(m, "AUTH PLAIN "+b64("\x00"+refused.user+"\x00"+refused.password)+"\r\n")
		if err := m.await("535 "); err != nil {
			t.Error(err)
		}
		m.Close()
	}
	plain, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	m := &mail{plain, bufio.NewReader(plain)}
	io.WriteString(m, "EHLO \x1b[31mme\r\nAUTH PLAIN "+b64("\x00a\x00b")+"\r\n")
	if err := m.await("538 "); err != nil {
		t.Error(err)
	}
	m.Close()
	until(t, func() bool { return len(told.list()) == 5 })
	type want struct{ user, mailbox, password, program, tls, result, cause string }
	for i, want := range []want{
		{wholeUser, wholeUser, "test", "", "TLS 1.3", "ok", ""},
		{wholeUser, wholeUser, "", "me", "TLS 1.3", "bad login", "user name or password not accepted: wrong password for " + wholeUser},
		{"hu...", "", "", "me", "TLS 1.3", "bad login", tokens.ErrBadLogin.Error()},
		{"Scanner@example.org", "scanner@example.org", "", "me", "TLS 1.3", "bad login", `user name or password not accepted: there is no mailbox "scanner@example.org"`},
		{"", "", "", "[31mme", "", "needs TLS", errNeedsTLS.Error()},
	} {
		a := told.list()[i]
		got := struct{ user, mailbox, password, program, tls, result, cause string }{a.User, a.Mailbox, a.Password, a.Program, a.TLS, a.Result, a.Cause}
		if got != want {
			t.Errorf("%d: %+v\n\twant %+v", i, got, want)
		}
		if !a.Client.Addr().IsLoopback() || a.Client.Port() == 0 || time.Since(a.At) > time.Hour {
			t.Errorf("%d: %v at %v", i, a.Client, a.At)
		}
	}
}

func dialSMTP(addr string) (*mail, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(patient))
	m := &mail{c, bufio.NewReader(c)}
	io.WriteString(m, "EHLO me\r\n")
	if err := m.await("250 "); err != nil {
		return nil, err
	}
	if err := m.startTLS("STARTTLS", "220 ", testtls.ClientTLS()); err != nil {
		return nil, err
	}
	io.WriteString(m, "EHLO me\r\n")
	return m, m.await("250 ")
}

// TestTurnedAwayIsTold: connections that may not even try, for either reason.
func TestTurnedAwayIsTold(t *testing.T) {
	p := startProvider(t, &fakeProvider{protocol: "imap", after: echo})
	var told attempts
	w := startWhole(t, p, Plain, func(s *Server) {
		s.Attempts, s.Gate = told.note, gate.New(gate.Limits{Connections: 1})
	})
	w.login("")
	until(t, func() bool { return len(told.list()) == 1 }) // after the welcome
	over, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	until(t, func() bool { return len(told.list()) == 2 })
	if a := told.list()[1]; a.Result != AttemptTurnedAway || a.Cause != gate.ErrTooMany.Error() || a.Client.String() != over.LocalAddr().String() {
		t.Errorf("%+v", a)
	}
	if text := causeOf(errors.New(strings.Repeat("x", 1000))); len(text) != maxCause {
		t.Errorf("%d bytes of a cause", len(text))
	}
	far := netip.MustParseAddrPort("192.0.2.1:1")
	(&Server{Protocol: "imap"}).attemptTurnedAway(far, errNotHere) // without Attempts
}
