package proxy

import (
	"context"
	"strings"
	"time"

	"authferry/internal/protocol"
	"authferry/proxy/dialoguetest"
)

// hangUp closes what the file left open, as well-behaved peers do, and checks that
// nothing is left: unread data, sessions, secrets in the log.
func (d *dialogue) hangUp() {
	c, p := d.legs['c'], d.legs['p']
	if !c.closed {
		c.SetDeadline(time.Now().Add(patience))
		c.Conn.(interface{ CloseWrite() error }).CloseWrite()
	}
	if p != nil && !p.closed {
		p.SetDeadline(time.Now().Add(patience))
		d.expectEnd(dialoguetest.Step{Who: 'p'}, p)
	}
	if !c.closed {
		d.expectEnd(dialoguetest.Step{Who: 'c'}, c)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := d.server.Shutdown(ctx); err != nil {
		d.Errorf("sessions left: %v", err)
	}
	select {
	case <-d.incoming:
		d.Error("an unexpected connection to the provider")
	default:
	}
	if want := d.number("refreshes"); int(d.refresh.Load()) != want {
		d.Errorf("%d refreshes, want %d", d.refresh.Load(), want)
	}
	d.records(ctx)
}

// records checks what is kept of a login: the name of the program, and that
// every refusal in the log is in the metrics.
func (d *dialogue) records(ctx context.Context) {
	if want := d.head["client-name"]; want != "" {
		d.server.Vault.Close(ctx) // writes down who has used the password
		a, err := d.server.Vault.Account(ctx, dialogueUser)
		if err != nil || a.Passwords[0].LastUsed.Client != strings.Trim(want, "-") {
			d.Errorf("the record of the login names %+v, want %q", a.Passwords[0].LastUsed, want)
		}
	}
	var refused int
	for _, n := range d.server.Metrics.Snapshot().Protocols[protocol.Protocol(d.head["protocol"])].Refused {
		refused += int(n)
	}
	if want := strings.Count(d.log.String(), `"event":"login refused"`); refused != want {
		d.Errorf("%d refusals counted, %d in the log", refused, want)
	}
	d.attempted()
	d.asDocumented()
}

// readLog looks for the lines a file wants in the log, and for secrets.
func (d *dialogue) readLog(steps []dialoguetest.Step) {
	for _, s := range steps {
		if s.Who == 'l' && !d.logged(s.Text) {
			d.Errorf("line %d: not in the log: %s\n%s", s.Line, s.Text, d.log)
		}
	}
	for _, secret := range []string{"$PASS", "$TOKEN1", "$TOKEN2", "refresh-1", "<b64 $PASS>", "<b64 \\0$USER\\0$PASS>", "<xoauth2 $TOKEN1>"} {
		if strings.Contains(d.log.String(), d.filler().Fill(secret)) {
			d.Errorf("the log has %s in it:\n%s", secret, d.log)
		}
	}
	word, _, _ := strings.Cut(d.filler().Fill("$PASS"), " ")
	if strings.Contains(d.log.String(), `"`+word+" BAD") {
		d.Errorf("the log has a word of the password in it, as a tag:\n%s", d.log)
	}
}

func (d *dialogue) logged(pattern string) bool {
	for line := range strings.Lines(d.log.String()) {
		if glob("*"+d.filler().Fill(pattern)+"*", line) {
			return true
		}
	}
	return false
}

// glob reports whether s is pattern, in which * stands for anything.
func glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}
