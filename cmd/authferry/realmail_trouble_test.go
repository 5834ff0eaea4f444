//go:build realmail

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"authferry/demo"
)

// These match the refusals of the table in proxy/refusal.go as programs print them:
// with the code, or with the words alone.
var (
	saysWrong     = regexp.MustCompile(`AUTHENTICATIONFAILED|\[AUTH\]|\b535\b|user name or password not accepted`)
	saysTemporary = regexp.MustCompile(`\[UNAVAILABLE\]|\[SYS/TEMP\]|\b454\b|try again later|authferry tries again`)
	saysNeedsHelp = regexp.MustCompile(`\[CONTACTADMIN\]|\[SYS/PERM\]|\b454\b|must be connected again|run authferry connect`)
)

// smallJobs returns one run for every program and each of its protocols, on the
// mailbox with small mails.
func smallJobs() []job {
	var jobs []job
	for _, p := range mailPrograms {
		for _, verb := range []string{"imap", "simple", "pop3", "send"} {
			if securities := p.verbs[verb]; securities != nil {
				jobs = append(jobs, job{mailProgram: p, verb: verb, security: securities[len(jobs)%len(securities)], mailbox: smallMailbox, env: []string{"DEBUG=1"}})
			}
		}
	}
	return jobs
}

// try runs a job and reports whether it did its work.
func (m *realMail) try(t *testing.T, j job) (out []byte, worked bool) {
	t.Helper()
	if j.verb == "send" {
		to := m.newRecipient()
		out, err := m.do(t, j, j.mailbox, to, m.path("outbox", "dots.bin"))
		if err == nil {
			eventually(t, "the mail has been delivered", func() bool { return m.count(to) == 1 })
		}
		return out, err == nil
	}
	dir := t.TempDir()
	out, err := m.do(t, j, dir)
	// Some programs exit with 0 after a failure, too.
	return out, err == nil && len(filesBelow(t, dir)) >= 2
}

// refused makes every program fail, and checks the reason that it prints.
func (m *realMail) refused(t *testing.T, password string, reason *regexp.Regexp) {
	for _, j := range smallJobs() {
		t.Run(j.name+"/"+j.verb, func(t *testing.T) {
			started := time.Now()
			j.password = password
			out, worked := m.try(t, j)
			if worked {
				t.Fatalf("it worked; it said\n%s", tail(out))
			}
			if reason != saysWrong && saysWrong.Match(out) {
				t.Fatalf("a right password was called wrong:\n%s", tail(out))
			}
			if !reason.Match(out) {
				t.Fatalf("it does not say %s; it said\n%s", reason, tail(out))
			}
			say(started, j, "refused as %s", reason.Find(out))
		})
	}
}

// works makes every program do its work.
func (m *realMail) works(t *testing.T) {
	for _, j := range smallJobs() {
		t.Run(j.name+"/"+j.verb, func(t *testing.T) {
			started := time.Now()
			if out, worked := m.try(t, j); !worked {
				t.Fatalf("it did not work; it said\n%s", tail(out))
			}
			say(started, j, "works")
		})
	}
}

// testWrongPassword makes every program log in with a wrong password, which is refused, and then
// with the right one.
func (m *realMail) testWrongPassword(t *testing.T) {
	t.Run("wrong", func(t *testing.T) { m.refused(t, "not-the-password-at-all", saysWrong) })
	t.Run("right", m.works)
}

// testTrouble makes the provider's servers fail.
func (m *realMail) testTrouble(t *testing.T) {
	t.Run("token endpoint fails", func(t *testing.T) {
		m.withFault(t, demo.Token500)
		m.refused(t, "", saysTemporary)
	})
	t.Run("token endpoint is gone", func(t *testing.T) {
		m.way.close()
		m.oauth.ExpireAccessTokens()
		m.refused(t, "", saysTemporary)
		m.way.open(t)
		m.waitForLogins(t)
	})
	for _, fault := range []demo.TokenAnswer{demo.Token429, demo.TokenHTML, demo.TokenCut} {
		t.Run("token endpoint answers "+string(fault), func(t *testing.T) { m.testFault(t, fault) })
	}
	t.Run("grant revoked", m.testRevoked)
	t.Run("tokens expire", m.testExpiry)
	t.Run("Postfix queues", m.testQueue)
	t.Run("provider restarts", m.testRestart)
	t.Run("kill -9", m.testKill)
}

// withFault makes every login need the token endpoint, which fails until the test
// ends.
func (m *realMail) withFault(t *testing.T, fault demo.TokenAnswer) {
	m.oauth.Faults.Token(fault)
	m.oauth.ExpireAccessTokens()
	t.Cleanup(func() {
		m.oauth.Faults.Token(demo.TokenNormal)
		m.waitForLogins(t)
	})
}

// waitForLogins waits until logins over each protocol work again without a person.
func (m *realMail) waitForLogins(t *testing.T) {
	t.Helper()
	for _, protocol := range protocols {
		eventually(t, "a login over "+protocol+" works again", func() bool {
			v, _ := m.login(protocol)
			return v == welcomed
		})
	}
}

// login logs in with a Go client, to the mailbox with small mails.
func (m *realMail) login(protocol string) (verdict, error) {
	return tryLogin(protocol, fmt.Sprintf("127.0.0.1:%d", m.ports[protocol+" plain"]), smallMailbox, m.passwords[smallMailbox])
}

func (m *realMail) testFault(t *testing.T, fault demo.TokenAnswer) {
	m.withFault(t, fault)
	for _, protocol := range protocols {
		if v, err := m.login(protocol); v != temporary {
			t.Errorf("%s: the answer reads as %q: %v", protocol, v, err)
		}
	}
}

