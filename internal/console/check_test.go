package console

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"authferry/internal/check"
	"authferry/internal/console/people"
)

// TestCheck: a mailbox has one check at a time; people can watch and stop it.
func TestCheck(t *testing.T) {
	f := newFerry(t)
	b := f.administrator()
	b.post("/mailboxes/" + owner + "/test")
	b.want(http.StatusNotFound, "There is no mailbox")
	b.post("/connect", "mailbox", owner, "provider", "gmail")
	b.consents(owner)

	var runs atomic.Int32
	more := make(chan struct{})
	reported := make(chan struct{})
	f.check = func(ctx context.Context, mailbox string, report func(check.Step)) {
		runs.Add(1)
		report(check.Step{Name: "store", Result: check.OK, Detail: "/var/lib/authferry"})
		report(check.Step{Name: "imap login", Mailbox: mailbox, Provider: "gmail", Result: check.Fail, Detail: "it says no", Fix: "ask it"})
		reported <- struct{}{}
		select {
		case <-more:
		case <-ctx.Done():
			report(check.Step{Name: "smtp login", Mailbox: mailbox, Result: check.Skip, Detail: "interrupted"})
		}
	}
	page := "/mailboxes/" + owner + "/test"
	b.post(page)
	<-reported
	b.post(page) // joins
	b.want(http.StatusOK, "The test is running")
	b.want(http.StatusOK, "it says no")
	b.want(http.StatusOK, "data-follow")
	guest := f.signedIn(people.LinkOptions{Owner: []string{owner}})
	guest.get(page)
	guest.want(http.StatusOK, "ask it")
	if strings.Contains(guest.body, "/var/lib/authferry") {
		t.Error("an owner sees the installation")
	}
	more <- struct{}{}
	f.ended(b)
	b.want(http.StatusOK, "1 step failed")
	if n := runs.Load(); n != 1 {
		t.Errorf("%d runs", n)
	}

	b.post(page)
	<-reported
	b.post(page + "/cancel")
	f.ended(b)
	b.want(http.StatusOK, "interrupted")

	b.post(page) // ended by Close
	<-reported
}
