package main

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// TestKilledWhileRefreshing: a server can be killed at any moment of a refresh with
// rotation; the mailbox still works.
func TestKilledWhileRefreshing(t *testing.T) {
	t.Parallel()
	s, _ := newShow(t)
	// A store has one server at a time.
	if err := s.service.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.service = nil
	s.gmail.Faults.Rotate(true)
	var refreshes int
	for round := range 12 {
		p := startServe(t, s.dir, "--config", s.configPath())
		address := p.address("imap")
		s.gmail.ExpireAccessTokens()
		s.gmail.Faults.TokenDelay(time.Duration(round%4) * 5 * time.Millisecond)
		before := s.gmail.TokenCalls("refresh_token")
		var logins sync.WaitGroup
		for range 3 {
			logins.Go(func() { tryLogin("imap", address, demoMailbox, s.password.Reveal()) })
		}
		kill := time.NewTimer(time.Duration(rand.IntN(40)) * time.Millisecond)
		<-kill.C
		p.kill()
		logins.Wait()
		refreshes += s.gmail.TokenCalls("refresh_token") - before
	}
	s.gmail.Faults.TokenDelay(0)
	p := startServe(t, s.dir, "--config", s.configPath())
	for _, protocol := range protocols {
		mustLogin(t, protocol, p.address(protocol), demoMailbox, s.password.Reveal())
	}
	t.Logf("%d refreshes in 12 rounds", refreshes)
}