// testRevoked revokes the grant, and a person connects the mailbox again.
func (m *realMail) testRevoked(t *testing.T) {
	m.oauth.RevokeGrants(smallMailbox)
	t.Run("refused", func(t *testing.T) { m.refused(t, "", saysNeedsHelp) })
	m.consent(t, smallMailbox, variants[0].name)
	t.Run("connected again", m.works)
}

// testExpiry lets access tokens end while a program logs in again and again.
func (m *realMail) testExpiry(t *testing.T) {
	const logins = 30
	started := time.Now()
	before := m.oauth.TokenCalls("refresh_token")
	j := job{mailProgram: python, verb: "relogin", security: "plain", mailbox: smallMailbox}
	p := m.start(t, j, fmt.Sprint(logins))
	expired := 0
	for n := range logins {
		p.hears(t, fmt.Sprintf("^login %d$", n))
		if n%5 == 4 {
			m.oauth.ExpireAccessTokens()
			expired++
		}
		fmt.Fprintln(p.stdin)
	}
	if err := <-p.ended; err != nil {
		t.Fatalf("%v; it said\n%s", err, p)
	}
	// The last time was after the last login.
	if calls := m.oauth.TokenCalls("refresh_token") - before; calls != expired-1 {
		t.Errorf("tokens ended %d times between logins, and were refreshed %d times", expired-1, calls)
	}
	say(started, j, "%d logins, %d refreshes", logins, expired-1)
}

// testQueue makes a Postfix send through authferry, as the server of an office does
// whose provider requires OAuth. The mail stays in its queue while the provider issues
// no token, and is delivered when it does again.
func (m *realMail) testQueue(t *testing.T) {
	started := time.Now()
	m.oauth.Faults.Token(demo.Token500)
	defer m.oauth.Faults.Token(demo.TokenNormal)
	m.oauth.ExpireAccessTokens()
	to := m.newRecipient()
	msg := newMessage("queued", dotLines)
	m.write(t, "outbox/queued", msg)
	ctx, cancel := context.WithTimeout(t.Context(), programTime)
	defer cancel()
	office := job{mailProgram: curl, verb: "send", security: "plain", mailbox: smallMailbox}
	cmd := m.command(ctx, t, office, "sender@example.org", to, m.path("outbox", "queued"))
	cmd.Env = append(cmd.Env, fmt.Sprintf("PORT=%d", m.ports["provider office"]), "MAILUSER=", "MAILPASS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v; it said\n%s", err, tail(out))
	}
	logged := func(pattern string) func() bool {
		return func() bool {
			log, _ := os.ReadFile(m.path("postfix", "data", "postfix.log"))
			return regexp.MustCompile(pattern).Match(log)
		}
	}
	eventually(t, "Postfix has put the mail off", logged(`to=<`+to+`>.*status=deferred .*454 4\.7\.0`))
	m.oauth.Faults.Token(demo.TokenNormal)
	eventually(t, "Postfix has delivered the mail", logged(`to=<`+to+`>.*relay=127\.0\.0\.1.*status=sent`))
	eventually(t, "the mail has arrived", func() bool { return m.count(to) == 1 })
	if got := m.stored(t, to, ""); !bytes.HasSuffix(got[0], msg) {
		t.Errorf("another mail has arrived than was sent: %q", got[0])
	}
	say(started, job{mailProgram: mailProgram{name: "Postfix"}, verb: "send", security: "plain"}, "put off with 454, delivered later")
}

// testRestart stops the provider under a session.
func (m *realMail) testRestart(t *testing.T) {
	started := time.Now()
	j := job{mailProgram: python, verb: "hold", security: "starttls", mailbox: smallMailbox}
	p := m.start(t, j)
	p.hears(t, "^idling")
	m.stopDovecot()
	p.hears(t, "^closed")
	if err := <-p.ended; err != nil {
		t.Errorf("%v; it said\n%s", err, p)
	}
	say(started, j, "saw the provider's end")
	for _, protocol := range []string{"imap", "pop3"} {
		if v, err := m.login(protocol); v != temporary {
			t.Errorf("%s without a provider: the answer reads as %q: %v", protocol, v, err)
		}
	}
	m.runDovecot(t)
	m.waitForLogins(t)
}

// testKill kills authferry while one program waits for mail and another has sent half
// of 30 MB.
func (m *realMail) testKill(t *testing.T) {
	started := time.Now()
	idler := m.start(t, job{mailProgram: python, verb: "hold", security: "tls", mailbox: smallMailbox})
	idler.hears(t, "^idling")
	to := m.newRecipient()
	slow := mailProgram{name: "curl", run: []string{"bash", "curl.sh"}}
	j := job{mailProgram: slow, verb: "send", security: "plain", mailbox: smallMailbox, env: []string{"RATE=4M"}}
	sender := m.start(t, j, smallMailbox, to, m.path("outbox", "thirty.bin"))
	sender.hears(t, "354 ")
	m.authferry.kill()
	<-idler.ended
	if err := <-sender.ended; err == nil {
		t.Error("curl did not notice that its mail was cut off")
	}
	m.startAuthferry(t)
	m.waitForLogins(t)
	if n := m.count(to); n != 0 {
		t.Errorf("%d mails were delivered that had been cut off", n)
	}
	j.env = nil
	if out, err := m.do(t, j, smallMailbox, to, m.path("outbox", "thirty.bin")); err != nil {
		t.Fatalf("%v; it said\n%s", err, tail(out))
	}
	eventually(t, "the mail has been delivered", func() bool { return m.count(to) == 1 })
	if !strings.Contains(string(m.stored(t, to, "")[0]), "Subject: thirty\r\n") {
		t.Error("another mail has arrived than was sent")
	}
	say(started, j, "cut off by kill -9, and sent again")
}
